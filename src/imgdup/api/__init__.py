"""The main object of the library: an opened index that can be searched.

Its methods import what they need, since each command needs only one or two of them.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from imgdup.hashing import MATCH_MAX_DISTANCE
from imgdup.index import folder
from imgdup.index.columns import images
from imgdup.index.generation import Generation, GenerationRows, describe, open_generation

if TYPE_CHECKING:
    from imgdup.build.settings import Progress, Settings
    from imgdup.dedupe import DedupeOptions, Duplicates
    from imgdup.dedupe.plan import Plan
    from imgdup.query.match import Match
    from imgdup.query.probe import Image, Probe
    from imgdup.query.row_pairs import RowPairs

# A test compares these rules with those of imgdup.dedupe.keep.
DEFAULT_KEEP = "colour,not-upscaled,metadata,quality,largest,oldest,shortest-path,first"


class ImageIndex:
    """An index folder, opened for reading.

    Use `open` or `build`. The object keeps the generation that was current at that time, also when
    another process updates the index.
    """

    def __init__(self, path: Path, current: folder.Current, generation: Generation) -> None:
        self.folder = path
        self.current = current
        self.generation = generation

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open an index folder; takes about a millisecond, whatever its size.

        Raises
        ------
        ImgdupError
            If there is no index.
        IndexFormatError
            If it is damaged, forged, or of another version.
        """
        return cls(Path(path), *folder.open_generation(Path(path), open_generation))

    @classmethod
    def build(
        cls,
        folders: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
        path: str | os.PathLike[str] = ".imgdup",
        settings: "Settings | None" = None,
        progress: "Progress | None" = None,
    ) -> Self:
        """Index folders, or update their index, and open it.

        Works without a ``__main__`` guard, in a notebook and from standard input.

        Parameters
        ----------
        folders : path or sequence of paths
            Folders, or single files.
        path : path
            The index folder to create or to update.
        settings, progress
            As for `imgdup.build.update.update_index`; the errors are the same, too.
        """
        from imgdup.build.update import update_index

        several = [folders] if isinstance(folders, str | os.PathLike) else folders
        update_index(Path(path), [os.fspath(each) for each in several], settings, progress)
        return cls.open(path)

    def __len__(self) -> int:
        """Return the number of images; files that could not be read are not counted."""
        return len(self._images)

    @cached_property
    def rows(self) -> GenerationRows:
        """The table of the index: one row per path, in path order, also of failed files.

        It has the columns as arrays (``rows.column(name)``) and the paths as bytes
        (``rows.path(row)``).
        """
        return GenerationRows(self.generation)

    @cached_property
    def _images(self) -> npt.NDArray[np.int64]:
        """The rows that have a hash, ascending."""
        return images(self.rows)

    @property
    def roots(self) -> list[Path]:
        """The indexed folders, absolute; files that were named one by one have none."""
        return [Path(os.fsdecode(root)) for root in self.rows.roots if root]

    @property
    def digest(self) -> str:
        """A digest of the generation's content, 32 hex digits."""
        return self.generation.digest

    @property
    def bits(self) -> int:
        """The length of the search hash."""
        return self.generation.bits

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column of `imgdup.index.columns`, read-only, one entry per row of `rows`."""
        return self.rows.column(name)

    def check_before_decision(self) -> Self:
        """Check what a decision rests on, and return the index.

        Raises
        ------
        IndexFormatError
            If an array of the index is damaged.
        ImgdupError
            If the index is of format version 1, which has no match hashes.
        """
        self.generation.check_before_decision()
        return self

    def probe(self, image: "Image") -> "Probe":
        """Hash an image with the search hash of this index."""
        return self._probes(image, False)[0]

    def _probes(self, image: "Image", orientations: bool) -> "list[Probe]":
        """Hash an image, once or in its eight orientations."""
        from imgdup.query.probe import make_probes  # loads OpenCV

        return make_probes(image, self.generation.probe_parameters, orientations=orientations)

    def within(
        self,
        image: "Image",
        max_distance: int | None = None,
        *,
        orientations: bool = False,
        by: str | None = None,
    ) -> "list[Match]":
        """Find every indexed image near an image; exact.

        An indexed image is near if its search hash is within `max_distance`, or its match hash
        within 31 bits; ``Match.found_by`` names the hashes. The match hash is not compared if the
        quality of one of the pictures is below 50.

        Parameters
        ----------
        image : path, bytes or ndarray
            A file by its path (text or `Path`); the content of a file (bytes); or pixels, uint8
            of shape (height, width) gray or (height, width, 3) RGB.
        max_distance : int, optional
            Largest accepted distance of the search hashes, in bits, inclusive. Default: that of
            the hash, 10 for 64 bits and 31 for 256.
        orientations : bool
            Whether to look up the image rotated and mirrored, too.
        by : str, optional
            Look up this hash alone: ``"search"``, ``"match"`` or ``"pdq"``. Then `max_distance` is
            a distance of this hash.

        Returns
        -------
        list of Match
            Nearest first, ties in path order. An image that is in the index finds itself, except
            by a match hash or PDQ hash if it has no file and a quality below 50.

        Raises
        ------
        ImageError
            If the image cannot be read or decoded.
        ImgdupError
            If the index does not have the hash that `by` names.
        ValueError
            If `max_distance` is not from 0 to the bits of the hash, or `by` is unknown.
        """
        return self._look_up(image, orientations, max_distance=max_distance, by=by)

    def nearest(
        self,
        image: "Image",
        k: int,
        max_distance: int | None = None,
        *,
        orientations: bool = False,
        by: str = "search",
    ) -> "list[Match]":
        """Find the k indexed images nearest to an image; exact.

        Parameters
        ----------
        image, orientations
            As in `within`.
        k : int
            How many matches at most, from 1.
        max_distance : int, optional
            Largest accepted distance, in bits, inclusive; by default there is no limit.
        by : str
            The hash to compare: ``"search"``, ``"match"`` or ``"pdq"``.

        Returns
        -------
        list of Match
            As `within` does; also the errors are the same.
        """
        return self._look_up(image, orientations, max_distance=max_distance, k=k, by=by)

    def _look_up(self, image: "Image", orientations: bool, **options: Any) -> "list[Match]":
        """Find images with these `QueryOptions`."""
        from imgdup.query.matches import QueryOptions, look_up

        probes = self._probes(image, orientations)
        return look_up(self.generation, probes, QueryOptions(**options))

    def pairs(
        self,
        max_distance: int = MATCH_MAX_DISTANCE,
        *,
        by: str = "match",
        orientations: bool = False,
        other: Self | None = None,
    ) -> "Iterator[RowPairs]":
        """Find all pairs of indexed images within a distance, in blocks; exact.

        Parameters
        ----------
        max_distance : int
            Largest accepted distance, in bits, inclusive.
        by : str
            ``"match"`` or ``"search"``: which hash is compared.
        orientations : bool
            Whether one picture of a pair may be rotated or mirrored; only by match hash.
        other : ImageIndex, optional
            An index of the same hash; then each pair has one image of each index.

        Yields
        ------
        RowPairs
            Rows of both sides, distances, and which pairs are duplicates.

        Raises
        ------
        ValueError
            If `max_distance` is out of range, `by` is unknown, or search hashes are to be turned.
        """
        from imgdup.query.row_pairs import Side, iter_row_pairs

        right = None if other is None else Side(other.rows, images(other.rows))
        for index in (self, other):
            if index is not None:
                index.check_before_decision()
        left = Side(self.rows, images(self.rows))
        return iter_row_pairs(left, right, max_distance, by=by, orientations=orientations)

    def groups(
        self,
        max_distance: int = MATCH_MAX_DISTANCE,
        *,
        keep: str = DEFAULT_KEEP,
        protect: Sequence[str | os.PathLike[str]] = (),
    ) -> "Duplicates":
        """Find the duplicates and decide which file of each group to keep; changes nothing.

        Parameters
        ----------
        max_distance : int
            Largest match distance of duplicates, in bits, inclusive.
        keep : str
            Rules, the first difference decides; as ``imgdup dedupe --keep``.
        protect : sequence of paths
            Folders whose files are always kept.

        Returns
        -------
        Duplicates
            ``groups`` as rows, ``plan()``, ``kept_indices(paths)`` to filter a data set.

        Raises
        ------
        ValueError
            If a rule is unknown, a folder is not in the index, or `max_distance` is not from 0
            to 256.
        """
        from imgdup.dedupe import DedupeOptions, candidates, keep as keep_rules

        rule = candidates.MatchRule(max_distance)
        options = DedupeOptions(keep_rules.parse_keep(self.rows, keep, protect), rule)
        return self.duplicates(options)

    def duplicates(
        self,
        options: "DedupeOptions",
        *,
        verify: bool = True,
        progress: Callable[[int, int], None] = lambda n_decided, n_files: None,
    ) -> "Duplicates":
        """Find duplicates and compare their pictures; changes nothing but the kept verdicts.

        Parameters
        ----------
        options : DedupeOptions
        verify : bool
            Whether to compare the pictures; if not, duplicates are ``unverified``.
        progress : callable
            Is called with the number of files that are decided, and of all that have candidates.
        """
        from imgdup.dedupe import find_duplicates, verify as verifying

        self.check_before_decision()
        if not verify:
            return find_duplicates(self.rows, options, progress=progress)
        with verifying.Verifier(self.folder) as verifier:
            return find_duplicates(
                self.rows, options, verifier.judge(self.rows), verifier.facts(self.rows), progress
            )

    def plan(
        self,
        max_distance: int = MATCH_MAX_DISTANCE,
        *,
        keep: str = DEFAULT_KEEP,
        protect: Sequence[str | os.PathLike[str]] = (),
    ) -> "Plan":
        """Plan the removal of duplicates: the result of `groups` as data for ``imgdup apply``."""
        return self.groups(max_distance, keep=keep, protect=protect).plan()

    def info(self) -> dict[str, Any]:
        """Return the facts of the index; the keys are those of ``imgdup info --json``."""
        return {
            **describe(self.generation),
            "bytes": sum(f.stat().st_size for f in self.folder.rglob("*") if f.is_file()),
            "built": datetime.fromisoformat(self.current.built).isoformat(),
            "version": self.current.version,
            "generation": self.current.generation,
            "digest": self.digest,
        }

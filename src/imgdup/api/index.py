"""The main object of the library: an opened index that can be searched.

Its methods import what they need, since each command needs only one or two of them.
"""

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from imgdup.api.records import FailedFile, IndexedImage, Pair, pairs_of
from imgdup.hashing import MATCH_MAX_DISTANCE
from imgdup.images.formats import OK, reason_of
from imgdup.index import folder
from imgdup.index.columns import images
from imgdup.index.generation import Generation, GenerationRows, describe, open_generation
from imgdup.output.progress import showing
from imgdup.query.row_pairs import RowPairs, Side, iter_row_pairs

if TYPE_CHECKING:
    from imgdup.api.groups import Groups
    from imgdup.build.settings import Progress, Settings
    from imgdup.query.match import Match
    from imgdup.query.probe import Image, Probe

# A test compares these rules with those of imgdup.dedupe.keep.
DEFAULT_KEEP = "colour,not-upscaled,metadata,quality,largest,oldest,shortest-path,first"


class ImageIndex:
    """An index folder, opened for reading: a collection of `IndexedImage`, in path order.

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
        progress: "bool | Progress" = True,
    ) -> Self:
        """Index folders, or update their index, and open it.

        Works without a ``__main__`` guard, in a notebook and from standard input.

        Parameters
        ----------
        folders : path or sequence of paths
            Folders, or single files.
        path : path
            The index folder to create or to update.
        settings : Settings, optional
            The search hash, the number of workers, limits.
        progress : bool or Progress
            Whether to show a progress bar, on a terminal or in a notebook; or an object that is
            called instead.

        Raises
        ------
        UsageError
            A ValueError: a folder does not exist.
        LockedError
            If another process writes the index.
        ImgdupError
            If the index cannot be written, or all images of a folder are gone. A file that cannot
            be read is no error; it is in `failures`.
        """
        from imgdup.build.update import update_index

        several = [folders] if isinstance(folders, str | os.PathLike) else folders
        named = [os.fspath(each) for each in several]
        with showing(progress is True) as bar:
            update_index(Path(path), named, settings, bar if progress is True else progress or None)
        return cls.open(path)

    def __len__(self) -> int:
        """Return the number of images; files that could not be read are not counted."""
        return len(self.image_rows)

    @cached_property
    def rows(self) -> GenerationRows:
        """The table of the index: one row per path, in path order, also of failed files.

        It has the columns as arrays (``rows.column(name)``) and the paths as bytes
        (``rows.path(row)``).
        """
        return GenerationRows(self.generation)

    def __iter__(self) -> Iterator[IndexedImage]:
        """Yield the images in path order."""
        paths = self.rows.generation.paths.of_rows(self.image_rows.tolist())
        names = ("width", "height", "size", "quality")
        columns = (self.column(name)[self.image_rows].tolist() for name in names)
        rows = self.image_rows.tolist()
        for path, *facts in zip(paths, *columns, rows, strict=True):
            yield IndexedImage(_as_path(path), *facts)

    @cached_property
    def image_rows(self) -> npt.NDArray[np.int64]:
        """The rows of the images, those that have a hash; int64 of shape (n_images,), ascending."""
        return images(self.rows)

    @property
    def paths(self) -> list[Path]:
        """The absolute paths of the images, in path order."""
        return list(map(_as_path, self.generation.paths.of_rows(self.image_rows.tolist())))

    @cached_property
    def failures(self) -> list[FailedFile]:
        """The files that could not be read, and why, in path order."""
        status = self.column("status")
        return [
            FailedFile(
                _as_path(self.rows.path(row)),
                reason_of(int(status[row])),
                self.generation.detail(row),
            )
            for row in np.flatnonzero(status != OK).tolist()
        ]

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

    def path(self, row: int) -> Path:
        """Return the absolute path of a row of `rows`."""
        return _as_path(self.rows.path(row))

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
        image : path, bytes, ndarray, tensor or PIL image
            A file by its path (text or `Path`); the content of a file (bytes); or a picture in
            memory. Arrays and tensors (objects with ``__array__``) must be uint8 of shape (height,
            width), gray, or (height, width, 3), RGB. A PIL image may have any mode.
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
            If the image cannot be read or decoded; the text names the file.
        ImgdupError
            If the index does not have the hash that `by` names.
        ValueError
            If `max_distance` is not from 0 to the bits of the hash, `by` is unknown, or an array
            has another dtype or shape.
        TypeError
            If `image` is none of these.
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
    ) -> Iterator[Pair]:
        """Find all pairs of indexed images within a distance; exact. No pictures are compared.

        Parameters
        ----------
        max_distance : int
            Largest accepted distance, in bits, inclusive.
        by : str
            Which hash is compared: ``"match"``, which leaves out pictures of a quality below 50, or
            ``"search"``.
        orientations : bool
            Whether one picture of a pair may be rotated or mirrored; only by match hash.
        other : ImageIndex, optional
            An index of the same hash; then each pair has one image of each index.

        Returns
        -------
        iterator of Pair

        Raises
        ------
        ValueError
            If `max_distance` is out of range, `by` is unknown, or search hashes are to be turned.
        """
        blocks = self.pairs_arrays(max_distance, by=by, orientations=orientations, other=other)
        right = self if other is None else other
        return (pair for block in blocks for pair in pairs_of(block, self.path, right.path))

    def pairs_arrays(
        self,
        max_distance: int = MATCH_MAX_DISTANCE,
        *,
        by: str = "match",
        orientations: bool = False,
        other: Self | None = None,
    ) -> Iterator[RowPairs]:
        """Find all pairs as `pairs` does, in blocks of arrays, in bounded memory.

        Returns
        -------
        iterator of RowPairs
            ``left`` and ``right``, int64 of shape (n_pairs,): rows of both sides. ``distances`` and
            ``match_distances``, int64: of the search and of the match hashes, in bits.
            ``duplicate``, bool: whether the match distance is at most 31 and both qualities are at
            least 50, or the bytes are equal. ``orientations``: how the right picture is turned.
        """
        for index in (self, other):
            if index is not None:
                index.check_before_decision()
        right = None if other is None else Side(other.rows, other.image_rows)
        left = Side(self.rows, self.image_rows)
        return iter_row_pairs(left, right, max_distance, by=by, orientations=orientations)

    def groups(
        self,
        max_distance: int | None = None,
        *,
        orientations: bool = False,
        keep: str = DEFAULT_KEEP,
        protect: Sequence[str | os.PathLike[str]] | str | os.PathLike[str] = (),
        remove: str = "",
        verify: bool = True,
        progress: bool = True,
    ) -> "Groups":
        """Find the duplicates and decide which file of each group to keep; changes no picture.

        Candidates by match hash are decoded and compared, in worker processes. The index folder
        keeps what was found, so that a second call decodes nothing.

        Parameters
        ----------
        max_distance : int, optional
            Largest match distance of duplicates, in bits of 256, inclusive. Default: 31. Then, of
            up to 200,000 images, pictures are also compared if their match hashes are within 64
            bits and their search hashes, of 64 bits, within 3; with ``verify=False`` they are not.
        orientations : bool
            Whether to find rotated and mirrored copies, too. They are listed in `Groups.similar`;
            ``remove="turned"`` removes them.
        keep : str
            Rules, separated by commas; the first by which two files differ decides. They are
            ``colour not-upscaled metadata quality largest smallest most-bytes oldest newest
            lossless shortest-path first under:FOLDER``.
        protect : path or sequence of paths
            Folders whose files are always kept.
        remove : str
            More relations of files to remove, separated by commas: ``recoloured``, ``edited``,
            ``cropped``, ``turned``. Without them, such files are only listed in `Groups.similar`.
        verify : bool
            Whether to compare the pictures. If not, every file within `max_distance` of a kept one
            is ``"unverified"`` and removed; ``colour``, ``metadata`` and ``quality`` decide
            nothing, and ``not-upscaled`` goes by the number of pixels.
        progress : bool
            Whether to show a progress bar, on a terminal or in a notebook.

        Returns
        -------
        Groups
            A sequence of `Group`; ``plan()`` to remove files, ``kept_indices(paths)`` to filter a
            data set, ``to_dataframe()``.

        Raises
        ------
        ValueError
            If a rule or relation is unknown, a folder is not in the index, or `max_distance` is not
            from 0 to 256.
        IndexFormatError
            If an array of the index is damaged.
        ImgdupError
            If the index is of format version 1, which has no match hashes.
        """
        from imgdup.api.groups import Wanted, find_groups

        wanted = Wanted(max_distance, orientations, keep, protect, remove, verify)
        return find_groups(self.rows, self.folder, wanted, progress=progress)

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

    def __repr__(self) -> str:
        failed = f", {len(self.failures):,} failed" if len(self) < len(self.rows) else ""
        roots = ", ".join(map(str, self.roots)) or "single files"
        return f"<imgdup.ImageIndex {self.folder}: {len(self):,} images{failed}; {roots}>"

    def _repr_html_(self) -> str:
        """Show the facts of the index and a few pictures that look alike, in a notebook."""
        from imgdup.api.notebook import index_html

        facts = {
            "index": str(self.folder),
            "images": f"{len(self):,}",
            "failed files": f"{len(self.failures):,}",
            "folders": ", ".join(map(str, self.roots)) or "single files",
            "search hash": f"{self.generation.head['hash']}, {self.bits} bits",
            "built": self.info()["built"],
        }
        return index_html(facts.items(), self.rows, self.image_rows)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the folder alone: the copy opens the index that is current there and then."""
        return type(self).open, (self.folder.absolute(),)


def _as_path(path: bytes) -> Path:
    return Path(os.fsdecode(path))

"""The main object of the library: an opened index that can be searched."""

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from imgdup.api import (
    FailedFile,
    IndexedImage,
    Pair,
    failed_files,
    index_facts,
    indexed_images,
    matches_of,
    pairs_of,
)
from imgdup.hashing import MATCH_MAX_DISTANCE
from imgdup.index import folder
from imgdup.index.columns import images
from imgdup.index.generation import PACK, Generation, GenerationRows, open_generation
from imgdup.index.pack import check_has_pictures, is_pack
from imgdup.output.progress import showing
from imgdup.system.paths import as_path

if TYPE_CHECKING:
    from imgdup.api.groups import Groups
    from imgdup.build.settings import Progress, Settings
    from imgdup.query.match import Match
    from imgdup.query.probe import Image
    from imgdup.query.row_pairs import RowPairs

# A test compares these rules with those of imgdup.dedupe.keep.
DEFAULT_KEEP = "colour,not-upscaled,metadata,quality,largest,oldest,shortest-path,first"


class ImageIndex:
    """An index folder, opened for reading: a collection of `IndexedImage`, in path order.

    Use `open` or `build`. It keeps the generation of that time while others update the index.
    """

    def __init__(self, path: Path, current: folder.Current | None, generation: Generation) -> None:
        self.folder = path
        self.current = current
        self.generation = generation

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open an index folder or a hash pack; takes about a millisecond, whatever its size.

        Raises
        ------
        ImgdupError
            If there is none; an `IndexFormatError` if it is damaged, forged or of another version.
        """
        if is_pack(Path(path)):
            return cls(Path(path), None, open_generation(Path(path), PACK))
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

        No ``__main__`` guard is needed. A file that cannot be read is no error: see `failures`.

        Parameters
        ----------
        folders : path or sequence of paths
            Folders, or single files; of a zip, tar or Parquet file, the pictures in it.
        path : path
            The index folder.
        settings : Settings, optional
            The search hash, the number of workers, limits.
        progress : bool or Progress
            Whether to show a progress bar; or an object to use in its place.

        Raises
        ------
        UsageError
            A ValueError: a folder does not exist.
        ImgdupError
            If the index cannot be written, another process writes it (`LockedError`), or all
            images of a folder are gone.
        """
        from imgdup.build.update import update_index

        several = [folders] if isinstance(folders, str | os.PathLike) else folders
        with showing(progress is True) as bar:
            shown = bar if progress is True else progress or None
            update_index(Path(path), [os.fspath(each) for each in several], settings, shown)
        return cls.open(path)

    def __len__(self) -> int:
        """Return the number of images; files that could not be read are not counted."""
        return len(self.image_rows)

    @cached_property
    def rows(self) -> GenerationRows:
        """The table of the index: one row per path, in path order, also of failed files."""
        return GenerationRows(self.generation)

    def __iter__(self) -> Iterator[IndexedImage]:
        return indexed_images(self.rows, self.image_rows)

    @cached_property
    def image_rows(self) -> npt.NDArray[np.int64]:
        """The rows of the images, those that have a hash; int64 of shape (n_images,), ascending."""
        return images(self.rows)

    @property
    def paths(self) -> list[Path]:
        """The absolute paths of the images, in path order."""
        return list(map(as_path, self.generation.paths.of_rows(self.image_rows.tolist())))

    @cached_property
    def failures(self) -> list[FailedFile]:
        """The files that could not be read, and why, in path order."""
        return failed_files(self.rows)

    @property
    def roots(self) -> list[Path]:
        """The indexed folders, absolute; files that were named one by one have none."""
        return [as_path(root) for root in self.rows.roots if root]

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
        return as_path(self.rows.path(row))

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column of `imgdup.index.columns`, read-only, one entry per row of `rows`."""
        return self.rows.column(name)

    def check_before_decision(self) -> Self:
        """Check the arrays on which a decision rests; raise ImgdupError if one is damaged."""
        self.generation.check_before_decision()
        return self

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
            The path of a file (text or `Path`), the content of a file, or a picture in memory.
            Arrays and tensors (objects with ``__array__``) are uint8 of shape (height, width),
            gray, or (height, width, 3), RGB.
        max_distance : int, optional
            Largest accepted distance of the search hashes, in bits, inclusive. Default: 10 of 64
            bits, 31 of 256.
        orientations : bool
            Whether to look up the image rotated and mirrored, too.
        by : str, optional
            Compare this hash alone, within `max_distance`: ``"search"``, ``"match"`` or ``"pdq"``.

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
        ValueError, TypeError
            If an argument is out of range or unknown, or `image` is none of these.
        """
        limits = max_distance, None
        return matches_of(self.generation, image, limits, orientations=orientations, by=by)

    def nearest(
        self,
        image: "Image",
        k: int,
        max_distance: int | None = None,
        *,
        orientations: bool = False,
        by: str = "search",
    ) -> "list[Match]":
        """Find the k indexed images nearest to an image; exact. Results and errors: see `within`.

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
        """
        limits = max_distance, k
        return matches_of(self.generation, image, limits, orientations=orientations, by=by)

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

        Raises
        ------
        ValueError
            If `max_distance` is out of range, `by` is unknown, or search hashes are to be turned.
        """
        blocks = self.pairs_arrays(max_distance, by=by, orientations=orientations, other=other)
        return pairs_of(blocks, self.rows, self.rows if other is None else other.rows)

    def pairs_arrays(
        self,
        max_distance: int = MATCH_MAX_DISTANCE,
        *,
        by: str = "match",
        orientations: bool = False,
        other: Self | None = None,
    ) -> "Iterator[RowPairs]":
        """Find all pairs as `pairs` does, in blocks of arrays, in bounded memory.

        The arrays are rows, distances in bits, and whether the two are duplicates.
        """
        for index in [self] if other is None else [self, other]:
            index.check_before_decision()
        from imgdup.query.row_pairs import PairRule, Side, iter_row_pairs

        right = None if other is None else Side(other.rows, other.image_rows)
        left = Side(self.rows, self.image_rows)
        return iter_row_pairs(left, right, PairRule(max_distance, by, orientations))

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
        keeps what was found, so that a second call decodes nothing. A group begins with its keeper.

        Parameters
        ----------
        max_distance : int, optional
            Largest match distance of duplicates, in bits of 256, inclusive. Default: 31. Then, of
            up to 200,000 images, pictures are also compared if one may be an edited, framed or
            cropped copy of the other; with ``verify=False`` they are not.
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
            Whether to compare the pictures. If not, files within `max_distance` are removed as
            ``"unverified"``, and rules that need the pictures decide nothing.
        progress : bool
            Whether to show a progress bar, on a terminal or in a notebook.

        Raises
        ------
        ValueError
            If a rule or relation is unknown, a folder is not in the index, or `max_distance` is not
            from 0 to 256.
        ImgdupError
            As in `check_before_decision`.
        """
        from imgdup.api.groups import Wanted, find_groups

        check_has_pictures(self.generation)
        wanted = Wanted(max_distance, orientations, keep, protect, remove, verify)
        return find_groups(self.rows, self.folder, wanted, progress=progress)

    def info(self) -> dict[str, Any]:
        """Return the facts of the index; the keys are those of ``imgdup info --json``."""
        return index_facts(self.folder, self.current, self.generation)

    def __repr__(self) -> str:
        failed = f", {len(self.failures):,} failed" if len(self) < len(self.rows) else ""
        roots = ", ".join(map(str, self.roots)) or "single files"
        return f"<imgdup.ImageIndex {self.folder}: {len(self):,} images{failed}; {roots}>"

    def _repr_html_(self) -> str:
        """Show the facts of the index and a few pictures that look alike, in a notebook."""
        from imgdup.api.notebook import index_html

        return index_html({"index": str(self.folder), **self.info()}, self.rows, self.image_rows)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the folder alone: the copy opens the index that is current there and then."""
        return type(self).open, (self.folder.absolute(),)

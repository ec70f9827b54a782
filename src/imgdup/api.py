"""The object that library users hold: an opened index, asked with images."""

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from imgdup.build import update as indexing
from imgdup.build.settings import Progress, Settings
from imgdup.dedupe import DedupeOptions, Duplicates, find_duplicates
from imgdup.dedupe.candidates import MatchRule
from imgdup.dedupe.keep import DEFAULT_RULES, parse_keep
from imgdup.dedupe.plan import Plan
from imgdup.hashing import PDQ_MAX_DISTANCE
from imgdup.images.formats import OK, reason_of
from imgdup.index import folder
from imgdup.index.columns import images
from imgdup.index.generation import Generation, open_generation
from imgdup.query import matches as lookup
from imgdup.query.matches import Match
from imgdup.query.row_pairs import RowPairs, Side, iter_row_pairs
from imgdup.search.join import JoinStats

if TYPE_CHECKING:
    from imgdup.query.probe import Image, Probe

DEFAULT_KEEP = ",".join(DEFAULT_RULES)


class ImageIndex:
    """An index folder, opened for reading.

    Use `open` or `build`; the generation that was current then is used as long as the object
    lives, also when another process updates the index meanwhile.
    """

    def __init__(self, path: Path, current: folder.Current, generation: Generation) -> None:
        self.folder = path
        self.current = current
        self.generation = generation

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open an index folder; takes about a millisecond, whatever its size.

        Parameters
        ----------
        path : path
            The index folder, as ``.imgdup``.

        Raises
        ------
        ImgdupError
            If there is no index.
        IndexFormatError
            If it is damaged, forged, or of another version.
        """
        place = Path(path)
        current, generation = folder.open_generation(place, open_generation)
        return cls(place, current, generation)

    @classmethod
    def build(
        cls,
        folders: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
        path: str | os.PathLike[str] = ".imgdup",
        settings: Settings | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Index folders, or bring their index up to date, and open it.

        Works in a script without a ``__main__`` guard, in a notebook and from standard input.

        Parameters
        ----------
        folders : path or sequence of paths
            What to index; also single files.
        path : path
            The index folder to make or to update.
        settings : Settings, optional
            Hash, workers, limits.
        progress : Progress, optional
            Is told how far the run has come.

        Raises
        ------
        UsageError
            If a folder is not there.
        ImgdupError
            As `imgdup.build.update.update_index` does.
        """
        several = [folders] if isinstance(folders, str | os.PathLike) else folders
        named = [os.fspath(each) for each in several]
        indexing.update_index(Path(path), named, settings, progress)
        return cls.open(path)

    def __len__(self) -> int:
        """Count the rows: one a path, those of failed files included."""
        return len(self.generation)

    @property
    def roots(self) -> list[bytes]:
        """The indexed folders, absolute; ``b""`` stands for files named one by one."""
        return list(self.generation.roots)

    @property
    def digest(self) -> str:
        """A name of the generation's content, 32 hex digits."""
        return self.generation.digest

    @property
    def bits(self) -> int:
        """Length of the search hash."""
        return self.generation.bits

    def path(self, row: int) -> bytes:
        """Return the absolute path of a row, with ``/`` between parts."""
        return self.generation.paths[row]

    def rows_below(self, folder: bytes) -> npt.NDArray[np.int64]:
        """Return the rows that are an absolute folder or lie in it, ascending; by bisection."""
        return self.generation.paths.rows_below(folder)

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column of facts, read-only, one row a path.

        The names are those of `imgdup.index.columns`.
        """
        return self.generation.arrays[name]

    def probe(self, image: "Image") -> "Probe":
        """Hash an image with the search hash of this index."""
        from imgdup.query.probe import make_probe  # OpenCV, which most errors need not wait for

        parameters = self.generation.probe_parameters
        return make_probe(image, parameters["hash"], parameters["bits"])

    def within(self, image: "Image", max_distance: int | None = None) -> list[Match]:
        """Find every indexed image within a distance of an image; exact.

        Parameters
        ----------
        image : path, bytes or ndarray
            A file by its path (text or `Path`); the content of a file (bytes); or pixels, uint8
            of shape (height, width) gray or (height, width, 3) RGB.
        max_distance : int, optional
            Largest accepted distance of the search hashes, in bits, inclusive. Default: that of
            the hash, 10 for 64 bits and 31 for 256.

        Returns
        -------
        list of Match
            Nearest first, ties in path order. An image that is in the index finds itself.

        Raises
        ------
        ImageError
            If the image cannot be read or decoded.
        ValueError
            If `max_distance` is not from 0 to the bits of the hash.
        """
        return self.look_up(image, max_distance)

    def nearest(self, image: "Image", k: int, max_distance: int | None = None) -> list[Match]:
        """Find the k indexed images nearest to an image; exact.

        Parameters
        ----------
        image : path, bytes or ndarray
            As in `within`.
        k : int
            How many at most, from 1.
        max_distance : int, optional
            Largest accepted distance, in bits, inclusive; without it there is no limit.

        Returns
        -------
        list of Match
            Nearest first, ties in path order.

        Raises
        ------
        ImageError, ValueError
            As `within` does.
        """
        return self.look_up(image, max_distance, k)

    def look_up(
        self, image: "Image", max_distance: int | None = None, k: int | None = None
    ) -> list[Match]:
        """Find what is within a distance of an image, or the k nearest, or both.

        Parameters
        ----------
        image : path, bytes or ndarray
            As in `within`.
        max_distance : int, optional
            Default: that of the hash, 10 for 64 bits; none where `k` is given.
        k : int, optional
            How many at most.
        """
        return lookup.look_up(self.generation, self.probe(image), max_distance, k)

    def look_up_many(
        self,
        probes: Sequence["Probe"],
        max_distance: int | None = None,
        k: int | None = None,
        *,
        strategy: str | None = None,
        stats: JoinStats | None = None,
    ) -> list[list[Match]]:
        """Do as `look_up` for many probes at once; see `imgdup.query.matches.look_up_many`."""
        return lookup.look_up_many(
            self.generation, probes, max_distance, k, strategy=strategy, stats=stats
        )

    def look_up_turned(
        self, image: "Image", max_distance: int | None = None, k: int | None = None
    ) -> list[Match]:
        """Do as `look_up` for the eight orientations of an image; each match comes once."""
        from imgdup.query.probe import make_oriented_probes

        parameters = self.generation.probe_parameters
        probes = make_oriented_probes(image, parameters["hash"], parameters["bits"])
        return lookup.look_up_turned(self.generation, probes, max_distance, k)

    def pairs(
        self, max_distance: int = PDQ_MAX_DISTANCE, *, by: str = "pdq", other: Self | None = None
    ) -> Iterator[RowPairs]:
        """Find all pairs of indexed images within a distance, in blocks; exact.

        Parameters
        ----------
        max_distance : int
            Largest accepted distance, in bits, inclusive.
        by : str
            ``"pdq"`` or ``"search"``: which hash is compared.
        other : ImageIndex, optional
            An index of the same hash; then pairs are across the two.

        Yields
        ------
        RowPairs
            Rows of the one and of the other, distances, and which are duplicates.

        Raises
        ------
        ValueError
            If `max_distance` is out of range or `by` is another word.
        """
        right = None if other is None else Side(other, images(other))
        return iter_row_pairs(Side(self, images(self)), right, max_distance, by=by)

    def groups(
        self,
        max_distance: int = PDQ_MAX_DISTANCE,
        *,
        keep: str = DEFAULT_KEEP,
        protect: Sequence[str | os.PathLike[str]] = (),
    ) -> Duplicates:
        """Find the duplicates and decide which file of each group stays; changes nothing.

        Parameters
        ----------
        max_distance : int
            Largest PDQ distance of duplicates, in bits, inclusive.
        keep : str
            Rules, the first difference decides; as ``imgdup dedupe --keep``.
        protect : sequence of paths
            Folders whose files always stay.

        Returns
        -------
        Duplicates
            ``groups`` as rows, ``plan()``, ``kept_indices(paths)`` to filter a data set.

        Raises
        ------
        UsageError
            If there is no such rule, or a folder is not in the index.
        ValueError
            If `max_distance` is not from 0 to 256.
        """
        options = DedupeOptions(parse_keep(self, keep, protect), MatchRule(max_distance))
        return find_duplicates(self, options)

    def plan(self, max_distance: int = PDQ_MAX_DISTANCE, **options: Any) -> Plan:
        """Plan the removal of duplicates: what `groups` decides, as data for `imgdup apply`."""
        return self.groups(max_distance, **options).plan()

    def info(self) -> dict[str, Any]:
        """Tell what the index holds; the keys are those of ``imgdup info --json``."""
        status = self.column("status")
        reasons, counts = np.unique(status[status != OK], return_counts=True)
        failed = {reason_of(r): n for r, n in zip(reasons.tolist(), counts.tolist(), strict=True)}
        head = self.generation.head
        return {
            "images": int((status == OK).sum()),
            "distinct_hashes": len(self.generation.tree),
            "hash": head["hash"],
            "bits": head["bits"],
            "parameters": head["parameters"],
            "roots": [os.fsdecode(root) for root in self.roots if root],
            "failed": failed,
            "bytes": sum(f.stat().st_size for f in self.folder.rglob("*") if f.is_file()),
            "built": datetime.fromisoformat(self.current.built).isoformat(),
            "version": self.current.version,
            "generation": self.current.generation,
            "digest": self.digest,
        }

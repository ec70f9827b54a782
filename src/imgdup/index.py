"""The object that library users hold: an opened index, asked with images."""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from imgdup import folder, hashing, indexing
from imgdup.errors import IndexFormatError
from imgdup.generation import Generation, open_generation
from imgdup.hamming import Matches, distances
from imgdup.run import Progress, Settings
from imgdup.survey import reason_of

if TYPE_CHECKING:
    from imgdup.probes import Image, Probe

DUPLICATE_DISTANCE = 31  # bits of PDQ; the standard's own threshold of a confident match
MIN_QUALITY = 50  # PDQ quality below which a picture has too little structure to match


class Match(NamedTuple):
    """An indexed image near a probe.

    Parameters
    ----------
    path : Path
        Absolute.
    distance : int
        Hamming distance of the search hashes, in bits.
    pdq_distance : int
        Hamming distance of the PDQ hashes, in bits of 256.
    duplicate : bool
        Whether it is the same picture: PDQ distance at most 31 and both qualities at least 50,
        or the same bytes.
    width, height : int
        In pixels, upright.
    row : int
        Its row in the index.
    """

    path: Path
    distance: int
    pdq_distance: int
    duplicate: bool
    width: int
    height: int
    row: int


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
            As `imgdup.indexing.update_index` does.
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
        return int(self.generation.head["bits"])

    @property
    def default_distance(self) -> int:
        """The largest distance that a query accepts unless told otherwise, in bits."""
        return hashing.HASHERS[self.generation.head["hash"]].max_distance[self.bits]

    def path(self, row: int) -> bytes:
        """Return the absolute path of a row, with ``/`` between parts."""
        return self.generation.paths[row]

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a column of facts, read-only, one row a path; names as in `imgdup.table`."""
        return self.generation.arrays[name]

    def probe(self, image: "Image") -> "Probe":
        """Hash an image with the search hash of this index."""
        from imgdup.probes import make_probe  # OpenCV, which most errors need not wait for

        return make_probe(image, self.generation.head["hash"], self.bits)

    def within(self, image: "Image", max_distance: int = 10) -> list[Match]:
        """Find every indexed image within a distance of an image; exact.

        Parameters
        ----------
        image : path, bytes or ndarray
            A file by its path (text or `Path`); the content of a file (bytes); or pixels, uint8
            of shape (height, width) grey or (height, width, 3) RGB.
        max_distance : int
            Largest accepted distance of the search hashes, in bits, inclusive.

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
        return self.look_up(self.probe(image), max_distance)

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
        return self.look_up(self.probe(image), max_distance, k)

    def look_up(
        self, probe: "Probe", max_distance: int | None = None, k: int | None = None
    ) -> list[Match]:
        """Find what is near a probe that was hashed before.

        Parameters
        ----------
        probe : Probe
            From `probe`.
        max_distance : int, optional
            Largest accepted distance, in bits, inclusive. Default: that of the hash, as in
            `imgdup.hashing.HASHERS`; none where `k` is given.
        k : int, optional
            How many at most.
        """
        tree = self.generation.tree
        if k is None:
            limit = self.default_distance if max_distance is None else max_distance
            return self.matches(probe, tree.within(probe.hashes, limit))
        nearest = tree.nearest(probe.hashes, k, max_distance=max_distance)
        if len(nearest.distances) == k:  # ties at the last distance are broken by path
            nearest = tree.within(probe.hashes, int(nearest.distances[-1]))
        return self.matches(probe, nearest)[:k]

    def matches(self, probe: "Probe", found: Matches) -> list[Match]:
        """Turn the matches of one probe in the tree into indexed images, nearest first."""
        rows, bits = self._rows(found)
        order = np.lexsort((rows, bits))
        rows, bits = rows[order], bits[order]
        pdq = distances(self.column("pdq")[rows], probe.pdq)
        duplicate = self._are_duplicates(probe, rows, pdq)
        sizes = (self.column(name)[rows].tolist() for name in ("width", "height"))
        paths = [Path(os.fsdecode(self.path(row))) for row in rows.tolist()]
        columns = (paths, bits.tolist(), pdq.tolist(), duplicate.tolist(), *sizes, rows.tolist())
        return [Match(*values) for values in zip(*columns, strict=True)]

    def _rows(self, found: Matches) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Expand classes of equal hashes to rows and the distance of each."""
        offsets, class_rows = self.generation.class_offsets, self.generation.class_rows
        starts, stops = offsets[found.indices], offsets[found.indices + 1]
        pieces = [class_rows[a:b] for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]
        rows = np.concatenate([np.zeros(0, np.int64), *pieces])
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexFormatError(f"{self.generation.file}: forged dictionary; index again")
        return rows, np.repeat(found.distances, [len(piece) for piece in pieces]).astype(np.int64)

    def _are_duplicates(
        self, probe: "Probe", rows: npt.NDArray[np.int64], pdq: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        near = (pdq <= DUPLICATE_DISTANCE) & (self.column("quality")[rows] >= MIN_QUALITY)
        near &= probe.quality >= MIN_QUALITY
        if not probe.digest:
            return near
        digest = np.frombuffer(probe.digest, np.uint8)
        same: npt.NDArray[np.bool_] = (self.column("digest")[rows] == digest).all(axis=1)
        return near | same

    def info(self) -> dict[str, Any]:
        """Tell what the index holds; the keys are those of ``imgdup info --json``."""
        status = self.column("status")
        reasons, counts = np.unique(status[status != 0], return_counts=True)
        failed = {reason_of(r): n for r, n in zip(reasons.tolist(), counts.tolist(), strict=True)}
        head = self.generation.head
        return {
            "images": int((status == 0).sum()),
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

"""The verdicts of earlier runs: a file in the index folder, by the digests of the two contents.

The file is an aid and is not trusted: one that is damaged, or that another version wrote, counts as
empty. It is replaced as a whole, so that two runs at a time cannot damage it.
"""

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt

from imgdup.dedupe.difference import VERDICT_VERSION, Verdict
from imgdup.dedupe.relations import RELATIONS
from imgdup.errors import ImgdupError
from imgdup.system.atomic import PRIVATE, open_regular, replacing
from imgdup.system.files import DIGEST_BYTES, NEW_DIGEST_KIND, content_digest

FORMAT_VERSION = 1
HEAD = f"imgdup verdicts {FORMAT_VERSION} {VERDICT_VERSION}\n".encode()
MAX_RECORDS = 1_000_000  # 72 MB; of more, the oldest are dropped
RECORD = np.dtype(
    [
        ("digests", "u1", (2 * DIGEST_BYTES,)),
        ("relation", "<u4"),
        ("has_box", "<u4"),
        ("box", "<i4", (4,)),
        ("peak", "<f8"),
    ]
)

_log = logging.getLogger(__name__)


class Verdicts:
    """Verdicts by the digests of the better and the other content, one after the other.

    Parameters
    ----------
    path : Path, optional
        The file, which need not exist; without it nothing is read or written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._old = np.zeros(0, RECORD) if path is None else _read(path)
        self._places = {key: i for i, key in enumerate(_keys(self._old))}
        self._used = np.zeros(len(self._old), bool)
        self._new: dict[bytes, Verdict] = {}
        self._n_saved = 0

    def find(self, digests: bytes) -> Verdict | None:
        """Return the verdict of two contents; None if there is none."""
        place = self._places.get(digests)
        if place is None:
            return self._new.get(digests)
        self._used[place] = True
        _, relation, has_box, box, peak = self._old[place].tolist()
        x, y, width, height = box
        return Verdict(RELATIONS[relation], peak, (x, y, width, height) if has_box else None)

    def add(self, digests: bytes, verdict: Verdict) -> None:
        """Remember the verdict of two contents."""
        self._new[digests] = verdict

    def save(self) -> None:
        """Write the file if there is anything new; if that fails, log a warning."""
        if self._path is None or len(self._new) == self._n_saved:
            return
        data = self._records().tobytes()
        try:
            with replacing(self._path, needed_bytes=len(data), sync=False, mode=PRIVATE) as file:
                file.write(HEAD + content_digest(data, NEW_DIGEST_KIND) + data)
        except ImgdupError as error:
            _log.warning("the verdicts are not kept for the next run: %s", error)
        self._n_saved = len(self._new)

    def _records(self) -> npt.NDArray[np.void]:
        """Return all records, the most recently used last."""
        new = np.zeros(len(self._new), RECORD)
        for record, (digests, (relation, peak, box)) in zip(new, self._new.items(), strict=True):
            record["digests"] = np.frombuffer(digests, np.uint8)
            record["relation"] = RELATIONS.index(relation)
            record["has_box"], record["box"] = box is not None, box or (0, 0, 0, 0)
            record["peak"] = peak
        records = np.concatenate([self._old[~self._used], self._old[self._used], new])
        return records[-MAX_RECORDS:]


def _read(path: Path) -> npt.NDArray[np.void]:
    """Read the records; none if the file is missing, damaged or of another version."""
    most = len(HEAD) + DIGEST_BYTES + MAX_RECORDS * RECORD.itemsize
    try:
        with open_regular(path) as file:
            content = file.read(most + 1)
    except OSError:  # there is none, or it cannot be read; then saving logs a warning
        return np.zeros(0, RECORD)
    head, data = content[: len(HEAD)], content[len(HEAD) + DIGEST_BYTES :]
    digest = content[len(HEAD) : len(HEAD) + DIGEST_BYTES]
    if head != HEAD or len(content) > most or len(data) % RECORD.itemsize:
        return np.zeros(0, RECORD)
    if content_digest(data, NEW_DIGEST_KIND) != digest:
        return np.zeros(0, RECORD)
    records = np.frombuffer(data, RECORD)
    is_known = records["relation"] < len(RELATIONS)
    return np.asarray(records[is_known & np.isfinite(records["peak"])])


def _keys(records: npt.NDArray[np.void]) -> list[bytes]:
    data, width = np.ascontiguousarray(records["digests"]).tobytes(), 2 * DIGEST_BYTES
    return [data[i : i + width] for i in range(0, len(data), width)]

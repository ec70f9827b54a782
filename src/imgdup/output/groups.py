"""Groups of duplicates -> a table for other programs, or a montage for people."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imgdup.dedupe import Duplicates
from imgdup.dedupe.relations import RELATIONS
from imgdup.output.rows import MatchRow
from imgdup.output.tabular import WRITERS
from imgdup.system.atomic import replacing

COLUMNS = {
    "group": "int64",
    "role": "text",
    "path": "path",
    "duplicate_of": "path",
    "distance": "int64",
    "relation": "text",
    "width": "uint32",
    "height": "uint32",
    "size": "int64",
}
TABLES = {".jsonl": "json", ".csv": "csv", ".parquet": "parquet"}
PICTURE = ".png"


def save_groups(file: Path, duplicates: Duplicates) -> None:
    """Write all groups, in the form that the ending of the file names.

    Parameters
    ----------
    file : Path
        Ends in one of `TABLES`, or in ``.png`` for a montage.
    duplicates : Duplicates
        From `imgdup.dedupe.find_duplicates`.

    Raises
    ------
    ImgdupError
        If it cannot be written, a package is missing, or there is no group to draw.
    """
    if file.suffix == PICTURE:
        from imgdup.output.montage import save_montage

        save_montage(file, _rows(duplicates), word="keep")
        return
    with replacing(file, sync=False) as out:
        WRITERS[TABLES[file.suffix]](group_records(duplicates), COLUMNS, out)


def group_records(duplicates: Duplicates) -> Iterator[dict[str, Any]]:
    """Yield a record a file, group by group: the one that stays, then those that go.

    ``role`` is ``keep`` or ``remove``; ``distance`` is that of the PDQ hashes to the file that
    stays, in bits.
    """
    groups = duplicates.groups
    bounds = zip(groups.offsets[:-1].tolist(), groups.offsets[1:].tolist(), strict=True)
    for number, (keeper, (start, stop)) in enumerate(
        zip(groups.keepers.tolist(), bounds, strict=True), start=1
    ):
        kept = duplicates.rows.path(keeper)
        yield _record(duplicates, keeper, (number, "keep", kept, b"", 0, ""))
        for i in range(start, stop):
            row, relation = int(groups.removed[i]), RELATIONS[duplicates.relations[i]]
            path, distance = duplicates.rows.path(row), int(groups.distances[i])
            yield _record(duplicates, row, (number, "remove", path, kept, distance, relation))


def _record(duplicates: Duplicates, row: int, facts: tuple[Any, ...]) -> dict[str, Any]:
    sizes = (int(duplicates.rows.column(name)[row]) for name in ("width", "height", "size"))
    return dict(zip(COLUMNS, (*facts, *sizes), strict=True))


def _rows(duplicates: Duplicates) -> Iterator[MatchRow]:
    """Yield what goes as matches of what stays."""
    for record in group_records(duplicates):
        if record["role"] == "remove":
            sides = record["width"], record["height"]
            kept, path = record["duplicate_of"], record["path"]
            yield MatchRow(kept, path, record["distance"], None, True, *sides, False)

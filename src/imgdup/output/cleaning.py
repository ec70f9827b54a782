"""The summaries and files that commands make of duplicates, plans and splits."""

from collections import Counter
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from imgdup.containers import key_of
from imgdup.dedupe import Duplicates
from imgdup.dedupe.split import Split
from imgdup.errors import ImgdupError, UsageError
from imgdup.index.columns import Rows, listed_paths
from imgdup.output import NEWLINE, counted, list_data
from imgdup.output.export import WRITERS
from imgdup.output.results import MatchRow
from imgdup.system.files import common_mode, replacing
from imgdup.system.limits import size_text
from imgdup.system.paths import TABLES as TABLE_KINDS, kind_of, split
from imgdup.system.records import json_line

GROUP_COLUMNS = {
    "group": "int64",
    "role": "text",
    "path": "path",
    "duplicate_of": "path",
    "distance": "int64",
    "relation": "text",
    "width": "uint32",
    "height": "uint32",
    "size": "int64",
    "rule": "text",
}
TABLES = {".jsonl": "json", ".csv": "csv", ".parquet": "parquet"}
PICTURE = ".png"
WHERE_COLUMNS = {"id": "path", "shard": "path", "key": "path", "row": "int64"}
REMOVED_COLUMNS = {**WHERE_COLUMNS, "kept_for": "path", "relation": "text"}


def summary_json(duplicates: Duplicates, chains: Counter[int] | None = None) -> str:
    """Write the summary as one JSON object."""
    facts = _facts(duplicates)
    if chains is not None:
        facts["chains"] = {str(size): n for size, n in sorted(chains.items())}
    return json_line(facts)


def summary_text(duplicates: Duplicates, chains: Counter[int] | None = None) -> str:
    """Write the summary for people: how many duplicates a plan removes, and how many are kept."""
    facts = _facts(duplicates)
    nouns = {"images": "image", "groups": "group", "removable": "removable file"}
    counts = [counted(facts[name], noun) for name, noun in nouns.items()]
    lines = [", ".join([*counts, size_text(facts["bytes"])])]
    for name, saving in facts["relations"].items():
        number, noun = counted(saving["files"], "file").split()
        size = size_text(saving["bytes"])
        lines.append(f"  {name:<12} {number:>9} {noun:<5} {size:>9}")
    for name, n_files in facts["shown"].items():
        number, noun = counted(n_files, "file").split()
        lines.append(f"  {name:<12} {number:>9} {noun} only shown")
    if facts["rules"]:
        decided = (f"{name} {counted(n_files, 'file')}" for name, n_files in facts["rules"].items())
        lines.append(f"  decided by the keep rules: {', '.join(decided)}")
    if facts["beyond"]:
        most = duplicates.options.policy.max_candidates
        number, noun = counted(facts["beyond"], "file").split()
        lines.append(
            f"  {'beyond':<12} {number:>9} {noun} kept, some of whose candidates were not "
            f"compared (--max-candidates {most:,})"
        )
    if chains is not None:
        n_files = sum(size * n for size, n in chains.items())
        longest = max(chains, default=0)
        lines.append(
            f"  chains: {counted(n_files, 'file')} in {counted(chains.total(), 'chain')}, "
            f"at most {longest:,} in one"
        )
    return "\n".join(lines) + "\n"


def _facts(duplicates: Duplicates) -> dict[str, Any]:
    savings = duplicates.savings()
    return {
        "images": len(duplicates.images),
        "groups": len(duplicates.groups.keepers),
        "removable": sum(saving.n_files for saving in savings.values()),
        "bytes": sum(saving.n_bytes for saving in savings.values()),
        "relations": {
            name: {"files": saving.n_files, "bytes": saving.n_bytes}
            for name, saving in savings.items()
        },
        "shown": duplicates.only_shown(),
        "rules": duplicates.deciding_rules(),
        "compared": duplicates.groups.n_compared,
        "beyond": duplicates.groups.n_beyond,
    }


def save_groups(file: Path, duplicates: Duplicates) -> None:
    """Write all groups, in the format that the suffix of the file names: `TABLES`, or a montage.

    Raises ImgdupError if the file cannot be written, a package is missing, or there is no group to
    draw.
    """
    if file.suffix == PICTURE:
        from imgdup.output.montage import save_montage  # OpenCV and imutils, 0.2 s

        save_montage(file, _match_rows(duplicates), word="keep")
        return
    mode = common_mode(record["path"] for record in group_records(duplicates))
    with replacing(file, sync=False, mode=mode) as out:
        WRITERS[TABLES[file.suffix]](group_records(duplicates), GROUP_COLUMNS, out)


def group_records(duplicates: Duplicates) -> Iterator[dict[str, Any]]:
    """Yield one record per file, group by group: the file that is kept, then those removed.

    ``role`` is ``keep`` or ``remove``; ``distance`` is that of the match hashes of a file and the
    kept one, in bits; ``rule`` is the keep rule that decided between the two.
    """
    groups, relations = duplicates.groups, duplicates.relations
    bounds = zip(groups.offsets[:-1].tolist(), groups.offsets[1:].tolist(), strict=True)
    for number, (keeper, (start, stop)) in enumerate(
        zip(groups.keepers.tolist(), bounds, strict=True), start=1
    ):
        kept = duplicates.rows.path(keeper)
        yield _record(duplicates, keeper, (number, "keep", kept, b"", 0, ""))
        for i in range(start, stop):
            row, relation = int(groups.removed[i]), relations[i]
            path, distance = duplicates.rows.path(row), int(groups.distances[i])
            facts = (number, "remove", path, kept, distance, relation)
            yield _record(duplicates, row, facts, groups.rules[i])


def _record(
    duplicates: Duplicates, row: int, facts: tuple[Any, ...], rule: str = ""
) -> dict[str, Any]:
    sizes = (int(duplicates.rows.column(name)[row]) for name in ("width", "height", "size"))
    return dict(zip(GROUP_COLUMNS, (*facts, *sizes, rule), strict=True))


def _match_rows(duplicates: Duplicates) -> Iterator[MatchRow]:
    """Yield each removed file as a match of the file that is kept, for a montage."""
    for record in group_records(duplicates):
        if record["role"] == "remove":
            sides = record["width"], record["height"]
            kept, path = record["duplicate_of"], record["path"]
            yield MatchRow(kept, path, record["distance"], None, True, *sides, False)


def removed_records(duplicates: Duplicates) -> Iterator[dict[str, Any]]:
    """Yield one record per removed image, in path order, with the columns `REMOVED_COLUMNS`."""
    rows, groups = duplicates.rows, duplicates.groups
    keepers = groups.keeper_of_each()
    for i in np.argsort(groups.removed, kind="stable").tolist():
        yield {
            **_where(rows.path(int(groups.removed[i]))),
            "kept_for": rows.path(int(keepers[i])),
            "relation": duplicates.relations[i],
        }


def _where(path: bytes) -> dict[str, Any]:
    """Return where a picture is, with the columns `WHERE_COLUMNS`.

    ``key`` is that of the sample in a tar or zip file, as WebDataset reads it.
    """
    shard, name = split(path) or (b"", b"")
    is_row = kind_of(shard) in TABLE_KINDS
    return {
        "id": path,
        "shard": shard,
        "key": key_of(name) if name and not is_row else b"",
        "row": int(name.partition(b"/")[0]) if is_row else None,
    }


def _save_table(file: Path, duplicates: Duplicates, *, kept: bool) -> None:
    """Write the table of the kept images, or of the removed ones."""
    rows = (duplicates.kept() if kept else duplicates.removed()).tolist()
    path_of = duplicates.rows.path
    records = (_where(path_of(row)) for row in rows) if kept else removed_records(duplicates)
    columns = WHERE_COLUMNS if kept else REMOVED_COLUMNS
    with replacing(file, sync=False, mode=common_mode(map(path_of, rows))) as out:
        WRITERS[TABLES[file.suffix]](records, columns, out)


def save_lists(
    duplicates: Duplicates,
    *,
    keep_list: Path | None = None,
    remove_list: Path | None = None,
    end: bytes = NEWLINE,
) -> None:
    """Write the paths of the kept images and those of the removed images, each with an end.

    A list whose suffix is one of `TABLES` is a table with the columns `WHERE_COLUMNS`, or
    `REMOVED_COLUMNS`. Raises ImgdupError if a list cannot be written, or paths end with a newline
    and one contains a newline; then no list is written.
    """
    chosen = ((keep_list, duplicates.kept()), (remove_list, duplicates.removed()))
    lists = [
        (file, list_data(duplicates.listed(rows), end), rows)
        for file, rows in chosen
        if file is not None and file.suffix not in TABLES
    ]
    for file, data, rows in lists:
        mode = common_mode(map(duplicates.rows.path, rows.tolist()))
        with replacing(file, needed_bytes=len(data), sync=False, mode=mode) as out:
            out.write(data)
    for table, is_kept in ((keep_list, True), (remove_list, False)):
        if table is not None and table.suffix in TABLES:
            _save_table(table, duplicates, kept=is_kept)


def save_split(folder: Path, rows: Rows, division: Split, end: bytes = NEWLINE) -> list[Path]:
    """Write one list of paths per split: ``NAME.txt``, in path order; make the folder if needed.

    Raises ImgdupError if a list cannot be written, or paths end with a newline and one contains a
    newline. Raises UsageError if the folder holds a list of another split.
    """
    lists = {
        folder / f"{name}.txt": list_data(
            listed_paths(rows, division.images[division.places == place]), end
        )
        for place, name in enumerate(division.names)
    }
    _check_folder(folder, lists)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImgdupError(f"{folder}: {error.strerror}; nothing was written") from error
    mode = common_mode(map(rows.path, division.images.tolist()))
    for file, data in lists.items():
        with replacing(file, needed_bytes=len(data), sync=False, mode=mode) as out:
            out.write(data)
    return list(lists)


def _check_folder(folder: Path, lists: Container[Path]) -> None:
    """Refuse a folder with other lists: lists of an earlier split may share pictures."""
    for file in sorted(folder.glob("*.txt")):
        if file not in lists:
            raise UsageError(
                f"{folder} contains {file.name}, which is not one of these lists: delete "
                "it, or choose another folder"
            )

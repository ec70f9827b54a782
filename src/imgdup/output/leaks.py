"""Leaks of one set into another -> what ``imgdup compare`` prints."""

import os
from collections.abc import Iterable, Iterator
from typing import Any

from imgdup.dedupe.compare import Leak, Leaks
from imgdup.output.lines import Cell, counted, shown, tsv_line
from imgdup.output.terminal import fold, hung
from imgdup.system.jsonl import json_line

HEADER = "dist  relation      image, and what it is a duplicate of\n"


def leak_json(leaks: Iterable[Leak]) -> Iterator[str]:
    """Write leaks as JSON lines.

    Keys: ``path duplicate_of distance relation label label_of conflict conflict_label``; a path or
    a label that is no Unicode has its bytes beside it as ``..._b64``; what is not there is null.
    """
    for leak in leaks:
        yield json_line({key: _bytes(value) for key, value in leak._asdict().items()})


def leak_lines(leaks: Iterable[Leak]) -> Iterator[bytes]:
    """Write leaks as tab-separated lines, in the order of the JSON keys; nothing is empty text."""
    for leak in leaks:
        yield tsv_line([_cell(value) for value in leak])


def _cell(value: Any) -> Cell:
    return "" if value is None else _bytes(value)


def _bytes(value: Any) -> Any:
    """Return the bytes of a text, which may come from the name of a folder."""
    return os.fsencode(value) if isinstance(value, str) else value


def leak_rows(leaks: Iterable[Leak], encoding: str = "utf-8", width: int = 80) -> Iterator[str]:
    """Lay out leaks for a terminal, folded to its width: two paths, and a label that disagrees."""
    for i, leak in enumerate(leaks):
        start = f"{leak.distance:4}  {leak.relation:<12}  "
        texts = [shown(leak.path, encoding), shown(leak.duplicate_of, encoding)]
        if leak.conflict is not None:
            own, other = (
                shown(_bytes(label), encoding) for label in (leak.label, leak.conflict_label)
            )
            texts.append(f"label {own}, but {other}: {shown(leak.conflict, encoding)}")
        lines = [line for text in texts for line in fold(text, width - len(start))]
        yield ("" if i else HEADER) + hung(start, lines)


def leak_summary(leaks: Leaks) -> str:
    """Say how much of the second set is in the first."""
    n_leaks, n_images = len(leaks.places_b), len(leaks.b.images)
    labelled = all(any(label is not None for label in part.labels) for part in (leaks.a, leaks.b))
    conflicts = counted(leaks.n_conflicts, "label conflict") if labelled else "no labels to compare"
    return f"{n_leaks:,} of {counted(n_images, 'image')} leak, {conflicts}"

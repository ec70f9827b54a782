"""Duplicates, or the plan made from them -> what commands print of them."""

import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

from imgdup.dedupe import Duplicates
from imgdup.dedupe.plan import Header
from imgdup.output.lines import counted
from imgdup.system.jsonl import json_line


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
    }


def summary_json(duplicates: Duplicates, chains: Counter[int] | None = None) -> str:
    """Write the summary as one JSON object."""
    facts = _facts(duplicates)
    if chains is not None:
        facts["chains"] = {str(size): n for size, n in sorted(chains.items())}
    return json_line(facts)


def summary_text(duplicates: Duplicates, chains: Counter[int] | None = None) -> str:
    """Write the summary for people: what goes, by relation."""
    facts = _facts(duplicates)
    nouns = {"images": "image", "groups": "group", "removable": "removable file", "bytes": "byte"}
    lines = [", ".join(counted(facts[name], noun) for name, noun in nouns.items())]
    for name, saving in facts["relations"].items():
        lines.append(f"  {name:<12} {saving['files']:>9,} files {saving['bytes']:>15,} bytes")
    if chains is not None:
        n_files = sum(size * n for size, n in chains.items())
        longest = max(chains, default=0)
        lines.append(
            f"  chains: {n_files:,} files in {chains.total():,}, the longest of {longest:,}"
        )
    return "\n".join(lines) + "\n"


def terms_text(header: Header) -> str:
    """Say by which rule a plan was made: what counts as a duplicate, and what is protected."""
    return rule_text(header.max_distance, header.search_distance, header.protect)


def rule_text(
    max_distance: int, search_distance: int | None, protect: Sequence[bytes] | None = None
) -> str:
    """Say what counts as a duplicate and, where files are to go, what is protected."""
    text = f"duplicates within {max_distance:,} bits"
    if search_distance is not None:
        text += f" and {search_distance:,} of the search hash"
    if protect is None:
        return text
    return f"{text}, protected: {', '.join(map(os.fsdecode, protect)) or 'nothing'}"

"""Duplicates, or the plan made from them -> what commands print of them."""

import os
from collections import Counter
from typing import Any

from imgdup.dedupe import Duplicates
from imgdup.dedupe.plan import Header
from imgdup.jsonl import json_line


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
    lines = [
        f"{facts['images']:,} images, {facts['groups']:,} groups, "
        f"{facts['removable']:,} removable files, {facts['bytes']:,} bytes"
    ]
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
    search = header.search_distance
    by_search = "" if search is None else f" and {search:,} of the search hash"
    protected = ", ".join(map(os.fsdecode, header.protect)) or "nothing"
    return f"duplicates within {header.max_distance:,} bits{by_search}, protected: {protected}"

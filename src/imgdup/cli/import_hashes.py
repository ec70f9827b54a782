"""The command import: index the files that a pickle of the tutorial names."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from imgdup.api.index import ImageIndex
from imgdup.build.settings import Settings
from imgdup.build.tutorial import TUTORIAL_HASH, TutorialPickle, changes, read_tutorial_pickle
from imgdup.cli import indexing
from imgdup.cli.index import HASHES
from imgdup.cli.options import PATH, find_or_new_index, index_option, json_option
from imgdup.cli.printing import note, note_first, write_text
from imgdup.errors import ImgdupError
from imgdup.images.formats import OK
from imgdup.output import counted, shown
from imgdup.system.paths import absolute, check_exists
from imgdup.system.records import json_line


@click.command("import")
@click.argument("pickle_file", type=PATH, metavar="HASHES.pickle")
@index_option
@click.option(
    "--hash",
    "hasher",
    type=click.Choice(HASHES),
    help="Search hash of a new index. Default: dhash. dhash-tutorial computes what the code of the "
    "tutorial computes.",
)
@json_option
def import_hashes(
    pickle_file: Path, index_folder: Path | None, hasher: str | None, as_json: bool
) -> int:
    """Index the files that are named in a dictionary of hashes from the tutorial.

    HASHES.pickle is the dictionary that index_images.py of the PyImageSearch tutorial on VP-trees
    writes. The files that exist are hashed again, and the new hashes are compared with those of the
    dictionary. Relative paths start at the current folder.

    \b
    imgdup import hashes.pickle
    imgdup import hashes.pickle --hash dhash-tutorial --index old.imgdup
    """
    check_exists(pickle_file)
    stored = read_tutorial_pickle(pickle_file)
    paths = [absolute(path) for path in stored.paths]
    files = {path: os.path.isfile(path) for path in paths}
    missing = [path for path in files if not files[path]]
    _note_missing(missing, len(files), pickle_file)
    place = find_or_new_index(index_folder)
    existing = [path for path in files if files[path]]
    outcome = indexing.update(place, existing, Settings(hasher=hasher), quiet=False)
    indexing.note_failures(outcome)
    facts = {
        "files": len(files),
        "missing": len(missing),
        **_compared(ImageIndex.open(place), stored, paths),
    }
    facts["failed"] = len(existing) - facts["hashed"]
    write_text([json_line(facts) if as_json else _summary(facts)])
    if facts["changed"] and facts["hash"] != TUTORIAL_HASH and not as_json:
        note(
            f"{facts['hash']} is another hash than the tutorial's, so hashes change; to keep the "
            f"tutorial's, add: --hash {TUTORIAL_HASH} --index NEW"
        )
    return 3 if missing else indexing.exit_code(outcome, strict=False)


def _note_missing(missing: Sequence[bytes], n_paths: int, pickle_file: Path) -> None:
    """Name the first files that do not exist; raise ImgdupError if none of the files exists."""
    if len(missing) == n_paths:
        raise ImgdupError(
            f"{pickle_file} names {counted(n_paths, 'file')}, and none exists, such as "
            f"{shown(missing[0])}: change to the folder in which index_images.py was run"
        )
    note_first(((path, "does not exist") for path in missing), "do not exist")


def _compared(index: ImageIndex, stored: TutorialPickle, paths: Sequence[bytes]) -> dict[str, Any]:
    """Compare the hashes of an index with the keys of the dictionary, path by path."""
    hashes, statuses = index.column("hashes"), index.column("status")
    keys, found, hashed = [], [], set()
    for key, path in zip(stored.keys, paths, strict=True):
        row = index.generation.paths.find(path)
        if row is not None and statuses[row] == OK:
            hashed.add(path)
            keys.append(key)
            found.append(int.from_bytes(hashes[row].tobytes(), "little"))
    changed = changes(keys, found, is_rounded=stored.is_rounded)
    return {
        "hashed": len(hashed),
        "unchanged": changed.n_unchanged,
        "changed": len(found) - changed.n_unchanged,
        "median_bits": changed.median,
        "max_bits": max(changed.bits, default=0),
        "rounded": stored.is_rounded,
        "hash": index.generation.head["hash"],
    }


def _summary(facts: dict[str, Any]) -> str:
    counts = [f"{facts['hashed']:,} hashed"]
    counts += [f"{facts[name]:,} {name}" for name in ("failed", "missing") if facts[name]]
    text = f"{counted(facts['files'], 'file')} in the dictionary: {', '.join(counts)}\n"
    text += (
        f"{counted(facts['unchanged'], 'hash', 'hashes')} as before, {facts['changed']:,} changed"
    )
    if facts["changed"]:
        text += f", by {counted(facts['median_bits'], 'bit')} (median), at most "
        text += counted(facts["max_bits"], "bit")
    if facts["rounded"]:
        text += "\nthe dictionary holds hashes that float64 rounded; the index holds them exactly"
    return text + "\n"

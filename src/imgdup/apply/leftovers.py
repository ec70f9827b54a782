"""Find the temporary files that killed runs of apply and undo left in the indexed folders.

undo removes such a file if the journal exists. If the journal is lost, only the user knows where
the file belongs, so imgdup only reports it.
"""

import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from imgdup.apply.check_journal import registered_journals
from imgdup.apply.journal import read_journal
from imgdup.errors import ImgdupError
from imgdup.index.columns import Rows
from imgdup.system.paths import TEMPORARY_NAME


def find_leftovers(rows: Rows, index_folder: Path) -> Iterator[str]:
    """Yield one line for each file that a killed run left, with what to do about it.

    Parameters
    ----------
    rows : Rows
        The folders of its files are looked at, and its roots.
    index_folder : Path
        It knows the journals of its runs.
    """
    journals: Mapping[bytes, Path] | None = None
    for path, token in _temporary_files(_folders(rows)):
        if journals is None:
            journals = _journals_by_token(index_folder)
        yield f"{os.fsdecode(path)}: {_advice(path, token, journals)}"


def _folders(rows: Rows) -> list[bytes]:
    """List the folders that hold files of an index, and its roots."""
    folders = {os.path.dirname(rows.path(row)) for row in range(len(rows))}
    return sorted(folders.union(root for root in rows.roots if root))


def _temporary_files(folders: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the temporary files of apply in these folders, each with the token of its run."""
    for folder in folders:
        try:
            names = sorted(os.listdir(folder))
        except OSError:  # gone, or not for us: imgdup index reports that
            continue
        for name in names:
            if match := TEMPORARY_NAME.fullmatch(name):
                yield os.path.join(folder, name), match[1]


def _journals_by_token(index_folder: Path) -> Mapping[bytes, Path]:
    """Map the tokens of runs to the existing journals that an index knows."""
    found = {}
    for _, path in registered_journals(index_folder):
        try:
            header = read_journal(path).header
        except ImgdupError:  # lost
            continue
        if header:
            found[header.token.encode()] = path
    return found


def _advice(path: bytes, token: bytes, journals: Mapping[bytes, Path]) -> str:
    """Describe a temporary file and the remedy."""
    if token in journals:
        command = f"imgdup undo {shlex.quote(str(journals[token]))}"
        return f"left by an apply or undo that was killed; to clean up: {command}"
    if path.endswith(b".aside"):
        return (
            "a picture that a killed apply set aside, and its journal is lost: rename the picture, "
            "or delete it if you have a copy"
        )
    return "left by an apply whose journal is lost: you may delete it"

"""A hash pack: the hashes of an index in one file, to share without pictures.

It is a generation without absolute paths, times, inode numbers and reasons of failures. It is
opened and checked like one. The paths of its rows begin with the path of the pack and ``!``.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from imgdup.errors import ImgdupError, UsageError
from imgdup.index import store
from imgdup.index.columns import (
    TRIMMED,
    TRIMMED_ROWS,
    TextBuilder,
    TextColumn,
    failure_arrays,
    fields,
)
from imgdup.index.folder import is_index
from imgdup.index.generation import PACK, PACK_NAMES, STRUCTURE, TREE_PREFIX, Generation
from imgdup.index.layout import MAGIC
from imgdup.system.files import DIGEST_BYTES
from imgdup.system.paths import is_below, join

UNKNOWN_DIGEST = b"imgdup unknown"  # personalizes the digests that replace those left out
SINGLE_FILES = b"files"


def is_pack(path: Path) -> bool:
    """Return whether a path is that of a file which begins like a pack."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def is_index_or_pack(path: Path) -> bool:
    """Return whether a path is that of an index folder or of a pack."""
    return is_index(path) or is_pack(path)


def save_pack(
    generation: Generation, file: Path, *, names: str = "relative", with_digests: bool = True
) -> int:
    """Write the hashes of an index to a pack, and return the number of rows.

    The names are ``"relative"``: paths below the indexed folders, and numbers for files that were
    named one by one; ``"absolute"``: whole paths; or ``"none"``: numbers. Without digests and
    sizes, files of equal bytes are only found by their hashes.

    Raises UsageError if `names` is none of these. Raises ImgdupError if it cannot be written, or
    the index is of format version 1.
    """
    if names not in PACK_NAMES:
        raise UsageError(f"names must be one of {', '.join(PACK_NAMES)}, got {names!r}")
    generation.require_match()
    options = {"with_pdq": generation.has_pdq, "with_trimmed": generation.has_trimmed}
    chosen = [*fields(generation.bits // 64, **options), *STRUCTURE]
    chosen += [name for name in generation.arrays if name.startswith(TREE_PREFIX)]
    chosen += [TRIMMED_ROWS] if TRIMMED in chosen else []
    arrays: dict[str, npt.NDArray[Any]] = {name: generation.arrays[name] for name in chosen}
    arrays |= failure_arrays({})
    arrays["mtime_ns"] = np.zeros(len(generation), np.int64)
    if not with_digests:
        arrays["digest"] = _unknown_digests(generation)
        arrays["size"] = np.zeros(len(generation), np.int64)
    roots = list(generation.roots)
    if names != "absolute":
        arrays |= _named_arrays(
            _relative_names(generation) if names == "relative" else None, arrays
        )
        roots = [b""]
    head = {
        "kind": PACK,
        **generation.parameters,
        "band_skew_thousandths": int(generation.head["band_skew_thousandths"]),
        "names": names,
        "digests": int(with_digests),
        "roots": [_root(root) for root in roots],
    }
    mode = generation.file.stat().st_mode
    store.save(file, head, arrays, sync=False, mode=mode)
    return len(generation)


def _root(path: bytes) -> dict[str, Any]:
    text = path.decode("utf-8", "surrogateescape")
    return {"path": text, "exclude": [], "follow_symlinks": 0, "hidden": 0}


def _unknown_digests(generation: Generation) -> npt.NDArray[np.uint8]:
    """Return digests that are those of no file, and differ from each other."""
    digests = bytearray()
    for row in range(len(generation)):
        name = b"%s %d" % (generation.digest.encode(), row)
        digests += hashlib.blake2b(name, digest_size=DIGEST_BYTES, person=UNKNOWN_DIGEST).digest()
    return np.frombuffer(bytes(digests), np.uint8).reshape(-1, DIGEST_BYTES)


def _named_arrays(
    names: TextColumn | None, arrays: dict[str, npt.NDArray[Any]]
) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of paths below one root; without names, numbers."""
    n_rows = len(arrays["status"])
    if names is None:
        builder = TextBuilder()
        for row in range(n_rows):
            builder.append(_number(row, n_rows))
        names = builder.column()
    n_runs = min(n_rows, 1)
    return {
        "run_rows": np.zeros(n_runs, np.int64),
        "run_roots": np.zeros(n_runs, np.int64),
        "path_offsets": names.offsets,
        "path_blob": names.blob,
    }


def _number(row: int, n_rows: int) -> bytes:
    """Name a row by its number, so that names ascend like the rows."""
    return b"#%0*d" % (len(str(n_rows)), row)


def _relative_names(generation: Generation) -> TextColumn:
    """Return the path of each row below its outermost root; several roots are numbered.

    Single files have a number, too, so that names ascend like the rows.
    """
    places = list(_places(generation))
    n_places = places[-1][0] + 1 if places else 0
    builder = TextBuilder()
    for row, ((number, outer), path) in enumerate(zip(places, generation.paths, strict=True)):
        single = not outer
        name = _number(row, len(generation)) if single else path[len(join(outer, b"")) :]
        if n_places > 1:
            label = SINGLE_FILES if single else outer.rpartition(b"/")[2]
            name = b"%0*d-%s/%s" % (len(str(n_places)), number + 1, label, name)
        builder.append(name)
    return builder.column()


def _places(generation: Generation) -> Iterator[tuple[int, bytes]]:
    """Yield for each row the number of the outermost root around it, and that root or nothing."""
    roots = sorted(root for root in generation.roots if root)
    outermost = [r for r in roots if not any(o != r and is_below(r, o) for o in roots)]
    number, last = -1, None
    for path in generation.paths:
        outer = next((each for each in outermost if is_below(path, each)), b"")
        if outer != last:
            number, last = number + 1, outer
        yield number, outer


def check_has_pictures(generation: Generation) -> None:
    """Raise ImgdupError for a pack, where pictures are needed."""
    if generation.is_pack:
        raise ImgdupError(
            f"{generation.file} is a hash pack, which has no pictures: only query, compare, "
            "info, check, subtract and export read it"
        )

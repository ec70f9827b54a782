"""The index folder before a run and after it: read its state, and commit its next generation."""

import logging
import os
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from imgdup import __version__
from imgdup.build.listing import Listing
from imgdup.build.settings import Settings
from imgdup.build.write import Facts, Table, write_generation
from imgdup.errors import ImgdupError, UsageError
from imgdup.hashing import HASHERS, PARAMETERS_VERSION
from imgdup.index import folder
from imgdup.index.generation import Generation, open_generation
from imgdup.index.parts import ScanOptions
from imgdup.index.paths import stored_root
from imgdup.system.files import NEW_DIGEST_KIND
from imgdup.system.paths import absolute

log = logging.getLogger(__name__)

DEFAULT_HASH = "dhash"


class State(NamedTuple):
    """The state of an index folder at the start of a run."""

    folder: Path
    old: Generation | None
    current: folder.Current | None
    parameters: dict[str, Any]
    needs_rehash: bool  # whether no hash of the old generation can stay


def check_hash(settings: Settings) -> None:
    """Raise UsageError for an unknown hash, before a folder is made for it."""
    name, bits = settings.hasher or DEFAULT_HASH, settings.bits
    if name not in HASHERS:
        raise UsageError(f"there is no hash {name!r}; there are: {', '.join(HASHERS)}")
    widths = HASHERS[name].widths
    if bits is not None and bits not in widths:
        lengths = " or ".join(map(str, widths))
        raise UsageError(f"{name} of {bits} bits does not exist; choose {lengths} bits")


def read_state(index_folder: Path, settings: Settings) -> State:
    """Open the existing index, and refuse a hash other than the stored one."""
    current, old = folder.read_current(index_folder), None
    if current is not None:
        current, old = folder.open_generation(index_folder, open_generation)
    known = old.probe_parameters if old else {}
    had_pdq = bool(known.pop("with_pdq", 0)) and old is not None and old.has_match
    had_trimmed = bool(known.pop("with_trimmed", 0))
    kind = known.get("digest_kind", NEW_DIGEST_KIND)
    hasher = settings.hasher or known.get("hash", DEFAULT_HASH)
    bits = settings.bits or known.get("bits") or HASHERS[hasher].widths[0]
    wanted = {"hash": hasher, "bits": bits, "parameters": PARAMETERS_VERSION, "digest_kind": kind}
    if old and wanted != known:
        raise ImgdupError(
            f"{index_folder} holds {_words(known)} hashes, not {_words(wanted)}: omit --hash "
            "and --bits to keep them, or choose another index with --index"
        )
    lacks_hashes = old is not None and (not old.has_match or settings.with_pdq > had_pdq)
    needs_rehash = settings.rehash or lacks_hashes
    if needs_rehash:
        wanted["digest_kind"] = NEW_DIGEST_KIND
    wanted["with_pdq"] = int(settings.with_pdq or had_pdq)
    wanted["with_trimmed"] = int(old is None or needs_rehash or had_trimmed)
    return State(index_folder, old, current, wanted, needs_rehash)


def _words(parameters: dict[str, Any]) -> str:
    return f"{parameters['hash']} {parameters['bits']}"


def scan_times(old: Generation, current: folder.Current) -> dict[bytes, int]:
    """Return when each root, by its current path, was scanned, in nanoseconds."""
    by_stored = {os.fsencode(root): ns for root, ns in current.scanned_ns.items()}
    pairs = zip(old.roots, old.stored_roots, strict=True)
    return {root: by_stored[stored] for root, stored in pairs if stored in by_stored}


def commit_generation(
    place: Path, facts: Facts, roots: Mapping[bytes, ScanOptions], *, scanned_ns: int
) -> int:
    """Write the next generation, make it the current one, and return its number.

    `scanned_ns` is the time of the scan for roots without older rows.
    """
    return commit_table(place, facts, roots, kept_times(facts.listing, scanned_ns))


def commit_table(
    place: Path, table: Table, roots: Mapping[bytes, ScanOptions], times: Mapping[bytes, int]
) -> int:
    """Write a table as the next generation, make it the current one, and return its number.

    `times` are those of the scans of the roots.
    """
    number = folder.next_generation(place)
    write_generation(folder.generation_path(place, number), table, roots)
    built = datetime.now(UTC).isoformat(timespec="seconds")
    stored = stored_times(times, absolute(place))
    folder.commit(place, folder.Current(number, built, __version__, stored))
    return number


def kept_times(listing: Listing, scanned_ns: int) -> dict[bytes, int]:
    """Return since when all rows of each root are known; unscanned rows make it older."""
    return {root: listing.kept_ns.get(root, scanned_ns) for root in listing.roots}


def stored_times(times: Mapping[bytes, int], place: bytes) -> dict[str, int]:
    """Return the times of roots, by their names in the file `current`."""
    return {os.fsdecode(stored_root(root, place)): times[root] for root in times}


def keep_private(file: Path, mode: int) -> None:
    """Remove permissions from the index that some of its pictures no longer have."""
    now = stat.S_IMODE(os.stat(file).st_mode)
    if now & ~mode:
        try:
            os.chmod(file, now & mode)
        except OSError as error:
            log.warning("%s can be read by more users than its pictures: %s", file, error.strerror)

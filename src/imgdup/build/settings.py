"""The settings, progress display and outcome of an indexing run, and the indexes that it finds."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from imgdup.build.roots import OptionChanges
from imgdup.errors import ImgdupError, UsageError
from imgdup.hashing import HASHERS, PARAMETERS_VERSION
from imgdup.index import folder
from imgdup.index.generation import Generation, open_generation
from imgdup.system.files import NEW_DIGEST_KIND
from imgdup.system.limits import Limits
from imgdup.system.paths import absolute
from imgdup.workers.pool import local
from imgdup.workers.process import Setup

DEFAULT_HASH = "dhash"


class Progress(Protocol):
    """Shows the progress of a run."""

    def start(self, n_files: int) -> None:
        """Note how many files will be read."""

    def advance(self, n_files: int) -> None:
        """Add to the number of finished files."""

    def log(self, step: str) -> None:
        """Show the current step."""


class Silent:
    """Shows nothing."""

    def start(self, n_files: int) -> None:
        """Do nothing."""

    def advance(self, n_files: int) -> None:
        """Do nothing."""

    def log(self, step: str) -> None:
        """Do nothing."""


class Failure(NamedTuple):
    """A file without a hash; `known` if it failed in the same way in an earlier run."""

    path: bytes
    reason: str
    detail: str
    known: bool


@dataclass(frozen=True)
class Outcome:
    """The result of a run: ``seen = hashed + unchanged + failed``.

    ``unlisted`` are the folders that could not be scanned, with the reason; ``set_aside`` the
    files that an interrupted ``imgdup apply`` left under a name of its own; ``undecoded`` those
    of the ignored files that are pictures, by their extension, of formats that are not decoded;
    ``ignored_files`` all ignored files, and why, if the settings request them; ``not_entered``
    the containers among them; ``notes`` members of containers that are not read, and why.
    """

    seen: int
    hashed: int
    unchanged: int
    failed: int
    removed: int
    ignored: int
    seconds: float
    failures: Sequence[Failure]
    unlisted: Sequence[tuple[bytes, str]]
    set_aside: Sequence[bytes]
    undecoded: Sequence[bytes]
    ignored_files: Sequence[tuple[bytes, str]]
    generation: int
    written: bool
    not_entered: Sequence[bytes] = ()
    notes: Sequence[tuple[bytes, str]] = ()

    @property
    def images_per_second(self) -> float:
        """Files hashed per second, over the whole run."""
        return self.hashed / self.seconds if self.seconds else 0.0

    @property
    def n_new_failures(self) -> int:
        """Count the files that failed for the first time."""
        return sum(not failure.known for failure in self.failures)


@dataclass(frozen=True)
class Settings:
    """How to index.

    Parameters
    ----------
    hasher, bits : str, int or None
        The search hash; None takes that of the index, or dhash with 64 bits for a new one.
    workers : int or None
        Processes that decode; None means all usable cores.
    limits : Limits
        What one file may cost.
    changes : OptionChanges
        Scan options to apply, and to remember, for the roots that are scanned.
    allow_removals : bool
        Whether a root may lose all or most of its files.
    retry_failed : bool
        Whether files that failed before are read again, as after a limit was raised.
    engine : callable
        Makes the executor that batches are submitted to: processes of this machine.
    rehash : bool
        Whether all files are read again, also those that did not change. This gives an index of
        an older version the digests of today; without it, an index keeps its kind of digests.
    with_pdq : bool
        Whether PDQ hashes are stored, too. An index that has them keeps them.
    list_ignored : bool
        Whether the outcome lists the ignored files.
    reuse : Path, optional
        Another index folder. Its rows of files that did not change are copied instead of reading
        these files, if both indexes hash alike.

    Raises
    ------
    UsageError
        If there are no workers.
    """

    hasher: str | None = None
    bits: int | None = None
    workers: int | None = None
    limits: Limits = field(default_factory=Limits)
    changes: OptionChanges = field(default_factory=OptionChanges)
    allow_removals: bool = False
    retry_failed: bool = False
    engine: Callable[[Setup], Executor] = local
    rehash: bool = False
    with_pdq: bool = False
    list_ignored: bool = False
    reuse: Path | None = None

    def __post_init__(self) -> None:
        """Check the number of workers; the hash is checked elsewhere."""
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"workers must be at least 1, or None for all, got {self.workers}")


class State(NamedTuple):
    """The state of an index folder at the start of a run."""

    folder: Path
    old: Generation | None
    current: folder.Current | None
    parameters: dict[str, Any]
    needs_rehash: bool  # whether no hash of the old generation can be kept


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


def covering_index(path: str | os.PathLike[str], nearest: Path | None) -> Path | None:
    """Return the first of two indexes that has files of a folder; its rows need no hashing.

    The first is `nearest`, the index to use in the current folder; the second that in the folder
    itself or in a folder above it.
    """
    wanted = absolute(path)
    with suppress(ImgdupError):  # an index of another user, or a damaged one
        for place in (nearest, folder.look_for(Path(os.fsdecode(wanted)))):
            if place and folder.is_index(place):
                _, generation = folder.open_generation(place, open_generation)
                if generation.paths.holds(wanted):
                    return place
    return None

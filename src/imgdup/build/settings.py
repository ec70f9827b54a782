"""The settings of an indexing run, its progress display and its outcome."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from imgdup.build.roots import OptionChanges
from imgdup.errors import UsageError
from imgdup.system.limits import Limits
from imgdup.workers.pool import local
from imgdup.workers.process import Setup


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

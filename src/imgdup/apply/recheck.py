"""Check that files are still as their plan describes them; otherwise give the reason to skip them.

The content of each file is read once per run. After that, a file is considered unchanged as long as
its device, inode, size and times are the same.
"""

import errno
import os
import stat
from collections.abc import Iterable
from typing import NamedTuple

from imgdup.containers.reading import read_content
from imgdup.dedupe.decide import Judge
from imgdup.dedupe.plan import FileFacts, Plan, Removal
from imgdup.dedupe.relations import UNVERIFIED
from imgdup.errors import ImageError, ImgdupError
from imgdup.index.columns import Rows, locator_of
from imgdup.system.files import content_digest, file_digest, stat_size_mtime
from imgdup.system.limits import Limits
from imgdup.system.paths import is_remote, outer_file

COMPARED_AT_ONCE = 64  # pairs of pictures, so that all workers have something to do
OTHER_STAMP = "its size or time is different"
NO_ROOM = "no-room"
OCCUPIED = "occupied"
SKIP_REASONS = {
    "missing": (errno.ENOENT, errno.ENOTDIR),
    "other-device": (errno.EXDEV,),
    "no-links": (
        errno.EMLINK,
        errno.ENOSYS,
        getattr(errno, "ENOTSUP", errno.ENOSYS),
        getattr(errno, "EOPNOTSUPP", errno.ENOSYS),
    ),
    "denied": (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY),
    OCCUPIED: (errno.EEXIST,),
    NO_ROOM: (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)),
}

READ_FLAGS = os.O_RDONLY
for _name in ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"):
    READ_FLAGS |= getattr(os, _name, 0)


class SkipFile(Exception):
    """Raised to skip this file and continue with the next.

    `detail` says in one line what was found. `reason` is a word: a key of ``SKIP_REASONS``,
    ``changed``, ``not-regular``, ``same-file``, ``different-bytes``, ``different-picture``,
    ``failed``, ``not-reached``, ``cannot-undo``.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    @classmethod
    def of(cls, error: "OSError | SkipFile") -> "SkipFile":
        """Return why the operating system refused something; a SkipFile is returned as it is."""
        if isinstance(error, SkipFile):
            return error
        for reason, codes in SKIP_REASONS.items():
            if error.errno in codes:
                return cls(reason, error.strerror or str(error))
        return cls("failed", error.strerror or str(error))


class SkippedFile(NamedTuple):
    """A skipped file and the reason; see `SkipFile`."""

    path: bytes
    reason: str
    detail: str


class _Seen(NamedTuple):
    """The facts of a file when its content was read."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "_Seen":
        return cls(
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )


class Recheck:
    """The files that one run has checked, so that the content of each is read once."""

    def __init__(self) -> None:
        self._seen: dict[bytes, _Seen] = {}

    def check_both(self, remove: FileFacts, keep: FileFacts) -> None:
        """Make sure that both files of a removal are as described, and are two files.

        Raises SkipFile if not; the detail names the kept file if it is the reason.
        """
        remove_facts = self._check(remove)
        self.check_keep(keep)
        keep_facts = self._seen[keep.path]
        if may_be_one_file(
            (remove_facts.device, remove_facts.inode), (keep_facts.device, keep_facts.inode)
        ):
            raise SkipFile("same-file", f"it is {os.fsdecode(keep.path)} under another name")

    def check_keep(self, keep: FileFacts) -> None:
        """Check that the kept file is as described; SkipFile if not."""
        try:
            self._check(keep)
        except SkipFile as skip:
            name = os.fsdecode(keep.path)
            raise SkipFile(skip.reason, f"the kept file, {name}: {skip.detail}") from skip

    def check_renamed(self, remove: FileFacts, path: bytes) -> None:
        """Make sure that a file that was checked now has another name, and is unchanged.

        Renaming a file changes its ctime on most systems, so that is not compared.
        """
        seen = self._seen[remove.path]
        now = _Seen.of(_regular(path))
        if (now.device, now.inode) != (seen.device, seen.inode):
            raise SkipFile("changed", "another file now has its name")
        if now[:-1] != seen[:-1]:
            raise SkipFile("changed", OTHER_STAMP)

    def check_link(self, keep: FileFacts, link: bytes) -> None:
        """Check that a link points to the kept file.

        Making or renaming a hard link changes the ctime of that file; the new one is remembered.
        """
        seen, now = self._seen[keep.path], _Seen.of(os.stat(link))
        if now[:-1] != seen[:-1]:
            raise SkipFile("changed", "the kept file was replaced")
        if not os.path.islink(link):
            self._seen[keep.path] = now

    def forget(self, facts: FileFacts) -> None:
        """Forget a file that this run does not need any more."""
        self._seen.pop(facts.path, None)

    def _check(self, facts: FileFacts) -> _Seen:
        """Check a file at its own path; read it if it is new or was changed since."""
        if is_remote(facts.path):
            raise SkipFile("not-regular", "an object on a server, which is not changed")
        if outer_file(facts.path) != facts.path:
            raise SkipFile("not-regular", "in a zip, tar or Parquet file, which is not changed")
        try:
            seen = _Seen.of(os.lstat(facts.path))
            if self._seen.get(facts.path) != seen:
                seen = self._seen[facts.path] = _Seen.of(check_content(facts))
        except OSError as error:
            raise SkipFile.of(error) from error
        return seen


def check_content(facts: FileFacts, path: bytes | None = None) -> os.stat_result:
    """Read a file and make sure that it is the one that a plan describes; return its facts.

    It is looked for at `path`, by default at the path in the plan. Raises SkipFile if it is
    missing, not a regular file, unreadable, or differs in size, time or content.
    """
    path = facts.path if path is None else path
    try:
        _regular(path)
        descriptor = os.open(path, READ_FLAGS)
        try:
            _check_facts(facts, os.fstat(descriptor))
            if file_digest(descriptor, facts.digest_kind) != facts.digest:
                raise SkipFile("changed", "its content is different")
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        _check_facts(facts, status)
        if not os.path.samestat(status, os.lstat(path)):
            raise SkipFile("changed", "another file now has its name")
    except OSError as error:
        raise SkipFile.of(error) from error
    return status


def _regular(path: bytes) -> os.stat_result:
    """Look at a path without following links; SkipFile if it is not a regular file."""
    status = os.lstat(path)
    _check_regular(status)
    return status


def _check_regular(status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise SkipFile("not-regular", "a symbolic link")
    if not stat.S_ISREG(status.st_mode):
        raise SkipFile("not-regular", "not a regular file")


def _check_facts(facts: FileFacts, status: os.stat_result) -> None:
    _check_regular(status)
    if stat_size_mtime(status) != (facts.size, facts.mtime_ns):
        raise SkipFile("changed", OTHER_STAMP)


def may_be_one_file(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Return whether two paths may be one file: equal device and inode, or an unknown inode."""
    return one == other or 0 in (one[1], other[1])


def compared_again(
    removals: Iterable[Removal], judge: Judge, removable: tuple[str, ...]
) -> dict[bytes, str]:
    """Compare the pictures of removals again; return the relation of those that must be kept.

    Files of equal bytes need no comparison, nor do those that the user chose not to compare.
    """
    compared = [
        removal
        for removal in removals
        if removal.remove.digest != removal.keep.digest and removal.relation != UNVERIFIED
    ]
    verdicts = judge([(removal.keep.row, removal.remove.row) for removal in compared])
    return {
        removal.remove.path: verdict.relation
        for removal, verdict in zip(compared, verdicts, strict=True)
        if verdict.relation not in removable
    }


def checked_removals(
    plan: Plan, rows: Rows, judge: Judge
) -> tuple[list[Removal], list[SkippedFile]]:
    """Return the removals whose files are as the plan describes them, and the others.

    The pictures are compared again, too, unless their bytes are equal.
    """
    seen = _FilesOfPlan(plan, rows)
    good, skipped = [], []
    for removal in plan.removals:
        reason = seen.fault(removal)
        if reason is None:
            good.append(removal)
        else:
            skipped.append(SkippedFile(removal.remove.path, reason.reason, reason.detail))
    accepted = []
    for start in range(0, len(good), COMPARED_AT_ONCE):
        some = good[start : start + COMPARED_AT_ONCE]
        refused = compared_again(some, judge, plan.header.removable)
        for removal in some:
            path = removal.remove.path
            if path in refused:
                detail = f"the pictures were compared again, with the result: {refused[path]}"
                skipped.append(SkippedFile(path, "different-picture", detail))
            else:
                accepted.append(removal)
    return accepted, skipped


class _FilesOfPlan:
    """Each file and member that a plan names, read once, in the order of the containers."""

    def __init__(self, plan: Plan, rows: Rows) -> None:
        self._rows = rows
        self._faults: dict[bytes, SkipFile] = {}
        self._identities: dict[bytes, tuple[int, int]] = {}
        named = {facts.path: facts for r in plan.removals for facts in (r.remove, r.keep)}
        for facts in sorted(named.values(), key=self._order):
            try:
                self._check(facts)
            except SkipFile as fault:
                self._faults[facts.path] = fault

    def fault(self, removal: Removal) -> SkipFile | None:
        """Return why a removal cannot be carried out, or None."""
        remove, keep = removal.remove.path, removal.keep.path
        if remove in self._faults:
            return self._faults[remove]
        if keep in self._faults:
            fault, name = self._faults[keep], os.fsdecode(keep)
            return SkipFile(fault.reason, f"the kept file, {name}: {fault.detail}")
        if remove in self._identities and keep in self._identities:
            if may_be_one_file(self._identities[remove], self._identities[keep]):
                return SkipFile("same-file", f"it is {os.fsdecode(keep)} under another name")
        return None

    def _order(self, facts: FileFacts) -> tuple[bytes, int, int]:
        locator = locator_of(self._rows, facts.row)
        if locator is None:
            return facts.path, 0, 0
        return outer_file(facts.path), locator.offset, locator.length

    def _check(self, facts: FileFacts) -> None:
        """Read a file or member; SkipFile if it is not as described."""
        locator = locator_of(self._rows, facts.row)
        if locator is None and not is_remote(facts.path):
            status = check_content(facts)
            self._identities[facts.path] = status.st_dev, status.st_ino
            return
        try:
            limits = Limits(max_file_bytes=max(1, facts.size))
            content = read_content(facts.path, limits, locator)
        except ImageError as error:
            if error.reason == "unreadable" and is_remote(facts.path):
                raise ImgdupError(f"{os.fsdecode(facts.path)}: {error.detail}") from error
            if error.reason == "too-large" and locator is None:
                raise SkipFile("changed", OTHER_STAMP) from error
            raise SkipFile(error.reason, error.detail) from error
        if locator is None and (content.size, content.mtime_ns) != (facts.size, facts.mtime_ns):
            raise SkipFile("changed", OTHER_STAMP)
        if content_digest(content.data, facts.digest_kind) != facts.digest:
            raise SkipFile("changed", "its content is different")

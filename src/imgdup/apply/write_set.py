"""Write the cleaned set: the files of a plan's index without what the plan removes.

The input is only read. Each file is written under a temporary name and renamed, so a run that was
killed is continued by the same command, and the result is the same to the byte. The folder gets a
``manifest.jsonl``: what was removed, which file was kept for it, and why. It is written last.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from imgdup.apply.annotations import annotate
from imgdup.apply.options import PlanIndex
from imgdup.apply.recheck import SkippedFile, checked_removals
from imgdup.apply.set_content import SetRemovals, removals_of_set
from imgdup.apply.set_files import Content, SetFiles
from imgdup.dedupe.check_plan import check_plan
from imgdup.dedupe.plan import Plan, Removal
from imgdup.errors import ImgdupError, UsageError
from imgdup.system.files import write_error
from imgdup.system.limits import size_text
from imgdup.system.lock import locked
from imgdup.system.paths import absolute, is_below, is_remote
from imgdup.system.records import json_line

STAGING = ".imgdup-write"  # a folder in that of the cleaned set, until all is written
MANIFEST = "manifest.jsonl"
VERSION = 1  # of the manifest
PERMISSIONS = 0o777  # of a mode


@dataclass(frozen=True)
class WriteOptions:
    """How to write a cleaned set."""

    target: bytes  # absolute folder to write it to
    # Whether a sample is removed even if it contains pictures that the plan does not remove.
    whole_samples: bool = False
    # Absolute paths of annotation files, or of folders with one file for each picture; see
    # `imgdup.apply.annotations`.
    annotations: tuple[bytes, ...] = ()
    dry_run: bool = False  # check everything, but write nothing
    tag_column: str = ""  # if not empty, Parquet and Arrow files keep all rows and get this column


@dataclass
class WriteResult:
    """The result of writing a cleaned set."""

    # Pictures that were left out, files and members that went with them, and rows of tables that
    # got a tag.
    n_removed: int = 0
    n_companions: int = 0
    n_tagged: int = 0
    # Files of the cleaned set, and bytes that were written by this run.
    n_files: int = 0
    n_bytes: int = 0
    n_entries: int = 0  # entries that were left out of annotations
    n_already: int = 0  # files that an earlier run had written
    n_links: int = 0  # symbolic links that were left out
    # Pictures that the plan removes but that were kept.
    skipped: list[SkippedFile] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0, or 3 when something was skipped."""
        return 3 if self.skipped else 0


def write_set(
    plan: Plan,
    index: PlanIndex,
    options: WriteOptions,
    *,
    progress: Callable[[int, int], None] = lambda n_done, n_all: None,
) -> WriteResult:
    """Write the cleaned set of a plan.

    Raises PlanError if the plan is wrong or of another index. Raises UsageError if the folder is
    not empty, or is in an indexed folder. Raises ImgdupError if there is no room, or a file cannot
    be read or written, or changes meanwhile.
    """
    check_plan(plan, index.rows)
    check_folder(plan, options.target, index.folder)
    removals, skipped = checked_removals(plan, index.rows, index.judge)
    files = SetFiles(plan, index.rows)
    found = removals_of_set(
        files, index.rows, removals, whole=options.whole_samples, tag_column=options.tag_column
    )
    skipped += [SkippedFile(path, "missing", "the file does not exist") for path in files.missing]
    skipped += found.kept
    annotate(found, files, index.rows, options.annotations)
    result = WriteResult(
        n_removed=len(found.removals),
        n_companions=len(found.companions),
        n_tagged=len(found.tagged),
        n_files=len(found.contents),
        n_entries=sum(found.annotations.values()),
        n_links=files.n_links,
        skipped=skipped,
    )
    manifest = list(_manifest(plan, files, found, skipped))
    if not options.dry_run:
        work = _Work(Path(os.fsdecode(options.target)), found.contents, manifest)
        work.write(result, progress)
    return result


def check_folder(plan: Plan, target: bytes, index_folder: Path) -> None:
    """Raise UsageError if a cleaned set must not be written to a folder."""
    name = os.fsdecode(target)
    if os.path.lexists(target) and not os.path.isdir(target):
        raise UsageError(f"the folder {name}: not a folder; give an existing folder or a new one")
    for root in (*plan.header.roots, absolute(index_folder)):
        if not root or is_remote(root):
            continue
        if is_below(os.path.realpath(target), os.path.realpath(root)):
            where = os.fsdecode(root)
            raise UsageError(
                f"the folder {name} is in {where}, which is the input or its index: "
                "give a folder outside it"
            )


def _manifest(
    plan: Plan, files: SetFiles, found: SetRemovals, skipped: Sequence[SkippedFile]
) -> Iterator[str]:
    """Yield the lines of the manifest, with the names that the files have or would have had."""
    fingerprint = hashlib.blake2b(plan.header.seal.encode(), digest_size=16)
    lines = [json_line(_record("removed", removal, files)) for removal in found.removals]
    lines += [json_line(_record("tagged", removal, files)) for removal in found.tagged]
    for path, owner in found.companions.items():
        lines.append(json_line({"removed": files.place(path), "with": files.place(owner)}))
    for skip in skipped:
        record = {"stayed": files.place(skip.path), "reason": skip.reason, "detail": skip.detail}
        lines.append(json_line(record))
    for place, n_removed in found.annotations.items():
        lines.append(json_line({"annotations": place, "n_removed": n_removed}))
    for content in found.contents.values():
        fingerprint.update(content.fingerprint())
    for line in lines:
        fingerprint.update(line.encode())
    yield json_line(
        {
            "manifest": "imgdup",
            "version": VERSION,
            "plan": plan.header.seal,
            "set": fingerprint.hexdigest(),
            "n_files": len(found.contents),
            "n_removed": len(found.removals),
            "n_companions": len(found.companions),
            "n_stayed": len(skipped),
        }
    )
    yield from lines


def _record(key: str, removal: Removal, files: SetFiles) -> dict[str, Any]:
    return {
        key: files.place(removal.remove.path),
        "kept_for": files.place(removal.keep.path),
        "relation": removal.relation,
        "distance": removal.distance,
        "peak": removal.peak,
        "rule": removal.rule,
    }


class _Work:
    """The writing of one cleaned set, which another run may have begun."""

    def __init__(
        self, target: Path, contents: Mapping[bytes, Content], manifest: Sequence[str]
    ) -> None:
        self._target = target
        self._staging = target / STAGING
        self._contents = contents
        self._manifest = manifest
        name = os.fsencode(MANIFEST)
        number = 0
        while name in contents:
            number += 1
            name = b"manifest~%d.jsonl" % number
        self._manifest_file = target / os.fsdecode(name)

    def write(self, result: WriteResult, progress: Callable[[int, int], None]) -> None:
        if self._is_complete():
            result.n_already = len(self._contents)
        else:
            self._begin()
            with locked(self._staging / "lock", f"the folder {self._target}"):
                self._write_all(result, progress)
        shutil.rmtree(self._staging, ignore_errors=True)

    def _is_complete(self) -> bool:
        """Return whether an earlier run wrote all of this very set."""
        try:
            with open(self._manifest_file, encoding="ascii") as file:
                return list(file) == self._manifest
        except (OSError, ValueError):
            return False

    def _begin(self) -> None:
        """Make the folder, or check that it contains only what an earlier run wrote of this set."""
        state = self._staging / "set"
        try:
            self._target.mkdir(parents=True, exist_ok=True)
            names = os.listdir(self._target)
            if names and names != [STAGING]:
                self._check_state(state)
            self._check_room()
            self._staging.mkdir(exist_ok=True)
            if not state.exists() or state.read_text() != self._manifest[0]:
                with self._replaced(state) as file:
                    file.write(self._manifest[0].encode())
        except OSError as error:
            raise write_error(self._target, error) from error

    def _check_state(self, state: Path) -> None:
        if not self._staging.is_dir():
            raise UsageError(f"the folder {self._target} is not empty: give a new one")
        try:
            is_same = state.read_text() == self._manifest[0]
        except FileNotFoundError:
            is_same = False
        if not is_same:
            raise UsageError(
                f"the folder {self._target} contains part of another set, or the plan or the "
                "files have changed since it was started: give a new folder"
            )

    def _check_room(self) -> None:
        needed = sum(
            content.n_bytes
            for place, content in self._contents.items()
            if not os.path.lexists(self._path(place))
        )
        free = shutil.disk_usage(self._target).free
        if needed > free:
            raise ImgdupError(
                f"the folder {self._target} has room for {size_text(free)}, and the cleaned "
                f"set needs up to {size_text(needed)}: give a folder on another disk"
            )

    def _write_all(self, result: WriteResult, progress: Callable[[int, int], None]) -> None:
        for number, (place, content) in enumerate(self._contents.items(), start=1):
            path = self._path(place)
            try:
                if content.is_at(path):
                    result.n_already += 1
                else:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with self._replaced(path, content) as file:
                        content.write(file)
                    result.n_bytes += path.stat().st_size
            except OSError as error:
                raise write_error(path, error, content.n_bytes) from error
            progress(number, len(self._contents))
        if hasattr(os, "sync"):
            os.sync()  # once for all files: each alone would take longer than its writing
        try:
            with self._replaced(self._manifest_file) as file:
                file.writelines(line.encode() for line in self._manifest)
        except OSError as error:
            raise write_error(self._manifest_file, error) from error

    def _path(self, place: bytes) -> Path:
        return self._target / os.fsdecode(place)

    @contextlib.contextmanager
    def _replaced(self, path: Path, like: Content | None = None) -> Iterator[BinaryIO]:
        """Open a file that gets its name when it is complete; the next run overwrites it.

        It gets the permissions and the mtime of the file of the input.
        """
        temporary = self._staging / "part"
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            if like is None or not like.is_copy:  # whose size does not show whether it is whole
                os.fsync(file.fileno())
        if like is not None:
            temporary.chmod(like.mode & PERMISSIONS)
            os.utime(temporary, ns=(like.mtime_ns, like.mtime_ns))
        os.replace(temporary, path)

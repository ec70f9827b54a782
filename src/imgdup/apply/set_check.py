"""Check the removals of a plan before a cleaned set is written; changes nothing."""

import os
from collections.abc import Callable

from imgdup.apply.recheck import (
    SkipFile,
    SkippedFile,
    check_content,
    compared_again,
    may_be_one_file,
)
from imgdup.containers.reading import read_content
from imgdup.dedupe.decide import Judge
from imgdup.dedupe.plan import FileFacts, Plan, Removal
from imgdup.errors import ImageError
from imgdup.index.columns import Rows, locator_of
from imgdup.system.files import content_digest
from imgdup.system.limits import Limits
from imgdup.system.paths import outer_file

COMPARED_AT_ONCE = 64  # pairs of pictures, so that all workers have something to do


def checked_removals(
    plan: Plan,
    rows: Rows,
    judge: Judge,
    progress: Callable[[int, int], None] = lambda n_seen, n_removals: None,
) -> tuple[list[Removal], list[SkippedFile]]:
    """Return the removals whose files are as the plan describes them, and the others.

    The pictures are compared again, too, unless their bytes are equal.
    """
    seen = _Seen(plan, rows)
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
        progress(start + len(some), len(good))
    return accepted, skipped


class _Seen:
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
        if locator is None:
            status = check_content(facts)
            self._identities[facts.path] = status.st_dev, status.st_ino
            return
        try:
            limits = Limits(max_file_bytes=max(1, facts.size))
            content = read_content(facts.path, limits, locator)
        except ImageError as error:
            raise SkipFile(error.reason, error.detail) from error
        if content_digest(content.data, facts.digest_kind) != facts.digest:
            raise SkipFile("changed", "its content is different")

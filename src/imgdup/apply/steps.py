"""What a journal says, as data: the run, and each step with all that is needed to undo it.

Both are written as records of JSON and read from them. Anyone may have edited a journal, so every
member is checked when it is read.
"""

import os
import stat
from typing import Any, NamedTuple

from imgdup.dedupe.plan import FileFacts
from imgdup.system import records
from imgdup.system.files import FIRST_DIGEST_KIND
from imgdup.system.records import Record

KIND = "imgdup"  # value of the key "journal"
VERSION = 1
ACTIONS = ("move", "trash", "delete", "hardlink", "symlink")
TOKEN_BYTES = 8
LINK_KEYS = ("path", "old", "new")
MAX_ID = (1 << 32) - 1  # of owners and groups


class Rights(NamedTuple):
    """Who may do what with a file: its permissions, and the numbers of its owner and group."""

    mode: int
    owner: int
    group: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Rights":
        """Return the rights of a file that was looked at."""
        return cls(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)


class Header(NamedTuple):
    """The first line of a journal: which run wrote it, and where the run may have changed files."""

    action: str  # one of ``ACTIONS``
    generation: str  # digest of the index's generation
    token: str  # random, in hex; part of all temporary names of the run
    # Folders and single files that hold everything the plan names; None in old journals.
    roots: tuple[bytes, ...] | None = None
    target: bytes | None = None  # the folder that files are moved to
    plan: str = ""  # seal of the plan; empty in old journals
    # How the contents of the files were digested, a key of `DIGEST_KINDS`; journals that name none
    # have that of the first version.
    digest_kind: str = FIRST_DIGEST_KIND


class ChangedLink(NamedTuple):
    """A symbolic link to a file that is removed; it is pointed to the kept file.

    ``old`` and ``new`` are what it contains before and after. ``spare`` and ``waiting`` are
    temporary names beside it, for the new link and the old one.
    """

    path: bytes
    old: bytes
    new: bytes
    spare: bytes
    waiting: bytes


class Step(NamedTuple):
    """One removal as a journal announces it, and the temporary names that it may use."""

    token: str  # of the run, in hex
    number: int  # from 1
    remove: FileFacts
    keep: bytes  # path of the file that is kept
    to: bytes | None  # where the file is moved to, if it is moved
    rights: Rights | None = None  # those of the file; None if they are not known
    # The uppermost folder that has to be made for ``to``; None if all folders are there.
    made: bytes | None = None
    links: tuple[tuple[bytes, bytes, bytes], ...] = ()  # the links to the file; see `changed_links`

    @property
    def changed_links(self) -> list[ChangedLink]:
        """The symbolic links to the file, each with temporary names of its own."""
        return [
            ChangedLink(
                path,
                old,
                new,
                self._temporary(path, b"link", b"-%d" % number),
                self._temporary(path, b"old", b"-%d" % number),
            )
            for number, (path, old, new) in enumerate(self.links, start=1)
        ]

    @property
    def aside(self) -> bytes:
        """A temporary name next to the file, which it has while it is checked again."""
        return self._temporary(self.remove.path, b"aside")

    @property
    def link(self) -> bytes:
        """A name beside the file, for the link that replaces it or the copy that undo makes."""
        return self._temporary(self.remove.path, b"link")

    @property
    def part(self) -> bytes:
        """A name beside the place that the file is moved to, for an unfinished copy."""
        return self._temporary(self.to or self.remove.path, b"part")

    @property
    def temporary_names(self) -> tuple[bytes, ...]:
        """All temporary names that the step may use for its file."""
        return self.aside, self.link, self.part

    def _temporary(self, path: bytes, ending: bytes, which: bytes = b"") -> bytes:
        name = b".imgdup-%s-%d%s.%s" % (self.token.encode(), self.number, which, ending)
        return os.path.join(os.path.dirname(path), name)


def new_token() -> str:
    """Return a random token for a run."""
    return os.urandom(TOKEN_BYTES).hex()


def header_record(header: Header) -> dict[str, Any]:
    """Return the first line of a journal as a record."""
    record = {"journal": KIND, "version": VERSION, **header._asdict()}
    if header.roots is not None:
        record["roots"] = records.path_list(header.roots)
    return record


def step_record(step: Step) -> dict[str, Any]:
    """Return the line that announces a step as a record."""
    facts = step.remove
    links = [dict(zip(LINK_KEYS, link, strict=True)) for link in step.links]
    return {
        "step": step.number,
        "remove": facts.path,
        "keep": step.keep,
        "to": step.to,
        "size": facts.size,
        "mtime_ns": facts.mtime_ns,
        "digest": facts.digest.hex(),
        **(step.rights._asdict() if step.rights else {}),
        **({"made": step.made} if step.made else {}),
        **({"links": links} if links else {}),
    }


def parsed_header(record: Record) -> Header:
    """Read the first line of a journal; ValueError or PlanError if it is not one."""
    if record.get("journal") != KIND:
        raise ValueError("not a journal; imgdup apply prints the path of its journal")
    records.check_version(record, "journal", VERSION)
    action, token = records.text(record, "action"), records.text(record, "token")
    if action not in ACTIONS:
        raise ValueError(f"no action {action!r}; there are {', '.join(ACTIONS)}")
    if len(bytes.fromhex(token)) != TOKEN_BYTES or not token.isalnum():
        raise ValueError("'token' is damaged")
    generation, kind = records.text(record, "generation"), records.digest_kind(record)
    if "roots" not in record:
        return Header(action, generation, token, digest_kind=kind)
    roots = tuple(records.paths(record, "roots"))
    target = None if record.get("target") is None else records.absolute_path(record, "target")
    return Header(action, generation, token, roots, target, records.text(record, "plan"), kind)


def parsed_step(header: Header, record: Record) -> Step:
    """Read the line that announces a step; ValueError if it is damaged."""
    facts = FileFacts(
        0,
        records.absolute_path(record, "remove"),
        records.number(record, "size"),
        records.number(record, "mtime_ns", least=-records.MAX_INT),
        records.digest(record, "digest"),
        header.digest_kind,
    )
    to = records.absolute_path(record, "to") if header.action == "move" else None
    return Step(
        header.token,
        records.number(record, "step"),
        facts,
        records.absolute_path(record, "keep"),
        to,
        _rights(record),
        records.absolute_path(record, "made") if "made" in record else None,
        tuple(
            _link(each) for each in (records.objects(record, "links") if "links" in record else ())
        ),
    )


def _link(record: Record) -> tuple[bytes, bytes, bytes]:
    old, new = (records.path_from_json(record, key) for key in ("old", "new"))
    return records.absolute_path(record, "path"), old, new


def _rights(record: Record) -> Rights | None:
    if "mode" not in record:
        return None
    return Rights(*(records.number(record, name, MAX_ID) for name in Rights._fields))


def continues(header: Header, past: Header) -> bool:
    """Return whether a run would only continue another one: same plan, action and target."""
    same = ("action", "generation", "target", "plan", "digest_kind")
    if any(getattr(header, name) != getattr(past, name) for name in same):
        return False
    return bool(header.plan) and set(header.roots or ()) <= set(past.roots or ())

"""A removal plan as data: a header and one line per removal, written and read as JSON lines.

Anyone may have edited the file of a plan, so every member is checked when it is read. Each line
has a seal, the digest of its other members; those of the removals depend on that of the header. So
lines may be deleted, but neither edited nor taken from another plan. Whether the plan fits its
index is checked by `imgdup.dedupe.check_plan`.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from imgdup.dedupe.relations import OLD_RELATIONS, RELATIONS, REMOVABLE
from imgdup.errors import PlanError, UsageError
from imgdup.images.gray import ORIENTATIONS
from imgdup.system import records
from imgdup.system.files import FIRST_DIGEST_KIND, common_mode, replacing
from imgdup.system.records import Record, json_line

KIND = "imgdup"  # value of the key "plan"
VERSION = 2
UNSEALED_VERSION = 1  # of older plans, whose removals have no seals
LINE_BYTES = 400  # of a removal, about, without its two paths
MAX_BITS = 1024
SEAL_BYTES = 16
MAX_PEAK = 255
MAX_BOX = 1000  # thousandths of a picture

T = TypeVar("T")


class FileFacts(NamedTuple):
    """The facts of a file in the index, which must still hold when the plan is applied.

    ``row`` is its row in the generation that the header names, ``digest`` that of its content,
    of the kind that the header names.
    """

    row: int
    path: bytes
    size: int
    mtime_ns: int
    digest: bytes
    digest_kind: str


class Removal(NamedTuple):
    """A file to remove, and why."""

    # The file to remove, and the file that is kept for it.
    remove: FileFacts
    keep: FileFacts
    distance: int  # of the two hashes, in bits
    relation: str  # see ``RELATIONS``
    # The largest difference between the two pictures, from 0 to 255; 0 if none was looked for.
    peak: float = 0.0
    # Where that difference is; see `imgdup.dedupe.relations.Verdict`.
    box: tuple[int, int, int, int] | None = None
    # How the removed picture must be turned to lie as the kept one, one of
    # `imgdup.images.gray.ORIENTATIONS`.
    orientation: str = ORIENTATIONS[0]
    rule: str = ""  # the keep rule that decided which of the two is kept; empty in older plans


class PlanHeader(NamedTuple):
    """The index and the options that a plan was made from."""

    generation: str  # digest of the index's generation
    roots: tuple[bytes, ...]  # of the index
    max_distance: int  # of the match hashes, in bits, inclusive
    search_distance: int | None  # of the search hashes, if these had to be near, too
    keep: tuple[str, ...]  # the keep rules
    protect: tuple[bytes, ...]  # folders whose files are never removed
    # Images compared, groups, lines that follow, bytes that these free.
    n_images: int
    n_groups: int
    n_removals: int
    n_bytes: int
    removable: tuple[str, ...] = REMOVABLE  # relations of files that may be removed
    # Whether pictures were compared rotated and mirrored, too; plans have this only if it is true.
    orientations: bool = False
    # The same: whether pairs found by the wide form of `MatchRule` counted, too.
    wide: bool = False
    seal: str = ""  # digest of all other members, in hex; see `sealed`
    # How the contents of the files were digested, a key of `DIGEST_KINDS`. Plans that name none
    # have that of the first version, and those of this kind name none still.
    digest_kind: str = FIRST_DIGEST_KIND
    version: int = VERSION  # of the plan's format


class Plan(NamedTuple):
    """A header and the removals, group by group."""

    header: PlanHeader
    removals: list[Removal]


def plan_lines(plan: Plan) -> Iterator[str]:
    """Yield a plan as lines of JSON, each with its newline: the header, then the removals."""
    yield json_line(_header_record(plan.header))
    for removal in plan.removals:
        record = removal_record(removal)
        yield json_line({**record, "seal": _line_seal(record, plan.header)})


def _header_record(header: PlanHeader) -> dict[str, Any]:
    record = {"plan": KIND, "version": header.version, **header._asdict()}
    for key in ("roots", "protect"):
        record[key] = records.path_list(record[key])
    if header.digest_kind == FIRST_DIGEST_KIND:
        del record["digest_kind"]  # so that the seals of older plans remain valid
    for key in ("orientations", "wide"):
        if not record[key]:
            del record[key]  # for the same reason
    if header.version == UNSEALED_VERSION:
        del record["removable"]
    return record


def sealed(header: PlanHeader) -> PlanHeader:
    """Return a header with the digest of its members, which shows whether it was edited.

    It detects a distance that was raised or a protected folder that was deleted by hand. It is no
    defence against an attacker, who can compute the digest, too.
    """
    return header._replace(seal=_digest(_header_record(header._replace(seal=""))))


def _line_seal(record: Record, header: PlanHeader) -> str:
    """Return the seal of a removal, whose record does not hold it."""
    return _digest(record, header.seal)


def _digest(record: Record, key: str = "") -> str:
    """Return the digest of a record, in hex; with another key it is another digest."""
    line = json_line(record).encode()
    return hashlib.blake2b(line, digest_size=SEAL_BYTES, key=key.encode()).hexdigest()


def removal_record(removal: Removal) -> dict[str, Any]:
    """Return a removal as a flat record, ready for `json_line`."""
    return {
        "remove": removal.remove.path,
        "keep": removal.keep.path,
        "distance": removal.distance,
        "relation": removal.relation,
        "peak": removal.peak,
        "box": None if removal.box is None else list(removal.box),
        "orientation": removal.orientation,
        "rule": removal.rule,
        **_facts_record("remove", removal.remove),
        **_facts_record("keep", removal.keep),
    }


def _facts_record(which: str, facts: FileFacts) -> dict[str, Any]:
    return {
        f"{which}_row": facts.row,
        f"{which}_size": facts.size,
        f"{which}_mtime_ns": facts.mtime_ns,
        f"{which}_digest": facts.digest.hex(),
    }


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan to a file, either completely or not at all.

    Nobody can read the plan who cannot read all files that it names.

    Raises ImgdupError if it cannot be written.
    """
    paths_bytes = sum(len(r.remove.path) + len(r.keep.path) for r in plan.removals)
    needed_bytes = paths_bytes + LINE_BYTES * (1 + len(plan.removals))
    mode = common_mode(facts.path for r in plan.removals for facts in (r.remove, r.keep))
    with replacing(path, needed_bytes=needed_bytes, mode=mode) as file:
        file.writelines(line.encode("ascii") for line in plan_lines(plan))


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Lines may have been deleted: these files are then kept. The seals are checked.

    Raises UsageError if there is no such file. Raises PlanError if it is not a plan, of a newer
    version, damaged or edited; the message names the line.
    """
    try:
        return _read(path)
    except FileNotFoundError as error:
        raise UsageError(f"no plan at {path}; make one with: imgdup dedupe --plan FILE") from error


def _read(path: Path) -> Plan:
    with closing(records.read_lines(path)) as file:
        lines = enumerate(file, start=1)
        number, line = next(lines, (1, b""))
        header = _checked(path, number, line, _header)
        read_removal = partial(_removal, header=header)
        removals = [_checked(path, number, line, read_removal) for number, line in lines]
    if len(removals) > header.n_removals:
        stated = f"its first line states {header.n_removals:,}"
        raise PlanError(f"{path} has {len(removals):,} removals, {stated}")
    return Plan(header, removals)


def _checked(path: Path, number: int, line: bytes, read: Callable[[Record], T]) -> T:
    """Read one line; an error names its number."""
    try:
        return read(records.parse_line(line))
    except (ValueError, PlanError) as error:
        raise PlanError(f"{path}, line {number}: {error}") from error


def _header(record: Record) -> PlanHeader:
    if record.get("plan") != KIND:
        raise ValueError('not a removal plan: the first line has no "plan": "imgdup"')
    if record.get("version") != UNSEALED_VERSION:
        records.check_version(record, "plan", VERSION)
    search_distance = record.get("search_distance")
    header = PlanHeader(
        records.text(record, "generation"),
        tuple(records.paths(record, "roots")),
        records.number(record, "max_distance", MAX_BITS),
        None if search_distance is None else records.number(record, "search_distance", MAX_BITS),
        tuple(records.texts(record, "keep")),
        tuple(records.paths(record, "protect")),
        records.number(record, "n_images"),
        records.number(record, "n_groups"),
        records.number(record, "n_removals"),
        records.number(record, "n_bytes"),
        _removable(record),
        record.get("orientations", False) is True,
        record.get("wide", False) is True,
        records.text(record, "seal"),
        records.digest_kind(record),
        records.number(record, "version"),
    )
    if header != sealed(header):
        raise ValueError("this line was edited; only lines of removals may be deleted")
    return header


def _removal(record: Record, header: PlanHeader) -> Removal:
    if header.version != UNSEALED_VERSION:
        others = {key: value for key, value in record.items() if key != "seal"}
        if records.text(record, "seal") != _line_seal(others, header):
            raise ValueError("this line was edited; it may be deleted, but not changed")
        more = _peak(record), _box(record), _orientation(record), records.text(record, "rule")
    else:
        more = 0.0, None, ORIENTATIONS[0], ""
    return Removal(
        _facts(record, "remove", header.digest_kind),
        _facts(record, "keep", header.digest_kind),
        records.number(record, "distance", MAX_BITS),
        _relation(records.text(record, "relation"), header.version),
        *more,
    )


def _removable(record: Record) -> tuple[str, ...]:
    """Read the relations that may be removed; older plans name none."""
    if record.get("version") == UNSEALED_VERSION:
        return REMOVABLE
    return tuple(_relation(name, VERSION) for name in records.texts(record, "removable"))


def _relation(name: str, version: int) -> str:
    known = (*RELATIONS, *OLD_RELATIONS) if version == UNSEALED_VERSION else RELATIONS
    if name not in known:
        raise ValueError(f"expected a relation from {', '.join(known)}, got {name!r}")
    return name


def _peak(record: Record) -> float:
    peak = record.get("peak")
    if not isinstance(peak, float) or not 0 <= peak <= MAX_PEAK:
        raise ValueError(f"expected a number from 0 to {MAX_PEAK} for peak, got {peak!r}")
    return peak


def _box(record: Record) -> tuple[int, int, int, int] | None:
    box = record.get("box")
    if box is None:
        return None
    is_box = type(box) is list and len(box) == 4
    if not is_box or not all(type(side) is int and 0 <= side <= MAX_BOX for side in box):
        raise ValueError(
            f"expected null or four numbers from 0 to {MAX_BOX:,} for box, got {box!r}"
        )
    x, y, width, height = box
    return x, y, width, height


def _orientation(record: Record) -> str:
    """Read how the removed picture is turned; older plans do not say it, for none is."""
    orientation = record.get("orientation", ORIENTATIONS[0])
    if orientation not in ORIENTATIONS:
        raise ValueError(
            f"expected an orientation from {', '.join(ORIENTATIONS)}, got {orientation!r}"
        )
    return str(orientation)


def _facts(record: Record, which: str, digest_kind: str) -> FileFacts:
    return FileFacts(
        records.number(record, f"{which}_row"),
        records.absolute_path(record, which),
        records.number(record, f"{which}_size"),
        records.number(record, f"{which}_mtime_ns", least=-records.MAX_INT),
        records.digest(record, f"{which}_digest"),
        digest_kind,
    )

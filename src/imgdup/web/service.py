"""What all addresses of one service share: the index, its decisions, and records of both.

The records of responses have the same keys as those of the command line, and contain paths only if
paths may be shown.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter
from starlette.responses import Response

from imgdup.api.index import ImageIndex
from imgdup.dedupe.decisions import DUPLICATE, Decision, DecisionFile, Key
from imgdup.dedupe.relations import RELATIONS, Verdict
from imgdup.hashing import MATCH_BITS
from imgdup.images.facts import ImageFacts
from imgdup.images.formats import format_of
from imgdup.images.gray import ORIENTATIONS
from imgdup.index.folder import DECISIONS
from imgdup.output.gallery import Member, comparison
from imgdup.query.match import Match
from imgdup.system.records import json_line, json_paths
from imgdup.web.collection import Collection, image_id
from imgdup.web.groups import Finder, Group, KeepOptions, Progress, Wanted
from imgdup.web.requests import JSON, Access, Refused, whole

MAX_FILES = 500  # of a group that are listed

Record = dict[str, Any]

THREADS = 16  # that search, and wait for workers
FILTERS = {"relation", "min_distance", "text", "folder"}  # of groups
MAX_TEXT = 1000  # characters to look for in paths
MAX_PAGE = 1 << 40

Decisions = dict[Key, Decision]


@dataclass(frozen=True)
class Shown:
    """An index, whether paths may be shown, and the decisions in effect, by their keys."""

    index: ImageIndex
    paths: bool
    decisions: Mapping[Key, Decision]


def info_record(shown: Shown) -> Record:
    """Return the facts of an index; the keys are those of ``imgdup info --json``."""
    facts = shown.index.info()
    roots = [os.fsencode(root) for root in facts.pop("roots")]
    more: Record = {"show_paths": shown.paths, "decisions": len(shown.decisions)}
    if shown.paths:
        more |= {**json_paths("roots", roots), "index": os.fsencode(shown.index.folder.absolute())}
    return {**facts, **more}


def image_record(shown: Shown, row: int) -> Record:
    """Return the facts of an image that the index has."""
    return image_records(shown, [row])[0]


def image_records(shown: Shown, rows: Sequence[int]) -> list[Record]:
    """Return the facts of indexed images; for many at once, since responses have many."""
    index = shown.index
    numbers = ("width", "height", "size", "quality", "format", "mtime_ns")
    columns = [index.column(name)[rows].tolist() for name in numbers]
    digests = [bytes(digest) for digest in index.column("digest")[rows]]
    records: list[Record] = []
    for row, digest, width, height, size, quality, kind, mtime_ns in zip(
        rows, digests, *columns, strict=True
    ):
        record: Record = {
            "id": image_id(index, row),
            "width": width,
            "height": height,
            "size": size,
            "quality": quality,
            "format": format_of(kind),
            "mtime_ns": mtime_ns,
            "digest": digest.hex(),
        }
        decision = shown.decisions.get((b"", digest))
        if decision is not None:
            is_other = decision.path and decision.path != index.rows.path(row)
            record["decision"] = None if is_other else decision.decision
        if shown.paths:
            record["path"] = index.rows.path(row)
        records.append(record)
    return records


def digest_of(index: ImageIndex, row: int) -> bytes:
    """Return the content digest of an image."""
    return bytes(index.column("digest")[row])


def facts_record(facts: ImageFacts) -> Record:
    """Return the facts about a file that people are interested in."""
    return {
        "camera": facts.camera,
        "taken_s": facts.taken_s,
        "colour": facts.colour,
        "bit_depth": facts.bit_depth,
        "jpeg_quality": facts.jpeg_quality,
        "n_pages": facts.n_pages,
        "holds": sorted(facts.holds),
    }


def match_records(
    shown: Shown,
    matches: Sequence[Match],
    verdicts: Sequence[Verdict | None],
    *,
    probe_row: int | None,
    orientations: bool,
) -> list[Record]:
    """Return matches; the keys are those of ``imgdup query --json``, and ``id``."""
    records = image_records(shown, [match.row for match in matches])
    for record, match, verdict in zip(records, matches, verdicts, strict=True):
        record |= {
            "distance": match.distance,
            "match_distance": match.match_distance,
            "duplicate": match.duplicate,
            "is_probe": match.row == probe_row,
            "pdq_distance": match.pdq_distance,
            "found_by": match.found_by,
        }
        if orientations:
            record["orientation"] = match.orientation
        if verdict is not None:
            record |= {"relation": verdict.relation, "peak": verdict.peak, "box": verdict.box}
    return records


def group_record(shown: Shown, group: Group, *, place: int, saving: int) -> Record:
    """Return a group: the kept file, and the others with what the comparison found.

    Of a large group not all files are listed; ``n_files`` counts all except the kept one.
    """
    roles = ["remove"] * len(group.removed) + ["similar"] * len(group.shown)
    listed = list(zip(group.members, roles, strict=True))[:MAX_FILES]
    keeper, *others = image_records(shown, [group.keeper, *(each.row for each, _ in listed)])
    files = [
        {**record, **_compared_record(shown, group.keeper, each, role)}
        for record, (each, role) in zip(others, listed, strict=True)
    ]
    return {
        "group": place,
        "saving": saving,
        "n_files": len(group.members),
        "keeper": {**keeper, "role": "keep"},
        "files": files,
    }


def _compared_record(shown: Shown, keeper: int, member: Member, role: str) -> Record:
    """Return what the comparison of a file with the kept file of its group found.

    The keys are those of ``imgdup dedupe --groups``, and more.
    """
    found = comparison(member.verdict, member.rule)
    pair = pair_key(shown.index, keeper, member.row)
    decision = shown.decisions.get(pair)
    return {
        "role": role,
        "duplicate_of": image_id(shown.index, keeper),
        "distance": member.distance,
        "relation": member.verdict.relation,
        "rule": member.rule,
        "peak": found.peak,
        "box": found.box,
        "keeper_box": found.keeper_box,
        "orientation": member.verdict.orientation or ORIENTATIONS[0],
        "sentence": found.sentence,
        "pair_decision": decision.decision if decision else None,
    }


def pair_key(index: ImageIndex, a: int, b: int) -> Key:
    """Return the key of decisions about two images; of equal bytes, that of their content."""
    first, second = digest_of(index, a), digest_of(index, b)
    return Decision(DUPLICATE, first, b"" if first == second else second).key


def accepted(shown: Shown, groups: Iterable[Group]) -> list[Decision]:
    """Return the decisions that accept the proposals for some groups; earlier ones are kept."""
    kind = shown.index.generation.digest_kind
    found = {}
    for group in groups:
        for member in group.removed:
            first, second = (digest_of(shown.index, row) for row in (group.keeper, member.row))
            other = b"" if first == second else second
            decision = Decision(DUPLICATE, first, other, digest_kind=kind)
            if decision.key not in shown.decisions:
                found[decision.key] = decision
    return list(found.values())


@dataclass(frozen=True)
class ServeOptions:
    """How an index is served.

    Attributes
    ----------
    access : Access
        Who may use the service.
    show_paths : bool
        Whether responses contain paths; without them there is no plan, and no search in paths.
    decisions : Path, optional
        The file of decisions; by default ``decisions.jsonl`` in the index folder.
    keep : KeepOptions
        Which files of the groups to keep.
    """

    access: Access = field(default_factory=Access)
    show_paths: bool = False
    decisions: Path | None = None
    keep: KeepOptions = field(default_factory=KeepOptions)


class Service:
    """What the addresses of one application share."""

    def __init__(self, folder: Path, options: ServeOptions) -> None:
        self.options = options
        self.collection = Collection(folder)
        self.finder = Finder(self.collection, options.keep)
        self.decisions = DecisionFile(options.decisions or folder / DECISIONS)
        self.threads = CapacityLimiter(THREADS)
        self._valid: tuple[Decisions, str, Decisions] = ({}, "", {})  # all, and those of a kind

    def start(self) -> None:
        """Start the worker processes now: this process can be forked while it has one thread."""
        self.collection.pool.start()

    def close(self) -> None:
        """End all work."""
        self.finder.close()
        self.collection.close()

    def shown(self) -> Shown:
        """Return the index as it is now, with the decisions in effect."""
        index = self.collection.index()
        kind, latest = index.generation.digest_kind, self.decisions.latest()
        known, of_kind, valid = self._valid
        if known is not latest or of_kind != kind:
            valid = {key: each for key, each in latest.items() if each.digest_kind == kind}
            self._valid = latest, kind, valid
        return Shown(index, self.options.show_paths, valid)

    def require_paths(self, what: str) -> None:
        """Raise if paths may not be shown."""
        if not self.options.show_paths:
            raise Refused(403, "paths-hidden", f"{what} contains paths, which this service hides")


def json_response(record: Mapping[str, Any]) -> Response:
    """Return a record as a response."""
    return Response(json_line(record), media_type=JSON)


def in_progress(progress: Progress) -> Response:
    """Respond that pictures are still being compared."""
    record = {"state": "comparing", "decided": progress.n_decided, "files": progress.n_files}
    return Response(json_line(record), 202, {"Retry-After": "1"}, JSON)


def wanted_groups(service: Service, values: Mapping[str, str]) -> Wanted:
    """Read which groups a request asks for."""
    relation, looked_for, folder = (values.get(key, "") for key in ("relation", "text", "folder"))
    if relation and relation not in RELATIONS:
        raise Refused(422, "wrong-value", f"relation must be one of {', '.join(RELATIONS)}")
    if looked_for or folder:
        service.require_paths("a search for text or a folder")
    if len(looked_for) > MAX_TEXT:
        raise Refused(422, "wrong-value", f"text may have {MAX_TEXT:,} characters at most")
    min_distance = whole(values, "min_distance", 0, MATCH_BITS) or 0
    return Wanted(relation, min_distance, looked_for, folder)

"""Read and write decisions, and make the plan that follows from them."""

from itertools import compress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from imgdup.dedupe import decisions as deciding
from imgdup.dedupe.decisions import decided as decided_by
from imgdup.dedupe.plan import plan_lines
from imgdup.system.records import Record
from imgdup.web.collection import rows_of_content
from imgdup.web.groups import Progress
from imgdup.web.requests import (
    Refused,
    as_refused,
    check_known,
    object_of,
    objects_of,
    texts_of,
    whole,
)
from imgdup.web.service import (
    FILTERS,
    MAX_PAGE,
    Service,
    Shown,
    accepted,
    digest_of,
    in_progress,
    json_response,
    wanted_groups,
)

MAX_DECISIONS = 10_000  # in one request
DECISIONS_PER_PAGE = 1000


def list_decisions(service: Service, request: Request, body: bytes) -> Response:
    """Return the decisions in effect, page by page."""
    check_known(request.query_params, {"page"})
    page = whole(request.query_params, "page", 1, MAX_PAGE) or 1
    latest = list(service.decisions.latest().values())
    here = latest[(page - 1) * DECISIONS_PER_PAGE : page * DECISIONS_PER_PAGE]
    return json_response(
        {
            "page": page,
            "pages": -(-len(latest) // DECISIONS_PER_PAGE),
            "n_decisions": len(latest),
            "decisions": _decision_records(service, here),
        }
    )


def _decision_records(service: Service, decisions: list[deciding.Decision]) -> list[Record]:
    """Return decisions as records, without paths where these are hidden."""
    if not service.options.show_paths:
        decisions = [each._replace(path=b"") for each in decisions]
    return [deciding.decision_record(each) for each in decisions]


def decide(service: Service, request: Request, body: bytes) -> Response:
    """Record decisions; the response is sent when they are on disk."""
    check_known(request.query_params, set())
    record = object_of(body)
    shown = service.shown()
    replaced: list[str | None]
    if set(record) == {"accept"} and isinstance(record["accept"], dict):
        found = service.finder.find(shown.index)
        if isinstance(found, Progress):
            return in_progress(found)
        values = texts_of(record["accept"], FILTERS)
        places = found.places(wanted_groups(service, values))
        new = accepted(shown, (found.groups[place] for place in places))
        replaced = [deciding.UNDECIDED for _ in new]
    elif set(record) == {"decisions"}:
        records = objects_of(record, "decisions", MAX_DECISIONS)
        replaced = [_replaced(each) for each in records]
        new = [_decision(service, shown, each) for each in records]
    else:
        raise Refused(422, "wrong-value", "name decisions, or accept with a filter of groups")
    written = service.decisions.append(new, replaced) if new else []
    return json_response(
        {"n_written": len(written), "decisions": _decision_records(service, written)}
    )


def _replaced(record: Record) -> str | None:
    """Read which decision a new one replaces; None means any."""
    value = record.get("replaces", "")
    if value and value not in deciding.NAMES:
        raise Refused(422, "wrong-value", f"replaces must be one of {', '.join(deciding.NAMES)}")
    return str(value) or None


def _decision(service: Service, shown: Shown, record: Record) -> deciding.Decision:
    """Read a decision about images by their ids, or about contents by their digests."""
    kind = shown.index.generation.digest_kind
    record = {key: value for key, value in record.items() if key != "replaces"}
    if "id" not in record:
        return as_refused(lambda: deciding.read_decision({"digest_kind": kind, **record}))
    if set(record) - {"decision", "id", "other"} or not isinstance(record["id"], str):
        raise Refused(
            422, "wrong-value", "a decision has decision and id, and may have other and replaces"
        )
    image = service.collection.row(record["id"])
    digest = digest_of(image.index, image.row)
    named: dict[str, Any] = {"decision": record.get("decision"), "digest": digest.hex()}
    if "other" in record:
        other = service.collection.row(str(record["other"]))
        other_digest = digest_of(other.index, other.row)
        if other_digest != digest:
            named["other"] = other_digest.hex()
        elif record.get("decision") == deciding.DIFFERENT:
            raise Refused(422, "wrong-value", "the two files have equal bytes")
    decision = as_refused(lambda: deciding.read_decision({**named, "digest_kind": kind}))
    if decision.decision == deciding.PREFER and len(rows_of_content(image.index, digest)) > 1:
        return decision._replace(path=image.index.rows.path(image.row))
    return decision


def plan(service: Service, request: Request, body: bytes) -> Response:
    """Return the plan of `imgdup dedupe --decisions`; ``accepted_only`` leaves lines out."""
    check_known(request.query_params, set())
    record = object_of(body)
    accepted_only = record.get("accepted_only", False)
    if set(record) - {"accepted_only"} or not isinstance(accepted_only, bool):
        raise Refused(422, "wrong-value", "the body may have accepted_only, true or false")
    service.require_paths("a plan")
    shown = service.shown()
    decided = decided_by(shown.decisions.values(), shown.index.generation.digest_kind)
    found = service.finder.find(shown.index, decided)
    if isinstance(found, Progress):
        return in_progress(found)
    made = found.duplicates.plan()
    lines = list(plan_lines(made))
    if accepted_only:
        chosen = [
            deciding.is_confirmed(shown.decisions, each.remove.digest, each.keep.digest)
            for each in made.removals
        ]
        lines[1:] = compress(lines[1:], chosen)
    headers = {"Content-Disposition": 'attachment; filename="plan.jsonl"'}
    return Response("".join(lines), 200, headers, "application/jsonl")

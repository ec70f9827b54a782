"""The OpenAPI document of the service: the parameters and responses of each address."""

from typing import Any

from imgdup import __version__
from imgdup.dedupe.decisions import NAMES, OF_CONTENTS, OF_PAIRS
from imgdup.dedupe.relations import RELATIONS
from imgdup.images.gray import ORIENTATIONS
from imgdup.query.match import HASHES
from imgdup.system.files import DIGEST_KINDS

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
WHOLE: Schema = {"type": "integer"}
BOX: Schema = {"type": ["array", "null"], "items": WHOLE, "minItems": 4, "maxItems": 4}
DIGEST: Schema = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
ID: Schema = {"type": "string", "pattern": "^[0-9a-f]{16}-[0-9]{1,18}$"}
IMAGE: Schema = {
    "id": ID,
    **{name: WHOLE for name in ("width", "height", "size", "quality", "mtime_ns")},
    "format": TEXT,
    "digest": DIGEST,
}
OPTIONAL: Schema = {"path": TEXT, "path_b64": TEXT, "decision": {"type": ["string", "null"]}}
COMPARED: Schema = {
    "relation": {"type": "string", "enum": list(RELATIONS)},
    "peak": {"type": "number"},
    "box": BOX,
}
TURNED: Schema = {"type": "string", "enum": list(ORIENTATIONS)}
PAGES: Schema = {"page": WHOLE, "pages": WHOLE}
ERRORS = {
    "400": "not a request that this service reads",
    "401": "the token is missing or wrong",
    "403": "the host, the origin, or the type of the response is refused",
    "404": "there is no such thing",
    "409": "the id is of an earlier generation, or the index cannot do this",
    "410": "the file is gone or has changed",
    "411": "the body has no Content-Length",
    "413": "the body is too large",
    "415": "the body is neither JSON nor a picture",
    "422": "a value is wrong, or the picture cannot be decoded",
    "503": "too much waits, or the index is gone; Retry-After says when to ask again",
}


def document() -> Schema:
    """Return the document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "imgdup",
            "version": __version__,
            "description": "Search an index of images, review its duplicates, and plan which to "
            "remove. Nothing is removed by this service.",
        },
        "security": [{"token": []}],
        "paths": {**_image_paths(), **_group_paths()},
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {**_image_schemas(), **_group_schemas(), **_decision_schemas()},
        },
    }


def _image_paths() -> Schema:
    image = {"name": "id", "in": "path", "required": True, "schema": ID}
    return {
        "/api/health": {"get": _operation("Whether there is an index.", "Health", is_open=True)},
        "/api/openapi.json": {
            "get": _operation("This document.", {"type": "object"}, is_open=True)
        },
        "/api/info": {"get": _operation("The facts of the index.", "Info")},
        "/api/query": {
            "post": _operation(
                "Find the indexed images near a picture, an indexed image, or a hash.",
                "Matches",
                parameters=_query_parameters(),
                body={"image/*": {"type": "string", "format": "binary"}, "": "Probe"},
            )
        },
        "/api/images/{id}": {
            "get": _operation(
                "The facts of an image.", "Image", parameters=[image, _parameter("facts", FLAG)]
            )
        },
        "/api/images/{id}/thumbnail": {
            "get": _operation(
                "A new, small JPEG file of an image.",
                {"type": "string", "format": "binary"},
                parameters=[
                    image,
                    _parameter("side", {"type": "integer", "minimum": 16, "maximum": 2048}),
                ],
                kind="image/jpeg",
            )
        },
    }


def _group_paths() -> Schema:
    page = _parameter("page", {"type": "integer", "minimum": 1})
    return {
        "/api/filters": {
            "get": _operation(
                "How many groups each relation and each folder has.", "Filters", takes_long=True
            )
        },
        "/api/groups": {
            "get": _operation(
                "The groups of duplicates, those first that save most.",
                "Groups",
                parameters=[page, *(_parameter(*each) for each in _filter().items())],
                takes_long=True,
            )
        },
        "/api/decisions": {
            "get": _operation("The decisions that count.", "Decisions", parameters=[page]),
            "post": _operation(
                "Record decisions; the response is sent when they are on disk.",
                "Written",
                body={"": "NewDecisions"},
                takes_long=True,
            ),
        },
        "/api/plan": {
            "post": _operation(
                "The removal plan, by the decisions; imgdup apply carries it out.",
                TEXT,
                body={"": "PlanRequest"},
                kind="application/jsonl",
                takes_long=True,
            )
        },
    }


def _query_parameters() -> list[Schema]:
    return [
        _parameter("max_dist", {"type": "integer", "minimum": 0, "maximum": 256}),
        _parameter("k", {"type": "integer", "minimum": 1, "maximum": 10_000}),
        _parameter("by", {"type": "string", "enum": list(HASHES)}),
        _parameter("orientations", FLAG),
        _parameter("verify", FLAG),
        _parameter("limit", {"type": "integer", "minimum": 1, "maximum": 10_000}),
    ]


def _filter() -> Schema:
    return {
        "relation": {"type": "string", "enum": list(RELATIONS)},
        "folder": {"type": "string", "maxLength": 4096},
        "min_distance": {"type": "integer", "minimum": 0, "maximum": 256},
        "text": {"type": "string", "maxLength": 1000},
    }


def _parameter(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "schema": schema}


def _operation(
    summary: str,
    response: str | Schema,
    *,
    parameters: list[Schema] | None = None,
    body: dict[str, str | Schema] | None = None,
    kind: str = "application/json",
    takes_long: bool = False,
    is_open: bool = False,
) -> Schema:
    """Return the description of one method of an address."""
    responses = {"200": _content("done", kind, response)}
    if takes_long:
        responses["202"] = _content(
            "pictures are still being compared; ask again", "application/json", "Progress"
        )
    responses |= {
        status: _content(words, "application/json", "Error") for status, words in ERRORS.items()
    }
    operation: Schema = {"summary": summary, "responses": responses}
    if parameters:
        operation["parameters"] = parameters
    if body:
        content = {name or "application/json": {"schema": _schema(s)} for name, s in body.items()}
        operation["requestBody"] = {"required": True, "content": content}
    if is_open:
        operation["security"] = []
    return operation


def _content(words: str, kind: str, response: str | Schema) -> Schema:
    return {"description": words, "content": {kind: {"schema": _schema(response)}}}


def _schema(named: str | Schema) -> Schema:
    return {"$ref": f"#/components/schemas/{named}"} if isinstance(named, str) else named


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
    }


def _closed(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {**_object(required, optional), "additionalProperties": False}


def _list(items: str | Schema, **more: int) -> Schema:
    return {"type": "array", "items": _schema(items), **more}


def _image_schemas() -> Schema:
    match: Schema = {
        **IMAGE,
        "distance": WHOLE,
        "match_distance": _or_null(WHOLE),
        "duplicate": FLAG,
        "is_probe": FLAG,
        "pdq_distance": _or_null(WHOLE),
        "found_by": _list({"type": "string", "enum": list(HASHES)}),
    }
    return {
        "Error": _object({"error": TEXT, "detail": TEXT}),
        "Health": _object({"status": TEXT}),
        "Progress": _object({"state": TEXT, "decided": WHOLE, "files": WHOLE}),
        "Info": _object({"images": WHOLE, "digest": DIGEST, "show_paths": FLAG}),
        "Image": _object(IMAGE, {**OPTIONAL, "facts": {"type": "object"}}),
        "Match": _object(match, {**OPTIONAL, **COMPARED, "orientation": TURNED}),
        "Matches": _object({"generation": DIGEST, "matches": _list("Match"), "more": FLAG}),
    }


def _group_schemas() -> Schema:
    member: Schema = {
        **IMAGE,
        **COMPARED,
        "role": {"type": "string", "enum": ["remove", "similar"]},
        "duplicate_of": ID,
        "distance": WHOLE,
        "rule": TEXT,
        "keeper_box": BOX,
        "orientation": TURNED,
        "sentence": TEXT,
        "pair_decision": _or_null(TEXT),
    }
    group: Schema = {"group": WHOLE, "saving": WHOLE, "n_files": WHOLE}
    counts: Schema = {"per_page": WHOLE, "n_groups": WHOLE, "saving": WHOLE}
    relation = _object({"relation": COMPARED["relation"], "n_groups": WHOLE})
    folder = _object({"folder": TEXT, "n_groups": WHOLE})
    return {
        "Keeper": _object({**IMAGE, "role": TEXT}, OPTIONAL),
        "Member": _object(member, OPTIONAL),
        "Group": _object({**group, "keeper": _schema("Keeper"), "files": _list("Member")}),
        "Groups": _object({"generation": DIGEST, **PAGES, **counts, "groups": _list("Group")}),
        "Filters": _object({"relations": _list(relation)}, {"folders": _list(folder)}),
    }


def _decision_schemas() -> Schema:
    of_two: Schema = {"decision": {"type": "string", "enum": list(OF_PAIRS)}}
    of_one: Schema = {"decision": {"type": "string", "enum": list(OF_CONTENTS)}}
    kind: Schema = {"digest_kind": {"type": "string", "enum": list(DIGEST_KINDS)}}
    old: Schema = {"replaces": {"type": "string", "enum": list(NAMES)}}
    hexadecimal = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    percent = {"type": "integer", "minimum": 0, "maximum": 100}
    decision = {"digest": DIGEST, "digest_kind": kind["digest_kind"], **of_one}
    return {
        "Decision": _object(decision | {"decision": TEXT}, {"other": DIGEST, "path": TEXT}),
        "Decisions": _object({**PAGES, "n_decisions": WHOLE, "decisions": _list("Decision")}),
        "Written": _object({"n_written": WHOLE, "decisions": _list("Decision")}),
        "Probe": {
            "oneOf": [
                _closed({"id": ID}),
                _closed(
                    {"hash": {"type": "string", "pattern": "^([0-9a-f]{16}|[0-9a-f]{64})$"}},
                    {"match": hexadecimal, "quality": percent},
                ),
            ]
        },
        "NewDecision": {
            "anyOf": [
                _closed({**of_one, "id": ID}, old),
                _closed({**of_two, "id": ID, "other": ID}, old),
                _closed({**of_one, "digest": DIGEST}, kind | old),
                _closed({**of_two, "digest": DIGEST, "other": DIGEST}, kind | old),
            ]
        },
        "NewDecisions": {
            "oneOf": [
                _closed({"decisions": _list("NewDecision", minItems=1, maxItems=10_000)}),
                _closed({"accept": _closed({}, _filter())}),
            ]
        },
        "PlanRequest": _closed({}, {"accepted_only": FLAG}),
    }


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}

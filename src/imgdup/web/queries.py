"""Look up a picture that was sent, an indexed one, or a hash, as `imgdup query` does."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from imgdup.api.index import ImageIndex
from imgdup.dedupe.relations import Verdict
from imgdup.dedupe.sources import File, file_of_probe, file_of_row
from imgdup.dedupe.verify import Verifier
from imgdup.hashing import MATCH_BITS
from imgdup.query import hash_bits
from imgdup.query.match import HASHES, Match
from imgdup.query.matches import QueryOptions, look_up_each
from imgdup.query.probe import Probe, Probes
from imgdup.search import WORD_BITS, Hashes
from imgdup.system.records import Record, number
from imgdup.web.collection import Collection
from imgdup.web.requests import Refused, check_known, flag, whole
from imgdup.web.service import Shown, digest_of, match_records

MAX_MATCHES = 10_000
MATCHES = 1000  # that a response has by default
COMPARED = 100  # matches whose pictures are compared


class QueryRequest(NamedTuple):
    """What to look for: as the options of `imgdup query`, and how many matches to return."""

    options: QueryOptions
    verify: bool = False
    limit: int = MATCHES


class _Probed(NamedTuple):
    """What is looked up: its hashes, the file if there is one, and its row if it is indexed."""

    probes: Probes
    file: File | None = None
    row: int | None = None
    has_match: bool = True


def read_request(values: Mapping[str, str], index: ImageIndex) -> QueryRequest:
    """Read the parameters of a query.

    Raises Refused if one is unknown, or not a number in its range.
    """
    known = {"max_dist", "k", "orientations", "verify", "by", "limit"}
    check_known(values, known)
    by = values.get("by")
    if by is not None and by not in HASHES:
        raise Refused(422, "wrong-value", f"by must be one of {', '.join(HASHES)}")
    most = hash_bits(index.generation, by or "search")
    verify = flag(values, "verify")
    limit = whole(values, "limit", 1, COMPARED if verify else MAX_MATCHES)
    options = QueryOptions(
        whole(values, "max_dist", 0, most),
        whole(values, "k", 1, MAX_MATCHES),
        orientations=flag(values, "orientations"),
        by=by,
    )
    return QueryRequest(options, verify, limit or (COMPARED if verify else MATCHES))


def query_picture(
    collection: Collection, shown: Shown, request: QueryRequest, data: bytes
) -> dict[str, Any]:
    """Look up a picture that was sent; raises ImageError if it is not a picture."""
    index, wanted = shown.index, request.options
    probes = collection.probes(data, index, orientations=wanted.orientations)
    file = file_of_probe(probes[0], index.generation.digest_kind, b"", data)
    return _response(collection, shown, request, _Probed(probes, file))


def query_named(
    collection: Collection, shown: Shown, request: QueryRequest, record: Record
) -> dict[str, Any]:
    """Look up an indexed image by its ``id``, or hashes in hexadecimal: ``hash``, ``match``.

    Raises Refused if the record names neither, or both.
    """
    if set(record) == {"id"} and isinstance(record["id"], str):
        return _response(collection, shown, request, _of_row(collection, request, record["id"]))
    if "hash" in record and set(record) <= {"hash", "match", "quality"}:
        return _response(collection, shown, request, _of_hashes(shown.index, request, record))
    raise Refused(
        422, "wrong-value", "name an image by id, or a hash; match and quality may follow"
    )


def _of_row(collection: Collection, request: QueryRequest, image_id: str) -> _Probed:
    """Return the hashes that the index has of an image; turned ones need its file."""
    image = collection.row(image_id)
    index, row = image.index, image.row
    file = file_of_row(index.rows, row)
    if request.options.orientations:
        return _Probed(collection.probes_of_row(image, orientations=True), file, row)
    index.generation.require_match()
    here = slice(row, row + 1)
    pdq = index.column("pdq")[here] if index.generation.has_pdq else None
    probe = Probe(
        index.column("hashes")[here],
        index.column("match")[here],
        int(index.column("quality")[row]),
        digest_of(index, row),
        pdq=pdq,
    )
    return _Probed([probe], file, row)


def _of_hashes(index: ImageIndex, request: QueryRequest, record: Record) -> _Probed:
    """Return hashes that were given; without a match hash only the search hash is looked up."""
    search = _hash(record, "hash", index.bits)
    wanted = request.options
    if wanted.orientations or request.verify:
        raise Refused(422, "wrong-value", "a hash can be neither turned nor compared as a picture")
    has_match = "match" in record
    if not has_match and wanted.by in (None, "search"):
        match = np.zeros((1, MATCH_BITS // WORD_BITS), np.uint64)
    elif wanted.by == "pdq" or not has_match:
        raise Refused(422, "wrong-value", f"name the {wanted.by} hash, or look up another one")
    else:
        match = _hash(record, "match", MATCH_BITS)
    try:
        quality = number(record, "quality", 100) if "quality" in record else 100
    except ValueError as error:
        raise Refused(422, "wrong-value", str(error)) from error
    probe = Probe(search, match, quality if has_match else 0, b"")
    return _Probed([probe], has_match=has_match)


def _hash(record: Record, key: str, bits: int) -> Hashes:
    """Read a hash of hexadecimal digits, the most significant first."""
    text, digits = record[key], bits // 4
    hexadecimal = isinstance(text, str) and text.isascii() and text.isalnum()
    if not hexadecimal or len(text) != digits:
        raise Refused(422, "wrong-value", f"{key} must be {digits} hexadecimal digits")
    try:
        data = bytes.fromhex(text)
    except ValueError as error:
        raise Refused(422, "wrong-value", f"{key} must be {digits} hexadecimal digits") from error
    return np.frombuffer(data[::-1], "<u8").astype(np.uint64)[np.newaxis]


def _response(
    collection: Collection, shown: Shown, request: QueryRequest, probed: _Probed
) -> dict[str, Any]:
    """Search, and write the matches as a record."""
    index, options = shown.index, replace(request.options, n_read=request.limit + 1)
    if not probed.has_match and options.by is None:
        options = replace(options, by="search")
    with collection.searching:
        found = look_up_each(index.generation, [probed.probes], options)
        matches = list(islice(next(found), request.limit + 1))
        next(found, None)  # it releases what it holds
    more = len(matches) > request.limit
    matches = matches[: request.limit]
    verdicts: list[Verdict] | list[None] = (
        _verdicts(collection, index, probed, matches) if request.verify else [None] * len(matches)
    )
    if not probed.has_match:
        matches = [match._replace(match_distance=None) for match in matches]
    with collection.searching:
        records = match_records(
            shown, matches, verdicts, probe_row=probed.row, orientations=options.orientations
        )
    return {"generation": index.digest, "matches": records, "more": more}


def _verdicts(
    collection: Collection, index: ImageIndex, probed: _Probed, matches: list[Match]
) -> list[Verdict]:
    if probed.file is None:
        raise ValueError("a hash has no picture to compare")
    pairs = [(file_of_row(index.rows, match.row), probed.file) for match in matches]
    with Verifier(limits=collection.limits, pool=collection.pool) as verifier:
        return verifier.compare(pairs)

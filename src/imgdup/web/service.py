"""What all addresses of one service share: the index, its groups, and the decisions about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter
from starlette.responses import Response

from imgdup.dedupe.decisions import Decision, DecisionFile, Key
from imgdup.dedupe.relations import RELATIONS
from imgdup.hashing import MATCH_BITS
from imgdup.index.folder import DECISIONS
from imgdup.system.records import json_line
from imgdup.web.answers import Shown
from imgdup.web.collection import Collection
from imgdup.web.groups import Finder, KeepOptions, Progress, Wanted
from imgdup.web.requests import JSON, Access, Refused, whole

THREADS = 16  # that search, and wait for workers
FILTERS = {"relation", "min_distance", "text", "folder"}  # of groups
MAX_TEXT = 1000  # characters to look for in paths
MAX_PAGE = 1 << 40

Decisions = dict[Key, Decision]


@dataclass(frozen=True)
class ServeOptions:
    """How an index is served.

    Attributes
    ----------
    access : Access
        Who may ask.
    show_paths : bool
        Whether answers name paths; without them there is no plan, and no search in paths.
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


def json_answer(record: Mapping[str, Any], status: int = 200) -> Response:
    """Return a record as a response."""
    return Response(json_line(record), status, media_type=JSON)


def in_progress(progress: Progress) -> Response:
    """Respond that pictures are still being compared."""
    record = {"state": "comparing", "decided": progress.n_decided, "files": progress.n_files}
    return Response(json_line(record), 202, {"Retry-After": "1"}, JSON)


def wanted_groups(service: Service, values: Mapping[str, str]) -> Wanted:
    """Read which groups are meant."""
    relation, looked_for, folder = (values.get(key, "") for key in ("relation", "text", "folder"))
    if relation and relation not in RELATIONS:
        raise Refused(422, "wrong-value", f"relation must be one of {', '.join(RELATIONS)}")
    if looked_for or folder:
        service.require_paths("a search for text or a folder")
    if len(looked_for) > MAX_TEXT:
        raise Refused(422, "wrong-value", f"text may have {MAX_TEXT:,} characters at most")
    min_distance = whole(values, "min_distance", 0, MATCH_BITS) or 0
    return Wanted(relation, min_distance, looked_for, folder)

"""The service as an ASGI application: the routes and what handles them."""

import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from importlib.resources import files
from pathlib import Path

from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from imgdup.api.index import ImageIndex
from imgdup.errors import ImgdupError
from imgdup.index.pack import check_has_pictures
from imgdup.output.page import SHARED
from imgdup.web import decide, queries
from imgdup.web.groups import PER_PAGE, KeepOptions, Progress
from imgdup.web.openapi import document
from imgdup.web.requests import (
    JSON,
    Access,
    Guard,
    Refused,
    check_known,
    flag,
    object_of,
    refusal,
    whole,
)
from imgdup.web.service import (
    FILTERS,
    MAX_PAGE,
    ServeOptions,
    Service,
    facts_record,
    group_record,
    image_record,
    in_progress,
    info_record,
    json_response,
    wanted_groups,
)

SIDE, MIN_SIDE, MAX_SIDE = 220, 16, 2048  # pixels of the longer side of a thumbnail
FOREVER = {"Cache-Control": "private, max-age=604800, immutable"}
TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
INDEX_PAGE = "index.html"

Work = Callable[[Service, Request, bytes], Response]

__all__ = ["Access", "KeepOptions", "ServeOptions", "create_app"]


def create_app(
    index: str | os.PathLike[str] | ImageIndex, options: ServeOptions | None = None
) -> Starlette:
    """Make the application that serves an index.

    Its pages and its interface are those of ``imgdup serve``. A new generation of the index is
    served as soon as it is written.

    Parameters
    ----------
    index : path or ImageIndex
        The index folder.
    options : ServeOptions, optional
        By default requests need no token and responses have no paths.

    Raises
    ------
    ImgdupError
        If there is no index, or it is a hash pack, which has no pictures.
    """
    folder = index.folder if isinstance(index, ImageIndex) else Path(index)
    options = options or ServeOptions()
    check_has_pictures(ImageIndex.open(folder).generation)
    service = Service(folder, options)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await to_thread.run_sync(service.close)

    app = Starlette(
        routes=_routes(service),
        middleware=[Middleware(Guard, access=options.access)],
        exception_handlers={HTTPException: _http_error, Exception: _unexpected},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # an address that does not exist leads nowhere
    app.state.service = service
    return app


def _routes(service: Service) -> list[BaseRoute]:
    get, post = partial(_route, service, "GET"), partial(_route, service, "POST")
    return [
        get("/api/health", _health),
        get("/api/openapi.json", _openapi),
        get("/api/info", _info),
        post("/api/query", _query),
        get("/api/images/{id}", _image),
        get("/api/images/{id}/thumbnail", _thumbnail),
        get("/api/filters", _filters),
        get("/api/groups", _groups),
        get("/api/decisions", decide.list_decisions),
        post("/api/decisions", decide.decide),
        post("/api/plan", decide.plan),
        *(_static_route(name, *content) for name, content in _static_files().items()),
    ]


def _route(service: Service, method: str, path: str, work: Work) -> Route:
    """Return a route whose work is done in a thread."""

    def respond(request: Request, body: bytes) -> Response:
        try:
            return work(service, request, body)
        except Refused as refused:
            return refused.response()
        except ImgdupError as error:
            return refusal(error, show_paths=service.options.show_paths).response()

    async def endpoint(request: Request) -> Response:
        body = await request.body()
        return await to_thread.run_sync(respond, request, body, limiter=service.threads)

    return Route(path, endpoint, methods=[method], name=f"{method} {path}")


async def _http_error(request: Request, error: Exception) -> Response:
    """Respond to what Starlette refuses: an unknown address, or a method that is not allowed."""
    if not isinstance(error, HTTPException):
        raise TypeError(f"not an error of Starlette: {error!r}")
    word = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "refused")
    return Refused(error.status_code, word, str(error.detail), error.headers).response()


async def _unexpected(request: Request, error: Exception) -> Response:
    """Report an internal error; Starlette raises the error again, for the log."""
    return Refused(
        500, "internal", "something went wrong; the log of the service says what"
    ).response()


def _health(service: Service, request: Request, body: bytes) -> Response:
    service.collection.index()
    return json_response({"status": "ok"})


def _openapi(service: Service, request: Request, body: bytes) -> Response:
    return json_response(document())


def _info(service: Service, request: Request, body: bytes) -> Response:
    check_known(request.query_params, set())
    return json_response(info_record(service.shown()))


def _query(service: Service, request: Request, body: bytes) -> Response:
    shown = service.shown()
    wanted = queries.read_request(request.query_params, shown.index)
    if request.headers["content-type"].partition(";")[0].strip().lower() == JSON:
        record = object_of(body)
        return json_response(queries.query_named(service.collection, shown, wanted, record))
    return json_response(queries.query_picture(service.collection, shown, wanted, body))


def _image(service: Service, request: Request, body: bytes) -> Response:
    check_known(request.query_params, {"facts"})
    shown = service.shown()
    image = service.collection.row(request.path_params["id"])
    record = image_record(replace(shown, index=image.index), image.row)
    if flag(request.query_params, "facts"):
        record["facts"] = facts_record(service.collection.facts(image))
    return json_response(record)


def _thumbnail(service: Service, request: Request, body: bytes) -> Response:
    check_known(request.query_params, {"side"})
    side = whole(request.query_params, "side", MIN_SIDE, MAX_SIDE) or SIDE
    image = service.collection.row(request.path_params["id"])
    jpeg = service.collection.thumbnail(image, side)
    return Response(jpeg, media_type="image/jpeg", headers=FOREVER)


def _filters(service: Service, request: Request, body: bytes) -> Response:
    check_known(request.query_params, set())
    found = service.finder.find(service.shown().index)
    if isinstance(found, Progress):
        return in_progress(found)
    record = {"relations": [{"relation": each, "n_groups": n} for each, n in found.relations()]}
    if service.options.show_paths:
        record["folders"] = [{"folder": each, "n_groups": n} for each, n in found.folders()]
    return json_response(record)


def _groups(service: Service, request: Request, body: bytes) -> Response:
    values = request.query_params
    check_known(values, {"page", *FILTERS})
    page = whole(values, "page", 1, MAX_PAGE) or 1
    wanted = wanted_groups(service, values)
    shown = service.shown()
    found = service.finder.find(shown.index)
    if isinstance(found, Progress):
        return in_progress(found)
    places = found.places(wanted)
    here = places[(page - 1) * PER_PAGE : page * PER_PAGE]
    return json_response(
        {
            "generation": shown.index.digest,
            "page": page,
            "pages": -(-len(places) // PER_PAGE),
            "per_page": PER_PAGE,
            "n_groups": len(places),
            "saving": sum(found.savings[place] for place in places),
            "groups": [
                group_record(shown, found.groups[place], place=place, saving=found.savings[place])
                for place in here
            ],
        }
    )


def _static_files() -> dict[str, tuple[bytes, str]]:
    """Return the content and the type of each file of the page, by its name."""
    found = {}
    own = files("imgdup.web").joinpath("static").iterdir()
    for file in (*own, *(files("imgdup.output") / "page_template" / name for name in SHARED)):
        kind = TYPES.get(Path(file.name).suffix)
        if kind is not None:
            found[file.name] = (file.read_bytes(), kind)
    return found


def _static_route(name: str, content: bytes, kind: str) -> Route:
    async def endpoint(request: Request) -> Response:
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    return Route("/" if name == INDEX_PAGE else f"/{name}", endpoint, name=name)

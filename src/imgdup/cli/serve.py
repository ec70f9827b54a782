"""The command serve: look at an index in a browser, and use it from other programs."""

import ipaddress
import webbrowser
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import click

from imgdup.cli.config import keep_rules, protected_folders
from imgdup.cli.dedupe import KEEP
from imgdup.cli.options import PATH, Number, find_index, gathered, index_option, needing_extra
from imgdup.cli.printing import note

MAX_PORT = 65_535


@dataclass(frozen=True)
class Listening:
    """Where the service listens, and who may use it."""

    port: int
    host: str
    hosts: tuple[str, ...]
    token: str | None


@dataclass(frozen=True)
class Review:
    """Which files of a group are kept: by decisions of people, by rules, or always."""

    decisions: Path | None
    keep: str
    protect: tuple[str, ...]


@click.command()
@index_option
@click.option(
    "--port",
    type=Number(min=0, max=MAX_PORT),
    default=0,
    show_default=True,
    help="The port to listen on; 0 means any free port.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on. If other machines can reach it, --token is needed.",
)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="Also accept requests that use this name of the machine. May be repeated.",
)
@click.option(
    "--token", envvar="IMGDUP_TOKEN", help="The token that requests must have. Default: a new one."
)
@click.option("--open", "open_page", is_flag=True, help="Open the page in a browser.")
@click.option(
    "--show-paths/--hide-paths",
    default=None,
    help="Include paths in responses. Default: only if no other machine can reach the service.",
)
@click.option(
    "--decisions",
    type=PATH,
    metavar="FILE",
    help="The file to read and write decisions. Default: decisions.jsonl in the index folder.",
)
@click.option(
    "--keep",
    default=KEEP,
    callback=keep_rules,
    show_default=True,
    help="Rules that decide which file to keep, as for imgdup dedupe.",
)
@click.option(
    "--protect",
    multiple=True,
    callback=protected_folders,
    metavar="FOLDER",
    help="Never remove files from this folder.",
)
@gathered(Listening, "listening")
@gathered(Review, "review")
def serve(
    index_folder: Path | None,
    listening: Listening,
    open_page: bool,
    show_paths: bool | None,
    review: Review,
) -> None:
    """Look at an index in a browser: search, review duplicates, decide, and download a plan.

    Prints the address of the page, including the token. Press Ctrl-C to stop. The service removes
    nothing. It needs the extra serve: pip install 'neardup[serve]'

    \b
    imgdup serve --open
    """
    with needing_extra("serve", "imgdup serve", ("starlette", "uvicorn", "anyio", "h11")):
        from imgdup.web import app, server
    host = listening.host
    address = server.Address(host, listening.port)
    token = server.checked_token(listening.token, address)
    if show_paths is None:
        show_paths = address.is_loopback
    if not address.is_loopback:
        note(f"other machines can reach {host}; anyone who has the token can see the pictures")
    named = listening.hosts if _is_address(host) else (*listening.hosts, host)
    names = tuple(name.lower() for name in named)
    options = app.ServeOptions(
        app.Access(token, names, address.is_loopback),
        show_paths,
        review.decisions,
        app.KeepOptions(review.keep, review.protect),
    )
    made = app.create_app(find_index(index_folder), options)
    with ExitStack() as stack:
        stack.enter_context(closing(made.state.service)).start()  # before the port is open
        listener = stack.enter_context(server.listen(address))
        where = f"[{host}]" if ":" in host else host
        url = f"http://{where}:{listener.getsockname()[1]}/#token={token}"
        click.echo(url)
        if open_page:
            webbrowser.open(url)
        with suppress(KeyboardInterrupt):
            server.run(made, listener)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

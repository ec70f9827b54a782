"""Colours: on a terminal that shows them and is allowed to, in the right places, nowhere else."""

import re
import shutil

import pytest

from cli_runs import on_a_terminal, pty, run
from imgdup.cli.printing import RELATION_COLOURS, _with_colours
from imgdup.dedupe.relations import ON_REQUEST, REMOVABLE

pytestmark = pytest.mark.usefixtures("in_process")

ESCAPE = b"\x1b["
COLOUR = rb"\x1b\[[0-9;]+m"
GREEN = rb"\x1b\[32m(?:same-bytes|same-pixels|same-picture)\x1b\[0m"
needs_a_terminal = pytest.mark.skipif(pty is None, reason="needs a pseudo-terminal")


@pytest.fixture
def colours(monkeypatch):
    """Let terminals show colours."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    return monkeypatch


@needs_a_terminal
@pytest.mark.parametrize("columns", [60, 120])
@pytest.mark.parametrize(
    "command", [["dedupe"], ["pairs", "--verify"], ["compare", "photos", "others"]]
)
def test_a_terminal_shows_relations_in_colours(indexed, colours, command, columns):
    shutil.copytree("photos", "others")

    assert re.search(GREEN, on_a_terminal(*command, columns=columns)[1])


@needs_a_terminal
def test_the_text_is_the_same_without_the_colours(indexed, colours):
    coloured = on_a_terminal("dedupe")[1]
    colours.setenv("NO_COLOR", "1")
    plain = on_a_terminal("dedupe")[1]

    assert re.sub(rb"\x1b\[\d*m", b"", coloured) == plain != coloured


@needs_a_terminal
@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_without_colours_gets_none(indexed, colours, name, value):
    colours.setenv(name, value)

    for command in (["dedupe", "--max-dist", "40"], ["dedupe", "--keep", "nonsense"]):
        assert not re.search(COLOUR, on_a_terminal(*command)[1])


@needs_a_terminal
def test_an_empty_no_color_forbids_nothing(indexed, colours):
    colours.setenv("NO_COLOR", "")

    assert re.search(GREEN, on_a_terminal("dedupe")[1])


@needs_a_terminal
def test_errors_are_red_and_warnings_yellow(indexed, colours):
    failed = on_a_terminal("dedupe", "--keep", "nonsense")[1]
    warned = on_a_terminal("dedupe", "--max-dist", "40")[1]

    assert failed.startswith(b"\x1b[31m\x1b[1mimgdup:\x1b[0m ")
    assert b"\x1b[33m--max-dist 40 is beyond the default" in warned


def test_a_pipe_gets_no_colour(indexed, colours):
    for command in (["dedupe"], ["pairs", "--verify"], ["dedupe", "--keep", "nonsense"]):
        done = run(*command)

        assert ESCAPE not in done.out + done.err


def test_every_relation_of_a_duplicate_has_a_colour():
    assert list(RELATION_COLOURS) == [*REMOVABLE, *ON_REQUEST]


@pytest.mark.parametrize(
    "line",
    [
        "   3  yes  edited.jpg\n",
        "   3  yes  my cropped photo.jpg\n",
        "   3  yes  edited\n",
        "edited\n",
    ],
)
def test_a_path_that_reads_like_a_relation_has_no_colour(line):
    assert _with_colours(line) == line

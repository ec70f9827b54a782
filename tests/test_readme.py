"""The README and the pages of docs are true: commands print what is shown, examples run.

Blocks marked ``console`` are typed in a terminal of 100 columns, in one folder per page, one after
the other; ``...`` in the shown output stands for anything. Lines that begin with ``$ make``,
``$ pip``, ``$ git``, ``$ cd`` or ``$ python data/`` are for people.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import imgdup
from cli_runs import on_a_terminal
from imgdup.cli import COMMANDS

pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")

REPOSITORY = Path(__file__).parents[1]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
FOR_PEOPLE = ("make ", "pip ", "git ", "cd ", "python data/")


def text(page):
    return page.read_text(encoding="utf-8")


def blocks(page, kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", text(page), re.MULTILINE | re.DOTALL)


def pages_with(kind):
    pages = [page for page in PAGES if blocks(page, kind)]
    return pytest.mark.parametrize("page", pages, ids=lambda page: page.name)


def steps(page):
    """Pairs of a command and the output shown under it."""
    for block in blocks(page, "console"):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = step.partition("\n")
            if not command.startswith(FOR_PEOPLE):
                yield command, shown


def typed(command, folder):
    """What a command prints on a terminal of 100 columns, and on stderr."""
    ours, theirs = pty.openpty()
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]),
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "IMGDUP_INDEX": "",
    }
    process = subprocess.Popen(
        command, shell=True, cwd=folder, env=environment, stdout=theirs, stderr=subprocess.PIPE
    )
    os.close(theirs)
    printed = b""
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:
            break
        if not piece:
            break
        printed += piece
    os.close(ours)
    error = process.communicate(timeout=250)[1]
    return printed.replace(b"\r\n", b"\n").decode(), error.decode()


def typed_here(command):
    """The same of one command of imgdup, which is run in this process."""
    with tempfile.TemporaryFile() as err:
        _, printed = on_a_terminal(*shlex.split(command)[1:], columns=100, err=err.fileno())
        err.seek(0)
        return printed.decode(), err.read().decode()


def needs_a_shell(command):
    return not command.startswith("imgdup ") or re.search(r"[|&;<>$*`\n]", command) is not None


def matches(shown, printed):
    pattern = ".*?".join(re.escape(piece) for piece in shown.split("..."))
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


here = pytest.mark.usefixtures("in_process", "each_pair_once")  # the pages show the same pictures


@pytest.fixture
def folder(painted_sample, tmp_path):
    shutil.copytree(painted_sample, tmp_path / "sample")
    return tmp_path


@here
@pages_with("console")
def test_the_commands_print_what_is_shown(page, folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("IMGDUP_INDEX", "")
    for command, shown in steps(page):
        printed, error = typed(command, folder) if needs_a_shell(command) else typed_here(command)

        in_order = matches(shown, printed + error) or matches(shown, error + printed)
        assert in_order, f"$ {command}\n{printed}{error}"


@here
@pages_with("python")
def test_the_python_examples_print_what_is_shown(page, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    for example in blocks(page, "python"):
        exec(example, {"__name__": "__main__"})

        assert capsys.readouterr() == (shown_by(example), "")


@pages_with("python")
@pytest.mark.parametrize("source", ["example.py", "-"], ids=["script", "standard input"])
def test_a_python_example_runs_unguarded(page, folder, source):
    example = blocks(page, "python")[0]
    (folder / "example.py").write_text(example)

    result = subprocess.run(
        [sys.executable, source],
        cwd=folder, input=example, capture_output=True, text=True, timeout=250,
    )  # fmt: skip

    assert (result.returncode, result.stdout, result.stderr) == (0, shown_by(example), "")


def shown_by(example):
    """What an example prints according to its comments."""
    return "".join(f"{line}\n" for line in re.findall(r"# prints (.*)", example))


def test_all_commands_are_listed():
    listed = text(REPOSITORY / "docs" / "commands.md")
    for command in COMMANDS:
        assert f"| `imgdup {command}" in listed, command


def test_all_public_names_are_documented():
    documented = "".join(text(page) for page in PAGES)
    for name in imgdup.__all__:
        assert f"`{name}" in documented, name


def test_the_reference_has_every_public_name():
    shown = re.findall(r"^::: imgdup\.(\w+)", text(REPOSITORY / "docs/reference.md"), re.MULTILINE)

    assert set(shown) == set(imgdup.__all__)


def test_the_picture_in_the_readme_is_small():
    assert (REPOSITORY / "docs" / "report.png").stat().st_size < 150_000


def test_every_link_between_pages_leads_to_a_file_and_a_heading():
    for page in [
        *PAGES,
        *(REPOSITORY / f for f in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    ]:
        for target, heading in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text(page)):
            linked = page.parent / target if target else page
            assert linked.exists(), f"{page.name}: {target}"
            assert not heading or heading in headings(linked), f"{page.name}: {target}#{heading}"


def headings(page):
    """The anchors of the headings of a page, as GitHub and MkDocs make them."""
    titles = re.findall(r"^#+ (.*)$", text(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}

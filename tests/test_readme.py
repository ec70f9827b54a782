"""The README tells the truth: its commands run and print what it shows, its example works.

Blocks marked ``console`` are typed in a terminal of 100 columns, in one folder, one after the
other; ``...`` in the shown output stands for anything. Lines that begin with ``$ make``,
``$ pip``, ``$ git``, ``$ cd`` or ``$ python data/`` are for people.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import imgdup
from imgdup.cli.main import COMMANDS

pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")
FOR_PEOPLE = ("make ", "pip ", "git ", "cd ", "python data/")


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def steps():
    """Pairs of a command and the output shown under it."""
    for block in blocks("console"):
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
    error = process.communicate(timeout=60)[1]
    return printed.replace(b"\r\n", b"\n").decode(), error.decode()


def matches(shown, printed):
    pattern = ".*?".join(re.escape(piece) for piece in shown.split("..."))
    return re.fullmatch(pattern, printed, re.DOTALL) is not None


@pytest.fixture(scope="module")
def folder(painted_sample, tmp_path_factory):
    place = tmp_path_factory.mktemp("readme")
    shutil.copytree(painted_sample, place / "sample")
    return place


def test_the_commands_print_what_is_shown(folder):
    for command, shown in steps():
        printed, error = typed(command, folder)

        in_order = matches(shown, printed + error) or matches(shown, error + printed)
        assert in_order, f"$ {command}\n{printed}{error}"


def test_the_python_examples_run_unguarded(folder):
    for example in blocks("python"):
        for form in ([sys.executable, "example.py"], [sys.executable, "-"]):
            (folder / "example.py").write_text(example)
            result = subprocess.run(
                form, cwd=folder, input=example, capture_output=True, text=True, timeout=60
            )
            assert (result.returncode, result.stderr) == (0, "")
            comments = re.findall(r"# prints (.*)", example)
            assert result.stdout.splitlines() == comments


def test_all_commands_are_in_the_readme():
    for command in COMMANDS:
        assert f"imgdup {command}" in TEXT, command


def test_all_public_names_are_in_the_readme():
    for name in imgdup.__all__:
        assert f"`{name}" in TEXT, name

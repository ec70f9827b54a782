"""Completion in shells, the manual page, and the right word for a wrong one."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from cli_runs import TIMEOUT_S, in_process, run
from imgdup.cli import COMMAND_WORDS, COMMANDS, OPTION_WORDS, imgdup
from imgdup.cli.generated import SHELLS

pytestmark = pytest.mark.usefixtures("in_process")


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["find", "photo.jpg"], "did you mean: imgdup query"),
        (["search", "photo.jpg"], "did you mean: imgdup query"),
        (["scan", "photos"], "did you mean: imgdup index"),
        (["."], "did you mean: imgdup index ."),
        (["find", "a photo.jpg"], "did you mean: imgdup query 'a photo.jpg'"),
        (["help"], "did you mean: imgdup --help"),
        (["help", "index"], "did you mean: imgdup index --help"),
        (["-v", "index"], "No such option -v: write it after the command"),
        (["index", "--images", "photos"], "No such option --images: write the path without it"),
        (["query", "--query", "a.jpg"], "No such option --query: write the path without it"),
        (["dedup"], "did you mean: imgdup dedupe"),
        (["comprae"], "did you mean: imgdup compare"),
        (["index", "--threads", "4"], "did you mean: --workers"),
        (["query", "a", "--threshold", "4"], "did you mean: --max-dist"),
        (["pairs", "--distance", "4"], "did you mean: --max-dist"),
        (["split", "--ratio", "a=1"], "did you mean: --ratios"),
    ],
)
def test_a_wrong_word_is_answered_by_the_right_one(arguments, suggestion):
    done = in_process(*arguments)

    assert done.code == 2
    assert suggestion in done.err.decode()
    assert done.err.count(b"\n") == 1


@pytest.mark.parametrize("arguments", [["xyzzy"], ["info", "--threads", "2"], ["index", "-Q"]])
def test_nothing_is_suggested_where_no_word_is_near(arguments):
    done = in_process(*arguments)

    assert done.code == 2
    assert b"did you mean" not in done.err


def test_every_suggested_word_exists():
    known = {name for command in COMMANDS for name in _options(command)}
    assert {word for word in COMMAND_WORDS.values() if word[:2] != "--"} <= set(COMMANDS)
    assert set(OPTION_WORDS.values()) - {""} <= known
    assert not set(COMMAND_WORDS) & set(COMMANDS)


def _options(command):
    found = imgdup.get_command(None, command)
    return [name for parameter in found.params for name in parameter.opts]


def test_the_version_has_a_short_option():
    assert run("-V") == run("--version")
    assert run("-V").code == 0


def completed(line, words):
    """What the shell bash is told to offer after a line."""
    variables = {"_IMGDUP_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(words)}
    done = run(env={**os.environ, **variables})
    return [each.partition(",")[2] for each in done.out.decode().split()]


def test_commands_and_options_are_completed():
    assert completed("imgdup un", 1) == ["undo"]
    assert completed("imgdup ", 1) == list(COMMANDS)
    assert completed("imgdup query --max-dis", 2) == ["--max-dist"]
    assert completed("imgdup completion ", 2) == list(SHELLS)


def test_completing_a_command_imports_nothing_heavy():
    script = (
        "import os, sys; from imgdup.cli import main\n"
        "try: main([])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('numpy', 'cv2', 'imgdup.api') if m in sys.modules], file=sys.stderr)"
    )
    variables = {"_IMGDUP_COMPLETE": "bash_complete", "COMP_WORDS": "imgdup ", "COMP_CWORD": "1"}

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, env={**os.environ, **variables}
    )

    assert done.stderr == b"[]\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_for_a_shell_is_valid(shell):
    script = run("completion", shell).out

    assert b"_IMGDUP_COMPLETE" in script
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=script, capture_output=True)
        assert (checked.returncode, checked.stderr) == (0, b"")


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_completes_a_command():
    script = (
        'eval "$(imgdup completion bash)"\n'
        "COMP_WORDS=(imgdup ded) COMP_CWORD=1; _imgdup_completion imgdup; echo ${COMPREPLY[@]}"
    )
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])

    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        env={**os.environ, "PATH": path},
        timeout=TIMEOUT_S,
    )

    assert done.stdout == b"dedupe\n", done.stderr


def test_the_manual_page_has_every_command_and_option():
    page = run("man").out.decode().replace("\\-", "-")

    for command in COMMANDS:
        section = re.search(rf"^\.SS imgdup {command} .*?(?=^\.S[SH])", page, re.M | re.S)
        for option in _options(command):
            assert not option.startswith("-") or option in section[0], (command, option)


def test_the_manual_page_is_not_in_the_list_of_commands():
    assert b"manual page" not in run("--help").out


@pytest.mark.skipif(not shutil.which("groff"), reason="needs groff")
def test_the_manual_page_is_formatted_without_warnings():
    page = run("man").out

    done = subprocess.run(["groff", "-man", "-ww", "-Tutf8", "-z"], input=page, capture_output=True)

    assert (done.returncode, done.stderr) == (0, b"")

"""The ways to use imgdup as a gate of other programs: a GitHub action, pre-commit, DVC.

Each is read from the file that its users read, and its shell lines are run.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli_runs import in_process
from encoded import painted

yaml = pytest.importorskip("yaml", reason="needs PyYAML to read the files")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs bash")

REPOSITORY = Path(__file__).parents[1]
INPUT = re.compile(r"\$\{\{ inputs\.([\w-]+) \}\}")


@pytest.fixture
def sets(tmp_path, monkeypatch):
    """data/train with three pictures, and data/test with a smaller copy of one of them."""
    for name, seed in (("train/0", 0), ("train/1", 1), ("train/2", 2), ("test/9", 9)):
        file = tmp_path / "data" / f"{name}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(painted(seed, 160, 120))
    (tmp_path / "data" / "test" / "copy.jpg").write_bytes(painted(1, 320, 240, step=2))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMGDUP_INDEX", raising=False)
    return tmp_path


@pytest.fixture
def installed(tmp_path):
    """A folder of programs as an installation makes it: imgdup, of this environment."""
    programs = tmp_path / "runner" / "imgdup" / "bin"
    programs.mkdir(parents=True)
    (programs / "imgdup").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m imgdup "$@"\n')
    (programs / "imgdup").chmod(0o755)
    return programs


def bash(line, programs, **variables):
    """Run a line as a runner of GitHub does; return its exit code and what it printed."""
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", **variables}
    shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", line]
    done = subprocess.run(shell, env=environment, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def action_step(name, **given):
    """Return the shell lines of a step of the action, and its variables for some inputs."""
    action = yaml.safe_load((REPOSITORY / "action.yml").read_text())
    inputs = {key: str(each.get("default", "")) for key, each in action["inputs"].items()} | given
    step = next(each for each in action["runs"]["steps"] if each["name"] == name)
    assert "${{" not in step["run"]  # an input in a shell line would be run
    variables = {
        key: INPUT.sub(lambda match: inputs[match[1]], value) for key, value in step["env"].items()
    }
    return step["run"], variables


@pytest.mark.parametrize(("max_leaks", "code"), [("0", 4), ("1", 0)])
def test_the_action_fails_a_job_with_leaks_and_writes_its_summary(sets, installed, max_leaks, code):
    given = {"train": "data/train", "test": "data/test", "max-leaks": max_leaks}
    line, variables = action_step("Compare the two sets", **given)
    summary = sets / "summary.md"
    runner = {"RUNNER_TEMP": str(sets / "runner"), "GITHUB_STEP_SUMMARY": str(summary)}

    found, printed = bash(line, installed, **variables, **runner)

    assert found == code, printed
    verdict = "FAIL" if code else "PASS"
    assert summary.read_text().startswith(f"## imgdup compare: {verdict}\n")
    assert (sets / "imgdup-leaks.html").is_file()
    assert f'failures="{2 if code else 0}"' in (sets / "imgdup-leaks.xml").read_text()


def test_the_action_runs_no_input_as_a_command(sets, installed):
    given = {"train": "data/train", "test": "$(touch run)", "report": "`touch run`.html"}
    line, variables = action_step("Compare the two sets", **given)
    runner = {"RUNNER_TEMP": str(sets / "runner"), "GITHUB_STEP_SUMMARY": str(sets / "s.md")}

    found, printed = bash(line, installed, **variables, **runner)

    assert (found, (sets / "run").exists()) == (2, False)
    assert "no such file or folder" in printed


def test_the_action_installs_what_is_in_its_own_folder(tmp_path):
    line, variables = action_step("Install imgdup")
    python = tmp_path / "python3"
    python.write_text(
        '#!/bin/sh\necho "$@" >> "$RUNNER_TEMP/called"\n'
        'cd "$RUNNER_TEMP" && mkdir -p imgdup/bin && ln -sf ../../python3 imgdup/bin/python\n'
    )
    python.chmod(0o755)
    variables["ACTION_PATH"] = variables["ACTION_PATH"].replace(
        "${{ github.action_path }}", "/actions/imgdup"
    )

    code, printed = bash(line, tmp_path, RUNNER_TEMP=str(tmp_path), **variables)

    assert code == 0, printed
    called = (tmp_path / "called").read_text().splitlines()
    assert called == [f"-m venv {tmp_path}/imgdup", "-m pip install --quiet /actions/imgdup"]


def hook():
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-hooks.yaml").read_text())
    assert [each["id"] for each in hooks] == ["imgdup"]
    return hooks[0]


def test_the_hook_refuses_a_duplicate_of_an_indexed_picture_only(sets, installed):
    assert in_process("index", "data/train", "--quiet").code == 0

    codes = [
        bash(f"{hook()['entry']} {files}", installed)[0]
        for files in ("data/test/9.jpg data/train/0.jpg", "data/test/9.jpg data/test/copy.jpg")
    ]

    assert codes == [0, 4]


@pytest.mark.parametrize(
    ("name", "is_checked"),
    [("a/b.JPG", True), ("a.jpeg", True), ("a.tiff", True), ("a.svg", False), ("jpg", False)],
)
def test_the_hook_gets_pictures(name, is_checked):
    assert (re.search(hook()["files"], name) is not None) == is_checked


def stages_for_dvc():
    """The stages of the recipe, as the text of a dvc.yaml."""
    recipes = (REPOSITORY / "docs" / "recipes.md").read_text()
    return re.search(r"```yaml\n(stages:\n.*?)```", recipes, re.DOTALL)[1]


def test_the_stage_for_dvc_fails_if_there_are_leaks(sets, installed):
    stage = yaml.safe_load(stages_for_dvc())["stages"]["leaks"]

    code, printed = bash(stage["cmd"], installed)

    assert code == 4, printed
    assert all((sets / each).is_dir() for each in stage["deps"])
    assert all((sets / name).is_file() for out in stage["outs"] for name in out)


@pytest.mark.skipif(not shutil.which("dvc"), reason="the program dvc is not installed")
def test_dvc_runs_the_stage_again_only_after_a_set_changed(sets, installed):
    (sets / "dvc.yaml").write_text(stages_for_dvc())
    reproduce, quiet = "dvc repro leaks 2>&1", {"DVC_NO_ANALYTICS": "1"}

    failed, _ = bash(f"dvc init --no-scm --quiet && {reproduce}", installed, **quiet)
    (sets / "data" / "test" / "copy.jpg").unlink()
    passed, _ = bash(reproduce, installed, **quiet)
    skipped, printed = bash(reproduce, installed, **quiet)

    assert (bool(failed), passed, skipped) == (True, 0, 0)
    assert "Stage 'leaks' didn't change, skipping" in printed

"""The installed distribution: its name, its version and its commands."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import imgdup

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]


def test_the_package_has_the_version_of_the_distribution():
    assert imgdup.__version__ == PROJECT["version"]


def test_two_commands_run_the_same_function():
    installed = importlib.metadata.entry_points(group="console_scripts")
    commands = {
        entry.name: entry.load() for entry in installed if entry.module == "imgdup.__main__"
    }

    assert commands.keys() == {"imgdup", "neardup"}
    assert len(set(commands.values())) == 1


def test_the_changelog_describes_the_version():
    changes = (Path(__file__).parents[1] / "CHANGELOG.md").read_text(encoding="utf-8")

    assert f"({PROJECT['version']})" in changes or f"## {PROJECT['version']}" in changes


def test_the_container_is_slim_and_its_user_is_not_root():
    lines = (Path(__file__).parents[1] / "Dockerfile").read_text(encoding="utf-8").splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    final = lines[max(i for i, line in enumerate(lines) if line.startswith("FROM ")) :]

    assert all(base.endswith("-slim") for base in bases)
    assert "USER user" in final
    assert not any("pip install" in line for line in final)  # what builds stays in the first stage


def test_every_file_that_the_makefile_or_a_page_names_is_in_the_project():
    root = Path(__file__).parents[1]
    texts = [root / name for name in ("Makefile", "Dockerfile", "action.yml", ".ci/run")]
    texts += [*root.glob("*.md"), *root.glob("docs/*.md"), *root.glob("benchmarks/*.md")]
    name = re.compile(r"\b(?:backend|benchmarks|data|docs|src|tests)/[\w/.-]+\.[a-z]+\b")
    named = {
        (text.name, found)
        for text in texts
        for found in name.findall(text.read_text(encoding="utf-8"))
    }

    missing = {(page, file) for page, file in named if not (root / file).exists()}

    assert len(named) > 40
    assert missing == set()

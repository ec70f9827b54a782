"""docs/faults.md claims nothing without a test: each row names test functions, and they exist."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "faults.md").read_text(encoding="utf-8")
ROWS = [
    line for line in re.findall(r"^\| .* \|$", PAGE, re.MULTILINE) if "what happens" not in line
]


def functions():
    """The names of all tests, with their file: ``test_file.py::test_function``."""
    for file in TESTS.rglob("test_*.py"):
        for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE):
            yield f"{file.name}::{name}"


def test_every_row_names_the_tests_that_show_it():
    tests = re.compile(r"\| (`test_\w+\.py::test_\w+`(, )?)+ \|$")

    without = [row for row in ROWS if not tests.search(row)]

    assert len(ROWS) > 30
    assert without == []


def test_every_test_on_the_page_exists():
    named = set(re.findall(r"`(test_\w+\.py::\w+)`", PAGE))

    assert named - set(functions()) == set()


def test_every_test_file_on_the_page_exists():
    named = set(re.findall(r"`(test_\w+\.py)`", PAGE))

    assert {name for name in named if not list(TESTS.rglob(name))} == set()

"""docs/faults.md claims nothing without a test: each row names test files, and they exist."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "faults.md").read_text(encoding="utf-8")
ROWS = [
    line for line in re.findall(r"^\| .* \|$", PAGE, re.MULTILINE) if "what happens" not in line
]


def test_every_row_names_the_tests_that_show_it():
    without = [row for row in ROWS if not re.search(r"\| (`test_\w+\.py`(, )?)+ \|$", row)]

    assert len(ROWS) > 30
    assert without == []


def test_every_test_file_on_the_page_exists():
    named = set(re.findall(r"`(test_\w+\.py)`", PAGE))

    assert {name for name in named if not list(TESTS.rglob(name))} == set()

"""docs/faults.md claims nothing without a test: each case it lists is in the tests it names."""

import re
from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "faults.md").read_text(encoding="utf-8")
SERVER = range(92, 106)  # which imgdup does not have


def numbers(text):
    """The numbers of a list such as ``1-3, 5`` or ``17_to_21``."""
    for first, last in re.findall(r"(\d+)(?:(?:-|_to_)(\d+))?", text):
        yield from range(int(first), int(last or first) + 1)


def cases_of_tests():
    """Cases in the names of tests, by file."""
    found = defaultdict(set)
    for file in TESTS.rglob("test_*.py"):
        text = file.read_text(encoding="utf-8")
        for name in re.findall(r"^def test_(?:case_)?(\d+(?:_to_\d+)?)_", text, re.MULTILINE):
            found[file.name].update(numbers(name))
    return found


def claimed():
    """Cases of each row of a table, and the files that are said to test them."""
    for cases, files in re.findall(r"^\|.*\| ([0-9, -]+) \| (`test_.*) \|$", PAGE, re.MULTILINE):
        yield set(numbers(cases)), re.findall(r"`(test_\w+\.py)`", files)


def test_each_case_is_in_the_tests_that_are_named():
    found = cases_of_tests()

    for cases, files in claimed():
        assert cases <= set().union(*(found[file] for file in files)), (cases, files)
        assert all(cases & found[file] for file in files), (cases, files)


def test_every_case_is_on_the_page_once():
    listed = sorted(case for cases, _ in claimed() for case in cases)

    assert listed == sorted(set(range(1, 124)) - set(SERVER))


def test_every_file_on_the_page_is_there():
    for name in re.findall(r"`(test_\w+\.py)`", PAGE):
        assert list(TESTS.rglob(name)), name

"""Searches for groups in the background: each is made once, and failures are tried again.

The search itself is replaced by one that waits until the test lets it end.
"""

import threading
from concurrent.futures import CancelledError

import pytest

from imgdup.dedupe.decisions import NOTHING, Decided
from imgdup.errors import ImgdupError
from imgdup.web import groups
from imgdup.web.groups import MAX_RESULTS, Finder, KeepOptions, Progress

WAIT_S = 250


class AnIndex:
    """All that a finder itself uses of an index."""

    def __init__(self, digest="first"):
        self.digest = digest


class Searches:
    """Searches that are counted, and end when they may: with a result or an error."""

    def __init__(self):
        self.asked = []
        self.began, self.may_end = threading.Event(), threading.Event()
        self.may_end.set()
        self.error = None

    def search(self, index, decided):
        self.asked.append((index.digest, decided))
        self.began.set()
        assert self.may_end.wait(WAIT_S)
        if self.error is not None:
            raise self.error
        return f"groups of {index.digest}, number {len(self.asked)}"


@pytest.fixture
def searches():
    return Searches()


@pytest.fixture
def finder(searches, monkeypatch):
    made = Finder(None, KeepOptions())
    monkeypatch.setattr(made, "_search", searches.search)
    yield made
    searches.may_end.set()
    made.close()


@pytest.fixture
def no_patience(monkeypatch):
    """Let nobody wait for a result."""
    monkeypatch.setattr(groups, "WAIT_S", 0.001)


def decided(keep):
    return Decided(keep=frozenset(keep))


def test_the_same_question_is_searched_once(finder, searches):
    answers = [finder.find(AnIndex()) for _ in range(3)]

    assert answers == ["groups of first, number 1"] * 3
    assert searches.asked == [("first", NOTHING)]


def test_another_index_and_other_decisions_are_searched_anew(finder, searches):
    finder.find(AnIndex())
    finder.find(AnIndex("second"))
    finder.find(AnIndex(), decided([b"/a.jpg"]))

    assert searches.asked == [
        ("first", NOTHING),
        ("second", NOTHING),
        ("first", decided([b"/a.jpg"])),
    ]


def test_the_order_of_decisions_does_not_matter(finder, searches):
    one = Decided(prefer={b"/a": b"/b", b"/c": b"/d"})
    other = Decided(prefer={b"/c": b"/d", b"/a": b"/b"})

    assert finder.find(AnIndex(), one) == finder.find(AnIndex(), other)
    assert len(searches.asked) == 1


def test_of_many_results_those_asked_for_last_are_kept(finder, searches):
    names = [f"index {number}" for number in range(MAX_RESULTS)]
    for name in names:
        finder.find(AnIndex(name))
    finder.find(AnIndex(names[0]))  # asked for again, so that the second is the oldest
    finder.find(AnIndex("one more"))
    n_before = len(searches.asked)

    finder.find(AnIndex(names[0]))
    finder.find(AnIndex("one more"))
    assert len(searches.asked) == n_before

    finder.find(AnIndex(names[1]))
    assert len(searches.asked) == n_before + 1


def test_a_search_that_takes_long_is_answered_with_its_progress(finder, searches, no_patience):
    searches.may_end.clear()

    assert finder.find(AnIndex()) == Progress(0, 0)
    finder._count(3, 10)
    assert finder.find(AnIndex()) == Progress(3, 10)

    searches.may_end.set()
    assert finder._results.popitem()[1].result(WAIT_S) == "groups of first, number 1"
    assert len(searches.asked) == 1


@pytest.mark.parametrize("error", [ImgdupError("the index changed"), OSError(5, "gone")])
def test_after_a_failure_the_next_call_tries_it_again(finder, searches, error):
    searches.error = error
    for _ in range(2):
        with pytest.raises(type(error), match=r"changed|gone"):
            finder.find(AnIndex())
    searches.error = None

    assert finder.find(AnIndex()) == "groups of first, number 3"
    assert len(searches.asked) == 3


def test_a_failure_forgets_no_other_result(finder, searches):
    good = finder.find(AnIndex("good"))
    searches.error = ImgdupError("the index changed")
    with pytest.raises(ImgdupError, match="changed"):
        finder.find(AnIndex("bad"))

    assert finder.find(AnIndex("good")) == good
    assert len(searches.asked) == 2


def test_searches_run_one_after_the_other(finder, searches, no_patience):
    searches.may_end.clear()
    finder.find(AnIndex())
    assert searches.began.wait(WAIT_S)

    assert isinstance(finder.find(AnIndex("second")), Progress)
    assert searches.asked == [("first", NOTHING)]


def test_a_closed_finder_begins_no_search_that_waits(finder, searches, no_patience):
    searches.may_end.clear()
    finder.find(AnIndex())
    assert searches.began.wait(WAIT_S)
    finder.find(AnIndex("second"))

    finder.close()
    searches.may_end.set()

    waiting = list(finder._results.values())[1]
    with pytest.raises(CancelledError):
        waiting.result(WAIT_S)
    assert searches.asked == [("first", NOTHING)]
    with pytest.raises(RuntimeError, match="shutdown"):
        finder.find(AnIndex("third"))

"""Entries that are kept for the next run: verdicts on pairs and facts of files."""

import pytest

from imgdup.dedupe import known
from imgdup.dedupe.difference import Verdict
from imgdup.dedupe.known import FileContents, known_facts, known_verdicts
from imgdup.images.facts import ImageFacts

FIRST, SECOND, THIRD = (bytes([i]) * 32 for i in range(3))
EDITED = Verdict("edited", 12.5, (1, 2, 3, 4))
SAME = Verdict("same-picture", 0.0, None)
PHOTO = FileContents(
    ImageFacts(
        1, frozenset(), 8, "colour", -5, "Café \n 100", 90, False, None, 0.5, 90, False, "a1"
    ),
    b"",
)
PAGES = FileContents(
    ImageFacts(
        3, frozenset({"film", "alpha"}), 16, "gray", None, None, None, True, 70, 1.0, 70, True, "b2"
    ),
    bytes(range(16)),
)


@pytest.mark.parametrize(
    ("opened", "entries"),
    [(known_verdicts, (EDITED, SAME)), (known_facts, (PHOTO, PAGES))],
    ids=["verdicts", "facts"],
)
def test_entries_come_back_as_they_were(tmp_path, opened, entries):
    store = opened(tmp_path)
    store.add(FIRST, entries[0])
    store.add(SECOND, entries[1])
    store.save()

    found = opened(tmp_path)

    assert [found.find(key) for key in (FIRST, SECOND, THIRD)] == [*entries, None]


def test_of_too_many_entries_those_not_used_for_longest_are_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(known, "MAX_ENTRIES", 2)
    store = known_verdicts(tmp_path)
    store.add(FIRST, EDITED)
    store.add(SECOND, EDITED)
    store.save()
    again = known_verdicts(tmp_path)
    assert again.find(FIRST) == EDITED
    again.add(THIRD, SAME)
    again.save()

    found = known_verdicts(tmp_path)

    assert [found.find(key) for key in (FIRST, SECOND, THIRD)] == [EDITED, None, SAME]


def test_a_run_that_found_nothing_new_writes_nothing(tmp_path):
    store = known_verdicts(tmp_path)
    store.add(FIRST, SAME)
    store.save()
    path = tmp_path / known.VERDICTS
    before = path.stat().st_mtime_ns, path.stat().st_ino

    again = known_verdicts(tmp_path)
    again.find(FIRST)
    again.save()

    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before


def test_a_file_that_cannot_be_read_counts_as_empty(tmp_path, caplog):
    (tmp_path / known.VERDICTS).mkdir()

    store = known_verdicts(tmp_path)
    store.add(FIRST, SAME)
    store.save()

    assert store.find(FIRST) == SAME
    assert "the verdicts are not kept for the next run" in caplog.text

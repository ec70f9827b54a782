"""Entries that are kept for the next run: verdicts on pairs and facts of files."""

import numpy as np
import pytest

from imgdup.dedupe import known
from imgdup.dedupe.known import FileContents, known_facts, known_verdicts, merge_known
from imgdup.dedupe.relations import Verdict
from imgdup.images.facts import ImageFacts
from imgdup.index.folder import FACTS, VERDICTS
from imgdup.system.files import DIGEST_BYTES

FIRST, SECOND, THIRD = (bytes([i]) * 32 for i in range(3))
EDITED = Verdict("edited", 12.5, (1, 2, 3, 4))
SAME = Verdict("same-picture", 0.0, None, levels_only=True)
PHOTO = FileContents(
    ImageFacts(
        1,
        frozenset(),
        8,
        "colour",
        -5,
        "Café \n 100",
        90,
        False,
        None,
        0.5,
        (-7, 310),
        90,
        False,
        "a1",
    ),
    b"",
)
PAGES = FileContents(
    ImageFacts(
        3,
        frozenset({"film", "alpha"}),
        16,
        "gray",
        None,
        None,
        None,
        True,
        70,
        1.0,
        (),
        70,
        True,
        "b2",
    ),
    bytes(range(16)),
)


@pytest.mark.parametrize(
    ("opened", "entries"),
    [(known_verdicts, (EDITED, SAME)), (known_facts, (PHOTO, PAGES))],
    ids=["verdicts", "facts"],
)
def test_entries_are_read_back_unchanged(tmp_path, opened, entries):
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


def test_an_entry_that_is_replaced_counts_as_used(tmp_path, monkeypatch):
    monkeypatch.setattr(known, "MAX_ENTRIES", 2)
    store = known_verdicts(tmp_path)
    for key, verdict in [(FIRST, EDITED), (SECOND, EDITED), (FIRST, SAME), (THIRD, SAME)]:
        store.add(key, verdict)
    store.save()

    found = known_verdicts(tmp_path)

    assert [found.find(key) for key in (FIRST, SECOND, THIRD)] == [SAME, None, SAME]


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


def key(*numbers):
    """The key of an entry: of a pair two digests, of a file one."""
    return b"".join(bytes([number]) * DIGEST_BYTES for number in numbers)


def digests(*numbers):
    return np.array([[number] * DIGEST_BYTES for number in numbers], np.uint8)


@pytest.fixture
def two_indexes(tmp_path):
    """Two index folders with verdicts, one of them on the same pair, and facts."""
    for name, pairs, files in (("a", [(2, 1), (1, 3)], [2]), ("b", [(5, 4), (2, 1)], [4, 9])):
        (tmp_path / name).mkdir()
        verdicts, facts = known_verdicts(tmp_path / name), known_facts(tmp_path / name)
        for pair in pairs:
            verdicts.add(key(*pair), EDITED if name == "a" else SAME)
        for file in files:
            facts.add(key(file), PHOTO)
        verdicts.save()
        facts.save()
    return [tmp_path / "a", tmp_path / "b"]


def test_merged_indexes_have_the_entries_of_the_contents_that_are_there(two_indexes, tmp_path):
    (tmp_path / "c").mkdir()
    outdated = known_verdicts(tmp_path / "c")
    outdated.add(key(1, 2), SAME)
    outdated.save()

    merge_known(two_indexes, tmp_path / "c", digests(1, 2, 4, 5, 7))

    verdicts, facts = known_verdicts(tmp_path / "c"), known_facts(tmp_path / "c")
    assert set(verdicts.keys()) == {key(2, 1), key(5, 4)}
    assert set(facts.keys()) == {key(2), key(4)}
    assert verdicts.find(key(5, 4)) == SAME
    assert facts.find(key(4)) == PHOTO


def test_merged_entries_are_the_same_bytes_whatever_the_order_of_the_indexes(two_indexes, tmp_path):
    written = []
    for order, target in ((1, "c"), (-1, "d"), (1, "a")):  # at last into one of them
        (tmp_path / target).mkdir(exist_ok=True)
        merge_known(two_indexes[::order], tmp_path / target, digests(1, 2, 3, 4, 5))
        written.append([(tmp_path / target / name).read_bytes() for name in (VERDICTS, FACTS)])

    assert written == [written[0]] * 3


def test_digests_that_begin_alike_are_distinguished(tmp_path, two_indexes):
    alike = digests(1, 2)
    alike[1, 8:] = 7
    (tmp_path / "c").mkdir()

    merge_known(two_indexes, tmp_path / "c", alike)

    assert not known_verdicts(tmp_path / "c").keys()
    assert not (tmp_path / "c" / FACTS).exists()

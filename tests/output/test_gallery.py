"""What the page shows of groups and of leaks: what the plan removes, labels, their conflicts."""

import re

import numpy as np
import pytest
from make_sample import encode, photo
from test_page import data_of

from array_rows import File, rows_of, same_picture
from imgdup.dedupe import find_duplicates
from imgdup.dedupe.candidates import MatchRule
from imgdup.dedupe.compare import compare
from imgdup.dedupe.difference import compare_pictures
from imgdup.dedupe.labels import ImageSet
from imgdup.dedupe.leaks import Gate, coverage
from imgdup.dedupe.relations import RELATIONS, Verdict
from imgdup.images.gray import ORIENTATIONS, upright
from imgdup.index.columns import images
from imgdup.output.gallery import (
    RELATION_TEXTS,
    comparison,
    entry,
    page_groups,
    save_duplicates,
    save_leaks,
)
from imgdup.output.leaks import Evidence
from imgdup.output.page import Comparison

WHOLE = (0, 0, 1000, 1000)

pytestmark = pytest.mark.usefixtures("in_process")


def facts_of(page):
    return dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page))


def names(group):
    return group.keeper.path, [each.path for each in group.removals]


def test_the_page_shows_what_the_plan_removes_and_no_hard_links(tmp_path):
    rows = rows_of(
        [
            File(b"/data/best", width=500, size=50),
            File(b"/data/copy", size=10),
            File(b"/data/linked", size=10, inode=1),
            File(b"/data/linked2", size=10, inode=1),
            File(b"/data/x-best", match=2**200 - 1, width=500, size=50),
            File(b"/data/x-linked", match=2**200 - 1, size=10, inode=2),
            File(b"/data/x-linked2", match=2**200 - 1, size=10, inode=2),
        ]
    )
    duplicates = find_duplicates(rows, judge=same_picture)

    groups = list(page_groups(duplicates))
    save_duplicates(tmp_path / "page.html", duplicates)

    plan = duplicates.plan()
    assert [names(group) for group in groups] == [("/data/best", ["/data/copy"])]
    assert [removal.remove.path for removal in plan.removals] == [b"/data/copy"]
    page = (tmp_path / "page.html").read_text()
    assert facts_of(page) == {"images": "7", "groups": "1", "to remove": "1", "saves": "10 bytes"}
    assert "protected: nothing. Which file is kept is decided by: colour, " in page


@pytest.fixture
def leaks(tmp_path):
    """A and B share a picture under two labels; the folder of one holds an escape."""
    for name in ("a/cat", "b/\x1bdog"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "1.jpg").write_bytes(encode(photo(1, 64, 48), ".jpg"))
    parts = []
    for name, label in (("a/cat", "cat"), ("b/\x1bdog", "\x1bdog")):
        root = bytes(tmp_path / name.partition("/")[0])
        rows = rows_of([File(bytes(tmp_path / name / "1.jpg"), content=b"same")], roots=(root,))
        parts.append(ImageSet(rows, images(rows), [label]))
    return compare(*parts)


def test_the_page_of_leaks_shows_labels_and_conflicts(leaks, tmp_path):
    coverages = [coverage("set", each.rows, [], None) for each in (leaks.a, leaks.b)]
    gate = Gate(leaks, [False], coverages)
    save_leaks(tmp_path / "page.html", Evidence(gate, MatchRule(), True, "imgdup", "today", "1"))

    page = (tmp_path / "page.html").read_text()
    [[[*_, label_a, no_conflict, _, _], [[path, *_, label_b, conflict, _, _]], _]] = data_of(page)[
        "groups"
    ]
    assert (label_a, no_conflict) == ("cat", "")
    assert label_b == r"\x1bdog"
    assert conflict == f"but cat in A: {tmp_path}/a/cat/1.jpg"
    assert path == rf"{tmp_path}/b/\x1bdog/1.jpg"
    assert (
        facts_of(page).items()
        >= {
            "images of A": "1",
            "images of B": "1",
            "label conflicts": "1",
            "groups": "1",
            "in B": "1",
            "command": "imgdup",
        }.items()
    )
    assert "nearest first" in page and "largest saving" not in page


def test_captions_leave_out_what_all_paths_begin_with():
    one = rows_of([File(b"/data/caf\xe9/1.jpg")], roots=(b"/data/caf\xe9",))
    two = rows_of([File(b"/data/a/1.jpg"), File(b"/data/b/1.jpg")], roots=(b"/data/a", b"/data/b"))

    entries = [entry(rows, 0, 0, "", {}) for rows in (one, two)]

    assert [each.path[each.n_hidden :] for each in entries] == ["1.jpg", "a/1.jpg"]


def test_duplicates_that_are_only_shown_are_in_the_group_of_the_file_they_were_compared_with():
    files = [File(b"/data/%s" % name, width=900 - i) for i, name in enumerate((b"a", b"b", b"c"))]
    rows = rows_of(files)
    box = (10, 20, 30, 40)
    verdicts = {1: Verdict("same-picture", 0.0, None), 2: Verdict("edited", 99.0, box)}

    duplicates = find_duplicates(rows, judge=lambda pairs: [verdicts[b] for _, b in pairs])
    [group] = page_groups(duplicates)

    [removed], [only_shown] = group.removals, group.shown
    assert (group.keeper.path, removed.path, only_shown.path) == ("/data/a", "/data/b", "/data/c")
    assert removed.comparison == Comparison(
        "The pictures were compared, and no region differs.", 0.0, None, None, "largest"
    )
    assert only_shown.comparison[1:] == (99.0, box, box, "", "none")


def test_a_file_that_is_only_shown_has_a_group_where_nothing_is_removed():
    rows = rows_of([File(b"/data/a", width=900), File(b"/data/b", width=800)])

    duplicates = find_duplicates(
        rows, judge=lambda pairs: [Verdict("recoloured", 5.0, None)] * len(pairs)
    )
    [group] = page_groups(duplicates)

    assert (names(group), [each.path for each in group.shown]) == (("/data/a", []), ["/data/b"])


@pytest.mark.parametrize(
    ("verdict", "in_copy", "in_keeper", "sentence"),
    [
        (
            Verdict("edited", 50.0, (1, 2, 3, 4)),
            (1, 2, 3, 4),
            (1, 2, 3, 4),
            "marked region differs",
        ),
        (Verdict("cropped", 9.0, (1, 2, 3, 4)), None, (1, 2, 3, 4), "only the marked part of the"),
        (Verdict("cropped", 9.0, WHOLE), None, None, "other picture shows only a part"),
        (Verdict("turned", 0.0, None, "mirror"), None, None, "It is rotated or mirrored."),
        (Verdict("recoloured", 0.0, WHOLE), WHOLE, WHOLE, "Only the colours"),
        (Verdict("recoloured", 9.0, (1, 2, 3, 4)), (1, 2, 3, 4), (1, 2, 3, 4), "of the marked"),
        (Verdict("same-pixels", 0.0, None), None, None, "all pixels are equal"),
    ],
)
def test_a_region_is_marked_where_it_lies_and_a_sentence_says_what_it_is(
    verdict, in_copy, in_keeper, sentence
):
    found = comparison(verdict)

    assert (found.box, found.keeper_box) == (in_copy, in_keeper)
    assert sentence in found.sentence


def test_the_sentence_about_a_crop_tells_which_picture_is_the_part():
    picture = photo(3, 400, 300)
    part = np.ascontiguousarray(picture[30:270, 40:360])

    of_copy, of_keeper = (
        comparison(compare_pictures(*pair)) for pair in ((picture, part), (part, picture))
    )

    assert of_copy.sentence == RELATION_TEXTS["cropped"]
    assert np.abs(np.subtract(of_copy.keeper_box, (100, 100, 800, 800))).max() <= 2
    assert of_keeper.sentence == "The other picture shows only a part of this one."
    assert of_keeper.keeper_box is None


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_in_a_turned_copy_the_region_is_marked_where_the_copy_has_it(orientation):
    box = (100, 200, 300, 50)
    number = ORIENTATIONS.index(orientation) + 1

    found = comparison(Verdict("edited", 50.0, box, orientation))

    x, y, width, height = found.box
    copy = np.zeros((1000, 1000), np.uint8)
    copy[y : y + height, x : x + width] = 1
    rows, columns = np.nonzero(upright(copy, number))
    assert (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1) == box
    assert found.keeper_box == box
    assert ("mirrored" in found.sentence) == (orientation != "none")


def test_every_relation_has_a_sentence():
    assert set(RELATION_TEXTS) == set(RELATIONS)

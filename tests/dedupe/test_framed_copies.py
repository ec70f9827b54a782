"""Copies with a border, bars or large letters, and crops: dedupe shows them, removes them if asked.

Pairs and query find them, too, where pictures are compared.

Only the pictures decide what they are; here it counts that they are compared at all. A crop by 3 %
of each side is more than 31 bits from its photo, and so is a picture with a border.
"""

import itertools
import json
import os
import shutil
from pathlib import Path

import make_sample
import numpy as np
import pytest

from encoded import save
from imgdup import ImageIndex, cli
from imgdup.dedupe import DedupeOptions, find_duplicates
from imgdup.dedupe.candidates import (
    Hashes,
    MatchRule,
    are_near,
    hashes_of,
    near_in_the_middle,
    widened,
)
from imgdup.dedupe.check_plan import faults
from imgdup.dedupe.decide import Policy
from imgdup.dedupe.plan import sealed
from imgdup.dedupe.relations import removable
from imgdup.dedupe.verify import Verifier
from imgdup.dedupe.wide import wide_row_pairs
from imgdup.index import folder, store
from imgdup.index.columns import images
from imgdup.query.row_pairs import Side

pytestmark = pytest.mark.usefixtures("in_process")

SIZE = (320, 240)


def with_letters(photo):
    """Return a photo with large white letters in black outlines at the top and the bottom."""
    copy = photo.copy()
    for top in (10, 194):
        for left in range(12, 290, 30):
            copy[top - 3 : top + 39, left - 3 : left + 21] = 0
            copy[top : top + 36, left : left + 18] = 255
    return copy


EDITS = {
    "frame": lambda p: np.pad(p, ((12, 12), (12, 12), (0, 0)), constant_values=255),
    "bars": lambda p: np.pad(p, ((40, 40), (0, 0), (0, 0))),
    "crop": lambda p: p[8:-8, 10:-10],
    "letters": with_letters,
}
RELATIONS = {**dict.fromkeys(EDITS, "cropped"), "letters": "edited"}


@pytest.fixture(scope="module")
def folder_of_copies(tmp_path_factory):
    """A photo and a copy for each edit, and three photos without copies."""
    place = tmp_path_factory.mktemp("copies")
    for seed, (name, edit) in enumerate(EDITS.items()):
        photo = make_sample.photo(seed, *SIZE)
        (place / f"{name}-photo.png").write_bytes(save(photo, "png"))
        (place / f"{name}.jpg").write_bytes(save(edit(photo), "jpeg", quality=90))
    for seed in range(5, 8):
        (place / f"other{seed}.png").write_bytes(save(make_sample.photo(seed, *SIZE), "png"))
    return place


@pytest.fixture
def index(folder_of_copies, tmp_path):
    return ImageIndex.build(folder_of_copies, tmp_path / "index")


def found(rows, *, removes=""):
    """What dedupe finds: the duplicates, which compares pictures as the command does."""
    rule = widened(MatchRule(), [(rows, images(rows))])
    options = DedupeOptions(rule=rule, policy=Policy(removable(removes)))
    with Verifier(workers=1) as verifier:
        return find_duplicates(rows, options, verifier.judge(rows))


def name_of(rows, row):
    return rows.path(row).rpartition(b"/")[2].decode()


COPIES = {
    (frozenset({f"{name}-photo.png", f"{name}.jpg"}), relation)
    for name, relation in RELATIONS.items()
}


def test_framed_cropped_and_captioned_copies_are_shown_and_kept(index):
    rows = index.rows
    match = rows.column("match")

    groups = found(rows).groups

    assert len(groups.removed) == 0
    pairs = {
        (frozenset(name_of(rows, row) for row in (s.better, s.row)), s.verdict.relation)
        for s in groups.shown
    }
    assert pairs == COPIES
    for each in groups.shown:
        bits = np.bitwise_count(match[each.better] ^ match[each.row]).sum()
        assert each.distance == bits > 31


def test_a_plan_that_removes_them_passes_the_check_only_as_a_wide_one(index):
    plan = found(index.rows, removes="cropped,edited").plan()

    assert len(plan.removals) == len(EDITS)
    assert list(faults(plan, index.rows)) == []
    narrow = plan._replace(header=sealed(plan.header._replace(wide=False)))
    assert any("duplicates" in fault for fault in faults(narrow, index.rows))


def test_an_index_without_hashes_of_borders_finds_the_crops_and_reports_what_is_missing(
    index, tmp_path, capsys
):
    place = tmp_path / "index"
    cli.main(["dedupe", "--index", str(place)])
    without_note = capsys.readouterr().err
    file = folder.generation_path(place, 1)
    stored = store.load(file)
    arrays = {k: np.array(a) for k, a in stored.arrays.items() if not k.startswith("trimmed")}
    store.save(file, stored.head, arrays)

    code = cli.main(["dedupe", "--index", str(place)])

    out, err = capsys.readouterr()
    assert code == 0
    assert "did not look for borders" not in without_note
    assert "copies with a border are not found: run imgdup index --rehash" in err
    shown = [line.split() for line in out.splitlines() if "only shown" in line]
    assert [line[:2] for line in shown] == [["edited", "1"], ["cropped", "1"]]


PATHS = ("a", "b", "probe", "path")  # of the records that are printed


def records_of(capsys, *arguments):
    """What a command printed as JSON: the names of both files, the relation, and what found it."""
    capsys.readouterr()
    assert cli.main([*arguments, "--json"]) == 0
    lines = map(json.loads, capsys.readouterr().out.splitlines())
    return [
        (
            frozenset(os.path.basename(each[n]) for n in PATHS if n in each),
            each.get("relation"),
            each.get("found_by"),
        )
        for each in lines
    ]


def test_pairs_finds_edited_copies_only_if_pictures_are_compared(index, capsys):
    command = ["pairs", "--index", str(index.folder)]

    compared = records_of(capsys, *command, "--verify")
    limited = records_of(capsys, *command, "--verify", "--max-dist", "31")

    assert {each[:2] for each in compared} == COPIES
    assert len(compared) == len(COPIES)
    assert limited == records_of(capsys, *command) == []


def test_pairs_across_two_sets_finds_edited_copies(folder_of_copies, index, capsys):
    other = str(index.folder.parent / "other")

    copies = other_index(folder_of_copies, other)
    command = ["pairs", "--index", str(index.folder), "--with", copies, "--verify"]
    found = records_of(capsys, *command)

    assert COPIES <= {each[:2] for each in found}
    assert {relation for _, relation, _ in found} == {*RELATIONS.values(), "same-bytes"}


def other_index(folder, place):
    """Index the copies of a folder, without the photos, in another place."""
    copies = Path(place).with_name("copies")
    copies.mkdir()
    for file in folder.glob("*.jpg"):
        shutil.copy(file, copies)
    ImageIndex.build(copies, place)
    return place


def test_query_finds_edited_copies_only_if_pictures_are_compared(folder_of_copies, index, capsys):
    for name in EDITS:
        probe = folder_of_copies / f"{name}.jpg"
        command = ["query", str(probe), "--index", str(index.folder)]

        found = {pair: how for pair, *how in records_of(capsys, *command, "--verify")}

        pair = frozenset({f"{name}-photo.png", f"{name}.jpg"})
        assert found[pair][0] == RELATIONS[name]
        assert len(found) == 2  # and the file itself
        if found[pair][1] == ["wide"]:
            for options in ([], ["--verify", "--by", "match"], ["--verify", "--max-dist", "10"]):
                assert pair not in {each for each, *_ in records_of(capsys, *command, *options)}


def test_pictures_that_are_alike_in_the_middle_only_are_candidates():
    rng = np.random.default_rng(5)
    middles = [0x2D5A_C3B1, 0x2D5A_C3B0, 0x2D5A_C3B3, 0x0000_0003, 0xFFFF_FFFC, 0]
    numbers = rng.choice(middles, 60).astype(np.uint64) << np.uint64(16)
    rest = rng.integers(0, 2**64, 60, np.uint64) & np.uint64(0xFFFF_0000_0000_FFFF)
    match = np.repeat(rng.integers(0, 2**64, (1, 4), np.uint64), 60, axis=0)
    for row, n_flipped in zip(match, rng.integers(0, 60, 60).tolist(), strict=True):
        for bit in rng.choice(256, n_flipped, replace=False).tolist():
            row[bit // 64] ^= np.uint64(1 << bit % 64)
    hashes = Hashes(match, (numbers | rest)[:, np.newaxis], np.zeros_like(match))
    left, right = hashes.select(np.arange(25)), hashes.select(np.arange(25, 60))

    found = [pairs_in(near_in_the_middle(*sides, 1)) for sides in ((hashes,) * 2, (left, right))]

    expected = {
        (i, j) for i, j in itertools.combinations(range(60), 2) if alike_in_the_middle(hashes, i, j)
    }
    assert 50 < len(expected) < 1000
    assert found[0] == expected
    assert found[1] == {(i, j - 25) for i, j in expected if i < 25 <= j}


def pairs_in(blocks):
    return {pair for b in blocks for pair in zip(b.left.tolist(), b.right.tolist(), strict=True)}


def alike_in_the_middle(hashes, i, j):
    """Compare two pictures bit by bit."""
    middles = [f"{int(hashes.search[each, 0]):064b}"[16:48] for each in (i, j)]
    if any(min(bits.count("0"), bits.count("1")) < 3 for bits in middles):
        return False
    n_unlike = sum(a != b for a, b in zip(*middles, strict=True))
    wholes = ["".join(f"{int(word):064b}" for word in hashes.match[each]) for each in (i, j)]
    distance = sum(a != b for a, b in zip(*wholes, strict=True))
    return (n_unlike == 0 and distance <= 80) or (n_unlike == 1 and distance <= 56)


def test_the_wide_pairs_are_those_that_are_near_one_by_one(index):
    rows = index.rows
    rule = widened(MatchRule(), [(rows, images(rows))])
    side = Side(rows, images(rows))
    hashes = hashes_of(rows, side.rows, rule)
    far = {
        (i, j)
        for i, j in itertools.combinations(range(len(side.rows)), 2)
        if are_near(hashes, i, j, rule)
        and np.bitwise_count(hashes.match[i] ^ hashes.match[j]).sum() > rule.max_distance
    }

    within = wide_row_pairs(side, None, rule, most=64)
    across = wide_row_pairs(side, side, rule, most=64)

    assert len(far) >= len(EDITS)
    assert set(zip(within.left.tolist(), within.right.tolist(), strict=True)) == far
    assert not within.duplicate.any()
    both = {
        tuple(sorted(pair))
        for pair in zip(across.left.tolist(), across.right.tolist(), strict=True)
    }
    assert both == far

"""Pairs of images: all of them, each with what it is.

Oracle: two loops over all rows.
"""

import itertools

import numpy as np
import pytest
from make_sample import encode, photo

from array_rows import File, rows_of
from imgdup import ImageIndex
from imgdup.build.settings import Settings
from imgdup.index.columns import images
from imgdup.query.row_pairs import PairRule, Side, iter_row_pairs
from imgdup.workers.pool import inline
from oracles_dedupe import turned_match

# The order of `turned_match`: transposed or not, then upside down or not, then mirrored or not.
BY_THE_ORACLE = (
    "none",
    "mirror",
    "flip",
    "rotate-180",
    "transpose",
    "rotate-90",
    "rotate-270",
    "transverse",
)
INLINE = Settings(workers=1, engine=inline)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    for name, start in (("a", 0), ("b", 4)):
        (folder / "photos" / name).mkdir(parents=True)
        for seed in range(start, start + 8):
            picture = photo(seed, 320, 240)
            suffix = ".jpg" if name == "a" else ".png"
            (folder / "photos" / name / f"{seed}{suffix}").write_bytes(encode(picture, suffix))
    for i in range(3):
        flat = np.full((60, 80, 3), 100 + i, np.uint8)
        (folder / "photos" / f"flat{i}.png").write_bytes(encode(flat, ".png"))
    (folder / "photos" / "copy.jpg").write_bytes((folder / "photos" / "a" / "0.jpg").read_bytes())
    (folder / "photos" / "bad.jpg").write_bytes(b"nonsense")
    return ImageIndex.build(folder / "photos", path=folder / "index", settings=INLINE).rows


def number(index, name, row):
    return int.from_bytes(index.column(name)[row].tobytes(), "little")


def all_pairs(index, column, max_distance, rows, others=None, min_quality=0):
    """(left, right, distance) of every pair within the distance, by looking at each."""
    candidates = (
        itertools.combinations(rows, 2) if others is None else itertools.product(rows, others)
    )
    quality = index.column("quality")
    return sorted(
        (i, j, d)
        for i, j in candidates
        if min(quality[i], quality[j]) >= min_quality
        and (d := (number(index, column, i) ^ number(index, column, j)).bit_count()) <= max_distance
    )


def found(blocks, field):
    return sorted(
        (int(i), int(j), int(d))
        for block in blocks
        for i, j, d in zip(block.left, block.right, getattr(block, field), strict=True)
    )


@pytest.mark.parametrize("max_distance", [0, 31, 100])
def test_pairs_by_match_hash_equal_two_loops_over_pictures_with_structure(index, max_distance):
    rows = images(index)

    blocks = iter_row_pairs(Side(index, rows), None, PairRule(max_distance))

    expected = all_pairs(index, "match", max_distance, rows.tolist(), min_quality=50)
    assert found(blocks, "match_distances") == expected


@pytest.mark.parametrize("max_distance", [0, 10, 30])
def test_pairs_by_the_search_hash_equal_two_loops(index, max_distance):
    rows = images(index)

    blocks = iter_row_pairs(Side(index, rows), None, PairRule(max_distance, by="search"))

    assert found(blocks, "distances") == all_pairs(index, "hashes", max_distance, rows.tolist())


def test_pairs_across_two_parts_equal_two_loops(index):
    a, b = (images(index, [index.roots[0] + b"/" + name]) for name in (b"a", b"b"))

    blocks = iter_row_pairs(Side(index, a), Side(index, b), PairRule(31))

    expected = all_pairs(index, "match", 31, a.tolist(), b.tolist(), min_quality=50)
    assert found(blocks, "match_distances") == expected
    assert len(expected) >= 4


def test_a_pair_is_a_duplicate_by_match_hash_and_structure_or_by_its_bytes(index):
    rows = images(index)

    found = {
        (int(i), int(j)): bool(d)
        for block in iter_row_pairs(Side(index, rows), None, PairRule(64, by="search"))
        for i, j, d in zip(block.left, block.right, block.duplicate, strict=True)
    }

    for (i, j), duplicate in found.items():
        near = (number(index, "match", i) ^ number(index, "match", j)).bit_count() <= 31
        structure = min(index.column("quality")[[i, j]]) >= 50
        same = np.array_equal(index.column("digest")[i], index.column("digest")[j])
        assert duplicate == bool((near and structure) or same)


def turned_files(n, seed):
    """Files of a few pictures, each rotated or mirrored and with up to 2 bits changed."""
    rng = np.random.default_rng(seed)
    bases = [int.from_bytes(rng.bytes(32), "little") & ~1 for _ in range(4)]
    bases.append(sum(1 << 17 * i for i in range(1, 16)))  # its own transposed picture
    files = []
    for i in range(n):
        match = turned_match(bases[rng.integers(5)])[rng.integers(8)]
        for bit in rng.integers(1, 256, rng.integers(3)).tolist():
            match ^= 1 << bit
        files.append(
            File(b"/data/%d/%02d.jpg" % (i % 2, i), match=match, quality=40 + 10 * (i % 9))
        )
    return files


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("across", [False, True], ids=["one set", "two sets"])
def test_turned_pairs_are_those_of_the_nearest_of_eight_hashes(seed, across):
    rows = rows_of(turned_files(60, seed))
    halves = [images(rows, [b"/data/0"]), images(rows, [b"/data/1"])]
    sides = [Side(rows, each) for each in halves] if across else [Side(rows, images(rows)), None]

    blocks = list(iter_row_pairs(*sides, PairRule(6, orientations=True)))

    pairs = itertools.product(*halves) if across else itertools.combinations(range(len(rows)), 2)
    quality, expected = rows.column("quality"), []
    for i, j in pairs:
        one, other = (number(rows, "match", row) for row in (i, j))
        bits = [(one ^ each).bit_count() for each in turned_match(other)]
        if min(quality[i], quality[j]) >= 50 and min(bits) <= 6:
            expected.append((int(i), int(j), min(bits)))
    assert found(blocks, "match_distances") == sorted(expected)
    assert len(expected) > 100
    for block in blocks:
        names = block.orientation_names()
        for i, j, d, name in zip(*block[:2], block.match_distances, names, strict=True):
            turned = turned_match(number(rows, "match", j))[BY_THE_ORACLE.index(name)]
            assert (number(rows, "match", i) ^ turned).bit_count() == d


def test_hashes_of_all_or_some_rows_are_not_copied(index):
    column = index.column("match")
    rows = images(index)

    some, everything = Side(index, rows).hashes("match"), Side(index, np.arange(len(column)))

    assert np.shares_memory(some.hashes, column)
    assert some[:].tolist() == column[rows].tolist()
    assert np.shares_memory(everything.hashes("match")[:], column)


def test_search_hashes_cannot_be_turned(index):
    rule = PairRule(9, by="search", orientations=True)

    with pytest.raises(ValueError, match="only match hashes can be turned"):
        next(iter_row_pairs(Side(index, images(index)), None, rule))


def test_an_unknown_hash_raises(index):
    with pytest.raises(ValueError, match="'match', 'search'"):
        next(iter_row_pairs(Side(index, images(index)), None, PairRule(10, by="dhash")))


@pytest.mark.parametrize("by", ["match", "search"])
def test_two_rows_of_one_file_are_not_a_pair(by):
    rows = rows_of(
        [
            File(b"/data/a/1.jpg", inode=1),
            File(b"/data/a/2.jpg", match=0b1, search=0b1),
            File(b"/data/mirror/1.jpg", inode=1),
        ]
    )

    blocks = list(iter_row_pairs(Side(rows, images(rows)), None, PairRule(10, by=by)))
    across = list(
        iter_row_pairs(Side(rows, np.array([0])), Side(rows, np.array([1, 2])), PairRule(10, by=by))
    )

    assert found(blocks, "distances") == [(0, 1, 1), (1, 2, 1)]
    assert found(across, "distances") == [(0, 1, 1)]


def test_one_file_in_two_indexes_is_no_pair_and_another_file_is():
    a = rows_of([File(b"/data/1.jpg", content=b"same", inode=1)])
    files = [File(b"/mnt/1.jpg", content=b"same", inode=1), File(b"/mnt/2.jpg", content=b"same")]
    b = rows_of([*files, File(b"/mnt/3.jpg", inode=1)], roots=(b"/mnt",))

    blocks = list(iter_row_pairs(Side(a, images(a)), Side(b, images(b)), PairRule(10)))

    assert found(blocks, "distances") == [(0, 1, 0), (0, 2, 0)]

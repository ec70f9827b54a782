"""VPTree: exact search over Hamming distance.

Oracles: `oracles_vptree`, full scans with ``np.bitwise_count`` that share no code with the tree, a
recursive descent over the stored arrays, and the `vptree` package. The tree promises the same set,
order and distances, so every comparison below is equality, never a tolerance.

Hash sets are drawn small and clustered (few distinct bits) because distances that are all near 32
of 64 bits, as in uniform random hashes, never exercise the ties and the boundaries where pruning
goes wrong. Leaves are made small enough for such sets to have several levels.

Checked by hand: 30 of 30 mutants die here. In hamming: `<` for `<=`, last word left out, ties by
chance. In the tree: each of the four ends of a span and both gaps off by one, a child that ignores
its parent's bound or takes another's, halves off by one, one word or the rows left in place. In
vptree: `<` for each `<=` on a bound, first leaf left out, runs cut at rounded leaf sizes, positions
of the run for positions of the tree, row limits off by one; in nearest: radius less by one, or
lowered with k - 1 found, ties cut off or taken from the end, a batch of leaves skipped; scanning
from equal fractions on; one leaf too many in a forged tree; k = 0.
"""

import hashlib
import random
import tracemalloc

import numpy as np
import pytest
import vptree as reference
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from imgdup.errors import IndexFormatError
from imgdup.search import vptree
from imgdup.search.vptree import VPTree
from oracles_vptree import as_pairs, descend, hamming_matrix, hash_sets, scan_nearest, scan_within

WIDTHS = [1, 2, 4, 16]
FULL_LEAF = vptree.LEAF
every_width = pytest.mark.parametrize("words", WIDTHS, ids=[f"{64 * w}-bit" for w in WIDTHS])


@pytest.fixture(autouse=True, scope="module")
def leaves_of_four():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vptree, "LEAF", 4)
        yield


@pytest.fixture
def full_leaves(monkeypatch):
    monkeypatch.setattr(vptree, "LEAF", FULL_LEAF)


@pytest.fixture
def tree():
    """63 hashes in 16 leaves."""
    return VPTree.build(mixed(63))


def mixed(n, words=1, bits=64):
    """Hashes by formula (splitmix64), so that they are the same on every machine."""
    with np.errstate(over="ignore"):
        z = np.arange(1, n * words + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(64 - bits)).reshape(n, words)


def clustered(n, words=1):
    """Neighbours of eight centres, by formula, with many ties."""
    return mixed(8, words)[np.arange(n) % 8] ^ mixed(n, words, bits=5)


# ---- within


@every_width
@settings(max_examples=40)  # of each of the widths
@given(data=st.data())
def test_within_equals_linear_scan_whatever_the_strategy(words, data):
    hashes = data.draw(hash_sets(words))
    probes = data.draw(hash_sets(words))
    max_distance = data.draw(st.integers(0, 12) | st.integers(0, 64 * words))
    tree = VPTree.build(hashes)

    found = [tree.within(probes, max_distance, strategy=s) for s in (None, "tree", "scan")]

    assert [as_pairs(matches) for matches in found] == 3 * [
        scan_within(hashes, probes, max_distance)
    ]


@every_width
@pytest.mark.parametrize("max_distance", [0, 1, 2, 5, 31])
def test_within_equals_linear_scan_over_many_leaves(words, max_distance):
    hashes = clustered(1000, words)
    probes = np.concatenate([hashes[::50], mixed(5, words)])

    matches = VPTree.build(hashes).within(probes, max_distance, strategy="tree")

    assert as_pairs(matches) == scan_within(hashes, probes, max_distance)


@pytest.mark.usefixtures("full_leaves")
def test_within_equals_linear_scan_with_leaves_of_full_size():
    hashes = clustered(20_000)

    matches = VPTree.build(hashes).within(hashes[::4000], 3, strategy="tree")

    assert as_pairs(matches) == scan_within(hashes, hashes[::4000], 3)


def test_distance_zero_around_a_member_finds_it():
    hashes = mixed(100)

    matches = VPTree.build(hashes).within(hashes, max_distance=0)

    assert matches.indices.tolist() == list(range(100))


def test_within_is_inclusive():
    hashes = np.array([[0b0000], [0b0011]], dtype=np.uint64)

    matches = VPTree.build(hashes).within(hashes[:1], max_distance=2)

    assert matches.distances.tolist() == [0, 2]


def test_ties_are_in_the_order_of_the_input():
    hashes = np.array([[1], [0], [2], [0], [4]] * 9, dtype=np.uint64)

    matches = VPTree.build(hashes).within(np.zeros((1, 1), np.uint64), max_distance=1)

    assert as_pairs(matches) == scan_within(hashes, np.zeros((1, 1), np.uint64), 1)


@pytest.mark.parametrize("distance", [3, 4])
def test_planted_neighbours_are_found_up_to_the_distance_and_no_further(distance):
    hashes = mixed(500)
    flipped = hashes ^ np.uint64(2**distance - 1)

    matches = VPTree.build(flipped).within(hashes, max_distance=3, strategy="tree")

    assert matches.indices.tolist() == (list(range(500)) if distance == 3 else [])


def test_the_largest_distance_finds_everything():
    hashes = np.array([[0] * 16, [2**64 - 1] * 16], dtype=np.uint64)

    matches = VPTree.build(hashes).within(hashes[:1], max_distance=1024)

    assert matches.distances.tolist() == [0, 1024]


@pytest.mark.parametrize("n", [2_000, 100_000])
@pytest.mark.usefixtures("full_leaves")
def test_equal_hashes_need_neither_depth_nor_time(n):
    hashes = np.full((n, 1), 7, np.uint64)
    tree = VPTree.build(hashes)

    matches = tree.within(hashes[:1], max_distance=0)
    nearest = tree.nearest(hashes[:1], k=3)

    assert matches.indices.tolist() == list(range(n))
    assert nearest.indices.tolist() == [0, 1, 2]


def test_equal_hashes_are_cut_down_to_single_leaves():
    hashes = np.full((2_000, 1), 7, np.uint64)

    tree = VPTree.build(hashes)

    assert len(tree.points) == 511
    assert tree.within(hashes[:1], 0, strategy="tree").indices.tolist() == list(range(2_000))


@every_width
@pytest.mark.parametrize("n", [0, 1, 2])
def test_none_one_and_two_hashes(n, words):
    hashes = mixed(n, words)
    tree = VPTree.build(hashes)
    probes = mixed(3, words)

    assert len(tree) == n
    assert as_pairs(tree.within(probes, 0)) == scan_within(hashes, probes, 0)
    assert as_pairs(tree.within(probes, 0, strategy="tree")) == scan_within(hashes, probes, 0)
    assert as_pairs(tree.nearest(probes, 2)) == scan_nearest(hashes, probes, 2)


def test_no_probes_give_no_matches(tree):
    matches = tree.within(np.empty((0, 1), np.uint64), 5)

    assert [column.tolist() for column in matches] == [[0], [], []]


# ---- nearest


@every_width
@settings(max_examples=40)  # of each of the widths
@given(data=st.data())
def test_nearest_equals_linear_scan(words, data):
    hashes = data.draw(hash_sets(words))
    probes = data.draw(hash_sets(words))
    k = data.draw(st.integers(1, 70))

    matches = VPTree.build(hashes).nearest(probes, k)

    assert as_pairs(matches) == scan_nearest(hashes, probes, k)


@every_width
@settings(max_examples=40)  # of each of the widths
@given(data=st.data())
def test_nearest_within_a_distance_is_the_head_of_within(words, data):
    hashes = data.draw(hash_sets(words))
    k = data.draw(st.integers(1, 70))
    max_distance = data.draw(st.integers(0, 12))

    matches = VPTree.build(hashes).nearest(hashes, k, max_distance=max_distance)

    assert as_pairs(matches) == scan_nearest(hashes, hashes, k, max_distance)


@every_width
@pytest.mark.parametrize("k", [1, 7, 300, 2000])
def test_nearest_equals_linear_scan_over_many_leaves(words, k):
    hashes = clustered(1000, words)
    probes = np.concatenate([hashes[::100], mixed(5, words)])

    matches = VPTree.build(hashes).nearest(probes, k)

    assert as_pairs(matches) == scan_nearest(hashes, probes, k)


def test_more_neighbours_than_hashes_give_them_all(tree):
    matches = tree.nearest(mixed(2), k=64)

    assert matches.offsets.tolist() == [0, 63, 126]


# ---- against the package


@settings(max_examples=30)
@given(data=st.data())
def test_tree_agrees_with_the_vptree_package(data):
    hashes = data.draw(hnp.arrays(np.uint64, (data.draw(st.integers(1, 200)), 1), unique=True))
    max_distance = data.draw(st.integers(0, 40))
    table = hamming_matrix(hashes, hashes)
    package = reference.VPTree(range(len(hashes)), lambda i, j: int(table[i, j]))

    matches = VPTree.build(hashes).within(hashes[:10], max_distance, strategy="tree")

    # the package is strict (d < max_distance) and does not sort
    assert as_pairs(matches) == [
        sorted((d, int(j)) for d, j in package.get_all_in_range(i, max_distance + 1))
        for i in range(min(10, len(hashes)))
    ]


@settings(max_examples=30)
@given(data=st.data())
def test_nearest_gives_the_distances_of_the_vptree_package(data):
    hashes = data.draw(hash_sets(1, min_size=1, bits=16))
    probes = data.draw(hash_sets(1, min_size=1, bits=16))
    table = hamming_matrix(probes, hashes)
    everyone = np.concatenate([table, hamming_matrix(hashes, hashes)])
    package = reference.VPTree(
        range(len(hashes)), lambda i, j: int(everyone[i if i < 0 else i + len(probes), j])
    )

    matches = VPTree.build(hashes).nearest(probes, 1)

    assert matches.distances.tolist() == [
        package.get_nearest_neighbor(i - len(everyone))[0] for i in range(len(probes))
    ]


# ---- what a search visits


@every_width
@settings(max_examples=40)  # of each of the widths
@given(data=st.data())
def test_visited_are_the_leaves_of_a_recursive_descent(words, data):
    hashes = data.draw(hash_sets(words))
    probes = data.draw(hash_sets(words))
    max_distance = data.draw(st.integers(0, 12))
    tree = VPTree.build(hashes)

    n_visited = tree.n_visited(probes, max_distance)

    assert n_visited == sum(
        len(tree.points) + sum(b - a for a, b in descend(tree.arrays(), probe, max_distance))
        for probe in probes
    )


@pytest.mark.usefixtures("full_leaves")
def test_visited_fractions_are_the_mean_over_members():
    hashes = clustered(50_000)
    tree = VPTree.build(hashes)
    members = hashes[tree.rows[(2 * np.arange(64) + 1) * 50_000 // 128]]

    visited = [tree.n_visited(members, distance) for distance in range(65)]

    assert tree.visited_fractions.tolist() == [n / (64 * 50_000) for n in visited]
    assert tree.visited_fractions[1] < 0.5


def test_within_descends_where_little_is_visited_and_scans_where_much_is(tree, monkeypatch):
    fractions = tree.visited_fractions
    fractions[:] = np.linspace(0, 1, 65)
    monkeypatch.setattr(
        "imgdup.search.vptree.STRATEGIES", {"tree": refuse("tree"), "scan": refuse("scan")}
    )

    with pytest.raises(RuntimeError, match="tree"):
        tree.within(mixed(1), 41)
    with pytest.raises(RuntimeError, match="scan"):
        tree.within(mixed(1), 42)


def refuse(strategy):
    def search(tree, probes, max_distance):
        raise RuntimeError(strategy)

    return search


# ---- building


@pytest.mark.usefixtures("full_leaves")
def test_tree_is_the_same_on_every_machine():
    tree = VPTree.build(clustered(20_000, words=4))

    digest = hashlib.blake2b(digest_size=16)
    for name, array in sorted(tree.arrays().items()):
        digest.update(name.encode() + array.astype(array.dtype.newbyteorder("<")).tobytes())

    assert digest.hexdigest() == "c25635a1e9d90838f32a501b18321786"


def test_build_uses_no_global_seed():
    hashes = clustered(300)
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002

    one, other = VPTree.build(hashes), VPTree.build(hashes)

    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002
    assert all(np.array_equal(a, other.arrays()[name]) for name, a in one.arrays().items())


def test_build_leaves_its_input_alone():
    hashes = clustered(300)
    hashes.setflags(write=False)

    tree = VPTree.build(hashes)

    assert np.array_equal(hashes, clustered(300))
    assert not np.shares_memory(tree.hashes, hashes)


def test_build_accepts_a_view_of_every_other_row():
    hashes = clustered(300)[::2]

    matches = VPTree.build(hashes).within(hashes, 2)

    assert as_pairs(matches) == scan_within(hashes, hashes, 2)


@pytest.mark.usefixtures("full_leaves")
def test_build_needs_little_memory_beside_its_input():
    n = 300_000
    hashes = mixed(n)

    tracemalloc.start()
    try:
        VPTree.build(hashes)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak <= 40 * n


# ---- stored arrays


def test_arrays_make_the_same_tree_again(tree):
    again = VPTree.from_arrays(tree.arrays())

    assert all(a is again.arrays()[name] for name, a in tree.arrays().items())


def test_arrays_may_be_read_only(tree):
    arrays = tree.arrays()
    for array in arrays.values():
        array.setflags(write=False)

    again = VPTree.from_arrays(arrays)

    assert as_pairs(again.within(mixed(63), 20)) == scan_within(mixed(63), mixed(63), 20)
    assert as_pairs(again.nearest(mixed(63), 5)) == scan_nearest(mixed(63), mixed(63), 5)


@pytest.mark.parametrize("name", ["hashes", "rows", "points", "spans", "visited_fractions"])
@pytest.mark.parametrize(
    "forge",
    [
        lambda a: a[:-1],
        lambda a: a[..., None],
        lambda a: a.reshape(-1)[0],
        lambda a: a.astype(a.dtype.newbyteorder(">")),
        lambda a: a.astype(np.float32),
        lambda a: a.tolist(),
    ],
    ids=["short", "deep", "scalar", "big-endian", "float", "list"],
)
def test_forged_forms_are_refused(tree, name, forge):
    with pytest.raises(IndexFormatError):
        VPTree.from_arrays({**tree.arrays(), name: forge(tree.arrays()[name])})


def test_missing_and_unknown_arrays_are_named(tree):
    arrays = tree.arrays()
    without = {name: array for name, array in arrays.items() if name != "spans"}

    with pytest.raises(IndexFormatError, match="spans"):
        VPTree.from_arrays(without)
    with pytest.raises(IndexFormatError, match="more"):
        VPTree.from_arrays({**arrays, "more": arrays["rows"]})


@pytest.mark.parametrize("words", [0, 17])
def test_a_width_that_no_hash_has_is_refused(words):
    arrays = {
        "hashes": np.zeros((3, words), np.uint64),
        "rows": np.arange(3),
        "points": np.zeros((0, words), np.uint64),
        "spans": np.zeros((0, 2, 2), np.uint16),
        "visited_fractions": np.ones(64 * words + 1),
    }

    with pytest.raises(IndexFormatError, match="1 to 16"):
        VPTree.from_arrays(arrays)


@pytest.mark.parametrize("n_points", [1, 2, 4, 6])
def test_more_leaves_than_hashes_or_a_ragged_tree_are_refused(n_points):
    arrays = VPTree.build(mixed(3)).arrays()
    arrays["points"] = np.zeros((n_points, 1), np.uint64)
    arrays["spans"] = np.zeros((n_points, 2, 2), np.uint16)
    arrays = {name: a[:1] if name in ("hashes", "rows") else a for name, a in arrays.items()}

    with pytest.raises(IndexFormatError, match="cannot be halved"):
        VPTree.from_arrays(arrays)


@pytest.mark.parametrize("row", [-1, 63, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("strategy", ["tree", "scan", "nearest"])
def test_forged_rows_are_never_returned(tree, row, strategy):
    tree.rows[:] = row

    with pytest.raises(IndexFormatError, match=r"rows outside 0\.\.62"):
        if strategy == "nearest":
            tree.nearest(mixed(1), 1)
        tree.within(mixed(1), 64, strategy=strategy)


@settings(max_examples=200)
@given(data=st.data())
def test_forged_contents_never_lead_outside(data):
    n, words = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 2))
    n_points = 2 ** data.draw(st.integers(0, n.bit_length() - 1)) - 1
    arrays = {
        "hashes": data.draw(hnp.arrays(np.uint64, (n, words))),
        "rows": data.draw(hnp.arrays(np.int64, n)) % data.draw(st.sampled_from([n, 2**63 - 1])),
        "points": data.draw(hnp.arrays(np.uint64, (n_points, words))),
        "spans": data.draw(hnp.arrays(np.uint16, (n_points, 2, 2))),
        "visited_fractions": data.draw(hnp.arrays(np.float64, 64 * words + 1)),
    }
    tree = VPTree.from_arrays(arrays)

    for search in (tree.within, tree.nearest):
        try:
            matches = search(arrays["hashes"][:3], data.draw(st.integers(1, 64)))
        except IndexFormatError:
            continue
        assert set(matches.indices.tolist()) <= set(range(n))


# ---- wrong arguments


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((2, 2), np.uint64),
        np.zeros(2, np.uint64),
        np.zeros((2, 1), np.int64),
        np.zeros((2, 1), np.float64),
    ],
    ids=["wide", "flat", "signed", "float"],
)
def test_probes_that_do_not_fit_are_refused(tree, bad):
    for search in (tree.within, tree.nearest, tree.n_visited):
        with pytest.raises(ValueError, match=r"probes must be uint64 of shape \(n, 1\), got"):
            search(bad, 1)


@pytest.mark.parametrize("max_distance", [-1, 65])
def test_a_distance_outside_the_bits_is_refused(tree, max_distance):
    for search in (tree.within, tree.n_visited):
        with pytest.raises(ValueError, match=f"from 0 to 64 bits, got {max_distance}"):
            search(mixed(1), max_distance)
    with pytest.raises(ValueError, match="from 0 to 64 bits"):
        tree.nearest(mixed(1), 1, max_distance=max_distance)


@pytest.mark.parametrize("k", [0, -1])
def test_fewer_than_one_neighbour_is_refused(tree, k):
    with pytest.raises(ValueError, match=f"k must be at least 1, got {k}"):
        tree.nearest(mixed(1), k)


def test_an_unknown_strategy_is_refused_with_the_known_ones(tree):
    with pytest.raises(ValueError, match=r"one of \['scan', 'tree'\], got 'bands'"):
        tree.within(mixed(1), 1, strategy="bands")


@pytest.mark.parametrize("words", [0, 17])
def test_hashes_of_an_impossible_width_are_refused(words):
    with pytest.raises(ValueError, match="1 to 16 words"):
        VPTree.build(np.zeros((3, words), np.uint64))

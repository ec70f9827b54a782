"""Pairs by shards are the pairs of one search over all hashes, also after an interruption."""

import pickle
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from imgdup.errors import UsageError
from imgdup.hashing import dihedral_hashes
from imgdup.index import store
from imgdup.query import shards
from imgdup.query.shards import Sharding, iter_sharded_pairs, shards_within
from imgdup.query.transformed import pairs_in_orientation
from imgdup.search import Chosen, join
from imgdup.search.bands import Band, Layout
from kill_every_line import gets_through


def clustered(seed, n, words=1):
    """Hashes of which many are near each other."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 2**64, (max(1, n // 8), words), np.uint64)
    flips = np.uint64(1) << rng.integers(0, 64, (n, words)).astype(np.uint64)
    return centres[rng.integers(0, len(centres), n)] ^ flips


def slow_pairs(left, right, max_distance):
    """All pairs by their distances, sorted; without `right`, each pair once."""
    others = left if right is None else right
    bits = np.bitwise_count(left[:, None] ^ others[None]).sum(axis=-1)
    return [
        (i, j, int(bits[i, j]))
        for i in range(len(left))
        for j in range(0 if right is not None else i + 1, len(others))
        if bits[i, j] <= max_distance
    ]


def found(blocks):
    blocks = list(blocks)
    return [pair for block in blocks for pair in zip(*(c.tolist() for c in block), strict=True)]


class Inline:
    """An executor that does its tasks at once, and counts them; it fails after some."""

    def __init__(self, n_most=10**6):
        self.n_done, self.n_most = 0, n_most

    def submit(self, function, *arguments):
        future = Future()
        if self.n_done == self.n_most:
            future.set_exception(KeyboardInterrupt())
        else:
            self.n_done += 1
            future.set_result(function(*arguments))
        return future


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    st.integers(0, 2**32), st.integers(0, 40), st.integers(0, 30), st.integers(1, 7),
    st.integers(0, 64), st.integers(1, 2), st.integers(1, 5),
)  # fmt: skip
def test_the_pairs_of_shards_are_those_of_all_hashes(
    tmp_path_factory, seed, n, n_others, n_shards, max_distance, words, chunk
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "CHUNK_PAIRS", chunk)
        left, right = clustered(seed, n, words), clustered(seed, n_others, words)
        for other in (None, right):
            sharding = Sharding(n_shards, tmp_path_factory.mktemp("answers"), Inline())

            blocks = iter_sharded_pairs(left, max_distance, sharding, other=other)

            assert found(blocks) == slow_pairs(left, other, max_distance)


@pytest.mark.parametrize(
    "start",
    [ThreadPoolExecutor, lambda n: ProcessPoolExecutor(n, mp_context=get_context("spawn"))],
    ids=["threads", "processes"],
)
def test_any_executor_gives_the_same_pairs(tmp_path, start):
    hashes = clustered(1, 3000, 4)
    with start(2) as executor:
        sharding = Sharding(3, tmp_path, executor, workers=2)
        pairs = found(iter_sharded_pairs(hashes, 4, sharding))

    assert pairs == slow_pairs(hashes, None, 4)


def test_k_shards_are_k_times_k_plus_one_half_tasks(tmp_path):
    executor = Inline()

    list(iter_sharded_pairs(clustered(1, 100), 3, Sharding(5, tmp_path, executor)))

    assert executor.n_done == 15


def test_an_interrupted_search_continues_where_it_stopped(tmp_path):
    hashes, first, second = clustered(1, 100), Inline(n_most=7), Inline()
    with pytest.raises(KeyboardInterrupt):
        iter_sharded_pairs(hashes, 3, Sharding(5, tmp_path, first))

    pairs = found(iter_sharded_pairs(hashes, 3, Sharding(5, tmp_path, second)))

    assert pairs == slow_pairs(hashes, None, 3)
    assert first.n_done + second.n_done <= 15 + shards.PENDING
    assert second.n_done < 15


def test_only_tasks_of_a_shard_that_changed_are_done_again(tmp_path):
    hashes, again = clustered(1, 100), Inline()
    list(iter_sharded_pairs(hashes, 3, Sharding(5, tmp_path, Inline())))
    hashes[50] ^= np.uint64(1)

    pairs = found(iter_sharded_pairs(hashes, 3, Sharding(5, tmp_path, again)))

    assert pairs == slow_pairs(hashes, None, 3)
    assert again.n_done == 5


def test_a_search_that_is_killed_anywhere_continues_and_finds_the_same(tmp_path):
    hashes, lines = clustered(1, 60), np.random.default_rng(5).integers(1, 900, 5)

    def search():
        return found(iter_sharded_pairs(hashes, 3, Sharding(4, tmp_path, Inline())))

    for line in lines.tolist():
        assert not gets_through(search, line, [shards, store])
    last = Inline()

    pairs = found(iter_sharded_pairs(hashes, 3, Sharding(4, tmp_path, last)))

    assert pairs == slow_pairs(hashes, None, 3)
    assert 0 < last.n_done < 10


def test_the_pairs_of_turned_hashes_are_those_without_shards(tmp_path):
    hashes = clustered(1, 60, 4)
    hashes[::7] = dihedral_hashes(hashes[1::7][: len(hashes[::7])], [5])[0]
    others = dihedral_hashes(hashes[:20], [2])[0]
    n_found = 0
    for other in (None, others):
        for orientation in range(8):
            expected = pairs_in_orientation(orientation, hashes, 12, other=other)
            sharding = Sharding(3, tmp_path, Inline())

            blocks = iter_sharded_pairs(hashes, 12, sharding, other=other, orientation=orientation)

            pairs = found(blocks)
            n_found += orientation > 0 and len(pairs)
            assert pairs == found(expected)
    assert n_found > 0


def test_the_tasks_that_are_done_are_reported_also_those_of_an_earlier_search(tmp_path):
    hashes, reported = clustered(1, 60, 4), []
    sharding = Sharding(2, tmp_path, Inline(), on_task=lambda *numbers: reported.append(numbers))

    list(iter_sharded_pairs(hashes, 3, sharding))
    list(iter_sharded_pairs(hashes, 3, sharding))
    list(iter_sharded_pairs(hashes, 3, sharding, orientation=1))

    assert reported == [(0, 3), (2, 3), (3, 3), (3, 3), (3, 24), (5, 24), (6, 24)]


def test_damaged_answers_and_those_of_another_distance_are_found_again(tmp_path):
    hashes, again = clustered(1, 100), Inline()
    list(iter_sharded_pairs(hashes, 3, Sharding(2, tmp_path, Inline())))
    file = tmp_path / "pairs.0.50"
    data = bytearray(file.read_bytes())
    data[-5000] ^= 255
    file.write_bytes(data)

    assert found(iter_sharded_pairs(hashes, 3, Sharding(2, tmp_path, again))) == slow_pairs(
        hashes, None, 3
    )
    assert again.n_done == 1
    assert found(iter_sharded_pairs(hashes, 5, Sharding(2, tmp_path, again))) == slow_pairs(
        hashes, None, 5
    )
    assert again.n_done == 4


def test_the_bands_are_chosen_once_and_have_their_tables_one_after_the_other(tmp_path, monkeypatch):
    layout = Layout((Band(np.arange(8), 1), Band(np.arange(8, 16), 1)), 0, 0.0, 1.0, 1e-3)
    chosen, made = [], []
    monkeypatch.setattr(shards, "measured_layout", lambda *args: chosen.append(args) or layout)
    make_tables = join.make_tables
    monkeypatch.setattr(
        join, "make_tables", lambda plans, *args: made.append(plans) or make_tables(plans, *args)
    )
    hashes = clustered(1, 100)

    pairs = found(iter_sharded_pairs(hashes, 3, Sharding(2, tmp_path, Inline())))

    assert pairs == slow_pairs(hashes, None, 3)
    assert len(chosen) == 1
    assert [len({tuple(plan.bits) for plan in plans}) for plans in made] == [1] * 6


def test_chosen_hashes_are_divided_and_sent_without_the_others(tmp_path):
    hashes, numbers = clustered(1, 300, 4), np.arange(0, 300, 3, dtype=np.uint32)
    chosen = Chosen(hashes, numbers)
    executor = Inline()
    executor.submit = lambda f, *args: Inline.submit(executor, f, *pickle.loads(pickle.dumps(args)))

    pairs = found(iter_sharded_pairs(chosen, 3, Sharding(3, tmp_path, executor)))

    assert pairs == slow_pairs(hashes[::3], None, 3)
    assert len(pickle.loads(pickle.dumps(chosen)).hashes) == 100


@pytest.mark.parametrize("n_right", [None, 6_000_000])
def test_less_memory_needs_more_shards_up_to_a_limit(n_right):
    sizes = [10**9, 6 * 10**8, 5 * 10**8, 4 * 10**8] if n_right is None else [10**9, 7 * 10**8]
    numbers = [shards_within(size, 6_000_000, n_right) for size in [10**10, *sizes]]

    assert numbers[0] is None
    assert [number or 1 for number in numbers] == sorted(number or 1 for number in numbers)
    assert numbers[-1] > 1
    with pytest.raises(UsageError, match="at least"):
        shards_within(10**8, 6_000_000, n_right)


def test_less_than_one_shard_is_refused(tmp_path):
    with pytest.raises(ValueError, match="n_shards must be at least 1, got 0"):
        iter_sharded_pairs(clustered(1, 9), 3, Sharding(0, tmp_path, Inline()))

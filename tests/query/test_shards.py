"""Pairs by shards are the pairs of one search over all hashes, also after an interruption."""

from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from imgdup.query import shards
from imgdup.query.shards import Sharding, iter_sharded_pairs


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


def test_less_than_one_shard_is_refused(tmp_path):
    with pytest.raises(ValueError, match="n_shards must be at least 1, got 0"):
        iter_sharded_pairs(clustered(1, 9), 3, Sharding(0, tmp_path, Inline()))

"""decode_each: one answer for each file, in the order of the files, whatever a file does.

The function under test gets words instead of files; `pool_tasks.ACTS` says what each word does to
its process.
"""

import pytest

import pool_tasks
from imgdup.errors import ImageError, ImgdupError
from imgdup.system.limits import Limits
from imgdup.workers.pool import begin_each, decode_each, decoding_pool, inline
from imgdup.workers.process import WorkerDied

WORDS = ["a", "raise", "b", "memory error", "unreadable", "c"]
EXPECTED = ["A", "crashed", "B", "too-large", "unreadable", "C"]


def shown(answers):
    return [each.reason if isinstance(each, ImageError) else each for each in answers]


@pytest.mark.parametrize("batch_files", [1, 2, 100, [17, 9, 3, 1]])
@pytest.mark.parametrize("workers", [1, 2])
def test_each_file_has_one_answer_in_its_place(workers, batch_files):
    with decoding_pool(Limits(), workers) as pool:
        found = shown(decode_each(pool_tasks.decode, WORDS * 5, pool, batch_files=batch_files))

    assert found == EXPECTED * 5


def test_the_answers_are_the_same_without_processes():
    with decoding_pool(Limits(), 1, inline) as pool:
        assert shown(decode_each(pool_tasks.decode, WORDS, pool)) == EXPECTED


def test_a_file_that_ends_its_process_is_named_and_the_others_are_answered():
    words = ["a", "segfault", "b", "_exit(3)", "hang", "c"]

    with decoding_pool(Limits(timeout_s=1.0), 2) as pool:
        found = shown(decode_each(pool_tasks.decode, words, pool))

    assert found == ["A", "crashed", "B", "crashed", "timed-out", "C"]


def test_an_error_that_concerns_no_single_file_ends_the_call():
    with decoding_pool(Limits(), 1) as pool, pytest.raises(ImgdupError, match="no more memory"):
        list(decode_each(pool_tasks.decode, ["a", "no more memory"], pool))


def test_no_files_have_no_answers():
    with decoding_pool(Limits(), 1) as pool:
        assert list(decode_each(pool_tasks.decode, [], pool)) == []


def test_files_are_read_as_workers_become_free():
    taken = []
    words = (taken.append(n) or "a" for n in range(1000))

    with decoding_pool(Limits(), 1) as pool:
        next(decode_each(pool_tasks.decode, words, pool, batch_files=1))

    assert len(taken) <= 3


def test_two_calls_share_one_process():
    with decoding_pool(Limits(), 1) as pool:
        first, second = (list(decode_each(pool_tasks.process_of, "abc", pool)) for _ in range(2))

    assert set(first) == set(second)
    assert len(set(first)) == 1


def test_batches_that_are_begun_answer_unless_a_file_ends_their_worker():
    words = ["a", "raise", "b", "segfault", "hang", "c", "unreadable"]

    with decoding_pool(Limits(timeout_s=1.0), 2) as pool:
        begun = begin_each(pool_tasks.decode, words, pool, batch_files=2)
        among_them = shown(decode_each(pool_tasks.decode, words, pool))
        deaths = [future.exception() for _, future in begun]

    assert [batch for batch, _ in begun] == [words[:2], words[2:4], words[4:6], words[6:]]
    assert [isinstance(each, WorkerDied) for each in deaths] == [False, True, True, False]
    assert [shown(begun[i][1].result()) for i in (0, 3)] == [["A", "crashed"], ["unreadable"]]
    assert among_them == ["A", "crashed", "B", "crashed", "timed-out", "C", "unreadable"]


def test_no_batch_that_was_begun_outlasts_its_pool():
    with decoding_pool(Limits(), 1) as pool:
        begun = begin_each(pool_tasks.decode, ["hang"] * 3, pool, batch_files=1)

    assert all(future.done() for _, future in begun)

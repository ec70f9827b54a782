"""Values that processes send to each other come back equal, whatever arrays they hold."""

import multiprocessing
import os
import pickle
import threading

import numpy as np
import pytest

from imgdup.workers.child import LARGE, receive, send, widen


@pytest.fixture
def pipe():
    ours, theirs = multiprocessing.Pipe()
    widen(ours)
    yield ours, theirs
    ours.close()
    theirs.close()


def passed(pipe, value):
    ours, theirs = pipe
    sender = threading.Thread(target=send, args=(ours, value))
    sender.start()
    found = receive(theirs)
    sender.join()
    return found


@pytest.mark.parametrize("n_bytes", [0, 10, LARGE - 1, LARGE, 40 * LARGE + 7])
def test_arrays_of_every_size_arrive_and_can_be_changed(pipe, n_bytes):
    array = np.random.default_rng(n_bytes).integers(0, 256, n_bytes, np.uint8)

    name, found, again = passed(pipe, ("name", array, array[::2].copy()))

    assert name == "name"
    np.testing.assert_array_equal(found, array)
    np.testing.assert_array_equal(again, array[::2])
    found[:] = 0


def test_arrays_that_are_not_contiguous_arrive(pipe):
    array = np.arange(LARGE, dtype=np.int64).reshape(64, -1)

    for each in (array.T, array[:, ::3]):
        np.testing.assert_array_equal(passed(pipe, each), each)


def test_values_follow_each_other(pipe):
    values = [np.full(LARGE, i) if i % 2 else i for i in range(6)]

    found = [passed(pipe, value) for value in values]

    for value, each in zip(values, found, strict=True):
        np.testing.assert_array_equal(each, value)


def test_a_value_that_cannot_be_pickled_sends_nothing(pipe):
    with pytest.raises((TypeError, AttributeError)):
        send(pipe[0], threading.Lock())

    assert passed(pipe, 5) == 5


def test_a_pipe_that_is_closed_ends_the_message():
    ours, theirs = multiprocessing.Pipe()
    ours.close()

    with pytest.raises(EOFError):
        receive(theirs)
    with pytest.raises(OSError, match="Broken pipe"):
        send(theirs, b"x")
    theirs.close()


def test_a_sender_that_ends_in_the_middle_of_an_array_ends_the_message(pipe):
    ours, theirs = pipe
    header = pickle.dumps((b"", [LARGE]))
    ours.send_bytes(header)
    os.write(ours.fileno(), b"only the beginning")
    ours.close()

    with pytest.raises(EOFError):
        receive(theirs)

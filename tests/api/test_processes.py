"""An index in several threads, in forked and in spawned processes."""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.usefixtures("processes")


def found_by(index, path):
    """What a process finds near a file; a function of a module, so that it can be sent."""
    return [(match.path.name, match.distance) for match in index.within(path)]


def groups_of(index):
    return [group.keeper.name for group in index.groups(keep="largest,oldest,first")]


def test_two_threads_find_what_one_finds(collection):
    expected = [found_by(collection, path) for path in collection.paths]

    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda path: found_by(collection, path), collection.paths * 5))

    assert found == expected * 5


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.skipif(sys.platform != "linux", reason="fork needs Linux")
def test_another_process_finds_the_same(collection, method):
    path = collection.paths[0]
    context = multiprocessing.get_context(method)

    with ProcessPoolExecutor(1, mp_context=context) as processes:
        found = processes.submit(found_by, collection, path).result(60)

    assert found == found_by(collection, path)


@pytest.mark.skipif(sys.platform != "linux", reason="fork needs Linux")
def test_a_process_that_was_forked_while_workers_lived_starts_its_own(collection, groups):
    from imgdup.dedupe.verify import Verifier

    with Verifier() as verifier:
        verifier.judge(collection.rows)([(0, 1)])  # its workers live until the end of the block
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as processes:
            found = processes.submit(groups_of, collection).result(60)

        assert found == [group.keeper.name for group in groups]
        verifier.judge(collection.rows)([(1, 2)])

"""Files and a function that decodes one -> one answer for each file, from worker processes.

The processes have the limits of memory and time that `Limits` gives.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing
from functools import partial
from itertools import islice
from typing import TypeVar

from imgdup.errors import ImageError, as_image_error
from imgdup.system.limits import Limits, usable_cores
from imgdup.workers.child import is_worker
from imgdup.workers.pool import Died, Pool, answers, local
from imgdup.workers.process import Setup

T = TypeVar("T")
R = TypeVar("R")

BATCH_FILES = 32  # a file takes milliseconds, a batch a millisecond to send


def decoding_pool(
    limits: Limits,
    workers: int | None = None,
    engine: Callable[[Setup], Executor] = local,
) -> Pool:
    """Return a pool of processes that decode files; they start at the first file.

    Parameters
    ----------
    limits : Limits
        The limits for each file and each process.
    workers : int, optional
        Number of processes; one for each usable core by default.
    engine : callable
        Makes the executor.
    """
    return Pool(
        Setup(workers or usable_cores(), limits.timeout_s, _init_worker, (limits,)),
        engine,
    )


def decode_each(
    function: Callable[[T], R],
    files: Iterable[T],
    pool: Pool,
    *,
    batch_files: int = BATCH_FILES,
) -> Generator[R | ImageError, None, None]:
    """Call a function on each file in the workers of a pool.

    Parameters
    ----------
    function : callable
        A function of a module, or a `functools.partial` of one. It takes one file.
    files : iterable
        Paths, or other picklable values that name a file; read as workers become free.
    pool : Pool
        From `decoding_pool`. It can be used for many calls.
    batch_files : int
        How many files to send to a worker at once.

    Yields
    ------
    object or ImageError
        One answer for each file, in the order of the files: what the function returned, or why
        there is no result. A file that ends its process is ``crashed`` or ``timed-out``.

    Raises
    ------
    ImgdupError
        If the function raises one that is not an `ImageError`, or no worker can start.
    """
    task = partial(_decode_batch, function)
    batches = batched(enumerate(files), batch_files)
    early: dict[int, R | ImageError] = {}  # answers that came before that of an earlier file
    n_given = 0
    with closing(answers(task, batches, pool)) as answered:
        for batch, found in answered:
            if isinstance(found, Died):
                early[batch[0][0]] = ImageError(found.reason, found.detail)
            else:
                early.update(zip((number for number, _ in batch), found, strict=True))
            while n_given in early:
                yield early.pop(n_given)
                n_given += 1


def batched(items: Iterable[T], n: int) -> Iterator[list[T]]:
    """Cut items into lists of at most `n`.

    Examples
    --------
    >>> list(batched("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    rest = iter(items)
    while batch := list(islice(rest, n)):
        yield batch


def _decode_batch(
    function: Callable[[T], R],
    batch: Sequence[tuple[int, T]],
    before_item: Callable[[int], None],
) -> list[R | ImageError]:
    """Call the function on each file of a batch, in a worker."""
    found: list[R | ImageError] = []
    for i, (_, file) in enumerate(batch):
        before_item(i)
        try:
            found.append(function(file))
        except Exception as error:
            found.append(as_image_error(error))
    return found


def _init_worker(limits: Limits) -> None:
    """Prepare a worker; OpenCV is loaded there, so that the parent need not load it."""
    if is_worker():
        from imgdup.images.decode import init_worker

        init_worker(limits)

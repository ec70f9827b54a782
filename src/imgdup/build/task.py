"""The task of a worker, by a name that the parent can say without importing OpenCV.

A worker imports the module of its task, and with it this room: it needs nothing of the listing,
the tree or the search, so none of these stand in the way of its start.
"""

from collections.abc import Callable, Sequence

from imgdup.build.checkpoints import Item, Job, Result


def hash_batch(job: Job, items: Sequence[Item], before_item: Callable[[int], None]) -> Result:
    """Do `imgdup.build.hash_batch.hash_batch`."""
    from imgdup.build import hash_batch as batch

    return batch.hash_batch(job, items, before_item)

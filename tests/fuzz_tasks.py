"""What a worker does with mutants, which it makes itself from their numbers."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

import fuzz_seeds
from imgdup.errors import ImageError
from imgdup.hashing import fingerprint
from imgdup.images.decode import decode
from imgdup.system.limits import Limits
from mutations import mutant

# Fewer pixels than by default, so that no mutant is slow because of its size alone.
LIMITS = Limits(max_pixels=16_000_000)


class Answers(NamedTuple):
    """The status of each mutant, and the most memory that the process has had."""

    statuses: list
    peak_bytes: int


@cache
def seeds():
    """Names and contents of the files to begin with."""
    return sorted(fuzz_seeds.seeds().items())


def made(seed, number):
    """The kind and the content of a mutant: all kinds in turn."""
    name, data = seeds()[number % len(seeds())]
    return name, mutant(data, np.random.default_rng([seed, number]))


def decode_mutants(seed, numbers, before_item):
    """Decode and hash mutants as indexing would."""
    statuses = []
    for i, number in enumerate(numbers):
        before_item(i)
        _, data = made(seed, number)
        statuses.append(status_of(data))
    return Answers(statuses, peak_bytes())


def status_of(data):
    """The status of a file: "ok", or the reason why it has no hash."""
    try:
        fingerprint(decode(data, LIMITS).gray, "dhash", 64)
    except ImageError as error:
        return error.reason
    return "ok"


def peak_bytes():
    """Most memory that this process has had; 0 where it is unknown."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])

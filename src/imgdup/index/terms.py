"""The terms on which a file is read -> which failures another run could end otherwise."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgdup.images.formats import REASONS
from imgdup.system.limits import Limits


class Terms(NamedTuple):
    """What decides about a file beside its bytes: the limits, and whether HEIC is decoded."""

    max_pixels: int
    max_file_bytes: int
    timeout_ms: int
    worker_memory_bytes: int
    heif: int


# Failures that may come from a term being too low.
_DECIDED_BY: Mapping[str, tuple[str, ...]] = {
    "too-large": ("max_pixels", "max_file_bytes", "worker_memory_bytes"),
    "timed-out": ("timeout_ms",),
    "crashed": ("worker_memory_bytes",),
    "unsupported": ("heif",),
}


def terms_of(limits: Limits) -> Terms:
    """Return the terms of this process under some limits."""
    return Terms(
        limits.max_pixels,
        limits.max_file_bytes,
        round(1000 * limits.timeout_s),
        limits.worker_memory_bytes,
        int(find_spec("pillow_heif") is not None),
    )


def could_end_otherwise(
    status: npt.NDArray[Any], before: npt.NDArray[np.int64], now: Terms
) -> npt.NDArray[np.bool_]:
    """Tell which failures depended on terms that have risen since.

    Parameters
    ----------
    status : ndarray of uint8, shape (n,)
    before : ndarray of int64, shape (n, len(Terms._fields))
        The terms on which they failed.
    now : Terms
    """
    decisive = np.zeros((256, len(now)), bool)
    for reason, names in _DECIDED_BY.items():
        decisive[REASONS.index(reason)] = [name in names for name in Terms._fields]
    risen: npt.NDArray[np.bool_] = (decisive[status] & (before < np.array(now))).any(axis=1)
    return risen

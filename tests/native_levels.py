"""The compiled library at each level that this processor supports, for tests.

If ``IMGDUP_NATIVE`` is the path of a library, such as one with sanitizers, that one is tested.
"""

import contextlib
import os

import numpy as np
import pytest

from imgdup import native
from imgdup.native import (
    blocks,
    changes,
    colours,
    curves,
    detail,
    difference,
    excess,
    frequencies,
    join,
    levels,
    places,
    scan,
    windows,
)


def supported_levels():
    asked = os.environ.get(native.VARIABLE, "")
    if os.sep in asked:
        return (asked,)
    best = native.best_level()
    return native.LEVELS[: native.LEVELS.index(best) + 1] if best in native.LEVELS else (best,)


@contextlib.contextmanager
def native_level(level):
    """Use the library of a level inside this block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(native.VARIABLE, level)
        _forget()
        yield
    _forget()


def assert_equal_at(level, results):
    """Assert that a function returns the same arrays at a level as at the best one."""
    expected = results()
    with native_level(level):
        found = results()

    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def _forget():
    native.load_library.cache_clear()
    for module in (
        blocks,
        changes,
        colours,
        curves,
        detail,
        difference,
        excess,
        frequencies,
        join,
        levels,
        places,
        scan,
        windows,
    ):
        module._functions.cache_clear()


by_level = pytest.mark.parametrize("level", supported_levels(), ids=os.path.basename)

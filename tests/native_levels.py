"""The compiled library at each level that this processor supports, for tests.

If ``IMGDUP_NATIVE`` is the path of a library, such as one with sanitizers, that one is tested.
"""

import contextlib
import os

import pytest

from imgdup import native
from imgdup.native import difference, join, places, windows


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


def _forget():
    native.load_library.cache_clear()
    join._functions.cache_clear()
    difference._functions.cache_clear()
    places._functions.cache_clear()
    windows._functions.cache_clear()


by_level = pytest.mark.parametrize("level", supported_levels(), ids=os.path.basename)

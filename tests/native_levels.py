"""The compiled library at each level that this processor supports, for tests."""

import contextlib

import pytest

from imgdup.native import join, library


def supported_levels():
    best = library.best_level()
    return library.LEVELS[: library.LEVELS.index(best) + 1] if best in library.LEVELS else (best,)


@contextlib.contextmanager
def native_level(level):
    """Use the library of a level inside this block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(library.VARIABLE, level)
        _forget()
        yield
    _forget()


def _forget():
    library.library.cache_clear()
    join._functions.cache_clear()


by_level = pytest.mark.parametrize("level", supported_levels())

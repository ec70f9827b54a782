"""What a container lists, and what is read of its members, within the usual limits."""

import os

import pytest

from imgdup.containers.reading import open_container, read_content
from imgdup.errors import ImageError
from imgdup.system.limits import Limits
from imgdup.system.paths import inside

LIMITS = Limits()


def listed(path, column=""):
    container = open_container(os.fsencode(path))
    try:
        return container.directory(LIMITS, column)
    finally:
        container.file.close()


def read(path, name):
    return read_content(inside(os.fsencode(path), name), LIMITS).data


def reason_of(path, name, limits=LIMITS):
    """The reason why a member cannot be read."""
    with pytest.raises(ImageError) as caught:
        read_content(inside(os.fsencode(path), name), limits)
    return caught.value.reason

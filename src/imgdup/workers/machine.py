"""Describe what decides the hashes on a machine: versions, and the hashes of a golden picture.

Machines that are described alike give the same picture the same hashes.
"""

import sys
from typing import NamedTuple

import numpy as np

from imgdup import __version__
from imgdup.hashing import fingerprints
from imgdup.images import jpeg, opencv, pillow
from imgdup.images.decode import decode
from imgdup.images.gray import Pixels
from imgdup.system.limits import Limits

SIDES = 300, 400  # pixels: enough for a picture to be decoded at a reduced size
JPEG_QUALITY = 85
DECODERS = (jpeg, opencv, pillow)  # they import the libraries
LIBRARIES = {"NumPy": "numpy", "OpenCV": "cv2", "simplejpeg": "simplejpeg", "Pillow": "PIL"}


class Machine(NamedTuple):
    """What decides the hashes on a machine.

    ``versions`` has pairs of a library and its version, ``hashes`` the bytes of the search hash and
    the match hash of the golden picture.
    """

    versions: tuple[tuple[str, str], ...]
    hashes: bytes


def describe() -> Machine:
    """Describe this machine."""
    versions = {name: str(sys.modules[module].__version__) for name, module in LIBRARIES.items()}
    picture = decode(opencv.encode_jpeg(_golden_pixels(), JPEG_QUALITY), Limits())
    found = fingerprints([picture.gray], "dhash", 64)
    hashes = found.hashes.tobytes() + found.match.tobytes()
    return Machine((("imgdup", __version__), *versions.items()), hashes)


def difference(theirs: Machine, ours: Machine) -> str:
    """Say how another machine differs from this one; empty if it does not.

    Examples
    --------
    >>> ours = Machine((("imgdup", "0.2.0"), ("NumPy", "2.4.6")), b"")
    >>> difference(Machine((("imgdup", "0.2.0"), ("NumPy", "2.0.0")), b""), ours)
    'NumPy 2.0.0 instead of 2.4.6'
    """
    wanted = dict(ours.versions)
    others = [
        f"{name} {version} instead of {wanted[name]}"
        for name, version in theirs.versions
        if version != wanted[name]
    ]
    if not others and theirs.hashes != ours.hashes:
        return "another hash of the same picture"
    return ", ".join(others)


def _golden_pixels() -> Pixels:
    """Paint waves that run in several directions, in three colours."""
    height, width = SIDES
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 29 + y / 53), np.cos(x / 17 - y / 31), np.sin(x * y / 9000)]
    return np.dstack([np.uint8(127.5 + 120 * wave) for wave in waves])

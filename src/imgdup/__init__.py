"""Find near-duplicate images: exactly, fast, and without losing one."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imgdup.errors import ImageError, ImgdupError
    from imgdup.index import ImageIndex
    from imgdup.indexing.run import Settings
    from imgdup.limits import Limits
    from imgdup.lookup import Match
    from imgdup.probes import hash_image

__version__ = "0.1.0"

__all__ = [
    "ImageError",
    "ImageIndex",
    "ImgdupError",
    "Limits",
    "Match",
    "Settings",
    "hash_image",
]

_HOMES = {
    "ImageError": "errors",
    "ImageIndex": "index",
    "ImgdupError": "errors",
    "Limits": "limits",
    "Match": "lookup",
    "Settings": "indexing.run",
    "hash_image": "probes",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``imgdup --help`` stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'imgdup' has no attribute {name!r}")
    return getattr(import_module(f"imgdup.{_HOMES[name]}"), name)

"""Find near-duplicate images: exactly, fast, and without losing one."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imgdup.api import ImageIndex
    from imgdup.build.settings import Settings
    from imgdup.errors import ImageError, ImgdupError
    from imgdup.query.matches import Match
    from imgdup.query.probe import hash_image
    from imgdup.system.limits import Limits

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
    "ImageIndex": "api",
    "ImgdupError": "errors",
    "Limits": "system.limits",
    "Match": "query.matches",
    "Settings": "build.settings",
    "hash_image": "query.probe",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``imgdup --help`` stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'imgdup' has no attribute {name!r}")
    return getattr(import_module(f"imgdup.{_HOMES[name]}"), name)

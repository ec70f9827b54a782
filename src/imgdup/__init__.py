"""Find near-duplicate images: exactly, fast, and without losing a file."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imgdup.api import ImageIndex
    from imgdup.build.settings import Settings
    from imgdup.errors import ImageError, ImgdupError
    from imgdup.query.match import Match
    from imgdup.query.probe import hash_image
    from imgdup.system.limits import Limits

__version__ = "0.2.0"

__all__ = [
    "ImageError",
    "ImageIndex",
    "ImgdupError",
    "Limits",
    "Match",
    "Settings",
    "hash_image",
]

_MODULES = {
    "ImageError": "errors",
    "ImageIndex": "api",
    "ImgdupError": "errors",
    "Limits": "system.limits",
    "Match": "query.match",
    "Settings": "build.settings",
    "hash_image": "query.probe",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``imgdup --help`` starts at once."""
    if name not in _MODULES:
        raise AttributeError(f"module 'imgdup' has no attribute {name!r}")
    return getattr(import_module(f"imgdup.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names too, which may not be imported yet."""
    return sorted({*globals(), *__all__})

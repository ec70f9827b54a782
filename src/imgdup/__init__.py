"""Find near-duplicate images: exactly, fast, and without losing a file."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imgdup.api import IndexedImage, Pair
    from imgdup.api.groups import Group, Groups, Removal
    from imgdup.api.index import ImageIndex
    from imgdup.api.leaks import Leak, Leaks, assert_no_leak, compare
    from imgdup.api.plans import Plan, undo
    from imgdup.api.sets import Splits, split
    from imgdup.build.settings import Settings
    from imgdup.errors import ImageError, ImgdupError
    from imgdup.query.match import Match
    from imgdup.query.probe import hash_image
    from imgdup.system.limits import Limits

__version__ = "0.2.0"

_MODULES = {
    "Group": "api.groups",
    "Groups": "api.groups",
    "ImageError": "errors",
    "ImageIndex": "api.index",
    "ImgdupError": "errors",
    "IndexedImage": "api",
    "Leak": "api.leaks",
    "Leaks": "api.leaks",
    "Limits": "system.limits",
    "Match": "query.match",
    "Pair": "api",
    "Plan": "api.plans",
    "Removal": "api.groups",
    "Settings": "build.settings",
    "Splits": "api.sets",
    "assert_no_leak": "api.leaks",
    "compare": "api.leaks",
    "datasets": "",
    "hash_image": "query.probe",
    "split": "api.sets",
    "undo": "api.plans",
}

__all__ = [
    "Group",
    "Groups",
    "ImageError",
    "ImageIndex",
    "ImgdupError",
    "IndexedImage",
    "Leak",
    "Leaks",
    "Limits",
    "Match",
    "Pair",
    "Plan",
    "Removal",
    "Settings",
    "Splits",
    "assert_no_leak",
    "compare",
    "datasets",
    "hash_image",
    "split",
    "undo",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``imgdup --help`` starts at once."""
    if name not in _MODULES:
        raise AttributeError(f"module 'imgdup' has no attribute {name!r}")
    if not _MODULES[name]:
        return import_module(f"imgdup.{name}")
    return getattr(import_module(f"imgdup.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names, which may not be imported yet, and nothing else."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})

"""The build backend: hatchling, plus the compiled libraries in the wheel.

If there is no C compiler, the build requires the package ``ziglang``, which contains one. A wheel
fits every Python 3 of one system, because the libraries do not use the API of Python.
"""

import os
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from compiling import CHECKSUMS, SOURCES, CompileError, compile_libraries, needs_zig
from hatchling import build as hatchling
from hatchling.build import build_editable, build_sdist, build_wheel
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from targets import TARGET, TARGETS

__all__ = [
    "CustomHook",
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
]


def _requirements() -> list[str]:
    return ["ziglang"] if os.environ.get(TARGET) or needs_zig() else []


def get_requires_for_build_wheel(settings: dict[str, Any] | None = None) -> list[str]:
    """Return the packages that are needed to build a wheel (PEP 517)."""
    return [*hatchling.get_requires_for_build_wheel(settings), *_requirements()]


def get_requires_for_build_editable(settings: dict[str, Any] | None = None) -> list[str]:
    """Return the packages that are needed for an editable installation (PEP 660)."""
    return [*hatchling.get_requires_for_build_editable(settings), *_requirements()]


def get_requires_for_build_sdist(settings: dict[str, Any] | None = None) -> list[str]:
    """Return the packages that a source distribution needs; nothing is compiled for it."""
    return hatchling.get_requires_for_build_sdist(settings)


class CustomHook(BuildHookInterface[Any]):
    """Compiles the libraries and adds them to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile into the wheel, or beside the sources for an editable installation."""
        tag = os.environ.get(TARGET) or _this_platform()
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{tag}"
        try:
            if version == "editable":
                compile_libraries(SOURCES)
                return
            self._made = tempfile.TemporaryDirectory()
            folder = Path(self._made.name)
            made = compile_libraries(folder, TARGETS.get(tag))
            for file in [*made, folder / CHECKSUMS]:  # and not what else a compiler writes
                build_data["force_include"][str(file)] = f"imgdup/native/{file.name}"
        except CompileError as error:
            self.app.abort(str(error))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the compiled files, which are now in the wheel."""
        if version != "editable":
            self._made.cleanup()


def _this_platform() -> str:
    """Return the platform tag of this system."""
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")

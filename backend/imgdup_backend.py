"""The build backend: hatchling's, with the compiled libraries in the wheel.

Where there is no C compiler the package ``ziglang``, which holds one, is asked for. A wheel fits
every Python 3 of one system, because the libraries know nothing of Python.
"""

import os
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from compiling import SOURCES, Target, compile_libraries, needs_zig
from hatchling import build as hatchling
from hatchling.build import build_editable, build_sdist, build_wheel
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = [
    "CustomHook",
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
]

TARGET = "IMGDUP_TARGET"  # a key of TARGETS: the system that the wheel is for; this one if unset

# By platform tag of the wheel; it may be installed by any Python 3 that runs there.
TARGETS = {
    "manylinux_2_17_x86_64.manylinux2014_x86_64": Target(True, ".so", "x86_64-linux-gnu.2.17"),
    "manylinux_2_17_aarch64.manylinux2014_aarch64": Target(False, ".so", "aarch64-linux-gnu.2.17"),
    "musllinux_1_2_x86_64": Target(True, ".so", "x86_64-linux-musl"),
    "musllinux_1_2_aarch64": Target(False, ".so", "aarch64-linux-musl"),
    "macosx_11_0_arm64": Target(False, ".dylib", "aarch64-macos.11.0"),
    "macosx_10_13_x86_64": Target(True, ".dylib", "x86_64-macos.10.13"),
    "win_amd64": Target(True, ".dll", "x86_64-windows-gnu"),
}


def _requirements() -> list[str]:
    return ["ziglang"] if os.environ.get(TARGET) or needs_zig() else []


def get_requires_for_build_wheel(settings: dict[str, Any] | None = None) -> list[str]:
    """Name what must be installed before a wheel is built (PEP 517)."""
    return [*hatchling.get_requires_for_build_wheel(settings), *_requirements()]


def get_requires_for_build_editable(settings: dict[str, Any] | None = None) -> list[str]:
    """Name what must be installed before an editable installation (PEP 660)."""
    return [*hatchling.get_requires_for_build_editable(settings), *_requirements()]


def get_requires_for_build_sdist(settings: dict[str, Any] | None = None) -> list[str]:
    """Name what a source distribution needs: nothing is compiled for it."""
    return hatchling.get_requires_for_build_sdist(settings)


class CustomHook(BuildHookInterface):
    """Compiles, and puts the libraries where they belong."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile into the wheel, or beside the sources if these are what is installed."""
        tag = os.environ.get(TARGET) or _this_platform()
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{tag}"
        if version == "editable":
            compile_libraries(SOURCES)
            return
        self._made = tempfile.TemporaryDirectory()
        for library in compile_libraries(Path(self._made.name), TARGETS.get(tag)):
            build_data["force_include"][str(library)] = f"imgdup/native/{library.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled for the wheel, which holds it now."""
        if version != "editable":
            self._made.cleanup()


def _this_platform() -> str:
    """Platform tag of this system: a wheel built on it may need all of it."""
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")

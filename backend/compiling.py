"""Compile the libraries of `imgdup.native`, one for each level of the processor.

Needs nothing but the standard library and a C compiler: ``$CC``, or ``cc``, or the one in the
package ``ziglang``, which also compiles for other systems.
"""

import importlib.util
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

SOURCES = Path(__file__).parents[1] / "src" / "imgdup" / "native"
ZIG = "ziglang"
CHECKSUMS = "checksums.json"  # CRC-32 of each library by its file name, beside the libraries

# For the same results everywhere: no fused product and sum, no reordered sums.
FLAGS = (
    "-std=c11",
    "-O3",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fvisibility=hidden",
)
# Each level includes the previous ones. The instructions are named one by one, because compilers
# before GCC 11 and Clang 12 do not know x86-64-v2.
_V2 = ("-msse3", "-mssse3", "-msse4.1", "-msse4.2", "-mpopcnt", "-mcx16", "-msahf")
_V3 = (*_V2, "-mavx", "-mavx2", "-mbmi", "-mbmi2", "-mf16c", "-mfma", "-mlzcnt", "-mmovbe")
_V4 = (
    *(*_V3, "-mavx512f", "-mavx512bw", "-mavx512cd", "-mavx512dq", "-mavx512vl"),
    "-mavx512vpopcntdq",
)
X86_64_LEVELS = {"v2": _V2, "v3": _V3, "v4": _V4}
OTHER_LEVELS: dict[str, Sequence[str]] = {"baseline": ()}


class Target(NamedTuple):
    """A system that libraries are compiled for.

    Parameters
    ----------
    is_x86_64 : bool
        Otherwise there is one level, for all processors of the system.
    ending : str
        The ending of the file name of a shared library.
    zig : str
        The name of the system for zig; empty for this system.
    """

    is_x86_64: bool
    ending: str
    zig: str = ""

    @property
    def levels(self) -> dict[str, Sequence[str]]:
        """Compiler flags by level."""
        return dict(X86_64_LEVELS if self.is_x86_64 else OTHER_LEVELS)


class CompileError(RuntimeError):
    """There is no compiler, or it failed; the message names the remedy."""


def this_system() -> Target:
    """Return the system that this Python runs on."""
    endings = {"win32": ".dll", "cygwin": ".dll", "darwin": ".dylib"}
    return Target(
        platform.machine().lower() in {"x86_64", "amd64"}, endings.get(sys.platform, ".so")
    )


def is_stale(folder: Path) -> bool:
    """Return whether a C source was changed after the libraries beside it were compiled."""
    checksums = folder / CHECKSUMS
    compiled_ns = checksums.stat().st_mtime_ns if checksums.exists() else 0
    return any(file.stat().st_mtime_ns > compiled_ns for file in folder.glob("*.[ch]"))


def compiler_of_this_system() -> list[str]:
    """Return the command of the C compiler; empty if there is none."""
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    return ["cc"] if shutil.which("cc") else []


def needs_zig() -> bool:
    """Return whether the package ``ziglang`` is needed to compile."""
    return not compiler_of_this_system()


def compiler_for(target: Target) -> list[str]:
    """Return the command of the compiler for a system."""
    command = [] if target.zig else compiler_of_this_system()
    if command:
        return command
    if importlib.util.find_spec(ZIG) is None:
        raise CompileError(
            "building imgdup needs a C compiler: install one (cc), set CC to it, "
            f"or install the package {ZIG}, which contains one: python -m pip install {ZIG}"
        )
    # The baseline lacks the instructions that only this processor has.
    command = [sys.executable, "-m", ZIG, "cc", "-mcpu=baseline"]
    return [*command, "-target", target.zig] if target.zig else command


def compile_libraries(
    folder: Path, target: Target | None = None, extra: Sequence[str] = ()
) -> list[Path]:
    """Compile the library of each level and write their checksums; return the libraries.

    Parameters
    ----------
    folder : Path
        Receives the libraries.
    target : Target, optional
        By default this system.
    extra : sequence of str
        More compiler flags.

    Raises
    ------
    CompileError
        If there is no compiler, or it fails.
    """
    target = target or this_system()
    compiler = compiler_for(target)
    sources = sorted(map(str, SOURCES.glob("*.c")))
    position = () if target.ending == ".dll" else ("-fPIC",)
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for level, flags in target.levels.items():
        library = folder / f"imgdup-{level}{target.ending}"
        fresh = library.with_name(f"{library.name}.{os.getpid()}")
        _run([*compiler, *FLAGS, *position, *flags, *extra, *sources, "-shared", "-o", str(fresh)])
        os.replace(fresh, library)  # a running process keeps the old one
        made.append(library)
    checksums = {library.name: zlib.crc32(library.read_bytes()) for library in made}
    (folder / CHECKSUMS).write_text(json.dumps(checksums), encoding="utf-8")
    return made


def _run(command: Sequence[str]) -> None:
    """Run the compiler, which prints its own errors."""
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError as error:
        raise CompileError(
            f"the compiler {command[0]} does not exist: set CC to a compiler, or unset it"
        ) from error
    except subprocess.CalledProcessError as error:
        raise CompileError(f"the C compiler failed: {shlex.join(command)}") from error

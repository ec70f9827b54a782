"""Compile the library with sanitizers, and run the tests of all compiled functions with it.

    python backend/sanitize.py FOLDER

Warnings are errors. Every level that this processor supports is tested.
"""

import os
import subprocess
import sys
from pathlib import Path

from compiling import compile_libraries

from imgdup.native import LEVELS, VARIABLE, best_level

FLAGS = (
    *("-Wall", "-Wextra", "-Werror"),
    *("-g", "-fno-omit-frame-pointer"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
)


def main(folder: Path) -> int:
    """Test all libraries that run here; return the first exit code that is not 0."""
    libraries = compile_libraries(folder, extra=FLAGS)
    if best_level() in LEVELS:
        libraries = libraries[: LEVELS.index(best_level()) + 1]
    codes = [_test(library) for library in libraries]
    return next((code for code in codes if code), 0)


def _test(library: Path) -> int:
    """Run the tests with a library; preload the sanitizer, because Python is not linked to it."""
    print(f"testing {library}", flush=True)
    compiler = os.environ.get("CC", "cc").split()
    preload = [
        subprocess.check_output([*compiler, f"-print-file-name={name}"], text=True).strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    environment = {
        **os.environ,
        VARIABLE: str(library.resolve()),
        "LD_PRELOAD": " ".join(preload),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python itself leaks
    }
    compiles = "tests/native/test_compiling.py"  # runs compilers without sanitizer
    tests = ["tests/native", "tests/search", f"--ignore={compiles}"]
    command = [sys.executable, "-m", "pytest", "-q", *tests]
    return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""Build a wheel for each system, check its contents, and test the wheels that run here.

    python backend/wheels.py FOLDER

The build downloads the package ``ziglang``, a C compiler for every system.
"""

import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from compiling import CHECKSUMS, Target
from packaging.tags import parse_tag, sys_tags
from targets import TARGET, TARGETS

ROOT = Path(__file__).parents[1]
# The first bytes of a shared library, by the ending of its name and whether it is for x86-64.
MAGIC = {
    (".so", True): re.compile(rb"\x7fELF\x02\x01.{10}\x03\0\x3e\0", re.DOTALL),
    (".so", False): re.compile(rb"\x7fELF\x02\x01.{10}\x03\0\xb7\0", re.DOTALL),
    (".dylib", True): re.compile(rb"\xcf\xfa\xed\xfe\x07\0\0\x01"),
    (".dylib", False): re.compile(rb"\xcf\xfa\xed\xfe\x0c\0\0\x01"),
    (".dll", True): re.compile(rb"MZ"),
}
OLDEST_GLIBC = (2, 17)  # the glibc of manylinux2014
NEEDED_FOR_TESTS = ("hypothesis", "pytest", "pytest-timeout")


def main(folder: Path) -> int:
    """Build, check and test all wheels; return 1 if any wheel has a fault."""
    faults = []
    for tag, target in TARGETS.items():
        wheel = build(folder, tag)
        found = [*missing(wheel, tag, target), *failing(wheel)]
        print(f"{wheel.name}: {'; '.join(found) or 'OK'}", flush=True)
        faults += found
    return 1 if faults else 0


def build(folder: Path, tag: str) -> Path:
    """Build the wheel of one system; return its path."""
    with tempfile.TemporaryDirectory() as made:
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", made, str(ROOT)],
            env={**os.environ, TARGET: tag},
            check=True,
        )
        (wheel,) = Path(made).iterdir()
        folder.mkdir(parents=True, exist_ok=True)
        return wheel.rename(folder / wheel.name)


def missing(wheel: Path, tag: str, target: Target) -> list[str]:
    """List the faults of a wheel: a wrong tag, missing libraries, libraries of another system."""
    faults = [] if wheel.name.endswith(f"-py3-none-{tag}.whl") else ["its tag is wrong"]
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if name.startswith("imgdup/native/imgdup-")}
        if f"imgdup/native/{CHECKSUMS}" not in archive.namelist():
            faults.append(f"{CHECKSUMS} is missing")
        wanted = {f"imgdup/native/imgdup-{level}{target.ending}" for level in target.levels}
        if names != wanted:
            faults.append(f"it contains {sorted(names)} instead of {sorted(wanted)}")
        for name in sorted(names & wanted):
            content = archive.read(name)
            if not MAGIC[target.ending, target.is_x86_64].match(content):
                faults.append(f"{name} is not a library for this system")
            versions = re.findall(rb"GLIBC_(\d+)\.(\d+)", content)
            if any((int(major), int(minor)) > OLDEST_GLIBC for major, minor in versions):
                faults.append(f"{name} needs a newer glibc")
    return faults


def failing(wheel: Path) -> list[str]:
    """Install a wheel in a new environment and run the tests of the library."""
    tags = parse_tag("-".join(wheel.stem.split("-")[2:]))
    if tags.isdisjoint(sys_tags()):
        print(f"{wheel.name}: does not run here, not tested", flush=True)
        return []
    with tempfile.TemporaryDirectory() as environment:
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        python = str(Path(environment) / ("Scripts" if os.name == "nt" else "bin") / "python")
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, str(wheel), *NEEDED_FOR_TESTS], check=True)
        tests = [python, "-m", "pytest", "-q", "tests/native"]
        code = subprocess.run(tests, cwd=ROOT).returncode
    return [f"its tests exit with {code}"] if code else []


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""How the library is compiled, and that other processors compute what this one does.

The latter needs ``ziglang``, which compiles for them, and QEMU, which is one of them:
``apt-get install qemu-user-static``.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import compiling
import pytest
from compiling import CompileError, Target, compile_libraries

PROGRAMS = {  # what each is compiled with
    "print_hashes.c": ["hash.c"],
    "print_sums.c": [
        "agreement.c",
        "blocks.c",
        "changes.c",
        "colours.c",
        "curves.c",
        "detail.c",
        "difference.c",
        "excess.c",
        "frequencies.c",
        "hash.c",
        "join.c",
        "levels.c",
        "places.c",
        "shrink.c",
        "steps.c",
        "windows.c",
    ],
}
# What depends on the processor by intent, or only returns the size of scratch memory.
NOT_COMPARED = {
    "imgdup_interface",
    "imgdup_keep_memory",
    "imgdup_processor_level",
    "imgdup_search_scratch",
}
QEMU = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")

needs_cc = pytest.mark.skipif(not compiling.compiler_of_this_system(), reason="no C compiler")


@pytest.fixture
def no_compiler(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)


def test_the_variable_names_the_compiler(monkeypatch):
    monkeypatch.setenv("CC", "ccache 'my cc'")

    assert compiling.compiler_of_this_system() == ["ccache", "my cc"]
    assert not compiling.needs_zig()


def test_without_a_compiler_the_package_that_holds_one_is_asked_for(no_compiler):
    assert compiling.needs_zig()


def test_without_any_compiler_one_line_names_what_to_install(no_compiler, monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(CompileError, match=r"^building imgdup needs a C compiler.*ziglang$"):
        compile_libraries(tmp_path)


def test_a_compiler_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "nonesuch")

    with pytest.raises(CompileError, match=r"^the compiler nonesuch does not exist: set CC"):
        compile_libraries(tmp_path)


@needs_cc
def test_a_compiler_that_fails_leaves_the_library_as_it_was(tmp_path):
    target = compiling.this_system()
    old = tmp_path / f"imgdup-{next(iter(target.levels))}{target.ending}"
    old.write_bytes(b"old")

    with pytest.raises(CompileError, match=r"the C compiler failed: .* --no-such-flag"):
        compile_libraries(tmp_path, extra=["--no-such-flag"])

    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]


@needs_cc
def test_each_level_gets_a_library_and_a_checksum(tmp_path):
    made = compile_libraries(tmp_path, extra=["-O0"])  # quickly, and slow

    assert [file.name for file in made] == [
        f"imgdup-{level}{compiling.this_system().ending}"
        for level in compiling.this_system().levels
    ]
    checksums = json.loads((tmp_path / "checksums.json").read_text("utf-8"))
    assert checksums == {file.name: zlib.crc32(file.read_bytes()) for file in made}


def test_libraries_are_stale_if_a_source_is_newer(tmp_path):
    for second, name in enumerate(("old.c", compiling.CHECKSUMS, "new.h"), start=1_600_000_000):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (second, second))

    assert compiling.is_stale(tmp_path)
    (tmp_path / "new.h").unlink()
    assert not compiling.is_stale(tmp_path)
    (tmp_path / compiling.CHECKSUMS).unlink()
    assert compiling.is_stale(tmp_path)


def test_every_compiled_function_is_compared_with_that_of_an_arm64_processor():
    declared = re.findall(r"(imgdup_\w+)\(", (compiling.SOURCES / "imgdup.h").read_text("utf-8"))
    programs = "".join(Path(__file__).with_name(name).read_text("utf-8") for name in PROGRAMS)

    assert {name for name in declared if f"{name}(" not in programs} == NOT_COMPARED


def lines_of(source, program, target=None, flags=compiling.FLAGS, run=()):
    """What a program prints that calls all compiled functions, compiled for a target."""
    sources = [compiling.SOURCES / name for name in PROGRAMS[source]]
    command = [*compiling.compiler_for(target or compiling.this_system()), *flags]
    include = f"-I{compiling.SOURCES}"
    files = [Path(__file__).with_name(source), *sources, "-lm", "-o", program]
    subprocess.run([*command, include, *files], check=True)
    return subprocess.check_output([*run, program], text=True).splitlines()


@needs_cc
@pytest.mark.parametrize("source", PROGRAMS)
def test_what_is_compared_with_other_processors_is_printed_here(tmp_path, source):
    quickly = ("-std=c11", "-O0", "-ffp-contract=off")

    assert len(set(lines_of(source, tmp_path / "print", flags=quickly))) > 250


@needs_cc
@pytest.mark.skipif(
    not importlib.util.find_spec("ziglang") or not QEMU, reason="needs ziglang and QEMU"
)
@pytest.mark.parametrize("source", PROGRAMS)
def test_an_arm64_processor_computes_the_same_numbers(tmp_path, source):
    arm64 = Target(is_x86_64=False, ending=".so", zig="aarch64-linux-musl")
    flags = (*compiling.FLAGS, "-static")

    printed = lines_of(source, tmp_path / "print-arm64", arm64, flags, [QEMU])

    assert printed == lines_of(source, tmp_path / "print")

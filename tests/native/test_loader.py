"""Which library is loaded, and what is said where that cannot be."""

import _ctypes
import json
import os
import shutil
import zlib

import pytest

from imgdup import native
from imgdup.errors import ImgdupError
from imgdup.native import BASELINE, LEVELS, best_level, level, library_name, load_library

needs_levels = pytest.mark.skipif(best_level() not in LEVELS, reason="this processor has one level")


CACHED = (load_library, best_level, native._load_own)


def forget():
    """Let the next call load a library anew."""
    for each in CACHED:
        each.cache_clear()


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """A folder of libraries that may be spoilt; nothing is loaded yet, and none asked for."""
    for file in [*native.FOLDER.glob("imgdup-*"), native.FOLDER / native.CHECKSUMS]:
        shutil.copy(file, tmp_path)
    monkeypatch.setattr(native, "FOLDER", tmp_path)
    monkeypatch.delenv("IMGDUP_NATIVE", raising=False)
    forget()
    yield tmp_path
    forget()


def test_the_best_level_is_loaded(folder):
    assert level() == best_level()
    assert load_library()._name == str(folder / library_name(best_level()))


@needs_levels
def test_the_variable_chooses_a_level(folder, monkeypatch):
    monkeypatch.setenv("IMGDUP_NATIVE", "v2")

    assert level() == "v2"
    assert load_library()._name == str(folder / library_name("v2"))


def test_the_variable_chooses_a_file(folder, monkeypatch, tmp_path):
    mine = tmp_path / "mine.so"
    shutil.copy(folder / library_name(best_level()), mine)
    monkeypatch.setenv("IMGDUP_NATIVE", str(mine))

    assert load_library()._name == level() == str(mine)


@pytest.mark.parametrize("asked", ["v1", "V3", "sse", " "])
def test_an_unknown_level_is_refused_with_those_that_there_are(folder, monkeypatch, asked):
    monkeypatch.setenv("IMGDUP_NATIVE", asked)

    with pytest.raises(ImgdupError, match=f"^IMGDUP_NATIVE={asked}, but this processor supports"):
        load_library()


@needs_levels
def test_a_level_above_the_processors_is_refused(folder, monkeypatch):
    monkeypatch.setattr(native, "best_level", lambda: "v3")
    monkeypatch.setenv("IMGDUP_NATIVE", "v4")

    with pytest.raises(ImgdupError, match="supports v2, v3: set it to one of them, or unset it"):
        load_library()


def test_other_processors_have_one_level(folder, monkeypatch):
    monkeypatch.setattr(native.platform, "machine", lambda: "riscv64")

    with pytest.raises(ImgdupError, match=rf"{library_name(BASELINE)} .*install imgdup again"):
        load_library()


@needs_levels
def test_a_processor_below_all_levels_is_refused_by_name(folder, monkeypatch):
    class Old:
        @staticmethod
        def imgdup_processor_level():
            return 1

    monkeypatch.setattr(native, "_load_own", lambda name: Old)

    with pytest.raises(ImgdupError, match=r"lacks SSE 4\.2"):
        best_level.__wrapped__()


def spoil(path, damage):
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        kept = {"empty": b"", "cut off": content[: len(content) // 2], "noise": b"noise" * 999}
        flipped = bytearray(content)
        flipped[len(content) // 2] ^= 1
        path.write_bytes(kept.get(damage, bytes(flipped)))


@pytest.mark.parametrize("damage", ["missing", "empty", "cut off", "noise", "one bit"])
def test_a_broken_library_is_an_error_of_one_line(folder, damage):
    path = folder / library_name(best_level())
    forget()
    spoil(path, damage)

    with pytest.raises(ImgdupError) as caught:
        load_library()

    assert str(path) in str(caught.value)
    assert str(caught.value).endswith(": install imgdup again from its source")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, "", "[", "{}"])
def test_missing_checksums_are_an_error(folder, content):
    path = folder / native.CHECKSUMS
    path.unlink()
    if content is not None:
        path.write_text(content)

    with pytest.raises(ImgdupError, match="install imgdup again"):
        load_library()


def test_a_library_of_something_else_is_an_error(folder, monkeypatch):
    name = library_name(best_level())
    forget()
    shutil.copy(_ctypes.__file__, folder / name)
    checksums = {name: zlib.crc32((folder / name).read_bytes())}
    monkeypatch.setattr(native, "best_level", lambda: name[len("imgdup-") :].split(".")[0])
    (folder / native.CHECKSUMS).write_text(json.dumps(checksums))

    with pytest.raises(ImgdupError, match=r"imgdup_interface.*install imgdup again"):
        load_library()


def test_a_library_of_another_version_is_an_error(folder, monkeypatch):
    monkeypatch.setattr(native, "INTERFACE", native.INTERFACE + 1)

    with pytest.raises(ImgdupError, match=r"has interface \d+, but \d+ is needed: install"):
        load_library()


def test_a_command_reports_a_broken_library_in_one_line(tmp_path, photos, capfd, monkeypatch):
    missing = tmp_path / "nowhere" / "imgdup.so"
    monkeypatch.setenv("IMGDUP_NATIVE", str(missing))
    forget()
    from imgdup import cli
    from imgdup.native import hashes

    hashes._functions.cache_clear()
    try:
        code = cli.main(["index", "photos", "--workers", "1", "--quiet"])
    finally:
        forget()
        hashes._functions.cache_clear()

    error = capfd.readouterr().err
    assert code == 1
    assert [line for line in error.splitlines() if str(missing) in line] == error.splitlines()
    assert not os.path.exists(tmp_path / ".imgdup" / "current")

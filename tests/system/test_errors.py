"""What the messages of exceptions say, and which exception is which."""

import errno
import os
import subprocess
import sys

import pytest

from imgdup import Limits
from imgdup.errors import ImageError, ImgdupError, UsageError, as_image_error, library_problem
from imgdup.system.limits import CAN_CAP_MEMORY


@pytest.mark.parametrize(
    "name", ["max_pixels", "max_file_bytes", "timeout_s", "worker_memory_bytes"]
)
@pytest.mark.parametrize("value", [0, -1, 1 << 70, float("nan")])
def test_a_limit_out_of_range_is_a_value_error_and_an_error_of_imgdup(name, value):
    for kind in (ValueError, ImgdupError):
        with pytest.raises(kind, match=rf"^{name} must be above 0 and at most .*, got "):
            Limits(**{name: value})


def test_a_path_that_does_not_exist_is_a_value_error_too():
    assert issubclass(UsageError, ValueError)


def caused(error, cause):
    error.__cause__ = cause
    return error


def test_a_missing_library_is_named_and_memory_is_not_mentioned():
    text = library_problem(ModuleNotFoundError("No module named 'cv2'", name="cv2"))

    assert text == "the library cv2 is not installed (No module named 'cv2'); install it with pip"


def test_a_broken_library_is_named_and_memory_is_not_mentioned():
    broken = ImportError("libz.so.1: cannot open shared object file", name="cv2", path="/x/cv2.so")

    text = library_problem(broken)

    assert text.startswith("cannot load the library cv2 (libz.so.1: cannot open shared object file")
    assert "memory" not in text


@pytest.mark.parametrize(
    "cause",
    [
        MemoryError("no room"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        ImportError("libx.so: failed to map segment from shared object"),
    ],
)
def test_a_library_without_room_asks_for_memory_even_if_the_reason_is_wrapped(cause):
    text = library_problem(caused(ImportError("a page of\n\nadvice", name="numpy"), cause))

    assert text.startswith("there is not enough memory to load the library numpy (")
    assert text.endswith("free some memory, or raise the limit, as in: ulimit -v unlimited")


def test_a_file_system_without_execution_is_not_called_a_lack_of_memory(monkeypatch):
    if not hasattr(os, "ST_NOEXEC"):
        pytest.skip("this system has no such flag")
    flags = type("Flags", (), {"f_flag": os.ST_NOEXEC})
    monkeypatch.setattr(os, "statvfs", lambda path: flags)
    text = "libx.so: failed to map segment from shared object"

    assert "memory" not in library_problem(ImportError(text, name="cv2", path="/x/cv2.so"))


@pytest.mark.skipif(not CAN_CAP_MEMORY, reason="the system caps no address space")
def test_a_real_lack_of_memory_names_the_library():
    script = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_AS, (50 << 20, 50 << 20))\n"
        "from imgdup.errors import library_problem\n"
        "try:\n"
        "    import numpy\n"
        "except ImportError as error:\n"
        "    print(library_problem(error))\n"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert done.stdout.startswith("there is not enough memory to load the library numpy (")
    assert len(done.stdout.splitlines()) == 1


def opencv_without_memory():
    """What OpenCV raises in a process of 2 GB that wants a picture of 3 GB."""
    script = (
        "import resource, cv2, numpy\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "try:\n"
        "    cv2.resize(numpy.zeros((1, 1), numpy.uint8), (60_000, 50_000))\n"
        "except cv2.error as error:\n"
        "    print(error.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    error = RuntimeError("OpenCV: Insufficient memory")
    error.code = int(done.stdout)
    return error


@pytest.mark.skipif(not CAN_CAP_MEMORY, reason="the memory of a process cannot be capped here")
def test_a_lack_of_memory_in_opencv_is_too_large():
    assert as_image_error(opencv_without_memory()).reason == "too-large"


def test_a_lack_of_memory_for_one_file_is_too_large_and_other_faults_are_crashes():
    assert as_image_error(MemoryError()).reason == "too-large"
    assert str(as_image_error(ZeroDivisionError("of it"))) == "crashed: ZeroDivisionError: of it"
    error = ImageError("missing", "gone")
    assert as_image_error(error) is error
    with pytest.raises(UsageError):
        as_image_error(UsageError("not of one file"))


def test_a_library_that_cannot_be_loaded_is_not_the_fault_of_a_file():
    with pytest.raises(ImportError):
        as_image_error(ImportError("libGL.so.1: cannot open shared object file"))

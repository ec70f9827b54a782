"""What can go wrong, as exceptions whose text is the one line that a user reads.

The tree::

    ImgdupError            nothing was changed; exit code 1
    ├── UsageError         a wrong argument, such as a path that does not exist; exit code 2
    ├── ImageError         one image could not be read; the run continues
    ├── IndexFormatError   not an index file, damaged, forged, or of another version
    ├── LockedError        another process is writing the index
    └── PlanError          a removal plan or journal that is invalid, outdated or of another index

A wrong argument is a `ValueError`, also where it is a `UsageError`: this is both.
"""

import errno
import os


class ImgdupError(Exception):
    """The base of all errors that imgdup raises on purpose; the message names the remedy."""

    exit_code = 1


class UsageError(ImgdupError, ValueError):
    """An argument is wrong: a path that does not exist, or a number out of range."""

    exit_code = 2


class ImageError(ImgdupError):
    """One image gave no hash.

    Parameters
    ----------
    reason : str
        One of ``imgdup.images.formats.REASONS`` except ``"ok"``.
    detail : str
        One line that describes what was found.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.path: str | None = None  # of the file, where the caller named one

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{where}{self.reason}: {self.detail}"


class IndexFormatError(ImgdupError):
    """A file is not an index file that this version can read."""


class LockedError(ImgdupError):
    """Another process holds the lock of the index folder."""


class PlanError(ImgdupError):
    """A removal plan or a journal must not be carried out."""


OPENCV_NO_MEMORY = -4  # `cv2.error.code`: StsNoMem in OpenCV's base.hpp


def as_image_error(error: Exception) -> ImageError:
    """Turn any exception that a file caused into the answer for that file.

    Raises the error itself if it does not concern one image: an ImgdupError, or an ImportError of a
    library that cannot be loaded.
    """
    if isinstance(error, ImageError):
        return error
    if isinstance(error, ImgdupError | ImportError):
        raise error
    if isinstance(error, MemoryError) or getattr(error, "code", None) == OPENCV_NO_MEMORY:
        return ImageError("too-large", "needs more memory than a worker may take")
    return ImageError("crashed", f"{type(error).__name__}: {error}")


MORE_MEMORY = "free some memory, or raise the limit, as in: ulimit -v unlimited"
NO_MEMORY_TEXTS = (  # what the loaders of Linux and macOS print, without an error number
    "failed to map segment",
    "cannot allocate memory",
    "out of memory",
)


def library_problem(error: ImportError) -> str:
    """Describe in one line why a library cannot be loaded, and what helps.

    The causes of the error count, too: NumPy, for one, wraps the reason in a page of advice.

    Examples
    --------
    >>> library_problem(ModuleNotFoundError("No module named 'cv2'", name="cv2"))
    "the library cv2 is not installed (No module named 'cv2'); install it with pip"
    """
    causes = _causes(error)
    library = next(filter(None, map(_library, reversed(causes))), "that is needed")
    reason = " ".join(str(causes[-1]).strip().rpartition("\n")[2].split())
    if isinstance(causes[-1], ModuleNotFoundError):
        return f"the library {library} is not installed ({reason}); install it with pip"
    if any(map(_is_out_of_memory, causes)):
        return f"there is not enough memory to load the library {library} ({reason}); {MORE_MEMORY}"
    return f"cannot load the library {library} ({reason}); install it again with pip"


def _causes(error: BaseException) -> list[BaseException]:
    """Return an exception, what caused it, what caused that, and so on."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) and cause not in causes:
        causes.append(cause)
    return causes


def _library(error: BaseException) -> str:
    """Return the name of the package that could not be imported; empty if unknown."""
    if not isinstance(error, ImportError):
        return ""
    _, installed, path = (error.path or "").rpartition(f"site-packages{os.sep}")
    package = path.split(os.sep)[0] if installed else error.name or ""
    return package.partition(".")[0]


def _is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory was short; a file system without execution looks the same."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    is_named = any(words in str(error).lower() for words in NO_MEMORY_TEXTS)
    return is_named and not _is_not_executable(getattr(error, "path", None))


def _is_not_executable(path: str | None) -> bool:
    """Return whether a file is on a file system that is mounted without execution."""
    if not path or not hasattr(os, "ST_NOEXEC"):
        return False
    try:
        return bool(os.statvfs(path).f_flag & os.ST_NOEXEC)
    except OSError:
        return False

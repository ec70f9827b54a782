"""What can go wrong, as exceptions whose text is the one line that a user reads.

The tree::

    ImgdupError            done nothing, exit code 1
    ├── UsageError         the call itself is wrong: a path that is not there (exit code 2)
    ├── ImageError         one image could not be read: reason and detail; a result, not an end
    ├── IndexFormatError   not an index, damaged, forged, or of another version
    ├── LockedError        another process is writing the index
    ├── TooManyPairsError  the pairs would not fit in memory
    └── PlanError          a removal plan that is false, stale or of another index
"""


class ImgdupError(Exception):
    """Base of all errors that imgdup raises on purpose; the text names the thing and the remedy."""

    exit_code = 1


class UsageError(ImgdupError):
    """The caller named something that cannot be meant, such as a folder that is not there."""

    exit_code = 2


class ImageError(ImgdupError):
    """One image gave no hash.

    Parameters
    ----------
    reason : str
        One of ``imgdup.images.formats.REASONS`` except ``"ok"``.
    detail : str
        What was found, for people; one line.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


def as_image_error(error: Exception) -> ImageError:
    """Turn any exception that a file caused into the answer for that file.

    Raises
    ------
    ImgdupError
        If the error is one that imgdup raised on purpose and that does not concern one image.
    """
    if isinstance(error, ImageError):
        return error
    if isinstance(error, ImgdupError):
        raise error
    if isinstance(error, MemoryError):
        return ImageError("too-large", "needs more memory than --worker-memory allows")
    return ImageError("crashed", f"{type(error).__name__}: {error}")


class IndexFormatError(ImgdupError):
    """A file that is not a sound index file of a version that this program reads."""


class LockedError(ImgdupError):
    """Another process holds the lock of the index folder."""


class TooManyPairsError(ImgdupError):
    """More pairs than the caller allowed.

    Parameters
    ----------
    n_pairs : int
        How many pairs there are, from a counting pass.
    max_pairs : int
        How many the caller allowed.
    """

    def __init__(self, n_pairs: int, max_pairs: int) -> None:
        super().__init__(n_pairs, max_pairs)
        self.n_pairs = n_pairs
        self.max_pairs = max_pairs

    def __str__(self) -> str:
        return (
            f"{self.n_pairs:,} pairs are more than max_pairs={self.max_pairs:,}: "
            "lower max_distance, raise max_pairs, or take them in blocks with iter_pairs"
        )


class PlanError(ImgdupError):
    """A removal plan or journal that must not be carried out."""

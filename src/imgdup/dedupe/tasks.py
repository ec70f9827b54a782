"""What workers do with files and pairs of files, by name.

`imgdup.dedupe.pictures` does it. It takes time to import, so only workers do that.
"""

from traceback import extract_tb
from types import ModuleType

from imgdup.dedupe.known import FileContents
from imgdup.dedupe.sources import Compared, File, Picture, Source
from imgdup.system.limits import Limits

MODULE = "imgdup.dedupe.pictures"


def compare_files(limits: Limits, pair: tuple[Source, Source]) -> Compared:
    """Compare two pictures, in a worker, which may have to read them."""
    compared: Compared = _pictures().compare_files(limits, pair)
    return compared


def describe_file(limits: Limits, file: File) -> tuple[Picture | None, FileContents]:
    """Read a file: what it holds, and its picture if that is sent; in a worker."""
    described: tuple[Picture | None, FileContents] = _pictures().describe_file(limits, file)
    return described


def _pictures() -> ModuleType:
    """Import the module; no file is to blame for what goes wrong then."""
    try:
        from imgdup.dedupe import pictures
    except ImportError:
        raise
    except Exception as error:
        place = extract_tb(error.__traceback__)[-1].filename
        raise ImportError(f"{type(error).__name__}: {error}", path=place) from error
    return pictures

"""What workers do with files and pairs of files, by name.

`imgdup.dedupe.pictures` does it. It takes time to import, so only workers do that.
"""

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
    from imgdup.dedupe import pictures

    return pictures

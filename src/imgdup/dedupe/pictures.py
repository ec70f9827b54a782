"""Read, decode and compare the pictures of files, in a worker; say what each file holds.

A worker keeps the small pictures that it decoded last. The others are sent to it.
"""

from imgdup.containers.reading import read_content
from imgdup.dedupe.components import MAX_SIDE
from imgdup.dedupe.difference import compare_pictures
from imgdup.dedupe.exact import same_pixels
from imgdup.dedupe.known import FileContents
from imgdup.dedupe.origin import only_levels_differ
from imgdup.dedupe.relations import SAME_PICTURE, Verdict
from imgdup.dedupe.resized import (
    change_of_size,
    copy_of_equal_size,
    middle,
)
from imgdup.dedupe.sources import (
    EQUAL_PIXELS,
    UNKNOWN,
    Compared,
    File,
    Picture,
    Pixels,
    Source,
    is_sent,
    recent,
)
from imgdup.errors import ImageError
from imgdup.images.decode import decode_rgb, shrink_to
from imgdup.images.facts import contents_digest, facts_and_whole
from imgdup.images.headers import Steps, rounding_steps
from imgdup.native.difference import keep_memory
from imgdup.system.files import content_digest
from imgdup.system.limits import Limits

PEAK_DIGITS = 2


def compare_files(limits: Limits, pair: tuple[Source, Source]) -> Compared:
    """Compare two pictures, in a worker, which may have to read them."""
    keep_memory()
    pictures: list[Picture] = []
    found: list[FileContents | ImageError | None] = []
    for source, is_new in pair:
        try:
            picture, contents = _seen(limits, source, is_new=is_new)
        except ImageError as error:
            found.append(error)
        else:
            found.append(contents)
            pictures.append(picture)
    verdict = UNKNOWN if len(pictures) < len(pair) else _verdict(*pictures)
    return Compared(verdict, tuple(found))


def _verdict(first: Picture, second: Picture) -> Verdict:
    """Compare two pictures."""
    if first.digest == second.digest and same_pixels(first.pixels, second.pixels):
        return EQUAL_PIXELS
    verdict = compare_pictures(first.pixels, second.pixels)
    verdict = verdict._replace(peak=round(verdict.peak, PEAK_DIGITS))
    if verdict.relation != SAME_PICTURE:
        return verdict
    return verdict._replace(
        levels_only=only_levels_differ(first.pixels, second.pixels),
        change_of_size=change_of_size(first.middle, second.middle),
        copy=copy_of_equal_size(first.middle, second.middle),
    )


def _seen(
    limits: Limits, source: File | Picture | ImageError, *, is_new: bool
) -> tuple[Picture, FileContents | None]:
    """Return a picture, read from its file unless that was done, and if it is new, its contents."""
    if isinstance(source, ImageError):
        raise source
    if isinstance(source, Picture):
        return source, None
    if is_new:
        return _whole(limits, source)
    picture = recent.find(source)
    if picture is not None:
        return picture, None
    data = indexed_content(limits, source)
    pixels = decode_rgb(data, limits, MAX_SIDE)
    return _remembered(source, _picture(pixels, "", rounding_steps(data))), None


def describe_file(limits: Limits, file: File) -> tuple[Picture | None, FileContents]:
    """Read a file: what it holds, and its picture if that is sent; in a worker."""
    keep_memory()
    picture, contents = _whole(limits, file)
    return picture if is_sent(file) else None, contents


def _whole(limits: Limits, file: File) -> tuple[Picture, FileContents]:
    """Read and decode a file once: its picture, and what else it holds."""
    data = indexed_content(limits, file)
    facts, whole = facts_and_whole(data, limits)
    pages_digest = contents_digest(data, limits) if facts.n_pages > 1 else b""
    picture = _remembered(file, _picture(whole.rgb(), facts.pixels_digest, rounding_steps(data)))
    return picture, FileContents(facts, pages_digest)


def _remembered(file: File, picture: Picture) -> Picture:
    """Keep a picture in this process until others need its memory; return it."""
    if not is_sent(file):
        recent.add(file, picture)
    return picture


def _picture(pixels: Pixels, digest: str, steps: Steps) -> Picture:
    """Reduce pixels with a digest; that of pixels at full size is not needed."""
    centre = middle(pixels, steps)
    if max(pixels.shape[:2]) <= MAX_SIDE:
        return Picture(pixels, b"", centre)
    centre = centre._replace(pixels=centre.pixels.copy())  # the rest takes much memory
    return Picture(shrink_to(pixels, MAX_SIDE), digest.encode(), centre)


def indexed_content(limits: Limits, file: File) -> bytes:
    """Read a file; raise ImageError unless its content is that of the index."""
    data = file.data
    if data is None:
        data = read_content(file.path, limits, file.locator).data
    if content_digest(data, file.digest_kind) != file.digest:
        raise ImageError("changed", "the content is not that of the index")
    return data

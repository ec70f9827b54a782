"""Directories of TIFF data: pages, previews and raw photos; whole, forged and cut.

Files are painted here: a directory is a list of (tag, type, values).
"""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from encoded import photo, save
from imgdup.errors import ImageError
from imgdup.images import tiff
from imgdup.images.decode import decode
from imgdup.images.facts import contents_digest, image_facts
from imgdup.system.limits import Limits
from real_pictures import DATA, needs_data

SHORT, LONG, ASCII = 3, 4, 2
FORMS = {SHORT: "H", LONG: "I"}


def packed(order, kind, values):
    if kind == ASCII:
        return values.encode() + b"\0", len(values) + 1
    return struct.pack(f"{order}{len(values)}{FORMS[kind]}", *values), len(values)


def directory(order, at, fields, following=0):
    """Bytes of a directory at an offset, with its long values behind it."""
    values_at = at + 2 + 12 * len(fields) + 4
    entries, values = b"", b""
    for tag, kind, value in sorted(fields):
        content, count = packed(order, kind, value)
        if len(content) > 4:
            place = struct.pack(order + "I", values_at + len(values))
            values += content
        else:
            place = content.ljust(4, b"\0")
        entries += struct.pack(order + "HHI", tag, kind, count) + place
    count = struct.pack(order + "H", len(fields))
    return count + entries + struct.pack(order + "I", following) + values


def picture(width=8, height=6, **more):
    """Fields of a gray picture whose pixels are the first bytes of the file."""
    fields = {256: [width], 257: [height], 258: [8], 259: [1], 262: [1], 273: [0], 277: [1]}
    fields |= {278: [height], 279: [width * height]}
    fields |= {int(tag[1:]): value for tag, value in more.items()}
    return [(tag, LONG, value) for tag, value in fields.items()]


def tiff_file(*chain, order="<", inner=()):
    """A TIFF file with a chain of directories; `inner` ones belong to the first (tag 330)."""
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    pieces, at = [], 8 + 4096
    for fields in inner:
        pieces.append((at, fields, 0))
        at += 512
    places = [at + 512 * i for i in range(len(chain))]
    for i, fields in enumerate(chain):
        if i == 0 and inner:
            fields = [*fields, (330, LONG, [piece[0] for piece in pieces[: len(inner)]])]
        pieces.append((places[i], fields, (*places, 0)[i + 1]))
    data = bytearray(mark + struct.pack(order + "I", places[0]) + bytes(range(256)) * 16)
    for at, fields, following in pieces:
        data = data.ljust(at, b"\0") + directory(order, at, fields, following)
    return bytes(data.ljust(places[-1] + 512, b"\0"))


def raw_reason(data):
    with pytest.raises(ImageError) as caught:
        decode(data, Limits())
    return caught.value.reason, caught.value.detail


RAW = ("unsupported", "raw photos are not decoded")


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_plain_tiff_is_decoded(order):
    assert decode(tiff_file(picture(), order=order), Limits()).width == 8


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("chain", "inner"),
    [
        ([picture(t254=[1])], [picture(t262=[32803])]),  # NEF, ARW: a preview, and the sensor
        ([picture(t254=[1])], [picture(t259=[34713])]),
        ([picture()], [picture(t262=[32803])]),
        ([picture(t262=[32803])], []),  # 3FR, PEF
        ([picture(t259=[65535])], []),
        ([picture(t50706=[1])], []),  # DNG, also linear
        ([picture(t262=[34892])], []),
        ([picture(), picture(), picture(t262=[32803])], []),
    ],
)
def test_a_raw_photo_is_unsupported_and_never_its_preview(order, chain, inner):
    assert raw_reason(tiff_file(*chain, order=order, inner=inner)) == RAW


@pytest.mark.parametrize("mark", [b"CR\2\0", b"IIII"])
def test_raw_photos_of_canon_and_phase_one_are_known_by_their_mark(mark):
    data = tiff_file(picture())

    assert raw_reason(data[:8] + mark + data[12:]) == RAW


def test_a_tiff_with_a_smaller_copy_of_its_picture_is_decoded():
    data = tiff_file(picture(), inner=[picture(4, 3, t254=[1])])

    assert decode(data, Limits()).width == 8


def test_the_first_page_is_decoded_and_not_a_preview_before_it():
    data = tiff_file(picture(4, 3, t254=[1]), picture(8, 6))

    assert decode(data, Limits()).width == 8
    assert image_facts(data, Limits()).n_pages == 1


def test_previews_and_masks_are_no_pages_of_the_contents():
    page = tiff_file(picture(8, 6))
    with_preview = tiff_file(picture(4, 3, t254=[1]), picture(8, 6), picture(8, 6, t254=[4]))
    twice = tiff_file(picture(8, 6), picture(8, 6))

    assert contents_digest(with_preview, Limits()) == contents_digest(page, Limits())
    assert contents_digest(twice, Limits()) != contents_digest(page, Limits())


@needs_data
def test_the_raw_photo_among_the_odd_files_is_unsupported():
    assert raw_reason((DATA / "odd-files/raw/DSC_1.NEF").read_bytes()) == RAW


def test_pages_are_counted_without_previews_and_masks():
    chain = [picture(), picture(t254=[1]), picture(t254=[2]), picture(t254=[4]), picture()]

    assert tiff.pages(tiff.open_tiff(tiff_file(*chain))) == [0, 2, 4]
    assert tiff.pages(tiff.open_tiff(tiff_file(picture(t254=[1])))) == [0]


def test_pages_of_files_that_pillow_writes_are_counted():
    image = Image.fromarray(photo(20, 30))
    for n, big in [(1, False), (3, False), (4, True)]:
        data = save(image, "tiff", save_all=True, append_images=[image] * (n - 1), big_tiff=big)

        assert len(tiff.pages(tiff.open_tiff(data))) == n


def test_of_a_long_chain_only_as_many_directories_are_read_as_a_file_may_have(monkeypatch):
    monkeypatch.setattr(tiff, "MAX_DIRECTORIES", 3)

    opened = tiff.open_tiff(tiff_file(*[picture()] * 5))

    assert len(list(tiff.directories(opened))) == 3


def test_a_chain_that_leads_back_to_itself_ends():
    data = bytearray(tiff_file(picture(), picture()))
    read = tiff.open_tiff(bytes(data))
    second = data.index(struct.pack("<H", len(picture())), read.first + 2)
    end = second + 2 + 12 * len(picture())
    data[end : end + 4] = struct.pack("<I", read.first)

    assert len(list(tiff.directories(tiff.open_tiff(bytes(data))))) == 2


@pytest.mark.parametrize("big", [False, True])
def test_forged_and_cut_directories_give_nothing_or_what_is_there(big):
    image = Image.fromarray(photo(20, 30))
    whole = save(image, "tiff", save_all=True, append_images=[image], big_tiff=big)
    rng = np.random.default_rng(0)

    for _ in range(500):
        data = bytearray(whole[: int(rng.integers(len(whole) + 1))])
        for at in rng.integers(0, 200, 6).tolist():
            if at < len(data):
                data[at] = int(rng.integers(256))
        read = tiff.open_tiff(bytes(data))
        if read is not None:
            tiff.is_raw(read)
            assert 1 <= len(tiff.pages(read)) <= tiff.MAX_DIRECTORIES
            for each in tiff.directories(read):
                for tag in each:
                    tiff.text(read, each, tag)
                    assert len(tiff.integers(read, each, tag)) <= tiff.MAX_VALUES


def test_text_is_printable_and_ends_at_a_zero_byte():
    read = tiff.open_tiff(tiff_file([*picture(), (271, ASCII, "NIKON \n D70\0hidden")]))

    assert tiff.text(read, next(tiff.directories(read)), tiff.MAKE) == "NIKON D70"


def test_fields_are_those_that_pillow_reads():
    data = save(Image.fromarray(photo(20, 30)), "tiff", compression="tiff_lzw")
    read = tiff.open_tiff(data)
    first = next(tiff.directories(read))

    with Image.open(io.BytesIO(data)) as image:
        for tag in (256, 257, 258, 259, 262, 273, 279):
            value = image.tag_v2[tag]
            expected = value if isinstance(value, tuple) else (value,)
            assert tiff.integers(read, first, tag) == expected

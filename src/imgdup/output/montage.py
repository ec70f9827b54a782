"""Draw probes and their matches in a PNG, each picture with its distance and name."""

import math
import struct
import unicodedata
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from imutils import build_montages

from imgdup.errors import ImageError, ImgdupError
from imgdup.images.formats import MONTAGE_MARK
from imgdup.images.opencv import encode_jpeg
from imgdup.output import counted
from imgdup.output.gallery import Thumbnail, make_thumbnails
from imgdup.output.results import MatchRow
from imgdup.system.files import common_mode, replacing
from imgdup.system.limits import Limits

Pixels = npt.NDArray[np.uint8]  # RGB (height, width, 3)
Colour = tuple[int, int, int]

THUMBNAIL = 232  # pixels, the longest side of a picture
JPEG_QUALITY = 92  # of the thumbnails that the worker processes send, and of a montage
JPEG_SUFFIXES = (".jpg", ".jpeg")
JPEG_MAX_SIDE = 65_500  # pixels that the encoder accepts
MARGIN = 8  # pixels around a card
PADDING = 8  # pixels inside a card
CAPTION = 66  # pixels under a picture: three lines
LINE = 20  # pixels from line to line
TILE = (THUMBNAIL + 2 * (MARGIN + PADDING), THUMBNAIL + CAPTION + 2 * (MARGIN + PADDING))
MAX_COLUMNS = 6
PNG_HEADER_END = 33  # signature, and the chunk IHDR
MAX_TILES = 400  # 120 MB of pixels

FONT = cv2.FONT_HERSHEY_SIMPLEX
LARGE, SMALL = 0.52, 0.42  # font scales
GROUND: Colour = (22, 24, 29)
CARD: Colour = (37, 40, 48)
EMPTY: Colour = (74, 78, 88)
BRIGHT: Colour = (236, 238, 242)
MUTED: Colour = (164, 170, 182)
ROLES: dict[str, Colour] = {
    "probe": (88, 166, 255),
    "duplicate": (72, 190, 96),
    "similar": (222, 160, 48),
    "note": EMPTY,
}


class Tile(NamedTuple):
    """The content of one card of a montage."""

    pixels: Pixels | None
    """RGB of any size; None draws a gray field instead."""
    captions: Sequence[str]
    """Up to three lines, the first one bright; too long ones are shortened in the middle."""
    role: str
    """A key of `ROLES`: the colour of the frame."""
    reason: str = ""
    """Why there are no pixels."""


def save_montage(
    path: Path, matches: Iterable[MatchRow], *, probes: Iterable[bytes] = (), word: str = "probe"
) -> None:
    """Draw probes and their matches to a PNG or JPEG file, either completely or not at all.

    The matches of each probe are nearest first; the row of the probe itself is left out. `probes`
    are the paths of probes in the order of drawing, including those without a match; a probe that
    has matches may be left out. `word` is what the first picture of each group is called. A picture
    that cannot be read is a gray field with the reason.

    Raises ImgdupError if there is neither a match nor a probe, or the file cannot be written.
    """
    results: dict[bytes, list[MatchRow]] = {probe: [] for probe in probes}
    for match in matches:
        results.setdefault(match.probe, []).append(match)
    if not results:
        raise ImgdupError(f"{path} was not drawn: there is no probe and no match to draw")
    cards = _cards(results, word)
    paths = list(dict.fromkeys(card.path for group in cards for card in group if card.path))
    pictures = make_thumbnails(paths, Limits(), side=THUMBNAIL, quality=JPEG_QUALITY)
    tiles = draw_montage([[_tile(card, pictures) for card in group] for group in cards])
    picture = _encoded(tiles, is_jpeg=path.suffix.lower() in JPEG_SUFFIXES)
    with replacing(path, needed_bytes=len(picture), sync=False, mode=common_mode(paths)) as file:
        file.write(picture)


def _encoded(tiles: Pixels, *, is_jpeg: bool) -> bytes:
    """Encode a montage, with the mark by which imgdup knows that it may be replaced."""
    if not is_jpeg:
        return _marked_png(cv2.imencode(".png", tiles[..., ::-1])[1].tobytes())
    if max(tiles.shape) > JPEG_MAX_SIDE:
        raise ImgdupError(
            f"the montage has {tiles.shape[1]} x {tiles.shape[0]} pixels, which JPEG cannot hold: "
            "name a .png file"
        )
    jpeg = encode_jpeg(tiles, JPEG_QUALITY)
    comment = struct.pack(">2sH", b"\xff\xfe", 2 + len(MONTAGE_MARK)) + MONTAGE_MARK
    return jpeg[:2] + comment + jpeg[2:]  # after the marker of the start


def _marked_png(png: bytes) -> bytes:
    """Insert the chunk that marks a montage of imgdup."""
    length = struct.pack(">I", len(MONTAGE_MARK) - 4)
    checksum = struct.pack(">I", zlib.crc32(MONTAGE_MARK))
    return png[:PNG_HEADER_END] + length + MONTAGE_MARK + checksum + png[PNG_HEADER_END:]


def draw_montage(groups: Sequence[Sequence[Tile]]) -> Pixels:
    """Draw groups of tiles as RGB pixels; each group starts a new row, with its probe.

    Examples
    --------
    >>> draw_montage([[Tile(None, ["probe"], "probe", "missing")]]).shape
    (330, 264, 3)
    """
    columns = _n_columns([len(group) for group in groups])
    cards: list[Pixels] = []
    for group in groups:
        n_blank = -len(group) % columns
        cards += [draw_tile(tile) for tile in group]
        cards += [np.full((TILE[1], TILE[0], 3), GROUND, np.uint8)] * n_blank
    montages: list[Pixels] = build_montages(cards, TILE, (columns, len(cards) // columns))
    return montages[0]


def draw_tile(tile: Tile) -> Pixels:
    """Draw one card as RGB pixels: the picture in a frame of its role's colour, and captions."""
    width, height = TILE
    card = np.full((height, width, 3), GROUND, np.uint8)
    corners = (MARGIN, MARGIN), (width - MARGIN - 1, height - MARGIN - 1)
    cv2.rectangle(card, *corners, CARD, cv2.FILLED)
    cv2.rectangle(card, *corners, ROLES[tile.role], 2, cv2.LINE_AA)
    start = MARGIN + PADDING
    _draw_picture(card[start : start + THUMBNAIL, start : start + THUMBNAIL], tile)
    for line, text in enumerate(tile.captions):
        scale, colour = (SMALL, MUTED) if line else (LARGE, BRIGHT)
        _write(card, text, (start, start + THUMBNAIL + LINE * (line + 1)), scale, colour)
    return card


class _Card(NamedTuple):
    """A tile whose picture is not read yet; without a path it is a note."""

    path: bytes | None
    captions: Sequence[str]
    role: str


def _cards(results: Mapping[bytes, Sequence[MatchRow]], word: str) -> list[list[_Card]]:
    """Choose the cards of all probes and matches, up to `MAX_TILES`."""
    room = MAX_TILES
    groups: list[list[_Card]] = []
    for n_done, (probe, matches) in enumerate(results.items()):
        if room < 2:
            return [*groups, [_more(len(results) - n_done, "group")]]
        groups.append(_group(probe, matches, room, word))
        room -= len(groups[-1])
    return groups


def _group(probe: bytes, matches: Sequence[MatchRow], room: int, word: str) -> list[_Card]:
    """Choose the cards of a probe and its matches, as many as there is room for."""
    others = [match for match in matches if not match.is_probe]
    n_drawn = len(others) if len(others) < room else max(0, room - 2)
    note = word if others else f"{word}: no match"
    cards = [_Card(probe, (note, _name(probe)), "probe")]
    cards += [_match_card(match) for match in others[:n_drawn]]
    if n_drawn < len(others):
        cards.append(_more(len(others) - n_drawn, "match", "matches"))
    return cards


def _more(number: int, noun: str, several: str = "") -> _Card:
    return _Card(None, (counted(number, f"more {noun}", several and f"more {several}"),), "note")


def _match_card(match: MatchRow) -> _Card:
    role = "duplicate" if match.duplicate else "similar"
    near = "" if match.match_distance is None else f"match {match.match_distance}, "
    facts = f"{near}{role}, {match.width} x {match.height}"
    return _Card(match.path, (f"distance {match.distance}", facts, _name(match.path)), role)


def _tile(card: _Card, pictures: Mapping[bytes, Thumbnail]) -> Tile:
    """Return the tile of a card: its picture, or the reason why there is none."""
    if card.path is None:
        return Tile(None, card.captions, card.role, "not drawn")
    found = pictures[card.path]
    if isinstance(found, ImageError):
        return Tile(None, card.captions, card.role, found.reason)
    pixels = cv2.imdecode(np.frombuffer(found, np.uint8), cv2.IMREAD_COLOR_RGB)
    return Tile(np.asarray(pixels, np.uint8), card.captions, card.role)


def _n_columns(sizes: Sequence[int]) -> int:
    """Choose the number of tiles per row, for a montage somewhat wider than high."""
    if not sizes:
        raise ValueError("a montage needs at least one probe, got none")
    wanted = math.ceil(math.sqrt(1.6 * max(sizes))) if len(sizes) == 1 else max(sizes)
    return min(wanted, max(sizes), MAX_COLUMNS)


def _draw_picture(field: Pixels, tile: Tile) -> None:
    """Draw a tile's picture into the middle of a field, or the reason why there is none."""
    if tile.pixels is None:
        field[:] = EMPTY
        (width, height), _ = cv2.getTextSize(tile.reason, FONT, LARGE, 1)
        corner = (max(0, (THUMBNAIL - width) // 2), (THUMBNAIL + height) // 2)
        _write(field, tile.reason, corner, LARGE, BRIGHT)
        return
    rows, columns = tile.pixels.shape[:2]
    scale = min(1.0, THUMBNAIL / max(rows, columns))
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    picture = cv2.resize(tile.pixels, size, interpolation=cv2.INTER_AREA)
    left, top = (THUMBNAIL - size[0]) // 2, (THUMBNAIL - size[1]) // 2
    field[top : top + size[1], left : left + size[0]] = picture


def _write(card: Pixels, text: str, corner: tuple[int, int], scale: float, colour: Colour) -> None:
    """Write a line with its lower left corner at (x, y), shortened to the width of a picture."""
    fitted = _shortened(text, scale)
    cv2.putText(card, fitted, corner, FONT, scale, colour, 1, cv2.LINE_AA)


def _shortened(text: str, scale: float) -> str:
    """Remove characters from the middle until a text is not wider than a picture."""
    n_kept, fitted = len(text), text
    while n_kept > 2 and cv2.getTextSize(fitted, FONT, scale, 1)[0][0] > THUMBNAIL:
        n_kept -= 1
        fitted = f"{text[: n_kept // 2]}...{text[len(text) - (n_kept - n_kept // 2) :]}"
    return fitted


def _name(path: bytes) -> str:
    """Write a file's name with the characters that OpenCV can draw: ASCII."""
    text = path.rpartition(b"/")[2].decode("utf-8", "replace")
    letters = unicodedata.normalize("NFKD", text)
    plain = "".join(each for each in letters if not unicodedata.combining(each))
    return "".join(each if " " <= each <= "~" else "?" for each in plain)

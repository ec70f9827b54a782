"""The montage: any number of pictures of any size, readable or not, in one PNG.

Looks are for people; what is tested is that each picture is where it belongs, in the right frame,
whole and in its colours, and that no file and no name can break the drawing.
"""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import imgdup.output.montage as montage
from imgdup.errors import ImgdupError
from imgdup.output.montage import (
    ROLES,
    THUMBNAIL,
    TILE,
    Tile,
    draw_montage,
    draw_tile,
    save_montage,
)
from imgdup.output.results import MatchRow

pytestmark = pytest.mark.usefixtures("in_process")

RED = (200, 30, 40)
EDGE = montage.MARGIN  # pixels to a frame
START = montage.MARGIN + montage.PADDING  # pixels to a picture


def plain(width, height, colour=RED):
    return np.full((height, width, 3), colour, np.uint8)


def png(path, pixels):
    path.write_bytes(cv2.imencode(".png", pixels[..., ::-1])[1].tobytes())
    return bytes(path)


def match(probe, path, distance=3, duplicate=True, is_probe=False):
    return MatchRow(probe, path, distance, 12, duplicate, 640, 480, is_probe)


def read(path):
    return cv2.imread(str(path))[..., ::-1]


def frames(pixels):
    """The roles of a montage's tiles by the colours of their frames, row by row; "" for blank."""
    names = {colour: role for role, colour in ROLES.items()}
    corners = pixels[TILE[1] // 2 :: TILE[1], EDGE :: TILE[0]]
    return [[names.get(tuple(colour), "") for colour in row] for row in corners.tolist()]


def roles(pixels):
    """The roles of a montage's tiles in reading order, without blanks."""
    return [role for row in frames(pixels) for role in row if role]


def test_probe_and_matches_are_drawn_in_their_order(tmp_path):
    probe, near, far = (png(tmp_path / f"{name}.png", plain(64, 48)) for name in "abc")
    matches = [match(probe, near), match(probe, far, distance=10, duplicate=False)]

    save_montage(tmp_path / "montage.png", matches)

    assert frames(read(tmp_path / "montage.png")) == [["probe", "duplicate", "similar"]]


def test_a_picture_keeps_its_colours_and_its_shape(tmp_path):
    tile = draw_tile(Tile(plain(464, 232), ["probe"], "probe"))

    rows, columns = np.nonzero((tile == RED).all(axis=2))

    assert (np.ptp(columns) + 1, np.ptp(rows) + 1) == (THUMBNAIL, THUMBNAIL // 2)
    assert columns.min() == START


def test_a_small_picture_is_not_blown_up():
    tile = draw_tile(Tile(plain(10, 20), ["probe"], "probe"))

    assert (tile == RED).all(axis=2).sum() == 200


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 2)])
def test_odd_sizes_are_drawn(size):
    tile = draw_tile(Tile(plain(*size), ["probe"], "probe"))

    assert (tile == RED).all(axis=2).any()


@pytest.mark.parametrize("n_matches", [0, 1, 2, 5, 6, 7, 30])
def test_any_number_of_matches_is_drawn(n_matches):
    tiles = [Tile(plain(4, 4), ["probe"], "probe")]
    tiles += [Tile(plain(4, 4), ["distance 1"], "similar")] * n_matches

    assert roles(draw_montage([tiles])) == ["probe", *["similar"] * n_matches]


def test_each_probe_begins_a_row(tmp_path):
    first, second = (png(tmp_path / f"{name}.png", plain(64, 48)) for name in "ab")

    save_montage(tmp_path / "montage.png", [match(first, second)], probes=[first, second])

    assert frames(read(tmp_path / "montage.png")) == [["probe", "duplicate"], ["probe", ""]]


def test_a_probe_is_not_drawn_as_its_own_match(tmp_path):
    probe = png(tmp_path / "a.png", plain(64, 48))

    save_montage(tmp_path / "montage.png", [match(probe, probe, is_probe=True)])

    assert frames(read(tmp_path / "montage.png")) == [["probe"]]


def test_an_unreadable_picture_is_a_gray_field(tmp_path):
    probe = png(tmp_path / "a.png", plain(64, 48))
    broken = tmp_path / "b.png"
    broken.write_bytes(b"not an image")

    save_montage(tmp_path / "montage.png", [match(probe, bytes(broken))])

    second = read(tmp_path / "montage.png")[:, TILE[0] :]
    assert second[START + 2, START + 2].tolist() == list(montage.EMPTY)
    assert frames(read(tmp_path / "montage.png")) == [["probe", "duplicate"]]


def test_too_many_matches_end_in_a_note(tmp_path, monkeypatch):
    monkeypatch.setattr(montage, "MAX_TILES", 4)
    probe = png(tmp_path / "a.png", plain(64, 48))

    save_montage(tmp_path / "montage.png", [match(probe, probe)] * 9)

    drawn = read(tmp_path / "montage.png")
    assert roles(drawn) == ["probe", "duplicate", "duplicate", "note"]


def test_too_many_probes_end_in_a_note(tmp_path, monkeypatch):
    monkeypatch.setattr(montage, "MAX_TILES", 4)
    probes = [png(tmp_path / f"{name}.png", plain(64, 48)) for name in "abcdefgh"]

    save_montage(tmp_path / "montage.png", [], probes=probes)

    assert roles(read(tmp_path / "montage.png")) == ["probe", "probe", "probe", "note"]


def test_an_empty_montage_is_an_error_of_one_line(tmp_path):
    with pytest.raises(ImgdupError, match="no probe and no match"):
        save_montage(tmp_path / "montage.png", [])


def test_a_missing_folder_is_an_error_of_one_line(tmp_path):
    with pytest.raises(ImgdupError, match="cannot write"):
        save_montage(tmp_path / "none" / "montage.png", [], probes=[b"a.png"])


@settings(max_examples=30)
@given(name=st.one_of(st.binary(), st.text().map(lambda text: text.encode("utf-8", "replace"))))
def test_any_name_is_drawn_within_its_card(name):
    text = montage._name(b"/photos/" + name)

    tile = draw_tile(Tile(None, ["distance 3", "match 12", text], "similar", "missing"))

    assert text.isascii()
    assert tile[TILE[1] // 2, -EDGE - 1].tolist() == list(ROLES["similar"])
    assert (tile[:, -EDGE + 2 :] == montage.GROUND).all()

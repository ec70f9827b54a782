"""compare_pictures on painted pictures: one test for each relation, and hostile sizes."""

import gc
from itertools import combinations

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from imgdup.dedupe import difference
from imgdup.dedupe.alignment import Place
from imgdup.dedupe.difference import compare_pictures
from imgdup.dedupe.exact import same_pixels
from imgdup.dedupe.finding import Pair
from imgdup.dedupe.relations import Verdict
from imgdup.images.decode import decode_rgb
from imgdup.system.limits import Limits
from real_pictures import DATA, needs_data


@pytest.fixture(scope="module")
def scene():
    """A picture with texture, edges and colours; RGB, 240 x 320."""
    rng = np.random.default_rng(7)
    coarse = rng.integers(0, 256, (15, 20, 3)).astype(np.uint8)
    picture = cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_CUBIC).astype(np.float64)
    picture += 25 * cv2.GaussianBlur(rng.standard_normal((240, 320, 1)), (0, 0), 1.5)[..., None] * 3
    for x, y in rng.integers(20, 220, (12, 2)):
        cv2.circle(picture, (int(x), int(y)), 9, rng.integers(0, 256, 3).tolist(), -1)
    return np.clip(picture, 0, 255).astype(np.uint8)


def jpeg(pixels, quality=80):
    _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def levels(pixels, function):
    curve = np.clip(function(np.arange(256.0)), 0, 255).astype(np.uint8)
    return cv2.LUT(pixels, curve)


def noisy(pixels, deviation):
    noise = np.random.default_rng(3).normal(0, deviation, pixels.shape)
    return np.clip(pixels + noise, 0, 255).round().astype(np.uint8)


def sharpened(pixels):
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.SHARPEN))


COPIES = {
    "equal": lambda p: p.copy(),
    "recompressed": lambda p: jpeg(p, 30),
    "half the size": lambda p: jpeg(
        cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    ),
    "brighter": lambda p: levels(p, lambda x: x + 30),
    "brighter by a factor": lambda p: jpeg(levels(p, lambda x: 1.3 * x), 90),
    "darker": lambda p: jpeg(levels(p, lambda x: 0.7 * x), 90),
    "more contrast": lambda p: jpeg(levels(p, lambda x: 1.3 * (x - 128) + 128), 90),
    "less contrast": lambda p: levels(p, lambda x: 0.7 * x + 38),
    "gamma": lambda p: levels(p, lambda x: 255 * (x / 255) ** 1.4),
    "blurred": lambda p: cv2.GaussianBlur(p, (0, 0), 2),
    "noisy": lambda p: jpeg(noisy(p, 10), 90),
    "sharpened": lambda p: jpeg(sharpened(p), 90),
    "gray": lambda p: cv2.cvtColor(p, cv2.COLOR_RGB2GRAY),
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_copy_shows_the_same_picture(scene, copy):
    assert compare_pictures(scene, copy(scene)) == Verdict("same-picture", 0.0, None)


@pytest.mark.parametrize("edit", ["recompressed", "blurred", "cropped", "mirrored"])
def test_a_comparison_leaves_no_cycles_of_references_which_would_hold_its_planes(scene, edit):
    edits = {**COPIES, "cropped": lambda p: p[10:-10, 10:-10].copy(), "mirrored": mirrored}
    other = edits[edit](scene)
    compare_pictures(scene, other)  # imports and caches, which remain
    gc.collect()
    gc.disable()

    compare_pictures(scene, other)
    left = gc.collect()
    gc.enable()

    assert left == 0


def mirrored(pixels):
    return cv2.flip(pixels, 1)


GRAY_COPIES = {
    "smaller, compressed": lambda p: jpeg(cv2.resize(p, (160, 120)), 30),
    "with a patch, compressed": lambda p: jpeg(
        cv2.rectangle(p.copy(), (90, 90), (130, 130), 0, -1)
    ),
    "cropped": lambda p: p[20:-20, 30:-30].copy(),
    "framed": lambda p: cv2.copyMakeBorder(p, 20, 20, 20, 20, cv2.BORDER_CONSTANT),
    "mirrored": mirrored,
}


@pytest.mark.parametrize("edit", GRAY_COPIES.values(), ids=GRAY_COPIES)
def test_a_gray_picture_counts_as_one_of_three_equal_channels(scene, edit):
    copy = cv2.cvtColor(edit(scene), cv2.COLOR_RGB2GRAY)

    for first, second in ((scene, copy), (copy, scene)):
        in_colour = [np.dstack([each] * 3) if each.ndim == 2 else each for each in (first, second)]
        assert compare_pictures(first, second) == compare_pictures(*in_colour)


def test_a_changed_region_is_found_and_lies_in_the_box(scene):
    edited = scene.copy()
    cv2.putText(edited, "17", (200, 180), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 2)

    verdict = compare_pictures(scene, jpeg(edited))

    x, y, width, height = verdict.box
    assert verdict.relation == "edited"
    assert verdict.peak > 20
    assert x <= 1000 * 210 / 320 <= x + width
    assert y <= 1000 * 172 / 240 <= y + height
    assert width < 250 and height < 250


def test_other_colours_are_recoloured(scene):
    swapped = np.ascontiguousarray(scene[..., ::-1])

    assert compare_pictures(scene, swapped).relation == "recoloured"


def faded(pixels, share):
    """Take away all but a share of the colour."""
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., np.newaxis].astype(np.float64)
    return np.rint(gray + share * (pixels - gray)).clip(0, 255).astype(np.uint8)


def with_turned_hues(pixels, degrees):
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + degrees // 2) % 180
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("degrees", [40, -40, 180])
def test_other_hues_are_recoloured_even_if_all_colours_are_pale(scene, share, degrees):
    pale = faded(scene, share)

    assert (
        compare_pictures(pale, jpeg(with_turned_hues(pale, degrees), 90)).relation == "recoloured"
    )


@pytest.mark.parametrize("name", [name for name in COPIES if name != "gray"])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.3])
def test_a_copy_of_a_picture_of_pale_colours_shows_the_same_picture(scene, share, name):
    pale = faded(scene, share)

    assert compare_pictures(pale, COPIES[name](pale)).relation == "same-picture"


def test_a_gray_picture_has_no_hue_to_turn(scene):
    gray = faded(scene, 0)

    assert compare_pictures(gray, with_turned_hues(gray, 40)).relation == "same-picture"


def test_a_crop_lies_in_the_box(scene):
    verdict = compare_pictures(scene, jpeg(scene[24:216, 32:288]))

    assert verdict.relation == "cropped"
    np.testing.assert_allclose(verdict.box, (100, 100, 800, 800), atol=6)


TURNS = {
    "mirror": np.fliplr,
    "rotate-180": lambda picture: np.rot90(picture, 2),
    "flip": np.flipud,
    "transpose": lambda picture: picture.swapaxes(0, 1),
    "rotate-90": lambda picture: np.rot90(picture, -1),
    "transverse": lambda picture: np.rot90(picture, 2).swapaxes(0, 1),
    "rotate-270": lambda picture: np.rot90(picture, 1),
}


@pytest.mark.parametrize("orientation", TURNS)
def test_a_copy_is_turned_if_turning_it_gives_the_picture(scene, orientation):
    copy = cv2.resize(scene, (200, 150), interpolation=cv2.INTER_AREA)

    verdict = compare_pictures(TURNS[orientation](scene).copy(), jpeg(copy))

    assert (verdict.relation, verdict.orientation) == ("turned", orientation)


def test_a_turned_copy_that_was_edited_is_edited_and_not_only_turned(scene):
    edited = scene.copy()
    cv2.putText(edited, "17", (200, 180), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 2)

    verdict = compare_pictures(scene, jpeg(np.fliplr(edited)))

    assert (verdict.relation, verdict.orientation) == ("edited", "mirror")


def test_an_upright_copy_of_a_symmetrical_picture_is_the_same_picture(scene):
    symmetrical = np.hstack([scene, np.fliplr(scene)])

    verdict = compare_pictures(symmetrical, jpeg(symmetrical, 60))

    assert (verdict.relation, verdict.orientation) == ("same-picture", "none")


def test_a_turned_copy_of_a_nearly_symmetrical_picture_is_turned(scene):
    picture = np.hstack([scene, np.fliplr(scene)])
    picture[100:120, 40:60] = (250, 30, 30)

    verdict = compare_pictures(picture, jpeg(np.fliplr(picture), 90))

    assert (verdict.relation, verdict.orientation) == ("turned", "mirror")


@pytest.mark.parametrize(("when_turned", "n_compared"), [(0.4, 1), (0.5, 2)])
def test_a_picture_that_agrees_in_less_when_turned_is_not_compared_turned(
    scene, monkeypatch, when_turned, n_compared
):
    other, compared = np.ascontiguousarray(scene[::-1]), []
    agreement = property(lambda pair: 0.5 if pair.second is other else when_turned)
    monkeypatch.setattr(Pair, "rough_agreement", agreement)
    monkeypatch.setattr(difference, "likely_turns", lambda first, second: (["mirror"], False))
    monkeypatch.setattr(
        difference,
        "_compare_upright",
        lambda pair: compared.append(pair) or difference.NOTHING_AGREES,
    )

    compare_pictures(scene, other)

    assert len(compared) == n_compared


@pytest.mark.parametrize("quality", [90, 60])
def test_a_copy_with_large_letters_at_the_top_and_the_bottom_is_edited(scene, quality):
    copy = scene.copy()
    for top in (8, 186):
        for left in range(4, 300, 24):
            cv2.rectangle(copy, (left, top), (left + 16, top + 44), (255, 255, 255), -1)
            cv2.rectangle(copy, (left, top), (left + 16, top + 44), (0, 0, 0), 2)

    verdict = compare_pictures(scene, jpeg(copy, quality))

    assert verdict.relation == "edited"
    assert verdict.box != (0, 0, 1000, 1000)


@pytest.mark.parametrize(
    ("relation", "expected"),
    [("edited", "edited"), ("same-picture", "different"), ("recoloured", "different")],
)
def test_pictures_that_agree_only_in_the_middle_are_edited_or_different(
    monkeypatch, relation, expected
):
    rng = np.random.default_rng(3)
    first, second = rng.integers(0, 256, (2, 60, 80, 3), np.uint8)
    monkeypatch.setattr("imgdup.dedupe.finding.relation_of", lambda evidence: relation)
    monkeypatch.setattr(difference, "_compare_aligned", lambda pair, best: None)
    monkeypatch.setattr(Pair, "agree_in_the_middle", lambda pair: True)

    assert compare_pictures(first, second).relation == expected


def test_pages_that_are_alike_in_an_empty_middle_only_are_different(scene):
    first, second = (np.full((240, 320, 3), 250, np.uint8) for _ in range(2))
    for page, texture in ((first, scene), (second, np.roll(scene, 100, axis=1))):
        page[:60], page[180:] = texture[:60], texture[180:]

    assert compare_pictures(first, second).relation == "different"


def test_another_picture_is_different(scene):
    other = np.random.default_rng(8).integers(0, 256, (12, 16, 3)).astype(np.uint8)

    assert compare_pictures(scene, cv2.resize(other, (320, 240))).relation == "different"


def test_pictures_that_clearly_differ_are_not_measured(scene, monkeypatch):
    other = np.random.default_rng(8).integers(0, 256, (12, 16, 3)).astype(np.uint8)
    monkeypatch.setattr("imgdup.dedupe.finding.evidence_of", None)
    monkeypatch.setattr("imgdup.dedupe.difference.Evidence", None)

    verdict = compare_pictures(scene, cv2.resize(other, (320, 240)))

    assert verdict == Verdict("different", 255.0, (0, 0, 1000, 1000))


def grainy(pixels, seed):
    """A blurred picture under strong grain."""
    grain = np.random.default_rng(seed).standard_normal((*pixels.shape[:2], 1))
    grain = cv2.GaussianBlur(grain, (0, 0), 1.5)[..., None]
    blurred = cv2.GaussianBlur(pixels, (0, 0), 6)
    return np.clip(blurred + 20 / grain.std() * grain, 0, 255).astype(np.uint8)


def test_pictures_that_agree_a_little_and_only_when_reduced_are_not_measured(scene, monkeypatch):
    monkeypatch.setattr("imgdup.dedupe.finding.evidence_of", None)
    first, second = grainy(scene, 1), grainy(scene, 2)

    assert difference.SLIGHTLY <= Pair(first, second).rough_agreement
    assert compare_pictures(first, second) == Verdict("different", 255.0, (0, 0, 1000, 1000))


@pytest.mark.parametrize("place_is_first", [False, True])
def test_a_blurred_copy_that_seems_to_be_moved_shows_the_same_picture(
    scene, monkeypatch, place_is_first
):
    if place_is_first:
        monkeypatch.setattr(difference, "NEARLY_REDUCED", 1.1)
    grain = noisy(cv2.GaussianBlur(scene, (0, 0), 6), 20)
    copy = cv2.GaussianBlur(grain, (0, 0), 2)
    place = Place(True, np.array([[0.99, 0, 0.003], [0, 0.995, 0.002]]))
    monkeypatch.setattr(difference, "refine", lambda first, second, rough: place)

    assert Pair(grain, copy).plain_agreement < difference.NEARLY
    assert compare_pictures(grain, copy) == Verdict("same-picture", 0.0, None)


def test_a_copy_that_hardly_agrees_because_it_is_blurred_is_measured(monkeypatch):
    monkeypatch.setattr(difference, "find_places", lambda first, second: [])
    coarse = np.random.default_rng(9).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    texture = cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_CUBIC)
    copy = cv2.GaussianBlur(texture, (0, 0), 4)

    pair = Pair(texture, copy)
    assert pair.rough_agreement < difference.WIDELY
    assert pair.plain_agreement < difference.PLAINLY
    assert compare_pictures(texture, copy) == Verdict("same-picture", 0.0, None)


def test_a_noisy_crop_is_measured_although_little_agrees_at_full_size(scene, monkeypatch):
    monkeypatch.setattr(difference, "AT_A_PLACE", 1.1)

    assert compare_pictures(scene, noisy(scene[24:, 32:], 20)).relation == "cropped"


def test_a_place_where_little_agrees_is_not_measured(scene, monkeypatch):
    wrong = Place(True, np.array([[0.6, 0, 0.3], [0, 0.6, 0.3]]))
    monkeypatch.setattr(difference, "refine", lambda first, second, rough: wrong)
    monkeypatch.setattr(difference, "Evidence", None)

    assert compare_pictures(scene, scene[24:, 32:].copy()).relation == "different"


@pytest.mark.parametrize("refined", [None, Place(True, np.array([[0.6, 0, 0.3], [0, 0.6, 0.3]]))])
def test_what_differs_at_the_likelier_place_is_not_looked_for_the_other_way_round(
    scene, monkeypatch, refined
):
    places, tried = [Place(True, np.eye(2, 3)), Place(False, np.eye(2, 3))], []
    monkeypatch.setattr(difference, "find_places", lambda first, second: places)
    monkeypatch.setattr(
        difference, "refine", lambda first, second, rough: tried.append(rough) or refined
    )

    compare_pictures(scene, scene[24:, 32:].copy())

    assert tried == places[:1]


def test_a_place_where_hardly_more_agrees_is_not_measured(scene, monkeypatch):
    copy = scene.copy()
    copy[20:140, 100:180] = (250, 20, 20)
    moved = Place(True, np.array([[1, 0, 0.006], [0, 1, 0]]))
    monkeypatch.setattr(difference, "refine", lambda first, second, rough: moved)
    monkeypatch.setattr(difference, "Evidence", None)

    verdict = compare_pictures(scene, jpeg(copy))

    assert verdict.relation == "edited"


@pytest.mark.parametrize("crop_is_second", [True, False])
def test_a_crop_that_was_edited_is_edited_and_the_box_shows_where(scene, crop_is_second):
    crop = scene[24:, 32:].copy()
    crop[100:130, 150:190] = (250, 20, 20)

    verdict = compare_pictures(*((scene, jpeg(crop)) if crop_is_second else (jpeg(crop), scene)))

    left, top = (32, 24) if crop_is_second else (0, 0)
    rows, columns = (scene if crop_is_second else crop).shape[:2]
    x, y, width, height = verdict.box
    assert verdict.relation == "edited"
    assert x <= 1000 * (left + 150) / columns < 1000 * (left + 190) / columns <= x + width
    assert y <= 1000 * (top + 100) / rows < 1000 * (top + 130) / rows <= y + height
    assert width < 330 and height < 330


FOLDERS = sorted(folder.name for folder in (DATA / "different").iterdir()) if DATA else []
SHAPES = [(1, 1), (1, 50), (50, 1), (7, 9), (8, 8), (33, 9)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("other", SHAPES, ids=str)
def test_tiny_pictures_get_a_verdict(shape, other):
    rng = np.random.default_rng(1)
    first, second = (rng.integers(0, 256, each).astype(np.uint8) for each in (shape, other))

    verdict = compare_pictures(first, second)

    assert verdict.relation == ("same-picture" if np.array_equal(first, second) else "different")


@pytest.mark.parametrize("name", [*COPIES, "other colours"])
def test_the_relation_does_not_depend_on_the_order(scene, name):
    other = COPIES[name](scene) if name in COPIES else np.ascontiguousarray(scene[..., ::-1])

    assert compare_pictures(scene, other).relation == compare_pictures(other, scene).relation


def test_the_same_pictures_give_the_same_verdict_again(scene):
    copy = jpeg(scene[10:200], 50)

    assert compare_pictures(scene, copy) == compare_pictures(scene.copy(), copy.copy())


def test_gray_and_rgb_with_equal_levels_are_the_same_picture(scene):
    gray = cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY)

    verdict = compare_pictures(gray, np.repeat(gray[..., None], 3, axis=2))

    assert verdict == Verdict("same-picture", 0.0, None)


def page_of_print(number):
    """A page of small print, 850 x 1100, with a page number at its foot."""
    page = Image.new("L", (850, 1100), 255)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    rng = np.random.default_rng(1)
    for y in range(60, 1030, 20):
        words = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), 6)) for _ in range(14)]
        draw.text((60, y), " ".join(words), fill=0, font=font)
    draw.text((420, 1060), str(number), fill=0, font=font)
    return np.repeat(np.asarray(page)[..., None], 3, axis=2)


@pytest.mark.parametrize("number", [36, 33, 38])
def test_one_other_digit_on_a_page_of_print_is_found_in_a_jpeg_copy(number):
    verdict = compare_pictures(page_of_print(35), jpeg(page_of_print(number), 75))

    x, y, width, height = verdict.box
    assert verdict.relation == "edited"
    assert x <= 1000 * 433 / 850 <= x + width
    assert y <= 1000 * 1068 / 1100 <= y + height
    assert width < 100 and height < 100


@pytest.mark.parametrize("quality", [95, 75, 50, 30])
def test_a_jpeg_copy_of_a_page_of_print_is_the_same_picture(quality):
    page = page_of_print(35)

    assert compare_pictures(page, jpeg(page, quality)).relation == "same-picture"


def faint_writing(text, contrast):
    """Large pale letters on an empty page, 480 x 360."""
    page = Image.new("L", (480, 360), 240)
    font = ImageFont.load_default(54)
    ImageDraw.Draw(page).text((40, 140), text, fill=240 - contrast, font=font)
    return np.repeat(np.asarray(page)[..., None], 3, axis=2)


@pytest.mark.parametrize("quality", [None, 90, 60])
@pytest.mark.parametrize(
    ("other", "contrast"), [("decline 31", 10), ("decline 31", 14), ("approve 17", 14)]
)
def test_faint_writing_that_differs_is_never_the_same_picture(other, contrast, quality):
    changed = faint_writing(other, contrast)
    changed = changed if quality is None else jpeg(changed, quality)

    verdict = compare_pictures(faint_writing("approve 12", contrast), changed)

    assert verdict.relation in ("edited", "different")
    assert verdict.peak > 0


@pytest.mark.parametrize("quality", [95, 60, 30])
def test_a_jpeg_copy_of_faint_writing_is_the_same_picture(quality):
    page = faint_writing("approve 12", 14)

    assert compare_pictures(page, jpeg(page, quality)).relation == "same-picture"


@pytest.fixture(scope="module")
def gray_scene(scene):
    """The scene in gray, but stored as RGB."""
    return np.repeat(cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


@pytest.mark.parametrize("deviation", [5, 6, 8])
def test_noise_in_the_channels_of_a_gray_picture_is_no_colour(gray_scene, deviation):
    noise = np.random.default_rng(2).normal(0, deviation, gray_scene.shape)
    noisy = np.clip(gray_scene + noise, 0, 255).round().astype(np.uint8)

    assert compare_pictures(gray_scene, noisy).relation == "same-picture"
    assert compare_pictures(gray_scene, jpeg(noisy, 90)).relation == "same-picture"


@pytest.mark.parametrize("factors", [(1.15, 1.0, 0.8), (0.7, 0.85, 1.2)], ids=["warm", "cold"])
def test_a_filter_over_a_gray_picture_with_white_areas_is_recoloured(gray_scene, factors):
    bright = levels(gray_scene, lambda x: 1.4 * x)
    filtered = np.clip(bright * np.array(factors), 0, 255).round().astype(np.uint8)

    assert compare_pictures(bright, jpeg(filtered, 90)).relation == "recoloured"


def test_a_small_coloured_object_in_a_gray_picture_is_found(gray_scene):
    coloured = gray_scene.copy()
    coloured[100:106, 150:156, 0] = 255 - gray_scene[100:106, 150:156, 0] // 2

    assert compare_pictures(gray_scene, coloured).relation != "same-picture"


def test_areas_of_two_colours_are_not_the_same_picture():
    first, second = (np.full((60, 80, 3), level, np.uint8) for level in (100, 110))

    assert compare_pictures(first, second).relation != "same-picture"


def test_a_gray_object_of_another_tone_is_not_the_same_picture():
    first, second = (np.full((200, 200, 3), 255, np.uint8) for _ in range(2))
    first[50:150, 50:150], second[50:150, 50:150] = 90, 140

    assert compare_pictures(jpeg(first), jpeg(second)).relation != "same-picture"


@pytest.fixture(scope="module")
def product():
    """An object of many tones on white, 300 x 300, of which white covers three quarters."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (12, 12)).astype(np.uint8)
    tones = cv2.resize(coarse, (150, 150), interpolation=cv2.INTER_CUBIC)
    picture = np.full((300, 300, 3), 255, np.uint8)
    picture[75:225, 75:225] = tones[..., np.newaxis]
    return picture


WHITE_COPIES = ("darker", "less contrast", "more contrast", "brighter by a factor", "noisy")


@pytest.mark.parametrize("name", WHITE_COPIES)
def test_a_copy_of_an_object_on_white_shows_the_same_picture(product, name):
    assert compare_pictures(product, COPIES[name](product)).relation == "same-picture"


def with_gray_object(picture, tone):
    """Put a shaded gray object of 100 x 80 pixels into a picture."""
    shading = 1 + 0.15 * np.cos(np.arange(100) / 15)
    changed = picture.copy()
    changed[100:180, 100:200] = np.rint(tone * shading)[np.newaxis, :, np.newaxis]
    return changed


@pytest.mark.parametrize("other", [145, 160, 100])
@pytest.mark.parametrize("change", ["equal", "darker", "recompressed"])
def test_an_object_of_another_gray_is_found_in_any_copy(scene, other, change):
    first, second = (with_gray_object(scene, tone) for tone in (125, other))

    assert compare_pictures(first, COPIES[change](second)).relation != "same-picture"


@pytest.mark.parametrize("other", [90, 150])
def test_an_object_of_another_gray_on_white_is_found(other):
    white = np.full((240, 320, 3), 255, np.uint8)
    first, second = (with_gray_object(white, tone) for tone in (120, other))

    assert compare_pictures(first, jpeg(second, 90)).relation != "same-picture"


def test_an_object_of_another_gray_in_a_drawing_is_found():
    drawing = np.full((240, 320, 3), 255, np.uint8)
    for x in range(10, 320, 12):
        cv2.line(drawing, (x, 5), (x + 40, 235), (0, 0, 0), 1, cv2.LINE_AA)
    first, second = (with_gray_object(drawing, tone) for tone in (130, 190))

    assert compare_pictures(first, jpeg(second, 90)).relation != "same-picture"


def page_with_button(colour):
    """A gray page with two lines of print and a button of 5 % of its area."""
    page = np.full((380, 520, 3), 241, np.uint8)
    for y in (60, 130):
        cv2.putText(page, "some words of print", (30, y), cv2.FONT_HERSHEY_SIMPLEX, 1, (50,) * 3, 2)
    cv2.rectangle(page, (330, 270), (490, 330), colour, -1)
    cv2.putText(page, "Send", (370, 310), cv2.FONT_HERSHEY_SIMPLEX, 1, (250,) * 3, 2)
    return page


@pytest.mark.parametrize("quality", [90, 60, 30])
def test_a_button_that_lost_its_colour_is_found(quality):
    coloured, gray = page_with_button((60, 120, 210)), page_with_button((116, 116, 116))

    assert compare_pictures(coloured, gray).relation != "same-picture"
    assert compare_pictures(jpeg(coloured, quality), jpeg(gray, quality)).relation != "same-picture"
    assert compare_pictures(coloured, jpeg(coloured, quality)).relation == "same-picture"


def test_a_line_marked_in_yellow_on_a_gray_page_is_found():
    page = page_of_print(35)
    marked = page.copy()
    marked[300:325, 100:300, 2] = np.minimum(marked[300:325, 100:300, 2], 140)

    assert compare_pictures(page, marked).relation != "same-picture"
    assert compare_pictures(page, jpeg(marked, 75)).relation != "same-picture"


def test_a_sepia_filter_that_cuts_off_colours_over_a_gray_picture_is_recoloured(gray_scene):
    sepia = [[0.393, 0.349, 0.272], [0.769, 0.686, 0.534], [0.189, 0.168, 0.131]]
    bright = levels(gray_scene, lambda x: 1.3 * x)  # so that sepia cuts off two channels
    filtered = np.clip(bright @ np.array(sepia), 0, 255).round().astype(np.uint8)

    assert compare_pictures(bright, jpeg(filtered, 90)).relation == "recoloured"


def map_of_fields(tinted=None):
    """Paint a map of 35 fields of 50 x 40 pixels in as many colours; one may have another tint."""
    rng = np.random.default_rng(8)
    picture = np.full((280, 380, 3), 225, np.uint8)
    colours = rng.integers(60, 220, (35, 3))
    if tinted is not None:
        colours[tinted] += [22, -14, 0]
    for number, colour in enumerate(colours):
        y, x = 10 + 52 * (number // 7), 10 + 52 * (number % 7)
        cv2.rectangle(picture, (x, y), (x + 49, y + 39), colour.tolist(), -1)
    return picture


MAP_COPIES = ("half the size", "gamma", "darker", "recompressed", "sharpened")


@pytest.mark.parametrize("name", MAP_COPIES)
def test_a_field_of_another_tint_among_many_is_found_in_any_copy(name):
    picture, other = map_of_fields(), map_of_fields(tinted=17)

    assert compare_pictures(picture, COPIES[name](picture)).relation == "same-picture"
    assert compare_pictures(picture, COPIES[name](other)).relation == "recoloured"


@pytest.mark.parametrize("quality", [5, 10, 20])
def test_a_copy_of_low_quality_shows_the_same_picture_and_an_edited_one_does_not(scene, quality):
    edited = scene.copy()
    edited[100:116, 150:170] = (240, 30, 30)

    assert compare_pictures(scene, jpeg(scene, quality)).relation == "same-picture"
    assert compare_pictures(jpeg(scene, quality), scene).relation == "same-picture"
    assert compare_pictures(scene, jpeg(edited, quality)).relation != "same-picture"


def test_a_sharpened_copy_whose_colours_are_cut_off_shows_the_same_picture(scene):
    strong = levels(scene, lambda x: 2 * (x - 128) + 128)
    copy = jpeg(sharpened(sharpened(strong)), 90)
    edited = strong.copy()
    edited[100:116, 150:170] = (240, 30, 30)

    assert compare_pictures(strong, copy).relation == "same-picture"
    assert compare_pictures(edited, copy).relation != "same-picture"


@pytest.mark.parametrize("shape", [(240, 320), (241, 321), (242, 319)], ids=str)
def test_edges_that_a_filter_leaves_as_they_are_do_not_matter(scene, shape):
    picture = np.ascontiguousarray(cv2.resize(scene, shape[::-1]))
    copy = sharpened(picture)

    assert np.array_equal(copy[-1], picture[-1])  # what this test is about
    assert compare_pictures(picture, jpeg(copy, 90)).relation == "same-picture"


def test_small_bright_spots_are_an_edit_and_no_other_colour(scene):
    spotted = scene.copy()
    for x, y in np.random.default_rng(6).integers(5, 230, (12, 2)).tolist():
        spotted[y : y + 3, x : x + 3] = 0 if scene[y, x].mean() > 127 else 255

    assert compare_pictures(scene, spotted).relation == "edited"


def test_same_pixels_compares_gray_with_rgb(scene):
    gray = scene[..., 0]
    as_rgb = np.repeat(gray[..., None], 3, axis=2)

    assert same_pixels(gray, as_rgb)
    assert not same_pixels(scene, as_rgb)
    assert not same_pixels(gray, gray[1:])


LAYOUTS = {
    "columns one behind the other": np.asfortranarray,
    "every second of more columns": lambda p: np.repeat(p, 2, axis=1)[:, ::2],
    "part of a larger picture": lambda p: np.pad(p, 3)[3:-3, 3:-3],
    "from the last row on": lambda p: p[::-1].copy()[::-1],
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("rows", [90, 240])
def test_how_a_gray_picture_lies_in_memory_does_not_matter(scene, layout, rows):
    gray = cv2.resize(cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY), (rows * 4 // 3, rows))
    moved = np.roll(gray, 3, axis=1)

    assert compare_pictures(layout(gray), layout(moved)) == compare_pictures(gray, moved)


@pytest.mark.parametrize("shape", [(0, 5), (5, 5, 4), (5,)], ids=str)
def test_what_is_no_picture_is_refused(scene, shape):
    with pytest.raises(ValueError, match="a picture must be uint8"):
        compare_pictures(scene, np.zeros(shape, np.uint8))


@needs_data
@pytest.mark.parametrize("kind", FOLDERS)
def test_pictures_that_differ_in_what_matters_are_never_the_same(kind):
    files = sorted((DATA / "different" / kind).iterdir())[:4]
    pictures = [decode_rgb(file.read_bytes(), Limits(), 1024) for file in files]

    relations = {compare_pictures(a, b).relation for a, b in combinations(pictures, 2)}

    assert "same-picture" not in relations


FOREST = "jimagehash/src/test/resources"
CLEANVISION, PHASHION = "cleanvision/tests/data", "phashion/test/jpg"
TABLETS = ["b32aade8c590e2d776c24f35868f0c7a588f51e1", "df9cc82f5b32d7463f36620c61854fde9d939f7f"]
TABLETS += ["e7397898a7e395c2524978a5e64de0efabf08290"]
LABELLED = {
    "text on it": (f"{FOREST}/copyright.jpg", f"{FOREST}/highQuality.jpg", "edited"),
    "text on it, thumbnail": (f"{FOREST}/copyright.jpg", f"{FOREST}/thumbnail.jpg", "edited"),
    "another hue": (f"{FOREST}/highQuality.jpg", f"{FOREST}/highQualityHue.png", "recoloured"),
    "pale": (f"{CLEANVISION}/image_103.png", f"{CLEANVISION}/image_408.png", "recoloured"),
    "fewer rows": (*(f"{PHASHION}/{name}.jpeg" for name in TABLETS[:2]), "cropped"),
    "fewer rows, smaller": (*(f"{PHASHION}/{name}.jpeg" for name in TABLETS[1:]), "cropped"),
    "smaller": (*(f"{PHASHION}/{name}.jpeg" for name in TABLETS[::2]), "same-picture"),
}


@needs_data
@pytest.mark.parametrize("first, second, relation", LABELLED.values(), ids=LABELLED)
def test_pairs_that_others_labelled_have_the_relation_that_is_seen(first, second, relation):
    files = [DATA / "near-duplicates" / name for name in (first, second)]
    pictures = [decode_rgb(file.read_bytes(), Limits(), 1024) for file in files]

    assert compare_pictures(*pictures).relation == relation


PHOTO_COPIES = {**COPIES, "recompressed strongly": lambda p: jpeg(p, 10)}


@needs_data
@pytest.mark.parametrize("copy", PHOTO_COPIES.values(), ids=PHOTO_COPIES)
def test_copies_of_photos_show_the_same_picture(copy):
    files = sorted((DATA / "caltech-101").glob("*/*.jpg"))[::900]
    photos = [decode_rgb(file.read_bytes(), Limits(), 1024) for file in files]

    relations = [compare_pictures(photo, copy(photo)).relation for photo in photos]

    assert relations.count("same-picture") >= len(relations) - 1

"""Which of two files of the same picture is the original, by both pictures together."""

import io

import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image, ImageEnhance

from array_rows import File, rows_of
from encoded import save, scenery
from imgdup.dedupe.groups import DedupeOptions, Inspection, star_groups
from imgdup.dedupe.keep import DEFAULT_RULES, Keep
from imgdup.dedupe.origin import Ruling, only_levels_differ, rulings
from imgdup.dedupe.relations import Verdict
from imgdup.images.facts import image_facts
from imgdup.index.columns import images
from imgdup.system.limits import Limits

PICTURE = Image.fromarray(scenery(150, 200))
SAME = Verdict("same-picture", 0.0, None)
LEVELS = SAME._replace(levels_only=True)


def brighter(image, factor=1.2):
    return ImageEnhance.Brightness(image).enhance(factor)


def through_jpeg(image, quality):
    with Image.open(io.BytesIO(save(image, "jpeg", quality=quality))) as found:
        return found.convert("RGB")


@pytest.mark.parametrize("change", [brighter, lambda image: brighter(image, 0.6)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_changed_levels_are_told_from_compression(change, mode):
    first = PICTURE.convert(mode)
    second = change(first)
    compressed = through_jpeg(second, 95).convert(mode)

    assert only_levels_differ(np.asarray(first), np.asarray(second))
    assert only_levels_differ(np.asarray(second), np.asarray(first))
    assert not only_levels_differ(np.asarray(first), np.asarray(compressed))


def test_pictures_of_other_sizes_or_with_few_levels_do_not_only_differ_in_levels():
    pixels = np.asarray(PICTURE)

    assert not only_levels_differ(pixels, pixels[:-1])
    assert not only_levels_differ(pixels // 16, pixels // 16)
    assert not only_levels_differ(pixels[:4, :4], pixels[:4, :4])


def facts(image, name="png", **options):
    return image_facts(save(image, name, **options), Limits())


def ruled(first, second, verdict=SAME, rules=DEFAULT_RULES, **options):
    """What decides between two images, the better one by the keep order first."""
    sizes = [each[0].size for each in (first, second)]
    described = [facts(*first), facts(*second, **options)]
    rows = rows_of(
        [
            File(b"/%d.jpg" % number, width=width, height=height)
            for number, (width, height) in enumerate(sizes)
        ]
    )
    pairs = np.array([0]), np.array([1])
    return rulings(
        rows, Keep(rules), pairs, [verdict], lambda some: [described[i] for i in some.tolist()]
    )[0]


LARGE = PICTURE.resize((300, 225), Image.Resampling.BICUBIC)
SMALL = PICTURE.resize((100, 75), Image.Resampling.BICUBIC)


def test_an_enlarged_copy_loses_whatever_it_shows_alone():
    assert ruled((LARGE,), (PICTURE,)) == Ruling("not-upscaled", for_second=True)
    assert ruled((PICTURE,), (LARGE,)) == Ruling("not-upscaled")


def test_a_reduced_copy_loses_by_its_size():
    assert ruled((SMALL,), (PICTURE,)) == Ruling("largest", for_second=True)
    assert ruled((PICTURE,), (SMALL,)) == Ruling("largest")


def test_what_rounding_has_left_decides_before_the_spectra():
    reduced, enlarged = (SAME._replace(change_of_size=each) for each in ("reduced", "enlarged"))

    assert ruled((LARGE,), (PICTURE,), reduced) == Ruling("largest")
    assert ruled((PICTURE,), (SMALL,), enlarged) == Ruling("not-upscaled", for_second=True)


def test_a_lossless_file_with_other_levels_loses_to_the_compressed_one_that_it_was_made_from():
    jpeg, png = (through_jpeg(PICTURE, 60), "jpeg"), (brighter(through_jpeg(PICTURE, 60)), "png")

    assert ruled(png, jpeg, LEVELS) == Ruling("quality", for_second=True)
    assert ruled(jpeg, png, LEVELS) == Ruling("quality")
    assert not ruled(png, (brighter(png[0]), "bmp"), LEVELS).for_second


def test_compression_of_the_highest_quality_does_not_tell_which_came_first():
    lossless, jpeg = (PICTURE.convert("L"),), (PICTURE.convert("L"), "jpeg")
    assert not ruled(lossless, jpeg, LEVELS, quality=100).for_second
    assert ruled(lossless, jpeg, LEVELS, quality=90).for_second


def test_a_copy_that_was_compressed_again_loses_whatever_its_quality():
    poor, good = ((PICTURE, "jpeg"), {"quality": 60}), (through_jpeg(PICTURE, 60), "jpeg")
    verdicts = {each: SAME._replace(copy=each) for each in ("first", "second")}

    assert ruled(good, poor[0], verdicts["first"], **poor[1]) == Ruling("quality", for_second=True)
    assert ruled(good, poor[0], verdicts["second"], **poor[1]) == Ruling("quality")
    by_age = ruled(good, poor[0], verdicts["first"], ("oldest", "first", "quality"), **poor[1])
    assert by_age == Ruling("first")


@pytest.mark.parametrize("relation", ["edited", "cropped", "unverified", "same-bytes"])
def test_pictures_that_are_not_the_same_do_not_decide(relation):
    verdict = LEVELS._replace(relation=relation)

    assert not ruled((LARGE,), (PICTURE,), verdict).for_second


def test_an_earlier_rule_is_not_overruled():
    first = (LARGE,)

    assert ruled(first, (PICTURE,), rules=("largest", "not-upscaled")) == Ruling("largest")
    assert ruled(first, (PICTURE.convert("L"),)) == Ruling("colour")
    assert ruled(first, (PICTURE,), rules=("oldest", "first", "not-upscaled")) == Ruling("first")


def test_without_rules_about_pictures_their_spectra_do_not_count():
    assert not ruled((LARGE,), (PICTURE,), rules=("largest",)).for_second


def test_a_comparison_that_calls_either_of_two_files_the_original_keeps_one():
    """Each is put before the other once."""
    sides = [100, 200]
    rows = rows_of([File(b"/%d.jpg" % side, width=side, height=side) for side in sides])
    asked = []

    def judge(pairs):
        asked.extend(pairs)
        assert len(asked) < 10
        return [
            SAME._replace(change_of_size="reduced" if sides[a] < sides[b] else "enlarged")
            for a, b in pairs
        ]

    inspection = Inspection(judge, lambda some: [facts(SMALL)] * len(some))

    groups = star_groups(rows, images(rows), DedupeOptions(), inspection=inspection)

    assert len(asked) == 3
    assert sorted([*groups.keepers.tolist(), *groups.removed.tolist()]) == [0, 1]


drawn = st.lists(
    st.tuples(st.integers(1, 5), st.integers(1, 5), st.sampled_from([0.2, 0.5, 1.0])),
    min_size=2,
    max_size=5,
    unique_by=lambda each: each[0],  # files of one size are told apart by other rules
)


@given(files=drawn)
def test_of_many_copies_the_one_with_most_real_detail_is_kept(monkeypatch_module, files):
    """`files` are side, real side, and what the file alone seems to show."""
    rows = rows_of(
        [
            File(b"/%d.jpg" % number, width=100 * side, height=100 * side)
            for number, (side, _, _) in enumerate(files)
        ]
    )
    plain = facts(SMALL)
    described = [
        plain._replace(detail=detail, spectrum=(real,), pixels_digest=str(number))
        for number, (_, real, detail) in enumerate(files)
    ]
    inspection = Inspection(
        lambda pairs: [SAME] * len(pairs), lambda some: [described[i] for i in some.tolist()]
    )

    groups = star_groups(rows, images(rows), DedupeOptions(), inspection=inspection)

    best = min(range(len(files)), key=lambda i: (-files[i][1], files[i][0]))
    assert groups.keepers.tolist() == [best]
    assert len(groups.removed) == len(files) - 1


@pytest.fixture(scope="module")
def monkeypatch_module():
    """Let the larger of two pictures be enlarged if it has no more real detail."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "imgdup.dedupe.origin.change_of_size",
            lambda larger, smaller, factor, quality: "enlarged" if larger <= smaller else "reduced",
        )
        yield

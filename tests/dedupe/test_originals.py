"""Which copy stays: of an original and files made from it, the original, and the plan says why."""

import io
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from encoded import scenery
from imgdup import ImageIndex
from imgdup.index.folder import FACTS, VERDICTS
from real_pictures import DATA, needs_data

RNG = np.random.default_rng(8)
ORIGINAL = "the-original-photo.jpg"


def painted(width, height):
    """A scene with shapes, fine texture and many colours."""
    y, x = np.mgrid[:height, :width] / 100
    waves = [np.sin(a * x + b * y + c) for a, b, c in ((1, 2, 0), (2, 1, 1), (3, 1, 2))]
    noise = np.asarray(
        Image.fromarray(RNG.integers(0, 256, (height, width, 3), np.uint8)).filter(
            ImageFilter.GaussianBlur(0.7)
        ),
        np.float64,
    )
    pixels = np.stack(waves, 2) * 50 + 128 + (noise - 128) * 0.4
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for colour in ("red", "navy", "olive", "white", "teal"):
        left, top = int(RNG.integers(0, width * 0.7)), int(RNG.integers(0, height * 0.7))
        draw.rectangle((left, top, left + width // 5, top + height // 6), fill=colour)
        draw.ellipse((top, left // 2, top + width // 6, left // 2 + height // 4), fill=colour)
    return image


def as_jpeg(image, quality):
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return Image.open(data).convert("RGB")


def watermarked(image, place=(300, 280), size=60):
    copy = image.copy()
    ImageDraw.Draw(copy).text(place, "(c) NOBODY", fill="white", font_size=size)
    return copy


COPIES = {
    "gray.png": lambda image: image.convert("L"),
    "bit.png": lambda image: image.convert("1"),
    "colours.gif": lambda image: image.quantize(16),
    "poor.png": lambda image: as_jpeg(image, 5),
    "poor.bmp": lambda image: as_jpeg(image, 5),
    "marked.png": watermarked,
    "poor.webp": lambda image: image,
    "twice.jpg": lambda image: image.resize((1600, 1200), Image.Resampling.BICUBIC),
    "blown.jpg": lambda image: image.resize((100, 75)).resize((1600, 1200)),
    "again.png": lambda image: image,
}
OPTIONS = {"poor.webp": {"quality": 10}, "twice.jpg": {"quality": 95}, "blown.jpg": {"quality": 95}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals") / "files"
    folder.mkdir()
    original = folder / ORIGINAL
    painted(800, 600).save(original, quality=95)
    with Image.open(original) as image:
        image.load()
        for name, copy in COPIES.items():
            copy(image).save(folder / name, **OPTIONS.get(name, {}))
    return folder


def planned(folder, originals, age_s):
    """The plan for a folder; `age_s` returns how much older an original is than its copies."""
    for file in folder.rglob("*.*"):
        time_s = 1_000_000_000 - (age_s(file) if originals(file) else 0)
        os.utime(file, (time_s, time_s))
    return ImageIndex.build([folder], folder.parent / "index").groups().plan().data


def number_of(file):
    return int(re.search(r"[0-9]+", file.name)[0])


def name_of(path):
    return os.path.basename(os.fsdecode(path))


def lost(plan, originals):
    """The originals that a plan removes, with the files that it keeps for them."""
    return [
        (name_of(each.remove.path), name_of(each.keep.path), each.rule)
        for each in plan.removals
        if originals(Path(os.fsdecode(each.remove.path)))
    ]


def is_original(file):
    return file.name == ORIGINAL


@pytest.fixture(scope="module")
def plan(folder):
    return planned(folder, is_original, age_s=lambda file: 0)


AGES = (1000, 0, -1000)  # the original is older, as old as after `git clone`, newer as after `cp`


@pytest.mark.parametrize("age_s", AGES)
def test_the_original_is_kept_beside_ten_copies(folder, each_pair_once, age_s):
    plan = planned(folder, is_original, lambda file: age_s)

    removed = {name_of(each.remove.path) for each in plan.removals}
    assert lost(plan, is_original) == []
    assert len(removed) >= 4
    assert "marked.png" not in removed


def test_each_removal_names_the_rule_that_decided(plan):
    rules = {name_of(each.remove.path): each.rule for each in plan.removals}

    expected = {
        "gray.png": "colour",
        "poor.webp": "quality",
        "twice.jpg": "not-upscaled",
        "again.png": "quality",
    }
    assert {name: rules.get(name) for name in expected} == expected
    assert all(rules.values())


def test_all_groups_of_the_sample_keep_the_original(painted_sample, tmp_path):
    """Some copies are as good as their originals, so that no original may be newer."""
    shutil.copytree(painted_sample, tmp_path / "sample")

    plan = planned(tmp_path / "sample", lies_in_originals, lambda file: AGES[number_of(file) % 2])

    assert len(plan.removals) > 40
    assert lost(plan, lies_in_originals) == []


def lies_in_originals(file):
    return file.parent.name == "originals"


@pytest.fixture
def forty_photos(tmp_path):
    """Photos, each with an enlarged, a resaved, a brighter, a small and a watermarked copy."""
    folder = tmp_path / "files"
    folder.mkdir()
    paths = sorted((DATA / "caltech-101").rglob("*.jpg"))
    for number, path in enumerate(paths[:: len(paths) // 40][:40]):
        shutil.copyfile(path, folder / f"{number}-{ORIGINAL}")
        with Image.open(path) as image:
            photo = image.convert("RGB")
        small = photo.copy()
        small.thumbnail((128, 128))
        resized(photo, (1.5, 2)[number % 2]).save(folder / f"{number}-larger.jpg", quality=60)
        photo.save(folder / f"{number}-again.png", compress_level=1)
        brighter = ImageEnhance.Brightness(photo).enhance(1.2)
        brighter.save(folder / f"{number}-brighter.png", compress_level=1)
        small.save(folder / f"{number}-small.jpg")
        watermarked(photo, (photo.width // 3, photo.height // 2), 24).save(
            folder / f"{number}-marked.png", compress_level=1
        )
    return folder


def grainy(image):
    grain = RNG.normal(0, 12, (image.height, image.width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def resized(image, factor, method=Image.Resampling.BICUBIC):
    return image.resize((round(image.width * factor), round(image.height * factor)), method)


# What single files do not show: the original, made from a scene; the quality that it is saved in;
# the copy, made from the original; its ending.
PAIRS = {
    "slightly enlarged": (None, 95, lambda image: resized(image, 1.25), ".png"),
    "enlarged": (None, 60, lambda image: resized(image, 1.5), ".jpg"),
    "soft original": (
        lambda image: resized(image, 1.6),
        95,
        lambda image: resized(image, 0.5),
        ".png",
    ),
    "brighter": (None, 60, lambda image: ImageEnhance.Brightness(image).enhance(0.8), ".png"),
    "grainy original": (grainy, 95, lambda image: image, ".webp"),
    "compressed less": (None, 60, lambda image: image, ".jpg"),
    "compressed more": (None, 95, lambda image: image, ".jpg"),
}


@pytest.fixture(scope="module")
def folder_of_pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs") / "files"
    folder.mkdir()
    for number, (change, quality, copy, ending) in enumerate(PAIRS.values()):
        scene = Image.fromarray(scenery(240, 320, number))
        original = folder / f"{number}-{ORIGINAL}"
        (change(scene) if change else scene).save(original, quality=quality)
        with Image.open(original) as image:
            image.load()
        copy(image).save(folder / f"{number}{ending}", quality=10 if ending == ".webp" else 90)
    return folder


@pytest.mark.parametrize("age_s", AGES)
def test_the_original_stays_where_only_both_pictures_show_it(
    folder_of_pairs, each_pair_once, age_s
):
    plan = planned(folder_of_pairs, is_numbered_original, lambda file: age_s)

    assert lost(plan, is_numbered_original) == []
    rules = {number_of(Path(name_of(each.remove.path))): each.rule for each in plan.removals}
    expected = ["not-upscaled", "not-upscaled", "largest", *["quality"] * 4]
    assert rules == dict(enumerate(expected))


@needs_data
def test_forty_photos_are_kept_beside_five_copies_of_each(forty_photos):
    plan = planned(forty_photos, is_numbered_original, lambda file: AGES[number_of(file) % 3])

    assert len(plan.removals) > 150
    assert lost(plan, is_numbered_original) == []


def is_numbered_original(file):
    return file.name.endswith(ORIGINAL)


def test_the_second_run_decodes_nothing(folder, plan, monkeypatch):
    index = ImageIndex.open(folder.parent / "index")
    monkeypatch.setattr("imgdup.dedupe.verify.decode_each", _refuse)

    assert index.groups().plan().data == plan


@pytest.mark.parametrize("at", [0, 30, 120, 300])
def test_damaged_facts_are_read_again(folder, plan, at):
    path = folder.parent / "index" / FACTS
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)

    assert ImageIndex.open(folder.parent / "index").groups().plan().data == plan
    assert (folder.parent / "index" / VERDICTS).is_file()


def _refuse(function, items, pool, **options):
    assert not list(items)
    return iter(())

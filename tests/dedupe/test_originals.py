"""Which copy stays: of an original and files made from it, the original, and the plan says why."""

import io
import os

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from imgdup import ImageIndex
from imgdup.index.folder import FACTS, VERDICTS

RNG = np.random.default_rng(8)


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


def watermarked(image):
    copy = image.copy()
    ImageDraw.Draw(copy).text((300, 280), "(c) NOBODY", fill="white", font_size=60)
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
    original = folder / "the-original-photo.jpg"
    painted(800, 600).save(original, quality=95)
    os.utime(original, (1_000_000_000, 1_000_000_000))
    with Image.open(original) as image:
        image.load()
        for name, copy in COPIES.items():
            copy(image).save(folder / name, **OPTIONS.get(name, {}))
    return folder


@pytest.fixture(scope="module")
def plan(folder):
    index = ImageIndex.build([folder], folder.parent / "index")
    return index.plan()


def test_the_original_stays_beside_ten_copies(plan):
    removed = {os.path.basename(os.fsdecode(each.remove.path)) for each in plan.removals}

    assert "the-original-photo.jpg" not in removed
    assert len(removed) >= 4
    assert "marked.png" not in removed


def test_each_removal_says_which_rule_decided(plan):
    rules = {os.path.basename(os.fsdecode(each.remove.path)): each.rule for each in plan.removals}

    expected = {
        "gray.png": "colour",
        "poor.webp": "quality",
        "twice.jpg": "not-upscaled",
        "again.png": "oldest",
    }
    assert {name: rules.get(name) for name in expected} == expected
    assert all(rules.values())


def test_the_second_run_decodes_nothing(folder, plan, monkeypatch):
    index = ImageIndex.open(folder.parent / "index")
    monkeypatch.setattr("imgdup.dedupe.verify.decode_each", _refuse)

    assert index.plan() == plan


@pytest.mark.parametrize("at", [0, 30, 120, 300])
def test_damaged_facts_are_read_again(folder, plan, at):
    path = folder.parent / "index" / FACTS
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)

    assert ImageIndex.open(folder.parent / "index").plan() == plan
    assert (folder.parent / "index" / VERDICTS).is_file()


def _refuse(function, items, pool, **options):
    assert not list(items)
    return iter(())

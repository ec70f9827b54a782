"""Paint a sample set of pictures whose near-duplicates are known.

    python data/make_sample.py FOLDER

``originals/`` holds photos; ``copies/`` holds changed copies of them: resized, recompressed,
brighter, blurred, watermarked, cropped, saved as PNG or WebP, rotated, copied; ``look-alikes/``
holds pictures that only look alike: goods on white, pages of text, blank frames. ``truth.csv``
lists pairs of them (a, b, relation) with what is expected: same, different or rotated.
The same versions of NumPy, OpenCV and Pillow paint the same bytes.
"""

import argparse
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from paint import Field, Point, across, between, colour, down, noise, oval, polygon, write
from PIL import Image
from scenes import SCENES, WORDS, photo

__all__ = ["Pair", "paint_sample", "photo"]

Picture = npt.NDArray[np.uint8]  # RGB (height, width, 3)

N_ORIGINALS = 36
N_COPIED = 26  # the others stay single
SIZES = ((640, 480), (480, 640), (600, 400), (560, 560), (768, 432))  # width, height in pixels
QUALITY = 90  # of JPEG, where the copy is not about it
PAGE = (480, 640)
GOODS = (480, 480)


class Pair(NamedTuple):
    """One line of truth.csv: paths relative to the folder, and what is expected of them."""

    a: str
    b: str
    relation: str
    expected: str


def encode(picture: Picture, suffix: str, quality: int = QUALITY) -> bytes:
    """Return the bytes of an image file, in the format of the suffix."""
    kind = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}[suffix]
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, quality=quality)
    return buffer.getvalue()


def resized(picture: Picture, scale: float) -> Picture:
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=way)


def brighter(picture: Picture) -> Picture:
    return np.minimum(picture.astype(np.int16) + 30, 255).astype(np.uint8)


def blurred(picture: Picture) -> Picture:
    return cv2.GaussianBlur(picture, (0, 0), 2.0)


def cropped(picture: Picture) -> Picture:
    """Without 1 % at each side."""
    rows, columns = round(picture.shape[0] / 100), round(picture.shape[1] / 100)
    return np.ascontiguousarray(picture[rows:-rows, columns:-columns])


def watermarked(picture: Picture) -> Picture:
    canvas = picture / np.float32(255)
    marked = canvas.copy()
    write(marked, "(c) sample", (0.55, 0.95), 0.035, np.ones(3, np.float32))
    return np.round((0.4 * canvas + 0.6 * marked) * 255).astype(np.uint8)


COPIES = {
    "resized": lambda picture: encode(resized(picture, 0.5), ".jpg"),
    "recompressed": lambda picture: encode(picture, ".jpg", quality=30),
    "brighter": lambda picture: encode(brighter(picture), ".jpg"),
    "blurred": lambda picture: encode(blurred(picture), ".jpg"),
    "watermarked": lambda picture: encode(watermarked(picture), ".jpg"),
    "cropped": lambda picture: encode(cropped(picture), ".jpg"),
    "png": lambda picture: encode(picture, ".png"),
    "webp": lambda picture: encode(picture, ".webp", quality=80),
    "enlarged": lambda picture: encode(resized(picture, 1.5), ".jpg"),
}
SUFFIXES = {"png": ".png", "webp": ".webp"}


def kinds_of_copies(number: int) -> tuple[str, ...]:
    """Every kind of copy for the first picture, then two of them for each."""
    kinds = tuple(COPIES)
    if number == 0:
        return kinds
    return kinds[2 * number % len(kinds)], kinds[(2 * number + 1) % len(kinds)]


def save(folder: Path, name: str, data: bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def paint_photos(folder: Path) -> Iterator[Pair]:
    """Originals and their copies."""
    for number in range(N_ORIGINALS):
        picture = photo(number, *SIZES[number % len(SIZES)])
        name = f"originals/photo-{number:02}.jpg"
        data = encode(picture, ".jpg")
        save(folder, name, data)
        if number < N_COPIED:
            for kind in kinds_of_copies(number):
                copy = f"copies/photo-{number:02}-{kind}{SUFFIXES.get(kind, '.jpg')}"
                save(folder, copy, COPIES[kind](picture))
                yield Pair(name, copy, kind, "same")
        if number == 0:
            save(folder, "copies/photo-00-copied.jpg", data)
            yield Pair(name, "copies/photo-00-copied.jpg", "copied", "same")
            turned = encode(np.rot90(picture).copy(), ".jpg")
            save(folder, "copies/photo-00-rotated.jpg", turned)
            yield Pair(name, "copies/photo-00-rotated.jpg", "rotated", "rotated")
        if number >= len(SCENES):
            earlier = f"originals/photo-{number - len(SCENES):02}.jpg"
            yield Pair(earlier, name, "same kind of scene", "different")


def vase(rng: np.random.Generator) -> list[Point]:
    """The outline of a vase, both sides."""
    y = np.linspace(0.1, 0.9, 60)
    wave = noise(rng, (60, 2), coarsest=4, roughness=0.2)[0]
    half = 0.15 + 0.05 * wave + 0.08 * np.sin(np.pi * (y - 0.1) / 0.8)
    return [*zip(0.5 - half, y, strict=True), *zip(0.5 + half[::-1], y[::-1], strict=True)]


def goods(rng: np.random.Generator) -> Field:
    """A glazed vase on white, as a shop shows it: the same layout, another vase."""
    light = np.float32(0.96) - 0.05 * down(GOODS)
    canvas = np.repeat(light[..., None], 3, axis=2)
    oval(canvas, (0.5, 0.9), (0.3, 0.03), np.float32(0.78))
    outline = vase(rng)
    inside = np.zeros((GOODS[1], GOODS[0], 1), np.float32)
    polygon(inside, outline, 1)
    tone, band = colour(rng.uniform(), 0.6, 0.6), colour(rng.uniform(), 0.7, 0.35)
    glaze = canvas.copy()
    polygon(glaze, outline, tone)
    for top in rng.uniform(0.15, 0.8, 3):
        polygon(glaze, [(0, top), (1, top), (1, top + 0.05), (0, top + 0.05)], band)
    shade = 1.25 - 0.9 * np.abs(across(GOODS) - 0.4)
    return between(canvas, np.minimum(glaze * shade[..., None], 1), inside[..., 0])


def page(rng: np.random.Generator) -> Field:
    """A page of text: the same layout, other words."""
    canvas = np.full((PAGE[1], PAGE[0], 3), 0.95, np.float32)
    ink = np.full(3, 0.1, np.float32)
    write(canvas, str(rng.choice(WORDS)).capitalize(), (0.1, 0.12), 0.035, ink)
    for line in range(20):
        words = " ".join(rng.choice(WORDS, int(rng.integers(3, 6))))
        write(canvas, words, (0.1, 0.2 + 0.037 * line), 0.017, ink)
    return canvas


def blank(rng: np.random.Generator) -> Field:
    """A frame of one colour, a little darker at the bottom."""
    tone = colour(rng.uniform(), 0.3, rng.uniform(0.2, 0.9))
    return between(tone, tone * 0.9, down(GOODS))


LOOK_ALIKES = {"goods": (goods, 10), "page": (page, 6), "blank": (blank, 6)}


def paint_look_alikes(folder: Path) -> Iterator[Pair]:
    """Pictures that have the layout in common with others, and nothing else."""
    for kind, (paint, n_pictures) in LOOK_ALIKES.items():
        names = [f"look-alikes/{kind}-{number}.jpg" for number in range(n_pictures)]
        for number, name in enumerate(names):
            canvas = paint(np.random.default_rng((number, *kind.encode())))
            picture = np.round(255 * np.clip(canvas, 0, 1)).astype(np.uint8)
            save(folder, name, encode(picture, ".jpg"))
        for number, name in enumerate(names):
            for earlier in names[:number]:
                yield Pair(earlier, name, f"look-alike: {kind}", "different")


def paint_sample(folder: Path) -> list[Pair]:
    """Paint the whole set into a folder, which is made if need be, and return its truth."""
    truth = [*paint_photos(folder), *paint_look_alikes(folder)]
    with (folder / "truth.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([Pair._fields, *truth])
    return truth


def main() -> None:
    parser = argparse.ArgumentParser(description="Paint a sample set with known near-duplicates.")
    parser.add_argument("folder", type=Path, help="where to; made if it is not there")
    folder = parser.parse_args().folder
    truth = paint_sample(folder)
    names = {name for pair in truth for name in (pair.a, pair.b)}
    print(f"{len(names)} pictures painted in {folder}; truth.csv lists which are the same")


if __name__ == "__main__":
    main()

"""How often are enlarged photos told from others, and the quality of a JPEG file from its pixels?

    python benchmarks/detail_rates.py [--data FOLDER] [--photos N] [--seed N]

FOLDER holds caltech-101 (default: $IMGDUP_DATA). Each row is a kind of copy of N of its photos.
Some of the photos as they are had been enlarged, or are blurred: they count as errors here. For the
second table, photos are reduced first, so that no trace of their own files is left.
"""

import argparse
import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

from imgdup.images.detail import UPSCALED, central_luma, detail_share, trace_quality

QUALITIES = (5, 10, 20, 30, 50, 60, 70, 80, 90)
BICUBIC, BILINEAR, LANCZOS = (Image.Resampling[n] for n in ("BICUBIC", "BILINEAR", "LANCZOS"))


def through(image, name, quality):
    file = io.BytesIO()
    image.save(file, name, quality=quality)
    return Image.open(io.BytesIO(file.getvalue())).convert("RGB")


def resized(image, factor, method=BICUBIC):
    return image.resize((round(image.width * factor), round(image.height * factor)), method)


def thumbnail(image, size):
    small = image.copy()
    small.thumbnail((100, 100))
    return small.resize(size, BICUBIC)


SHARP = {
    "as they are": lambda image: image,
    "JPEG quality 60": lambda image: through(image, "jpeg", 60),
    "JPEG quality 30": lambda image: through(image, "jpeg", 30),
    "WebP quality 50": lambda image: through(image, "webp", 50),
    "half size": lambda image: resized(image, 0.5, LANCZOS),
    "gray": lambda image: image.convert("L"),
}
ENLARGED = {
    **{
        f"x {factor}, {method.name.lower()}": (
            lambda image, f=factor, m=method: resized(image, f, m)
        )
        for factor in (1.5, 2, 3, 4)
        for method in (BILINEAR, BICUBIC, LANCZOS)
    },
    "x 1.5, JPEG quality 60": lambda image: through(resized(image, 1.5), "jpeg", 60),
    "x 2, JPEG quality 60": lambda image: through(resized(image, 2), "jpeg", 60),
    "x 4, JPEG quality 60": lambda image: through(resized(image, 4), "jpeg", 60),
    "x 2, WebP quality 50": lambda image: through(resized(image, 2), "webp", 50),
    "thumbnail to full size": lambda image: thumbnail(image, image.size),
    "thumbnail to 1600 x 1200": lambda image: thumbnail(image, (1600, 1200)),
}


def options_and_photos(parser):
    """Read the options of a command, with these three added, and open the photos they choose."""
    parser.add_argument("--data", type=Path, default=os.environ.get("IMGDUP_DATA"))
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data or IMGDUP_DATA must name the folder of photos")
    paths = sorted((options.data / "caltech-101").rglob("*.jpg"))
    chosen = np.random.default_rng(options.seed).choice(len(paths), options.photos, replace=False)
    return options, [Image.open(paths[i]).convert("RGB") for i in chosen]


def main():
    options, photos = options_and_photos(
        argparse.ArgumentParser(description=__doc__.splitlines()[0])
    )

    print(f"{options.photos} photos, seed {options.seed}; enlarged: detail below {UPSCALED}")
    print("| copies | called enlarged, % | median detail |\n|---|---|---|")
    for name, copy in (SHARP | ENLARGED).items():
        found = np.array([detail_share(central_luma(np.asarray(copy(each)))) for each in photos])
        print(f"| {name} | {100 * np.mean(found < UPSCALED):.1f} | {np.median(found):.2f} |")

    clean = [resized(each, 0.77, LANCZOS) for each in photos]
    print("\n| JPEG file before | trace found, % | quality within 3, % of those |\n|---|---|---|")
    print_trace("none", clean, None)
    print_trace("none, enlarged", [resized(each, 2) for each in clean], None)
    for quality in QUALITIES:
        print_trace(str(quality), [through(each, "jpeg", quality) for each in clean], quality)


def print_trace(name, images, quality):
    found = [trace for each in images if (trace := trace_quality(np.asarray(each))) is not None]
    right = [abs(trace - quality) <= 3 for trace in found if quality is not None]
    share = f"{100 * np.mean(right):.0f}" if right else "-"
    print(f"| {name} | {100 * len(found) / len(images):.1f} | {share} |", flush=True)


if __name__ == "__main__":
    main()

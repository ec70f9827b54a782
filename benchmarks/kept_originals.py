"""How often is the original kept beside one copy that was made from it, and beside all of them?

    python benchmarks/kept_originals.py [--data FOLDER] [--photos N] [--seed N] [--soft PIXELS]

FOLDER holds caltech-101 (default: $IMGDUP_DATA). N of its photos are saved as JPEG of two
qualities, and copies of eight kinds are made from each; then copies of the same size that were only
compressed again. A copy has the same time stamp as its original and a shorter path, so that no rule
is for the original by chance. With --soft, the photos are blurred first, by a Gaussian of that
radius.
"""

import argparse
import os
import tempfile
from collections import Counter
from pathlib import Path

from detail_rates import LANCZOS, options_and_photos, resized
from PIL import Image, ImageEnhance, ImageFilter

from imgdup import ImageIndex

try:
    import pillow_heif
except ImportError:
    pillow_heif = None
else:
    pillow_heif.register_heif_opener()

QUALITIES = (95, 60)  # of the originals
ORIGINAL = "the-original.jpg"


KINDS = {
    "x 1.5, JPEG 90": (lambda image: resized(image, 1.5), ".jpg", {"quality": 90}),
    "x 1.25, PNG": (lambda image: resized(image, 1.25, LANCZOS), ".png", {}),
    "x 2, JPEG 60": (lambda image: resized(image, 2), ".jpg", {"quality": 60}),
    "half size, PNG": (lambda image: resized(image, 0.5, LANCZOS), ".png", {}),
    "128 pixels, JPEG 75": (lambda image: resized(image, 128 / max(image.size)), ".jpg", {}),
    "PNG": (lambda image: image, ".png", {}),
    "brighter, PNG": (lambda image: ImageEnhance.Brightness(image).enhance(1.2), ".png", {}),
    "WebP 10": (lambda image: image, ".webp", {"quality": 10}),
}
# Copies of the same size; HEIC files are written by pillow-heif, if it is installed.
AGAIN = {
    f"{name} {quality}": (lambda image: image, ending, {"quality": quality})
    for name, ending, qualities in (
        ("JPEG", ".jpg", (50, 70, 80, 90)),
        ("WebP", ".webp", (60, 80)),
        ("AVIF", ".avif", (20, 40, 60, 80, 95)),
        ("HEIC", ".heic", (20, 40, 60, 80, 95)),
    )
    for quality in qualities
}


def saved(folder, photos, quality, kinds):
    """Save the originals and their copies of some kinds; return the folder."""
    folder.mkdir()
    for number, photo in enumerate(photos):
        original = folder / f"{number}-{ORIGINAL}"
        photo.save(original, quality=quality)
        with Image.open(original) as image:
            image.load()
        for place, kind in enumerate(kinds):
            change, ending, options = {**KINDS, **AGAIN}[kind]
            change(image).save(folder / f"{number}-{place}{ending}", **options)
    for file in folder.iterdir():
        os.utime(file, (1_000_000_000, 1_000_000_000))
    return folder


def outcomes(folder):
    """Count the groups by what became of the original: kept, removed, or alone."""
    plan = ImageIndex.build([folder], folder.parent / f"{folder.name}.index").groups().plan().data
    kept = {os.fsdecode(each.keep.path) for each in plan.removals}
    removed = {os.fsdecode(each.remove.path) for each in plan.removals}
    found = Counter()
    for file in folder.glob(f"*{ORIGINAL}"):
        path = os.path.realpath(file)
        found["removed" if path in removed else "kept" if path in kept else "alone"] += 1
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--soft", type=float, default=0)
    options, photos = options_and_photos(parser)
    if options.soft:
        photos = [each.filter(ImageFilter.GaussianBlur(options.soft)) for each in photos]

    print(f"{options.photos} photos, seed {options.seed}, blurred by {options.soft} pixels")
    print("| copy | quality of the original | original kept | removed | alone |")
    print("|---|---|---|---|---|")
    again = [kind for kind in AGAIN if pillow_heif or not kind.startswith("HEIC")]
    for kinds in [*([kind] for kind in KINDS), list(KINDS), *([kind] for kind in again)]:
        name = kinds[0] if len(kinds) == 1 else "all eight"
        for quality in QUALITIES:
            with tempfile.TemporaryDirectory() as folder:
                found = outcomes(saved(Path(folder) / "files", photos, quality, kinds))
            counts = " | ".join(str(found[each]) for each in ("kept", "removed", "alone"))
            print(f"| {name} | {quality} | {counts} |", flush=True)


if __name__ == "__main__":
    main()

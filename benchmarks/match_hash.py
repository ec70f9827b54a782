"""How far do three hashes of 256 bits move when a picture is edited: PDQ, pHash, the match hash?

    python benchmarks/match_hash.py --images FOLDER

Prints the tables of docs/matching.md. Each photo is saved as PNG and compared with edited copies.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from imgdup.hashing import fingerprints, hash_pictures
from imgdup.images.decode import decode
from imgdup.system.limits import Limits

KINDS = ("pdq", "phash", "match")
DISTANCES = (16, 24, 31, 40, 48, 56, 64)
QUALITIES = (0, 1, 3, 5, 10, 20, 30, 50, 101)
CONTRASTS = (1, 0.5, 0.3, 0.2, 0.1, 0.07, 0.05, 0.03, 0.02)
SEED = 1


def clipped(pixels):
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def resized(pixels, share):
    height, width = pixels.shape[:2]
    size = (max(1, round(width * share)), max(1, round(height * share)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if share < 1 else cv2.INTER_CUBIC)


def cropped(pixels, share):
    top, left = (round(side * share / 2) for side in pixels.shape[:2])
    return pixels[top : len(pixels) - top, left : pixels.shape[1] - left]


def written_on(pixels):
    place, scale = (8, len(pixels) - 12), pixels.shape[1] / 320
    font, white = cv2.FONT_HERSHEY_SIMPLEX, (255, 255, 255)
    return cv2.putText(pixels.copy(), "(c) Photo 2024", place, font, scale, white, 2)


def with_logo(pixels):
    copy = pixels.copy()
    height, width = copy.shape[0] // 6, copy.shape[1] // 6
    copy[-height - 4 : -4, -width - 4 : -4] = (30, 30, 200)
    return copy


def turned(pixels):
    height, width = pixels.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 1, 1.02)
    return cv2.warpAffine(
        pixels, turn, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )


def noisy(pixels):
    return clipped(pixels + np.random.default_rng(SEED).normal(0, 10, pixels.shape))


def sharpened(pixels):
    whole = pixels.astype(np.float32)
    return clipped(1.8 * whole - 0.8 * cv2.GaussianBlur(whole, (0, 0), 1.5))


EDITS = {  # how the pixels are edited, and the JPEG quality of the copy
    "JPEG quality 80": (lambda p: p, 80),
    "JPEG quality 20": (lambda p: p, 20),
    "JPEG quality 10": (lambda p: p, 10),
    "half size": (lambda p: resized(p, 0.5), 85),
    "quarter size": (lambda p: resized(p, 0.25), 85),
    "double size": (lambda p: resized(p, 2), 85),
    "128 pixels on the longer side": (lambda p: resized(p, 128 / max(p.shape)), 85),
    "cropped by 2 %": (lambda p: cropped(p, 0.02), 90),
    "cropped by 5 %": (lambda p: cropped(p, 0.05), 90),
    "30 levels brighter": (lambda p: clipped(p + 30.0), 90),
    "1.4 times the contrast": (lambda p: clipped((p - 128.0) * 1.4 + 128), 90),
    "gamma 1.5": (lambda p: clipped(255 * (p / 255) ** 1.5), 90),
    "blurred, sigma 2 pixels": (lambda p: cv2.GaussianBlur(p, (0, 0), 2), 90),
    "noise, sigma 10 levels": (noisy, 90),
    "sharpened": (sharpened, 90),
    "a line of text": (written_on, 90),
    "a logo in the corner": (with_logo, 90),
    "rotated by 1 degree": (turned, 90),
}


def gray_of(pixels, quality=None):
    """The gray picture that indexing sees of a JPEG file, or a PNG file without a quality."""
    ending = ".png" if quality is None else ".jpg"
    options = [] if quality is None else [cv2.IMWRITE_JPEG_QUALITY, quality]
    return decode(cv2.imencode(ending, pixels, options)[1].tobytes(), Limits()).gray


def bits_between(left, right):
    return np.bitwise_count(left ^ right).sum(axis=-1, dtype=int)


def apart(hashes):
    """The distances of all pairs of hashes."""
    return np.concatenate([bits_between(hashes[i], hashes[i + 1 :]) for i in range(len(hashes))])


def print_row(*cells):
    print("|", " | ".join(cells), "|")


def print_edits(photos):
    whole = [gray_of(pixels) for pixels in photos]
    before = {kind: hash_pictures(whole, kind, 256) for kind in KINDS}
    shares = {}
    print_row("edit", *KINDS)
    for name, (edit, quality) in EDITS.items():
        copies = [gray_of(edit(pixels), quality) for pixels in photos]
        found = [bits_between(before[k], hash_pictures(copies, k, 256)) for k in KINDS]
        print_row(name, *map(described, found))
        shares[name] = [f"{(found[-1] <= most).mean():.1%}" for most in DISTANCES]
    print_row("the nearest two different photos", *(str(apart(h).min()) for h in before.values()))
    print("\nmatch hash: share of copies within each distance")
    print_row("edit", *map(str, DISTANCES))
    for name, cells in shares.items():
        print_row(name, *cells)


def described(bits):
    return f"{np.median(bits):.0f}, {(bits <= 31).mean():.1%}, {np.percentile(bits, 99):.0f}"


def print_photos(paths):
    found = fingerprints([decode(p.read_bytes(), Limits()).gray for p in paths], "dhash", 64)
    bits = apart(found.match)
    counts = (str(int((bits <= most).sum())) for most in DISTANCES)
    print_row(f"{len(bits)} pairs of photos", *counts)
    print(f"quality below 60: {(found.qualities < 60).sum()} of {len(paths)}")


def print_qualities(photos):
    rows = []
    for contrast in CONTRASTS:
        pale = [clipped((pixels - 128.0) * contrast + 128) for pixels in photos]
        whole = fingerprints([gray_of(pixels) for pixels in pale], "dhash", 64)
        for share, quality in ((1, 85), (1, 50), (0.5, 85)):
            copies = [gray_of(resized(pixels, share), quality) for pixels in pale]
            bits = bits_between(whole.match, hash_pictures(copies, "match", 256))
            rows.append(np.column_stack([whole.qualities, bits]))
    quality, bits = np.concatenate(rows).T
    print("\nmatch hash: share of copies within 31 bits, and the distance of 99 %, by quality")
    for low, high in pairwise(QUALITIES):
        some = bits[(quality >= low) & (quality < high)]
        if len(some):
            near, most = (some <= 31).mean(), np.percentile(some, 99)
            print_row(f"{low} to {high - 1}", str(len(some)), f"{near:.1%}", f"{most:.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=200)
    options = parser.parse_args()
    paths = sorted(options.images.rglob("*.jpg"))
    chosen = np.random.default_rng(SEED).choice(len(paths), options.photos, replace=False)
    photos = [cv2.imread(str(paths[i])) for i in sorted(chosen)]
    print_edits(photos)
    print_photos(paths[::4])
    print_qualities(photos[: options.photos // 2])


if __name__ == "__main__":
    main()

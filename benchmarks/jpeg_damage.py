"""How often is a JPEG file that lost data reported, and how often is a whole file refused?

    python benchmarks/jpeg_damage.py [--data FOLDER] [--photos N] [--seed N]

FOLDER holds caltech-101, near-duplicates and hostile/exif-orientation (default: $IMGDUP_DATA). Of N
photos of CALTECH-101, three times as large, each kind of file is made, and each loses 4 kB of its
entropy-coded data in one place: cut out, or replaced by zeros or by random bytes. Photos as
cameras and editors wrote them lose theirs as they are. Baseline: libjpeg as OpenCV uses it, which
returns a picture for nearly every one of them, and prints a line on stderr for each.
"""

import argparse
import io
import os
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from imgdup.errors import ImageError
from imgdup.images.decode import decode
from imgdup.images.jpeg import jpeg_header
from imgdup.system.limits import Limits

LOST_BYTES = 4096
ENLARGED = 3
KINDS = {
    "plain": {},
    "a restart marker a row": {"restart_marker_rows": 1},
    "a restart marker every 4 blocks": {"restart_marker_blocks": 4},
    "progressive": {"progressive": True},
    "CMYK": {"mode": "CMYK"},
    "gray": {"mode": "L"},
}
LOSSES = {
    "cut out": lambda rng: b"",
    "zeros": lambda rng: bytes(LOST_BYTES),
    "random bytes": lambda rng: rng.bytes(LOST_BYTES),
}


def encode(path, mode="RGB", **options):
    """Return an enlarged photo as a JPEG file of a kind."""
    with Image.open(path) as image:
        large = image.convert(mode).resize((image.width * ENLARGED, image.height * ENLARGED))
    file = io.BytesIO()
    large.save(file, "jpeg", quality=92, **options)
    return file.getvalue()


def damage(data, loss, rng):
    """Return the file without 4 kB of its picture, or None if it is too small."""
    first, last = jpeg_header(data).scan + 16, len(data) - LOST_BYTES - 2
    if last <= first:
        return None
    at = int(rng.integers(first, last))
    return data[:at] + LOSSES[loss](rng) + data[at + LOST_BYTES :]


def is_noticed(data):
    try:
        decode(data, Limits())
    except ImageError:
        return True
    return False


def is_noticed_by_opencv(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) is None


def count_noticed(name, files, seed):
    """Print how many files are reported as damaged, for each kind of loss."""
    rng = np.random.default_rng(seed)
    for loss in LOSSES:
        damaged = [each for data in files if (each := damage(data, loss, rng)) is not None]
        noticed = sum(map(is_noticed, damaged))
        by_opencv = sum(map(is_noticed_by_opencv, damaged))
        print(f"| {name} | {loss} | {noticed} of {len(damaged)} | {by_opencv} |", flush=True)


def jpeg_files(folder):
    """Return the JPEG files of a folder, whatever their names are."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (data := path.read_bytes())[:3] == b"\xff\xd8\xff":
            yield data


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("IMGDUP_DATA"))
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data or IMGDUP_DATA must name the folder of photos")
    paths = sorted((options.data / "caltech-101").rglob("*.jpg"))
    rng = np.random.default_rng(options.seed)
    chosen = [paths[i] for i in rng.choice(len(paths), options.photos, replace=False)]
    folders = [options.data / name for name in ("near-duplicates", "hostile/exif-orientation")]
    real = list(dict.fromkeys(data for folder in folders for data in jpeg_files(folder)))

    print(f"{options.photos} photos, seed {options.seed}")
    print("| files | 4 kB of them are | noticed | OpenCV refuses |\n|---|---|---|---|")
    for name, kind in KINDS.items():
        count_noticed(name, [encode(path, **kind) for path in chosen], options.seed)
    count_noticed("as cameras and editors wrote them", real, options.seed)
    whole = [*(path.read_bytes() for path in paths), *real]
    print(f"whole files refused: {sum(map(is_noticed, whole))} of {len(whole)}")


if __name__ == "__main__":
    main()

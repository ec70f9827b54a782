"""Paint collections for the benchmarks: large photos, and pictures of many sizes."""

import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))

from make_sample import encode, photo

MEGAPIXELS_12 = (4000, 3000)
N_SCENES = 40  # from which pictures of other sizes are cut
LARGEST = 640  # pixels
SENSOR_NOISE = 8.0  # of 255; makes files of about 4 MB, as phones do


def paint_large(folder: Path, n_pictures: int) -> None:
    """Photos of 12 megapixels, JPEG, quality 90."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(n_pictures):
        path = folder / f"photo-{seed:03}.jpg"
        if not path.exists():
            path.write_bytes(encode(noisy(photo(seed, *MEGAPIXELS_12), seed), ".jpg"))


def noisy(picture, seed):
    """A picture with the noise of a camera's sensor, the same in all three colours."""
    rng = np.random.default_rng(seed)
    noise = SENSOR_NOISE * rng.standard_normal(picture.shape[:2], np.float32)
    return np.clip(picture + noise[..., None], 0, 255).astype(np.uint8)


def paint_sizes(folder: Path, n_pictures: int) -> None:
    """Paint pictures of all different sizes, 100 to 640 pixels per side, JPEG, quality 90."""
    folder.mkdir(parents=True, exist_ok=True)
    if len(list(folder.iterdir())) == n_pictures:
        return
    scenes = [photo(seed, LARGEST, LARGEST) for seed in range(N_SCENES)]
    rng = np.random.default_rng(2)
    numbers = rng.permutation((LARGEST - 100) ** 2)[:n_pictures]
    for number, (width, height) in enumerate(zip(*divmod(numbers, LARGEST - 100), strict=True)):
        size = (100 + int(width), 100 + int(height))
        picture = cv2.resize(scenes[number % N_SCENES], size, interpolation=cv2.INTER_AREA)
        (folder / f"picture-{number:04}.jpg").write_bytes(encode(picture, ".jpg"))

"""Pictures of random soft patches, no two of which are alike."""

import cv2
import numpy as np


def patchwork(seed, width=160, height=120):
    """An RGB picture of 16 x 12 patches that run into each other, with some texture."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 256, (12, 16, 3)).astype(np.float32)
    soft = cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = cv2.GaussianBlur(rng.normal(0, 20, (height, width, 1)), (0, 0), 1)[..., None]
    return np.clip(soft + grain, 0, 255).round().astype(np.uint8)


def save_patchworks(folder, seeds):
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        assert cv2.imwrite(str(folder / f"{seed:03}.png"), patchwork(seed)[..., ::-1])

"""Tone curves that programs apply to pictures: a level for each of the 256 levels."""

import numpy as np

LEVELS = np.arange(256)


def as_curve(function):
    """Levels that are changed by a function of 0 to 1."""
    return np.clip(np.rint(255 * function(LEVELS / 255)), 0, 255).astype(np.uint8)


CURVES = {
    "gamma": as_curve(lambda level: level**0.7),
    "brighter": as_curve(lambda level: level + 0.12),
    "contrast": as_curve(lambda level: 0.5 + 1.25 * (level - 0.5)),
    "darker and flatter": as_curve(lambda level: 0.05 + 0.7 * level),
}

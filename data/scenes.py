"""Seed -> photo-like picture: six kinds of scene, painted from fractal noise, gradients, shapes and text.

The same seed gives the same scene at any size. Pictures of different seeds differ in what every
perceptual hash looks at, the light and dark of large areas, and have plenty of structure.
"""

import colorsys

import cv2
import numpy as np

SUBPIXEL_BITS = 4  # cv2 draws at 1/16 of a pixel
SHADES = (0.06, 0.90)  # darkest and brightest: room for a brighter copy
WORDS = "harbour lantern orchard meadow granite willow copper saffron cobalt ember tundra velvet".split()
FONTS = (cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_COMPLEX)


def noise(rng, size, *, coarsest=3, roughness=0.55, stretch=1.0):
    """Fractal noise of mean 0 and deviation 1, float32 (height, width): octaves of random grids."""
    width, height = size
    octaves = np.random.default_rng(rng.integers(2**63))
    field = np.zeros((height, width), np.float32)
    cells, weight = coarsest, 1.0
    while cells < 2 * max(size):
        grid = octaves.standard_normal((max(2, round(cells * stretch)), cells), np.float32)
        field += weight * cv2.resize(grid, size, interpolation=cv2.INTER_CUBIC)
        cells, weight = 2 * cells, weight * roughness
    return (field - field.mean()) / field.std()


def colour(hue, saturation, value):
    """RGB, float32 (3,), from hue, saturation and value in 0..1."""
    return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value), np.float32)


def between(start, end, weight):
    """Colours or shades from start to end as weight, an array (height, width), goes from 0 to 1."""
    weight = np.clip(weight, 0, 1)[..., None]
    return start * (1 - weight) + end * weight


def down(size):
    """0 at the top row, 1 at the bottom row, float32 (height, width)."""
    return np.repeat(np.linspace(0, 1, size[1], dtype=np.float32)[:, None], size[0], axis=1)


def across(size):
    """0 at the left column, 1 at the right column, float32 (height, width)."""
    return np.repeat(np.linspace(0, 1, size[0], dtype=np.float32)[None], size[1], axis=0)


def blend(canvas, mask, tone):
    """Lay a tone over the part of a canvas that an 8-bit mask shows."""
    canvas += (tone - canvas) * (mask[..., None] * np.float32(1 / 255))


def polygon(canvas, points, tone):
    """Fill a polygon of points (x, y) in 0..1, with smooth edges."""
    height, width = canvas.shape[:2]
    scaled = np.asarray(points) * (width, height)
    left, top = np.clip(np.floor(scaled.min(axis=0)).astype(int) - 1, 0, (width, height))
    right, bottom = np.clip(np.ceil(scaled.max(axis=0)).astype(int) + 2, 0, (width, height))
    if left < right and top < bottom:
        mask = np.zeros((bottom - top, right - left), np.uint8)
        corners = np.round((scaled - (left, top)) * (1 << SUBPIXEL_BITS)).astype(np.int32)
        cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, SUBPIXEL_BITS)
        blend(canvas[top:bottom, left:right], mask, tone)


def oval(canvas, centre, radii, tone, turn=0.0):
    """Fill an ellipse: centre in 0..1 of width and height, radii in parts of the height, turn in radians."""
    angle = np.linspace(0, 2 * np.pi, 49)
    x, y = radii[0] * np.cos(angle), radii[1] * np.sin(angle)
    upright = canvas.shape[0] / canvas.shape[1]
    turned_x = x * np.cos(turn) - y * np.sin(turn)
    turned_y = x * np.sin(turn) + y * np.cos(turn)
    polygon(canvas, np.c_[centre[0] + turned_x * upright, centre[1] + turned_y], tone)


def write(canvas, text, corner, height, tone, font=cv2.FONT_HERSHEY_DUPLEX):
    """Write text with its lower left corner at (x, y) in 0..1, letters of a height in 0..1."""
    scale = height * canvas.shape[0] / cv2.getTextSize("H", font, 1, 1)[0][1]
    origin = (round(corner[0] * canvas.shape[1]), round(corner[1] * canvas.shape[0]))
    mask = np.zeros(canvas.shape[:2], np.uint8)
    cv2.putText(mask, text, origin, font, scale, 255, max(1, round(scale * 1.6)), cv2.LINE_AA)
    blend(canvas, mask, tone)


def sky(rng, size, hue):
    """A sky with a sun's glow and clouds, and the hue of its haze."""
    haze = colour(hue + rng.uniform(0.35, 0.6), rng.uniform(0.25, 0.6), 0.85)
    zenith = colour(hue, rng.uniform(0.45, 0.8), rng.uniform(0.3, 0.75))
    canvas = between(zenith, haze, down(size) * rng.uniform(1.0, 1.7))
    sun_x, sun_y = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.5)
    far = np.hypot((across(size) - sun_x) * size[0] / size[1], down(size) - sun_y)
    canvas = between(canvas, np.float32(0.92), 0.7 * np.exp(-9 * far))
    clouds = noise(rng, size, coarsest=4, roughness=0.5, stretch=1.6) * 0.45 + rng.uniform(-0.1, 0.2)
    lit = colour(hue + 0.5, 0.08, rng.uniform(0.7, 0.95))
    canvas = between(canvas, lit, clouds)
    disc = np.clip((rng.uniform(0.03, 0.08) - far) * size[1] / 2, 0, 1)
    return between(canvas, np.float32(0.97), disc), haze


def ridge(rng, base, height):
    """A mountain's outline as points (x, y), closed at the bottom."""
    line = noise(rng, (256, 2), coarsest=3, roughness=0.5)[0]
    x = np.linspace(-0.01, 1.01, 256)
    return np.vstack([np.c_[x, base - height * line], [(1.01, 1.01), (-0.01, 1.01)]])


def mountains(rng, size):
    """Ridges one behind the other under a sky, paler with distance."""
    hue = rng.uniform(0.52, 0.72)
    canvas, haze = sky(rng, size, hue)
    near = colour(rng.uniform(0.2, 0.5), rng.uniform(0.4, 0.7), rng.uniform(0.12, 0.28))
    rock = noise(rng, size, coarsest=6, roughness=0.7) * 0.045
    for depth in np.linspace(0.15, 1, int(rng.integers(3, 6))):
        mask = np.zeros((*canvas.shape[:2], 1), np.float32)
        outline = ridge(rng, 0.38 + 0.42 * depth, rng.uniform(0.05, 0.11) * (1.3 - depth))
        polygon(mask, outline, 1)
        tone = haze * (1 - depth) * 0.8 + near * depth
        canvas = between(canvas, tone + rock[..., None] * (0.4 + depth), mask[..., 0])
    return canvas


def sea(rng, size):
    """A sky over water that mirrors its light, with sails."""
    canvas, haze = sky(rng, size, rng.uniform(0.5, 1.05))
    horizon = rng.uniform(0.42, 0.62)
    deep = colour(rng.uniform(0.48, 0.62), 0.7, rng.uniform(0.2, 0.4))
    water = between(haze * 0.85, deep, (down(size) - horizon) * 3)
    waves = noise(rng, size, coarsest=4, roughness=0.75, stretch=4.0)
    swell = noise(rng, size, coarsest=3, roughness=0.4)
    water = water * (1 + 0.14 * waves + 0.22 * swell)[..., None]
    canvas = between(canvas, water, (down(size) - horizon) * size[1])
    for _ in range(int(rng.integers(1, 4))):
        x, y, tall = rng.uniform(0.1, 0.9), horizon + rng.uniform(0.02, 0.2), rng.uniform(0.15, 0.35)
        white, hull = colour(0.1, 0.1, 0.9), colour(rng.uniform(), 0.7, 0.35)
        polygon(canvas, [(x, y - tall), (x, y), (x + tall * 0.33, y)], white)
        polygon(canvas, [(x - 0.01, y - tall * 0.9), (x - 0.01, y), (x - tall * 0.2, y)], white * 0.82)
        foot = y + tall * 0.14
        deck = [(x - tall * 0.3, y + 0.01), (x + tall * 0.4, y + 0.01), (x + tall * 0.25, foot)]
        polygon(canvas, [*deck, (x - tall * 0.2, foot)], hull)
    return canvas


def tower(canvas, rng, left, wide, top, tone):
    """A building with a grid of windows, some of them lit."""
    polygon(canvas, [(left, top), (left + wide, top), (left + wide, 1.01), (left, 1.01)], tone)
    columns, rows = int(rng.integers(3, 6)), int((1 - top) / 0.055)
    lit = rng.random((rows, columns)) < rng.uniform(0.25, 0.7)
    glow = colour(rng.uniform(0.08, 0.15), 0.5, 0.9)
    for row, column in np.argwhere(lit):
        x, y = left + wide * (column + 0.25) / columns, top + 0.025 + row * 0.055
        width, height = wide / columns * 0.5, 0.03
        polygon(canvas, [(x, y), (x + width, y), (x + width, y + height), (x, y + height)], glow)


def city(rng, size):
    """A skyline at dusk."""
    hue = rng.uniform(0.58, 0.95)
    canvas, haze = sky(rng, size, hue)
    for depth in (0.35, 0.8):
        left = -0.05
        while left < 1:
            wide = rng.uniform(0.08, 0.19)
            top = rng.uniform(0.18, 0.75) + 0.12 * depth
            tone = haze * (0.75 - 0.6 * depth) + colour(hue, 0.5, rng.uniform(0.05, 0.2)) * depth
            tower(canvas, rng, left, wide, top, tone)
            left += wide * rng.uniform(0.9, 1.7)
    return canvas


def flower(canvas, rng, centre, radius, tone):
    """A blossom: petals about a centre, with a stalk."""
    x, y = centre
    stalk = [(x - 0.004, y), (x + 0.004, y), (x + rng.normal(0, 0.03), 1.01)]
    polygon(canvas, stalk, colour(0.3, 0.6, 0.3))
    n_petals, start = int(rng.integers(5, 10)), rng.uniform(0, np.pi)
    upright = canvas.shape[0] / canvas.shape[1]
    for turn in start + np.arange(n_petals) * 2 * np.pi / n_petals:
        at = (x + 0.6 * radius * np.cos(turn) * upright, y + 0.6 * radius * np.sin(turn))
        oval(canvas, at, (0.55 * radius, 0.28 * radius), tone * rng.uniform(0.85, 1.0), turn)
    oval(canvas, centre, (0.28 * radius, 0.28 * radius), colour(0.12, 0.8, 0.85))


def meadow(rng, size):
    """Flowers before a blurred green and spots of light."""
    dark = colour(rng.uniform(0.2, 0.45), 0.6, 0.15)
    light = colour(rng.uniform(0.15, 0.35), 0.5, 0.75)
    canvas = between(dark, light, 0.5 + 0.33 * noise(rng, size, coarsest=4, roughness=0.35))
    for _ in range(int(rng.integers(4, 12))):
        spots = canvas.copy()
        radius = rng.uniform(0.04, 0.13)
        oval(spots, rng.random(2), (radius, radius), colour(rng.uniform(0.1, 0.4), 0.3, 0.85))
        canvas = canvas * 0.6 + spots * 0.4
    canvas = canvas * (1 + 0.06 * noise(rng, size, coarsest=8, roughness=0.9))[..., None]
    hue = rng.uniform()
    for _ in range(int(rng.integers(4, 10))):
        tone = colour(hue + rng.normal(0, 0.06), rng.uniform(0.45, 0.85), rng.uniform(0.6, 0.9))
        flower(canvas, rng, rng.uniform(0.08, 0.92, 2), rng.uniform(0.08, 0.22), tone)
    return canvas


def still_life(rng, size):
    """Shaded balls on a table in side light."""
    wall, wood = colour(rng.uniform(), 0.35, 0.6), colour(rng.uniform(0.03, 0.1), 0.6, 0.45)
    edge = rng.uniform(0.45, 0.65)
    plaster = wall * (1 + 0.22 * noise(rng, size, roughness=0.5))[..., None]
    grain = wood * (1 + 0.2 * noise(rng, size, coarsest=3, roughness=0.7, stretch=5))[..., None]
    canvas = between(plaster, grain, (down(size) - edge) * size[1])
    side = rng.choice([-1.0, 1.0])
    for x in rng.permutation(np.linspace(0.12, 0.88, int(rng.integers(3, 7)))):
        radius = rng.uniform(0.08, 0.24)
        x, y = x + rng.normal(0, 0.03), edge + rng.uniform(-0.1, 0.3)
        shadow = canvas.copy()
        oval(shadow, (x + side * radius * 0.6, y + radius), (1.3 * radius, 0.25 * radius), wood * 0.2)
        canvas = canvas * 0.35 + cv2.GaussianBlur(shadow, (0, 0), 0.012 * size[1]) * 0.65
        mask = np.zeros((*canvas.shape[:2], 1), np.float32)
        oval(mask, (x, y), (radius, radius), 1)
        right = (across(size) - x) * size[0] / size[1] / radius
        lower = (down(size) - y) / radius
        shade = np.clip(0.75 - 0.55 * (side * right + 0.7 * lower), 0.12, 1.15)
        gleam = np.exp(-14 * ((right + side * 0.4) ** 2 + (lower + 0.45) ** 2))
        tone = colour(rng.uniform(), rng.uniform(0.5, 0.9), rng.uniform(0.45, 0.85))
        canvas = between(canvas, tone * shade[..., None] + 0.5 * gleam[..., None], mask[..., 0])
    return canvas


def poster(rng, size):
    """Bold shapes and a title on rough paper."""
    hue = rng.uniform()
    paper = colour(hue, rng.uniform(0.1, 0.5), rng.uniform(0.25, 0.85))
    canvas = paper * (1 + 0.25 * noise(rng, size, coarsest=3, roughness=0.45))[..., None]
    for _ in range(int(rng.integers(6, 12))):
        tone = colour(hue + rng.choice([0, 0.08, 0.5, 0.58]), rng.uniform(0.4, 0.9), rng.uniform(0.1, 0.9))
        at, reach, turn = rng.random(2), rng.uniform(0.08, 0.32, 2), rng.uniform(0, np.pi)
        if rng.random() < 0.5:
            oval(canvas, at, (reach[0], reach[0]), tone)
        else:
            corner = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * reach * (0.75, 1)
            spin = [(np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))]
            polygon(canvas, at + corner @ np.array(spin), tone)
    ink = colour(hue, 0.1, 0.9) if canvas[-size[1] // 4 :].mean() < 0.5 else colour(hue, 0.6, 0.12)
    font = FONTS[int(rng.integers(len(FONTS)))]
    write(canvas, str(rng.choice(WORDS)).upper(), (0.06, rng.uniform(0.78, 0.92)), 0.1, ink, font)
    return canvas


SCENES = (mountains, sea, city, meadow, still_life, poster)


def photo(seed, width=320, height=240):
    """Paint one photo-like picture.

    Parameters
    ----------
    seed : int
        Which picture; the same seed gives the same scene at any size.
    width, height : int
        Size in pixels, from 32 up.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        RGB.
    """
    rng = np.random.default_rng(seed)
    size = (width, height)
    canvas = SCENES[int(rng.integers(len(SCENES)))](rng, size)
    dapple = 0.22 * noise(rng, size, coarsest=5, roughness=0.3)
    grain = 0.012 * noise(rng, size, coarsest=32, roughness=1.0)
    canvas = canvas * (1 + dapple)[..., None] + grain[..., None]
    return np.round(255 * np.clip(canvas, *SHADES)).astype(np.uint8)

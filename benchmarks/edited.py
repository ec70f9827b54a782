"""Edit pictures in ways that leave the same picture, and in ways that do not.

`COPIES` and `EDITS` hold functions from an RGB picture to another by the name of the edit.
"""

import io
from functools import partial

import cv2
import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

SEPIA = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])


def jpeg(picture, quality=90):
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def encoded(picture, name, quality):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, name, quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def scaled(picture, factor):
    size = [max(1, round(side * factor)) for side in picture.shape[1::-1]]
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(picture, size, interpolation=method)


def levels(picture, curve):
    return cv2.LUT(picture, np.clip(curve(np.arange(256.0)), 0, 255).round().astype(np.uint8))


def by_pillow(picture, change):
    return np.asarray(change(Image.fromarray(picture)).convert("RGB"))


def noisy(picture):
    rng = np.random.default_rng(int(picture.sum(dtype=np.int64)) % 2**32)
    return np.clip(picture + rng.normal(0, 10, picture.shape), 0, 255).round().astype(np.uint8)


def with_logo(picture):
    height, width = picture.shape[:2]
    radius = max(4, min(height, width) // 12)
    centre = (width - 3 * radius // 2, height - 3 * radius // 2)
    drawn = picture.copy()
    cv2.circle(drawn, centre, radius, (255, 255, 255), -1)
    cv2.circle(drawn, centre, radius * 2 // 3, (200, 30, 30), -1)
    return cv2.addWeighted(drawn, 0.8, picture, 0.2, 0)


def with_text(picture):
    height, width = picture.shape[:2]
    place, size = (width // 20, height - height // 20), max(0.35, width / 700)
    drawn = picture.copy()
    for level, weight in ((0, 3), (255, 1)):  # white with a black outline: visible everywhere
        colour = (level, level, level)
        cv2.putText(drawn, "(c) sample", place, cv2.FONT_HERSHEY_SIMPLEX, size, colour, weight)
    return drawn


def with_caption(picture):
    """Draw large white letters with a black outline along the top and the bottom, as on memes."""
    height, width = picture.shape[:2]
    drawn = picture.copy()
    size = width / 220
    for words, y in (("WHEN THE TEST", height // 7 + 4), ("FAILS AGAIN", height - height // 20)):
        (length, _), _ = cv2.getTextSize(words, cv2.FONT_HERSHEY_DUPLEX, size, 3)
        for level, weight in ((0, max(4, width // 50)), (255, max(1, width // 120))):
            place, colour = (max(0, (width - length) // 2), y), (level, level, level)
            cv2.putText(drawn, words, place, cv2.FONT_HERSHEY_DUPLEX, size, colour, weight)
    return drawn


def cropped(picture, share):
    height, width = picture.shape[:2]
    y, x = round(height * share), round(width * share)
    return picture[y : height - y, x : width - x]


def framed(picture, rows, columns, level):
    border = cv2.BORDER_CONSTANT
    return cv2.copyMakeBorder(picture, rows, rows, columns, columns, border, value=(level,) * 3)


def rotated(picture, degrees):
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    return cv2.warpAffine(picture, matrix, (width, height))


def filtered(picture, factors):
    return np.clip(picture * np.array(factors), 0, 255).round().astype(np.uint8)


def sepia(picture):
    return np.clip(picture @ SEPIA.T, 0, 255).round().astype(np.uint8)


def hue_shifted(picture):
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + 20) % 180
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


COPIES = {
    **{f"JPEG {q}": partial(jpeg, quality=q) for q in (80, 50, 20, 10)},
    "200 %": lambda p: jpeg(scaled(p, 2)),
    "50 %": lambda p: jpeg(scaled(p, 0.5)),
    "25 %": lambda p: jpeg(scaled(p, 0.25)),
    "PNG 50 %": lambda p: scaled(p, 0.5),
    "PNG 25 %": lambda p: scaled(p, 0.25),
    "128 pixels": lambda p: jpeg(scaled(p, 128 / max(p.shape[:2]))),
    "squashed": lambda p: jpeg(cv2.resize(p, (300, 300), interpolation=cv2.INTER_AREA)),
    "WebP": lambda p: encoded(p, "WEBP", 80),
    "AVIF": lambda p: encoded(p, "AVIF", 60),
    "brighter": lambda p: jpeg(levels(p, lambda x: 1.3 * x)),
    "lighter": lambda p: jpeg(levels(p, lambda x: x + 40)),
    "darker": lambda p: jpeg(levels(p, lambda x: 0.7 * x)),
    "more contrast": lambda p: jpeg(levels(p, lambda x: 1.3 * (x - 128) + 128)),
    "less contrast": lambda p: jpeg(by_pillow(p, lambda i: ImageEnhance.Contrast(i).enhance(0.7))),
    "gamma 0.7": lambda p: jpeg(levels(p, lambda x: 255 * (x / 255) ** 0.7)),
    "gamma 1.5": lambda p: jpeg(levels(p, lambda x: 255 * (x / 255) ** 1.5)),
    "blur 2": lambda p: jpeg(cv2.GaussianBlur(p, (0, 0), 2)),
    "noise 10": lambda p: jpeg(noisy(p)),
    "sharpened": lambda p: jpeg(by_pillow(p, lambda i: i.filter(ImageFilter.SHARPEN))),
    "gray": lambda p: jpeg(by_pillow(p, lambda i: i.convert("L"))),
}

EDITS = {
    "logo": lambda p: jpeg(with_logo(p)),
    "text": lambda p: jpeg(with_text(p)),
    "caption": lambda p: jpeg(with_caption(p)),
    "crop 2 %": lambda p: jpeg(cropped(p, 0.02)),
    "crop 2.5 %": lambda p: jpeg(cropped(p, 0.025)),
    "crop 5 %": lambda p: jpeg(cropped(p, 0.05)),
    "white border": lambda p: jpeg(framed(p, 10, 10, 255)),
    "black border": lambda p: jpeg(framed(p, 5, 5, 0)),
    "letterbox": lambda p: jpeg(framed(p, p.shape[0] // 6, 0, 0)),
    "rotated by 1": lambda p: jpeg(rotated(p, 1)),
    "warm filter": lambda p: jpeg(filtered(p, (1.15, 1.0, 0.8))),
    "cold filter": lambda p: jpeg(filtered(p, (0.7, 0.85, 1.2))),
    "sepia": lambda p: jpeg(sepia(p)),
    "hue": lambda p: jpeg(hue_shifted(p)),
    "mirrored": lambda p: jpeg(p[:, ::-1]),
    "rotated by 90": lambda p: jpeg(np.rot90(p)),
    "rotated by 180": lambda p: jpeg(np.rot90(p, 2)),
    "rotated by 270": lambda p: jpeg(np.rot90(p, 3)),
}

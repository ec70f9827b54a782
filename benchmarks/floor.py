"""The floor of indexing: reading each file and decoding it to grey, at a given reduction."""

import time

import cv2
import numpy as np

from imgdup.errors import ImageError
from imgdup.headers import jpeg_header
from imgdup.images import MIN_REDUCED_SIDE

FLAGS = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
BATCH = 64  # files a task


def reduction(data):
    """The reduction that indexing takes: the shorter side stays at 96 pixels or more."""
    try:
        header = jpeg_header(data)
    except ImageError:
        return 1
    shorter = min(header.height, header.width)
    return next((r for r in (8, 4, 2) if shorter >= MIN_REDUCED_SIDE * r), 1)


def read_and_decode(task):
    """Read and decode some files; (path, flag) each. Returns how many were decoded."""
    cv2.setNumThreads(1)
    n_decoded = 0
    for path, flag in task:
        with open(path, "rb", buffering=0) as file:
            data = np.frombuffer(file.read(), np.uint8)
        n_decoded += cv2.imdecode(data, flag | cv2.IMREAD_IGNORE_ORIENTATION) is not None
    return n_decoded


def rate(pool, files, flags):
    """Images a second of reading and decoding, all workers at it."""
    pairs = list(zip(files, flags, strict=True))
    tasks = [pairs[i : i + BATCH] for i in range(0, len(pairs), BATCH)]
    start = time.perf_counter()
    n_decoded = sum(pool.imap_unordered(read_and_decode, tasks))
    return n_decoded / (time.perf_counter() - start)

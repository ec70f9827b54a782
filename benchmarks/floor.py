"""The floor of indexing: reading each file and decoding it to gray, at a given reduction."""

import time

import cv2
import numpy as np
from measure import Cost

from imgdup.errors import ImageError
from imgdup.images.decode import MIN_REDUCED_SIDE
from imgdup.images.jpeg import jpeg_header

FLAGS = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
MAX_BATCH = 64  # files per task
TASKS = 64  # smallest number of tasks if there are enough files, so that no worker waits long


def reduction(data):
    """Return the reduction that indexing uses: the shorter side keeps at least 96 pixels."""
    try:
        header = jpeg_header(data)
    except ImageError:
        return 1
    shorter = min(header.height, header.width)
    return next((r for r in (8, 4, 2) if shorter >= MIN_REDUCED_SIDE * r), 1)


def read_and_decode(task):
    """Read and decode files, each given as (path, flag); return the CPU seconds."""
    cv2.setNumThreads(1)
    start = time.process_time()
    for path, flag in task:
        with open(path, "rb", buffering=0) as file:
            data = np.frombuffer(file.read(), np.uint8)
        cv2.imdecode(data, flag | cv2.IMREAD_IGNORE_ORIENTATION)
    return time.process_time() - start


def cost(pool, files, flags):
    """Measure reading and decoding all files with all workers."""
    pairs = list(zip(files, flags, strict=True))
    batch = min(MAX_BATCH, -(-len(pairs) // TASKS))
    tasks = [pairs[i : i + batch] for i in range(0, len(pairs), batch)]
    start = time.perf_counter()
    cpu_s = sum(pool.imap_unordered(read_and_decode, tasks))
    return Cost(time.perf_counter() - start, cpu_s)

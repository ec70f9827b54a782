"""The tutorial's pipeline, written from its definition: the baseline of bench_index.py.

    python tutorial.py FOLDER OUTPUT N_PROCESSES

Each process takes one fixed chunk of the paths, loads with cv2.imread, converts to gray, resizes
to 9 x 8, sums 2**i where a pixel is darker than its right neighbour, and pickles its dictionary;
the parent merges these into {hash: [paths]} and pickles that.
"""

import multiprocessing
import pickle
import sys
from pathlib import Path

import cv2

HASH_SIDE = 8


def dhash(image):
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(gray, (HASH_SIDE + 1, HASH_SIDE))
    brighter = small[:, 1:] > small[:, :-1]
    return sum(2**i for i, bit in enumerate(brighter.flatten()) if bit)


def process_chunk(chunk):
    paths, output = chunk
    hashes = {}
    for path in paths:
        image = cv2.imread(path)
        if image is not None:
            hashes.setdefault(dhash(image), []).append(path)
    Path(output).write_bytes(pickle.dumps(hashes))


def main():
    folder, output, n_processes = sys.argv[1], sys.argv[2], int(sys.argv[3])
    paths = sorted(str(path) for path in Path(folder).rglob("*") if path.is_file())
    size = -(-len(paths) // n_processes)
    parts = [f"{output}.{number}" for number in range(n_processes)]
    starts = range(0, len(paths), size)
    chunks = [(paths[i : i + size], part) for i, part in zip(starts, parts, strict=False)]
    with multiprocessing.Pool(n_processes) as pool:
        pool.map(process_chunk, chunks)
    merged = {}
    for _, part in chunks:
        for value, names in pickle.loads(Path(part).read_bytes()).items():
            merged.setdefault(value, []).extend(names)
    Path(output).write_bytes(pickle.dumps(merged))
    print(sum(map(len, merged.values())))


if __name__ == "__main__":
    main()

"""What does the comparison of two pictures say, and how long does it take?

    python benchmarks/bench_verify.py --data FOLDER [--photos 300] [--painted 10] [--seed 11]

Three tables: relations by edit, of photos of CALTECH-101; relations by kind, of pictures that look
alike but differ in what matters; relations by label, of the pairs that other projects' tests call
the same or different. Then the CPU time per pair.
"""

import argparse
import csv
import random
import time
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from edited import COPIES, EDITS, TURNED, jpeg
from measure import surroundings, table
from painted_pairs import KINDS, scene

from imgdup.dedupe.difference import compare_pictures
from imgdup.errors import ImageError
from imgdup.images.decode import decode_rgb
from imgdup.system.limits import Limits

RELATIONS = ("same-picture", "recoloured", "edited", "cropped", "turned", "different")
MAX_SIDE = 1024  # pixels
N_PAIRS = 30  # of each folder of different pictures


def load(path):
    return decode_rgb(Path(path).read_bytes(), Limits(), MAX_SIDE)


def by_edit(data: Path, n_photos: int, seed: int) -> str:
    """Compare photos with edited copies of themselves."""
    files = sorted((data / "caltech-101").glob("*/*.jpg"))
    counts, seconds = defaultdict(Counter), Counter()
    for path in random.Random(seed).sample(files, n_photos):
        photo = load(path)
        for name, edit in {**COPIES, **EDITS}.items():
            copy = edit(photo)
            started = time.process_time()
            verdict = compare_pictures(photo, copy, orientations=name in TURNED)
            seconds[name] += time.process_time() - started
            counts[name][verdict.relation] += 1
    return relations("edit", counts, seconds)


def by_kind(data: Path, n_painted: int, seed: int) -> str:
    """Compare pictures that differ in what matters: those in folders, then painted ones."""
    counts, seconds = defaultdict(Counter), Counter()
    for name, first, second in different_pairs(data, n_painted, seed):
        started = time.process_time()
        verdict = compare_pictures(first, second)
        seconds[name] += time.process_time() - started
        counts[name][verdict.relation] += 1
    return relations("kind", counts, seconds)


def different_pairs(data: Path, n_painted: int, seed: int):
    """Yield name, first and second picture."""
    for folder in sorted((data / "different").iterdir()):
        pairs = list(combinations(sorted(folder.iterdir()), 2))
        for a, b in random.Random(seed).sample(pairs, min(N_PAIRS, len(pairs))):
            yield folder.name, load(a), load(b)
    for name, paint in KINDS.items():
        for number in range(n_painted):
            first, second = paint(np.random.default_rng([seed, number]))
            if not np.array_equal(first, second):
                yield f"{name}, PNG", first, second
                yield f"{name}, JPEG 90", jpeg(first), jpeg(second)
                yield f"{name}, JPEG 60", jpeg(first, 60), jpeg(second, 60)
                yield f"{name}, PNG and JPEG 75", first, jpeg(second, 75)


def by_label(data: Path) -> str:
    """Compare the labelled pairs."""
    counts, seconds = defaultdict(Counter), Counter()
    with open(data / "near-duplicates" / "pairs.csv", newline="") as file:
        for row in csv.DictReader(file):
            try:
                first, second = load(data / row["a"]), load(data / row["b"])
            except ImageError:
                counts[row["label"]]["not read"] += 1
                continue
            started = time.process_time()
            verdict = compare_pictures(first, second, orientations=True)
            seconds[row["label"]] += time.process_time() - started
            counts[row["label"]][verdict.relation] += 1
    return relations("label", counts, seconds, (*RELATIONS, "not read"))


def relations(head, counts, seconds, names=RELATIONS) -> str:
    """Format how many pairs of each row have each relation, and the CPU time of a pair."""
    rows = []
    for name, found in counts.items():
        n = sum(found.values())
        cells = [str(found[each]) if found[each] else "-" for each in names]
        rows.append([name, str(n), *cells, f"{1000 * seconds[name] / n:.1f}"])
    return table([head, "pairs", *names, "CPU ms"], rows)


def speed(n_rounds: int = 30) -> str:
    """Measure the CPU time of pairs of 640 x 480: copies, and pictures with an edited region."""
    photo = scene(np.random.default_rng(1))
    edited = photo.copy()
    cv2.rectangle(edited, (300, 200), (340, 220), (250, 250, 250), -1)
    rows = []
    for name, other in (("JPEG 70", jpeg(photo, 70)), ("edited", jpeg(edited, 90))):
        times = []
        for _ in range(n_rounds):
            started = time.process_time()
            compare_pictures(photo, other)
            times.append(1000 * (time.process_time() - started))
        times.sort()
        rows.append([name, f"{times[n_rounds // 2]:.1f} ({times[0]:.1f} to {times[-1]:.1f})"])
    return table(["640 x 480", "CPU ms a pair, median (least to most)"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--painted", type=int, default=10)
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print(surroundings())
    print(speed(), flush=True)
    print(by_edit(options.data, options.photos, options.seed), flush=True)
    print(by_kind(options.data, options.painted, options.seed), flush=True)
    print(by_label(options.data), flush=True)


if __name__ == "__main__":
    main()

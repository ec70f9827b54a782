"""What does the comparison of two pictures say, and how long does it take?

    python benchmarks/bench_verify.py --data FOLDER [--photos 300] [--painted 10] [--seed 11]
        [--look-alikes 10000] [--only speed|pairs|look-alikes|edits|found|kinds|labels ...]

The CPU time of a pair; how many pairs a second the workers compare, with decoding; how many
comparisons a file takes among thousands of look-alikes. Then four tables: relations by edit, of
photos of CALTECH-101; the same if the copies have to be found among the photos first; relations by
kind, of pictures that look alike but differ in what matters; relations by label, of the pairs that
other projects' tests call the same or different.
"""

import argparse
import csv
import os
import random
import tempfile
import time
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from edited import COPIES, EDITS, jpeg
from measure import children_cpu_s, surroundings, table
from painted_pairs import KINDS, scene
from PIL import Image

from imgdup import ImageIndex
from imgdup.dedupe import DedupeOptions, find_duplicates
from imgdup.dedupe.candidates import MatchRule, widened
from imgdup.dedupe.difference import compare_pictures
from imgdup.dedupe.relations import Verdict
from imgdup.dedupe.sources import file_of_row
from imgdup.dedupe.verify import Verifier
from imgdup.errors import ImageError
from imgdup.images.decode import decode_rgb
from imgdup.index.columns import images
from imgdup.native.difference import keep_memory
from imgdup.system.limits import Limits

RELATIONS = ("same-picture", "recoloured", "edited", "cropped", "turned", "different")
MAX_SIDE = 1024  # pixels
N_PAIRS = 30  # of each folder of different pictures
N_FILE_PAIRS = 300
N_COMPARED = 300  # look-alikes whose pictures are compared
PARTS = ("speed", "pairs", "look-alikes", "edits", "found", "kinds", "labels")


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
            verdict = compare_pictures(photo, copy)
            seconds[name] += time.process_time() - started
            counts[name][verdict.relation] += 1
    return relations("edit", counts, seconds)


def by_found_copy(data: Path, n_photos: int, seed: int) -> str:
    """Look for the edited copies of photos among all of these by `find_duplicates`.

    Of the photos alone, too, and with orientations: pairs among them are no copies that were made.
    """
    files = sorted((data / "caltech-101").glob("*/*.jpg"))
    photos = [load(path) for path in random.Random(seed).sample(files, n_photos)]
    names = (*RELATIONS, "not found", "others")
    edits = {"no copy": None, "no copy, turned": None, **EDITS}
    rows = []
    for name, edit in edits.items():
        found = Counter()
        with tempfile.TemporaryDirectory() as scratch:
            for number, photo in enumerate(photos):
                Image.fromarray(photo).save(Path(scratch) / f"{number:03}-a.png", compress_level=1)
                if edit is not None:
                    copy = Path(scratch) / f"{number:03}-b.png"
                    Image.fromarray(edit(photo)).save(copy, compress_level=1)
            index = ImageIndex.build(scratch, Path(scratch) / "index")
            is_turned = name.partition(" ")[0] in ("mirrored", "rotated") or "turned" in name
            found = found_relations(index.rows, orientations=is_turned)
        found["not found"] = n_photos * (edit is not None) - sum(found[each] for each in RELATIONS)
        rows.append([name, *(str(found[each] or "-") for each in names)])
        print(*rows[-1], flush=True)
    return table(["edit", *names], rows)


def found_relations(rows, *, orientations: bool) -> Counter:
    """Count the copies by relation, and other pairs that are shown as duplicates."""
    rule = widened(MatchRule(orientations=orientations), [(rows, images(rows))])
    with Verifier() as verifier:
        groups = find_duplicates(rows, DedupeOptions(rule=rule), verifier.judge(rows)).groups
    keepers = groups.keeper_of_each().tolist()
    pairs = list(zip(keepers, groups.removed.tolist(), groups.verdicts, strict=True))
    pairs += [(each.better, each.row, each.verdict) for each in groups.shown]
    found = Counter()
    for one, other, verdict in pairs:
        numbers = {Path(os.fsdecode(rows.path(row))).name[:3] for row in (one, other)}
        found[verdict.relation if len(numbers) == 1 else "others"] += 1
    return found


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
            verdict = compare_pictures(first, second)
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


def pairs_per_second(n_pairs: int, seed: int) -> str:
    """Measure a `Verifier` on pairs of files of 640 x 480, each file in one pair."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        files = []
        for number in range(n_pairs):
            photo = scene(np.random.default_rng([seed, number]))
            for quality in (90, 70):
                path = Path(scratch) / f"{number:04}-{quality}.jpg"
                Image.fromarray(photo).save(path, quality=quality)
                files.append(path)
        index = ImageIndex.build(scratch, Path(scratch) / "index")
        pairs = [
            (file_of_row(index.rows, i), file_of_row(index.rows, i + 1))
            for i in range(0, len(files), 2)
        ]
        for workers in (1, 2):
            with Verifier(workers=workers) as verifier:
                verifier.compare(pairs[:4])  # starts the workers
                before, started = children_cpu_s(), time.perf_counter()
                found = Counter(each.relation for each in verifier.compare(pairs[4:]))
                seconds = time.perf_counter() - started
            cpu_ms = 1000 * (children_cpu_s() - before) / (n_pairs - 4)
            relation = ", ".join(f"{n} {name}" for name, n in found.items())
            rows.append([str(workers), f"{(n_pairs - 4) / seconds:.0f}", f"{cpu_ms:.1f}", relation])
    return table(
        ["workers", "pairs/s with decoding", "CPU ms of the workers a pair", "relations"], rows
    )


def barcode_label(rng):
    """Paint bars of random widths above a random number, 200 x 120."""
    label = np.full((120, 200, 3), 255, np.uint8)
    x = 30
    while x < 170:
        width, gap = rng.integers(1, 4, 2)
        label[20:80, x : x + width] = 0
        x += width + gap
    number = f"{rng.integers(10**12):012}"
    return cv2.putText(label, number, (30, 105), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1)


def camera_frame(rng, background):
    """Put one object somewhere before what a fixed camera sees, and add its noise."""
    frame = background.copy()
    x, y = rng.integers(0, 140), rng.integers(50, 100)
    frame[y : y + 20, x : x + 20] = rng.integers(0, 256, 3)
    return np.clip(frame + rng.normal(0, 2, frame.shape), 0, 255).astype(np.uint8)


def look_alikes(n_files: int, seed: int) -> str:
    """Count the comparisons of a file among look-alikes that all differ.

    Only the pictures of the first few hundred are compared; for all of them, every comparison is
    said to find an edit.
    """
    rng = np.random.default_rng(seed)
    background = cv2.resize(scene(rng), (160, 120), interpolation=cv2.INTER_AREA)
    kinds = {
        "labels with a barcode": lambda: barcode_label(rng),
        "frames of a fixed camera": lambda: camera_frame(rng, background),
    }
    rows = []
    for name, paint in kinds.items():
        for n, compares in ((min(n_files, N_COMPARED), True), (n_files, False)):
            with tempfile.TemporaryDirectory() as scratch:
                for number in range(n):
                    Image.fromarray(paint()).save(Path(scratch) / f"{number:05}.png")
                index = ImageIndex.build(scratch, Path(scratch) / "index")
                rows.append([name, str(n), *comparisons(index, compares)])
    head = [
        "kind",
        "files",
        "pictures compared",
        "comparisons a file",
        "removed",
        "beyond",
        "CPU s",
    ]
    return table(head, rows)


def comparisons(index, compares: bool) -> list[str]:
    """Decide about the files of an index: the cells of a row."""
    started = time.process_time(), children_cpu_s()
    if compares:
        with Verifier() as verifier:
            groups = find_duplicates(index.rows, judge=verifier.judge(index.rows)).groups
    else:
        edited = Verdict("edited", 99.0, None)
        groups = find_duplicates(index.rows, judge=lambda pairs: [edited] * len(pairs)).groups
    cpu_s = time.process_time() - started[0] + children_cpu_s() - started[1]
    each = groups.n_compared / len(index.rows)
    cells = ["yes" if compares else "no", f"{each:.1f}", str(len(groups.removed))]
    return [*cells, str(groups.n_beyond), f"{cpu_s:.1f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--painted", type=int, default=10)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--look-alikes", type=int, default=10_000)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    keep_memory()  # as workers do
    print(surroundings())
    parts = {
        "speed": speed,
        "pairs": lambda: pairs_per_second(N_FILE_PAIRS, options.seed),
        "look-alikes": lambda: look_alikes(options.look_alikes, options.seed),
        "edits": lambda: by_edit(options.data, options.photos, options.seed),
        "found": lambda: by_found_copy(options.data, options.photos, options.seed),
        "kinds": lambda: by_kind(options.data, options.painted, options.seed),
        "labels": lambda: by_label(options.data),
    }
    for name in options.only:
        print(parts[name](), flush=True)


if __name__ == "__main__":
    main()

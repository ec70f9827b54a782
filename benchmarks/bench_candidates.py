"""How many candidates does each rule give a file, which copies does it find, and at what cost?

    python benchmarks/bench_candidates.py --data FOLDER [--sizes 10000 1000000 ...] [--sample 2000]
        [--photos 300]

The first row is CALTECH-101, all its photos compared with each other. The others are hashes of
`synthetic` in any number, of which a sample is compared with all: their match hashes are as near to
each other as those of CALTECH-101, and independent of the search hashes. Of these, half have a
border, as in CALTECH-101; the hash of what it encloses is a further one of the same kind.

Then a table of the share of edited copies that each rule proposes, together with those above it.
"""

import argparse
import random
import tempfile
import time
from pathlib import Path

import numpy as np
from edited import EDITS, framed, jpeg
from measure import surroundings, table
from synthetic import dhash_like, pdq_like

from imgdup import ImageIndex
from imgdup.dedupe import candidates
from imgdup.dedupe.candidates import Hashes, MatchRule, hashes_of
from imgdup.hashing import fingerprints
from imgdup.images.decode import decode_rgb
from imgdup.images.gray import to_gray
from imgdup.index.columns import images
from imgdup.query.transformed import crop_pairs
from imgdup.search.join import iter_pairs
from imgdup.system.limits import Limits

RULE = MatchRule(wide=True)
FURTHER_EDITS = {
    "5 % off the left": lambda p: jpeg(p[:, p.shape[1] // 20 :]),
    "5 % off the bottom": lambda p: jpeg(p[: -(p.shape[0] // 20)]),
    "pillarbox": lambda p: jpeg(framed(p, 0, p.shape[1] // 3, 0)),
    "white border 30, JPEG 50": lambda p: jpeg(framed(p, 30, 30, 255), 50),
}


def photos(folder: Path) -> Hashes:
    """Return the hashes of photos that have enough structure."""
    with tempfile.TemporaryDirectory() as scratch:
        rows = ImageIndex.build(folder, Path(scratch) / "index").rows
        selected = images(rows)
        good = selected[rows.column("quality")[selected] >= 50]
        return Hashes(*map(np.array, hashes_of(rows, good, RULE)))


def painted(n: int, seed: int) -> Hashes:
    """Make hashes of n photos."""
    rng = np.random.default_rng(seed)
    trimmed = pdq_like(n, rng)
    trimmed[rng.random(n) < 0.5] = 0
    return Hashes(pdq_like(n, rng), dhash_like(n, rng), trimmed)


def rules(some: Hashes, every: Hashes | None):
    """Yield the name of each rule and its pairs between some hashes and others."""
    match, search = (None, None) if every is None else (every.match, every.search)
    across = some if every is None else every

    def by_search():
        for block in iter_pairs(some.search, candidates.WIDE_SEARCH, other=search):
            bits = np.bitwise_count(some.match[block.left] ^ across.match[block.right]).sum(axis=1)
            kept = (bits > RULE.max_distance) & (bits <= candidates.WIDE_MATCH)
            yield block.left[kept], block.right[kept]

    def beyond(blocks):
        for block in blocks:
            bits = np.bitwise_count(some.match[block.left] ^ across.match[block.right]).sum(axis=1)
            kept = bits > RULE.max_distance
            yield block.left[kept], block.right[kept]

    yield (
        "match hash within 31",
        ((b.left, b.right) for b in iter_pairs(some.match, 31, other=match)),
    )
    yield "within 64, search hash within 3", by_search()
    yield "alike in the middle", beyond(candidates.near_in_the_middle(some, across, None))
    borders = candidates.near_without_borders(some, across, RULE.max_distance, None)
    yield "without borders within 31", beyond(borders)
    yield "crops", beyond(crop_pairs(some.match, other=match))


def row(name: str, some: Hashes, every: Hashes | None) -> list[str]:
    """Measure each rule: candidates a file, and the seconds of the search."""
    cells = [name]
    for _, blocks in rules(some, every):
        started = time.perf_counter()
        pairs = {pair for i, j in blocks for pair in zip(i.tolist(), j.tolist(), strict=True)}
        seconds = time.perf_counter() - started
        if every is not None:  # a hash of the sample is also among all
            pairs = {(i, j) for i, j in pairs if i != j}
        n = len(pairs) * (1 if every is None else 0.5) / len(some.match)
        cells.append(f"{n:.4f} ({seconds:.1f} s)")
    return cells


def proposed(data: Path, n_photos: int, seed: int) -> str:
    """Return the share of copies that is proposed by each rule and those before it, by edit."""
    files = sorted((data / "caltech-101").glob("*/*.jpg"))
    pictures = [
        decode_rgb(path.read_bytes(), Limits(), 1024)
        for path in random.Random(seed).sample(files, n_photos)
    ]
    wholes = hashed(pictures)
    table_rows = {name: [name] for name, _ in rules(wholes, None)}
    edits = {**EDITS, **FURTHER_EDITS}
    for edit in edits.values():
        copies, found = hashed([edit(each) for each in pictures]), set()
        for name, blocks in rules(wholes, copies):
            found |= {
                k for i, j in blocks for k, m in zip(i.tolist(), j.tolist(), strict=True) if k == m
            }
            table_rows[name].append(f"{100 * len(found) / n_photos:.1f} %")
    return table(["rule", *edits], list(table_rows.values()))


def hashed(pictures) -> Hashes:
    """Hash RGB pictures."""
    grays = [to_gray(np.ascontiguousarray(each), each.shape[:2]) for each in pictures]
    found = fingerprints(grays, "dhash", 64, with_trimmed=True)
    return Hashes(found.match, found.hashes, found.trimmed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10**4, 10**6, 10**7])
    parser.add_argument("--sample", type=int, default=2000)
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(surroundings())
    print(proposed(options.data, options.photos, options.seed), flush=True)
    real = photos(options.data / "caltech-101")
    rows = [row(f"CALTECH-101, {len(real.match):,}", real, None)]
    for n in options.sizes:
        every = painted(n, options.seed)
        some = every.select(np.arange(min(n, options.sample)))
        rows.append(row(f"synthetic, {len(some.match):,} of {n:,}", some, every))
        print(rows[-1], flush=True)
    head = ["files", *(name for name, _ in rules(real, None))]
    print(table(head, rows))


if __name__ == "__main__":
    main()

"""Hashes at any number that keep the odds of real photos' hashes, for benchmarks.

Uniform random hashes have no near neighbours at all, and those of one kind of random field too
few: what costs time, hashes that are nearly alike and bands that many hashes share, is missing.
`dhash_like` and `pdq_like` are made to have as many of them as CALTECH-101's 9,144 photos;
`calibration` shows how far they succeed. Rates of pairs do not depend on the number of hashes.

    python benchmarks/synthetic.py [--images DIR] [--seed 1]
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import measure
import numpy as np

BLOCK = 1 << 16  # hashes made at a time
SAMPLE = 9_144  # hashes compared with each other for a calibration, as many as CALTECH-101 has
SCENES = 1_000  # different things that pictures show
TOLERANCE = 3.0  # a calibration holds within this factor


class Odds(NamedTuple):
    """How near a set of hashes is to each other."""

    pair_rates: dict[int, float]  # distance in bits: share of all pairs that lie within it
    band_skew: float  # times likelier than by chance that two share 16 bits in a row, mean
    bit_skew: float  # how far the share of ones is from 1/2, mean over the bits


# Measured by `odds` on what imgdup.hashing makes of CALTECH-101 (--images prints it anew).
CALTECH = {
    64: Odds({2: 3.7e-6, 4: 1.3e-5, 6: 4.7e-5, 8: 1.5e-4, 10: 4.3e-4, 16: 5.5e-3}, 21.5, 0.049),
    256: Odds(
        {16: 2.0e-6, 24: 2.5e-6, 31: 3.1e-6, 48: 9.2e-6, 64: 3.0e-5, 80: 1.2e-4}, 1.96, 0.013
    ),
}


def dhash_like(n: int, rng: np.random.Generator) -> np.ndarray:
    """Signs of the differences in random fields with a 1/f spectrum: uint64 (n, 1).

    The exponent of the spectrum, how smooth a picture is, varies from picture to picture; it is
    the smooth ones that are alike. Borders are more often flat, which makes a 0.
    """
    steps = np.linspace(-2, 2, 9)  # standard deviations
    shares = np.exp(-(steps**2) / 2)
    factors = [_factor(1.65 + 0.3 * step) for step in steps]
    flat = np.full((8, 8), 0.06, np.float32)
    flat[[0, -1]] = flat[:, 0] = 0.2

    def block(m: int) -> np.ndarray:
        counts = rng.multinomial(m, shares / shares.sum())
        fields = [
            rng.standard_normal((count, 64), np.float32) @ factor
            for count, factor in zip(counts, factors, strict=True)
        ]
        return rng.permutation(np.concatenate(fields) > flat.ravel())

    return _packed(n, block)


def _factor(exponent: float, period: int = 24) -> np.ndarray:
    """What turns 64 independent normals into the 8 x 8 differences along x of a 1/f field."""
    fy, fx = np.fft.fftfreq(period)[:, None], np.fft.fftfreq(period)[None]
    frequency = np.hypot(fy, fx)
    frequency[0, 0] = 1
    power = frequency ** (-2 * exponent) * (2 - 2 * np.cos(2 * np.pi * fx))
    correlation = np.fft.ifft2(power).real
    y, x = np.divmod(np.arange(64), 8)
    matrix = correlation[(y[:, None] - y) % period, (x[:, None] - x) % period]
    values, vectors = np.linalg.eigh(matrix / correlation[0, 0])
    return (np.sqrt(np.maximum(values, 0)) * vectors).T.astype(np.float32)


def scenes(rng: np.random.Generator) -> np.ndarray:
    """Make what the pictures of `pdq_like` show: float32 (SCENES, 256)."""
    return rng.standard_normal((SCENES, 256), np.float32)


def pdq_like(n: int, rng: np.random.Generator, shown: np.ndarray | None = None) -> np.ndarray:
    """Signs of normals that share a part with their scene: uint64 (n, 4).

    Most pictures are views of one of a thousand scenes, more or less alike; one in twenty is a
    copy of the scene's own picture, more or less changed. `shown` are the scenes; by default new
    ones.
    """
    shown = scenes(rng) if shown is None else shown

    def block(m: int) -> np.ndarray:
        views, copies = 0.8 * rng.random(m) ** 1.5, 1 - 0.15 * rng.random(m) ** 4
        likeness = np.where(rng.random(m) < 0.05, copies, views).astype(np.float32)[:, None]
        noise = rng.standard_normal((m, 256), np.float32)
        shared = shown[rng.integers(0, SCENES, m)]
        return np.sqrt(likeness) * shared + np.sqrt(1 - likeness) * noise > 0

    return _packed(n, block)


def _packed(n: int, block: Callable[[int], np.ndarray]) -> np.ndarray:
    sizes = [min(BLOCK, n - start) for start in range(0, n, BLOCK)]
    return np.concatenate(
        [np.packbits(block(m), axis=1, bitorder="little").view(np.uint64) for m in sizes]
    )


GENERATORS = {64: dhash_like, 256: pdq_like}


def plant(hashes: np.ndarray, distances: Iterable[int], rng: np.random.Generator) -> np.ndarray:
    """Turn some rows into neighbours of others at known distances: int64 (n_planted, 2)."""
    distances = list(distances)
    pairs = rng.permutation(len(hashes))[: 2 * len(distances)].reshape(-1, 2)
    for (left, right), distance in zip(pairs, distances, strict=True):
        hashes[right] = hashes[left]
        for bit in rng.choice(64 * hashes.shape[1], distance, replace=False).tolist():
            hashes[right, bit // 64] ^= np.uint64(1 << bit % 64)
    return pairs


def odds(hashes: np.ndarray, distances: Iterable[int]) -> Odds:
    """Measure the odds of some hashes, on the first 9,144 of them."""
    sample = hashes[:SAMPLE]
    counts = np.zeros(64 * sample.shape[1] + 1)
    for i in range(len(sample)):
        differing = np.bitwise_count(sample[i + 1 :] ^ sample[i]).sum(axis=1)
        counts += np.bincount(differing, minlength=len(counts))
    rates = np.cumsum(counts) / counts.sum()
    ones = np.unpackbits(np.ascontiguousarray(sample).view(np.uint8), axis=1).mean(axis=0)
    return Odds(
        {distance: float(rates[distance]) for distance in distances},
        float(np.mean([_shared(band) for band in sample.copy().view(np.uint16).T])) * 2**16,
        float(np.abs(ones - 0.5).mean()),
    )


def _shared(band: np.ndarray) -> float:
    """Share of the pairs that agree in a band."""
    counts = np.unique(band, return_counts=True)[1].astype(float)
    return float((counts * (counts - 1)).sum() / (len(band) * (len(band) - 1)))


def calibration(hashes: np.ndarray, real: Odds) -> str:
    """A Markdown table: the odds of real hashes, of generated ones, and whether they agree."""
    ours = odds(hashes, real.pair_rates)
    rows = [
        (f"pairs within {distance} bits", rate, ours.pair_rates[distance])
        for distance, rate in real.pair_rates.items()
    ]
    rows += [("band skew", real.band_skew, ours.band_skew)]
    rows += [("bit skew", real.bit_skew, ours.bit_skew)]
    return measure.table(
        [f"{64 * hashes.shape[1]} bits", "photos", "generated", "ratio", "within 3 x"],
        [(name, f"{a:.2g}", f"{b:.2g}", f"{b / a:.2f}", _agrees(b / a)) for name, a, b in rows],
    )


def _agrees(ratio: float) -> str:
    return "yes" if 1 / TOLERANCE <= ratio <= TOLERANCE else "**no**"


def real_hashes(folder: Path) -> dict[int, np.ndarray]:
    """dHash and PDQ hash of every picture below a folder, as indexing makes them."""
    from imgdup.errors import ImageError
    from imgdup.hashing import fingerprint
    from imgdup.images.decode import decode
    from imgdup.system.files import read_file
    from imgdup.system.limits import Limits

    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            picture = decode(read_file(str(path), Limits()).data, Limits())
        except ImageError as error:
            print(f"{path}: {error}", file=sys.stderr)
            continue
        found.append(fingerprint(picture.gray, "dhash", 64))
    return {64: np.array([f.hashes for f in found]), 256: np.array([f.match for f in found])}


def calibrations(rng: np.random.Generator, images: Path | None = None) -> str:
    """The calibration of each generator, against CALTECH-101 or against pictures at hand."""
    real = real_hashes(images) if images else {}
    tables = []
    for bits, generate in GENERATORS.items():
        known = CALTECH[bits]
        against = odds(real[bits], known.pair_rates) if bits in real else known
        tables.append(calibration(generate(SAMPLE, rng), against))
    return "\n".join(tables)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="against these, not what CALTECH-101 had")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(f"seed {options.seed}\n")
    print(calibrations(np.random.default_rng(options.seed), options.images))


if __name__ == "__main__":
    main()

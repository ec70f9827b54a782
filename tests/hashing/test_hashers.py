"""Hashes: grids of area averages or PDQ samples, and what is compared in them.

Three things must agree: the slow twins of ``oracles_hashing``, which work on full pixels in exact
fractions and know nothing of operators, bands or reductions; golden values on a picture that is
given by a formula; and, for PDQ, what the package ``pdqhash`` says of real photographs
(``pdqhash_frozen.txt``, made by ``benchmarks/peers_pdqhash.py``).
"""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

import oracles_hashing as oracles
from encoded import save
from imgdup.hashing import HASHERS, dihedral_hashes, fingerprint, fingerprints, hash_pictures
from imgdup.images.decode import decode
from imgdup.images.gray import GrayImage, rotated
from imgdup.native.levels import luma
from imgdup.search import to_hex
from imgdup.system.limits import Limits
from real_pictures import DATA, needs_data

TWINS = {
    ("dhash", 64): lambda pixels: oracles.dhash(pixels, 8),
    ("dhash", 256): lambda pixels: oracles.dhash(pixels, 16),
    ("ahash", 64): lambda pixels: oracles.ahash(pixels, 8),
    ("ahash", 256): lambda pixels: oracles.ahash(pixels, 16),
    ("phash", 64): lambda pixels: oracles.phash(pixels, 8),
    ("phash", 256): lambda pixels: oracles.phash(pixels, 16),
    ("pdq", 256): oracles.pdq,
    ("dhash-tutorial", 64): lambda pixels: oracles.tutorial_dhash(
        np.rint(np.array(pixels, np.float32)).astype(np.uint8)
    ),
    ("match", 256): lambda pixels: oracles.match_hash(pixels)[0],
}
GOLDEN = {
    ("dhash", 64): "49b76c59b3674fdf",
    ("dhash", 256): "9de73bcf779fef7fdcfcb9f13be777cfe79fcf3f9e7fbcff3cff79fff3fff3ff",
    ("ahash", 64): "53ac5993a64cd898",
    ("ahash", 256): "918f331c6638ccf099c13387630fc61fce3e9c7c38f831f071e063c0e7c0c780",
    ("phash", 64): "ba479f30676e4858",
    ("phash", 256): "3d3060c7ddfdb6806c3f53c56700ac574db8c945ca9fdb205267d56e5a48d158",
    ("pdq", 256): "382a62d59dfd3680487f53c5e630a8df49a88b47ca9fd320526fd56e5e48d158",
    ("dhash-tutorial", 64): "5bb76edbb76f6fdf",
    ("match", 256): "c08abbfa6d00d87fa78ace0058af9b70128a153eb640a4cfa2dca490a2b0a490",
}
each_hash = pytest.mark.parametrize(("name", "bits"), sorted(TWINS))
cheap_hash = pytest.mark.parametrize(("name", "bits"), [("dhash", 64), ("ahash", 64), ("pdq", 256)])


def formula_picture(height=150, width=200):
    """A zone plate with a slope, the same integers on every machine."""
    y, x = np.mgrid[:height, :width]
    return ((x * x // 90 + y * y // 60 + x * y // 75 + 40) % 256).astype(np.uint8)


def blotches(seed, height, width, *channels):
    """Squares of random brightness: neighbours are often equal, so that averages tie."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 3 + 1, width // 3 + 1, *channels), dtype=np.uint8)
    return coarse.repeat(3, axis=0).repeat(3, axis=1)[:height, :width]


def to_gray(pixels):
    return GrayImage(pixels, *pixels.shape)


def compute(name, bits, gray):
    return hash_pictures([gray], name, bits)[0]


def integer(words):
    return sum(int(word) << (64 * i) for i, word in enumerate(words))


def distance(a, b):
    return int(np.bitwise_count(a ^ b).sum())


def frozen_lines():
    """File, hash in hexadecimal and quality, as another program gave them."""
    lines = Path(__file__).with_name("pdqhash_frozen.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if not line.startswith("#"):
            name, text, quality = line.split("\t")
            yield name, text, int(quality)


def test_every_hash_has_a_twin_and_a_golden_value():
    offered = {(name, bits) for name, hasher in HASHERS.items() for bits in hasher.widths}

    assert set(TWINS) == set(GOLDEN) == {*offered, ("match", 256)}


@each_hash
def test_golden_values_do_not_change(name, bits):
    words = compute(name, bits, to_gray(formula_picture()))

    assert to_hex(words[None]) == [GOLDEN[name, bits]]


@each_hash
def test_golden_values_are_those_of_the_twin(name, bits):
    twin = TWINS[name, bits](formula_picture().tolist())

    assert f"{twin:0{bits // 4}x}" == GOLDEN[name, bits]


each_search_hash = pytest.mark.parametrize(
    ("name", "bits"), sorted(kind for kind in TWINS if kind[0] in HASHERS)
)


@each_hash
@pytest.mark.parametrize("size", [(1, 1), (3, 7), (5, 40), (33, 18), (64, 64), (41, 57)])
def test_hashes_equal_their_twin(name, bits, size):
    pixels = blotches(bits, *size)

    words = compute(name, bits, to_gray(pixels))

    assert integer(words) == TWINS[name, bits](pixels.tolist())


@each_hash
def test_hashes_of_colour_equal_their_twin(name, bits):
    pixels = luma(blotches(1, 26, 45, 3))

    words = compute(name, bits, to_gray(pixels))

    assert integer(words) == TWINS[name, bits](pixels.tolist())


@cheap_hash
@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    reduction=st.sampled_from([1, 2, 4, 8]),
    short_first=st.tuples(st.booleans(), st.booleans()),
)
def test_a_reduced_picture_hashes_as_its_blocks_do(
    name, bits, seed, height, width, reduction, short_first
):
    pixels = blotches(seed, -(-height // reduction), -(-width // reduction))
    full = oracles.full_size(pixels.tolist(), height, width, reduction, short_first)

    words = compute(name, bits, GrayImage(pixels, height, width, reduction, short_first))

    assert integer(words) == TWINS[name, bits](full)


@each_hash
@pytest.mark.parametrize("level", [0, 1, 127, 128, 255])
def test_flat_pictures_give_the_zero_hash(name, bits, level):
    gray = to_gray(np.full((61, 83), level, dtype=np.uint8))

    words = compute(name, bits, gray)

    assert integer(words) == 0


@each_hash
def test_flat_colour_gives_the_zero_hash(name, bits):
    gray = to_gray(luma(np.full((77, 50, 3), (13, 200, 78), dtype=np.uint8)))

    words = compute(name, bits, gray)

    assert integer(words) == 0


def test_the_lowest_bit_is_the_first_comparison():
    pixels = np.full((8, 9), 100, dtype=np.uint8)
    pixels[0, 0] = 99

    words = compute("dhash", 64, to_gray(pixels))

    assert integer(words) == 1


def test_the_highest_bit_is_the_last_comparison():
    pixels = np.full((16, 17), 100, dtype=np.uint8)
    pixels[15, 16] = 101

    words = compute("dhash", 256, to_gray(pixels))

    assert integer(words) == 1 << 255


def test_a_left_pixel_that_is_brighter_gives_no_bit():
    pixels = np.arange(90, 0, -10, dtype=np.uint8)[None].repeat(8, axis=0)

    words = compute("dhash", 64, to_gray(pixels))

    assert integer(words) == 0


def test_halves_are_rounded_up_on_both_sides_of_a_comparison():
    left = [[10, 11], [11, 10]]  # 10.5, like its right neighbour in other pixels
    right = [[10, 10], [11, 11]]
    pixels = np.hstack([np.array((left, right)[x % 2] * 8, dtype=np.uint8) for x in range(9)])

    words = compute("dhash", 64, to_gray(pixels))

    assert integer(words) == 0


@each_hash
def test_turned_and_mirrored_views_hash_as_copies_do(name, bits):
    stored = blotches(5, 120, 90)
    views = [stored.T, stored[::-1], stored[:, ::-1], stored.T[::-1, ::-1]]

    for view in views:
        words = compute(name, bits, to_gray(view))

        assert words.tolist() == compute(name, bits, to_gray(view.copy())).tolist()


@each_search_hash
def test_a_fingerprint_holds_the_search_hash_and_the_match_hash(name, bits):
    gray = to_gray(formula_picture())

    hashes, match, quality = fingerprint(gray, name, bits)

    assert hashes.dtype == match.dtype == np.uint64
    assert hashes.tolist() == compute(name, bits, gray).tolist()
    assert match.tolist() == compute("match", 256, gray).tolist()
    assert quality == 100


@pytest.mark.parametrize("seed", range(5))
def test_quality_equals_its_twin(seed):
    pixels = 120 + blotches(seed, 60, 100) // (4 * seed + 4)

    _, _, quality = fingerprint(to_gray(pixels), "dhash", 64)

    assert quality == oracles.match_hash(pixels.tolist())[1]


@pytest.mark.parametrize("step", range(51, 256, 51))
def test_quality_counts_whole_percents_of_both_axes(step):
    pixels = np.zeros((64, 64), dtype=np.uint8)
    pixels[20:28, 30:38] = np.random.default_rng(step).integers(0, 2, (8, 8)) * step
    n_edges = sum(int((np.diff(pixels.astype(int), axis=axis) != 0).sum()) for axis in (0, 1))

    _, _, quality = fingerprint(to_gray(pixels), "dhash", 64)

    # A step of 51 is 20 % of 255, which is not lost to rounding.
    assert quality == n_edges * (step // 51 * 20) // 90


def rows_of_one_direction(kind, rng):
    """The pixels of one row of a picture whose rows are all equal."""
    if kind == "barcode":
        return rng.integers(0, 2, 95).repeat(4) * 255
    if kind == "stripes":
        return np.arange(400) // int(rng.integers(3, 60)) % 2 * 200 + 20
    if kind == "gradient":
        return np.linspace(*rng.integers(0, 256, 2), 400)
    return rng.integers(0, 256, 3).repeat(133)  # a flag


@pytest.mark.parametrize("kind", ["barcode", "stripes", "gradient", "flag"])
@pytest.mark.parametrize("is_turned", [False, True])
@pytest.mark.parametrize("saved", ["png", "jpeg"])
def test_pictures_that_vary_in_one_direction_only_have_quality_zero(kind, is_turned, saved):
    rng = np.random.default_rng(11)
    found = []
    for _ in range(10):
        pixels = rows_of_one_direction(kind, rng).astype(np.uint8)[np.newaxis].repeat(150, axis=0)
        data = save(pixels.T if is_turned else pixels, saved)

        found.append(fingerprint(decode(data, Limits()).gray, "dhash", 64).quality)

    assert found == [0] * 10


def test_a_picture_with_some_clear_coefficients_has_a_quality():
    rng = np.random.default_rng(2)
    pixels = np.full((64, 64), 90, dtype=np.uint8)
    pixels[10:40, 20:60] = rng.integers(80, 140, (30, 40))

    _, _, quality = fingerprint(to_gray(pixels), "dhash", 64)

    assert quality > 0


@pytest.mark.parametrize("size", [(64, 64), (90, 133), (200, 150), (17, 400)])
@pytest.mark.parametrize("reduction", [1, 4])
def test_hashes_of_rotated_and_mirrored_pictures_follow_from_the_hash(size, reduction):
    pixels = blotches(4, *(-(-side // reduction) for side in size))
    gray = GrayImage(pixels, *size, reduction, (True, False))

    found = dihedral_hashes(compute("match", 256, gray)[np.newaxis])

    expected = [compute("match", 256, rotated(gray, i)).tolist() for i in range(1, 9)]
    assert found[:, 0].tolist() == expected


def test_orientations_of_many_hashes_are_those_of_each():
    hashes = np.random.default_rng(1).integers(0, 2**64, (50, 4), dtype=np.uint64)
    hashes[:, 0] &= ~np.uint64(1)

    found = dihedral_hashes(hashes)

    assert found.dtype == np.uint64
    assert found[0].tolist() == hashes.tolist()
    each = [dihedral_hashes(one[np.newaxis]) for one in hashes]
    assert found.tolist() == np.hstack(each).tolist()
    assert dihedral_hashes(found[1])[1].tolist() == hashes.tolist()  # mirrored twice
    assert dihedral_hashes(found[5])[7].tolist() == hashes.tolist()  # a quarter, and back
    assert dihedral_hashes(hashes[:0]).shape == (8, 0, 4)


@each_search_hash
def test_many_fingerprints_are_those_of_each(name, bits):
    sizes = [(60, 90), (90, 60), (8, 8), (1, 300), (64, 64)]
    grays = [to_gray(blotches(i, *size) // (i + 1)) for i, size in enumerate(sizes)]

    found = fingerprints(grays, name, bits)

    each = [fingerprint(gray, name, bits) for gray in grays]
    assert found.hashes.tolist() == [one.hashes.tolist() for one in each]
    assert found.match.tolist() == [one.match.tolist() for one in each]
    assert found.qualities.tolist() == [one.quality for one in each]


def test_flat_pictures_have_quality_zero():
    found = [
        fingerprint(to_gray(np.full((h, w), 99, dtype=np.uint8)), "dhash", 64)
        for h, w in [(100, 100), (1, 1), (2, 3000)]
    ]

    assert [each.quality for each in found] == [0, 0, 0]


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (4, 100), (8, 8), (15, 200)])
def test_tiny_pictures_have_quality_zero(size):
    _, _, quality = fingerprint(to_gray(blotches(0, *size)), "dhash", 64)

    assert quality == 0


@pytest.mark.parametrize("size", [(4, 100), (100, 4)])
def test_pdq_sees_nothing_in_a_side_under_five_pixels(size):
    pixels = blotches(0, *size)

    words = compute("pdq", 256, to_gray(pixels))

    assert integer(words) == 0 == oracles.pdq(pixels.tolist())


def test_default_widths_and_distances():
    defaults = {name: (h.widths[0], h.max_distance[h.widths[0]]) for name, h in HASHERS.items()}

    of_64_bits = ("dhash", "ahash", "phash", "dhash-tutorial")
    assert defaults == {**dict.fromkeys(of_64_bits, (64, 10)), "pdq": (256, 31)}


@needs_data
def test_pdq_of_full_decodes_is_that_of_the_package_pdqhash():
    lines = list(frozen_lines())

    for name, text, _ in lines:
        gray = decode((DATA / name).read_bytes(), Limits(), full=True).gray

        assert (name, to_hex(hash_pictures([gray], "pdq", 256))) == (name, [text])

    assert len(lines) == 240


@needs_data
def test_pdq_of_indexing_decodes_is_close_to_full_ones():
    paths = sorted((DATA / "caltech-101").rglob("*.jpg"))[::18]
    distances = []

    for path in paths:
        data = path.read_bytes()
        full = fingerprint(decode(data, Limits(), full=True).gray, "pdq", 256)
        if full.quality >= 50:
            small = fingerprint(decode(data, Limits()).gray, "pdq", 256)
            distances.append(distance(small.hashes, full.hashes))

    assert len(distances) > 500
    assert np.mean(distances) <= 4
    assert np.mean(np.array(distances) <= 16) >= 0.995
    assert np.mean(np.array(distances) <= 31) >= 0.998


@needs_data
def test_match_hashes_of_small_jpegs_are_close_to_those_of_the_photos():
    paths = sorted((DATA / "caltech-101").rglob("*.jpg"))[::90]
    pictures = [Image.open(path).convert("RGB") for path in paths]
    found = {
        share: match_hashes(
            save(picture.resize([max(1, side // share) for side in picture.size]), "jpeg")
            for picture in pictures
        )
        for share in (2, 4)
    }
    whole = match_hashes(save(picture, "bmp") for picture in pictures)

    for near in found.values():
        bits = np.bitwise_count(whole ^ near).sum(axis=1)
        assert (np.median(bits) <= 4, bits.max() <= 31) == (True, True)
    apart = np.bitwise_count(whole[:, None] ^ whole[None]).sum(axis=2)
    assert apart[np.triu_indices(len(whole), 1)].min() > 31


def match_hashes(files):
    return hash_pictures([decode(data, Limits()).gray for data in files], "match", 256)


@needs_data
def test_rotated_and_mirrored_photos_are_near_in_one_orientation():
    with open(DATA / "near-duplicates" / "pairs.csv", newline="") as file:
        pairs = [(row["a"], row["b"]) for row in csv.DictReader(file) if row["label"] == "dihedral"]

    for names in pairs:
        a, b = match_hashes((DATA / name).read_bytes() for name in names)
        bits = np.bitwise_count(dihedral_hashes(a[np.newaxis])[:, 0] ^ b).sum(axis=1)

        assert (bits <= 31).sum() == 1, (names, bits)

    assert len(pairs) == 9

"""Measure on the user's pictures how far copies are from them, and different pictures from another.

Takes files; edits each picture in many ways, hashes and compares the copies as `index` and `dedupe`
do, and returns distances and relations by edit, of different pictures, and of labelled pairs.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from imgdup.containers.reading import read_content
from imgdup.dedupe.components import MAX_SIDE
from imgdup.dedupe.difference import compare_pictures
from imgdup.dedupe.exact import same_pixels
from imgdup.dedupe.labels import LabelledPair
from imgdup.dedupe.relations import SAME_BYTES, SAME_PIXELS, UNVERIFIED
from imgdup.errors import ImageError, ImgdupError
from imgdup.hashing import (
    HASHERS,
    MATCH_BITS,
    MATCH_MAX_DISTANCE,
    MATCH_MIN_QUALITY,
    Fingerprints,
    fingerprints,
)
from imgdup.images.decode import decode, decode_rgb
from imgdup.images.edits import EDITS
from imgdup.images.gray import Pixels
from imgdup.query.chance import Chance, Pictures, chance_among, different_pairs, sample_rows
from imgdup.search import distances
from imgdup.system.files import NEW_DIGEST_KIND, content_digest
from imgdup.system.limits import Limits
from imgdup.workers.pool import Pool, decode_each, decoding_pool

Distances = npt.NDArray[np.int64]
Relations: TypeAlias = Mapping[str, int]  # how many pairs have each relation

SEED = 1  # of the order of the sample
N_NEAREST = 100  # pairs of different pictures that are compared, for each hash
FILES_AT_ONCE = 2  # sent to a worker; each is edited, hashed and compared many times
NOT_FOUND = 1 << 15  # the match or PDQ distance of pictures with too little structure


class EvaluateOptions(NamedTuple):
    """What to evaluate."""

    # The search hash and its length.
    hash: str = "dhash"
    bits: int = 64
    # How many pairs of different pictures are accepted in the whole collection.
    max_false_pairs: float = 1.0
    # How many pictures are edited at most. Distances of different pictures are measured on more.
    sample: int = 1000
    # Of how many of them the copies are also compared with the picture, which takes longer.
    n_compared: int = 200
    with_pdq: bool = False  # whether to evaluate PDQ hashes, too
    limits: Limits = Limits()  # what one picture may cost

    @property
    def defaults(self) -> dict[str, tuple[int, int]]:
        """The bits and the default distance of each hash that is evaluated."""
        found = {
            "match": (MATCH_BITS, MATCH_MAX_DISTANCE),
            "search": (self.bits, HASHERS[self.hash].max_distance[self.bits]),
        }
        if self.with_pdq:
            found["pdq"] = next(iter(HASHERS["pdq"].max_distance.items()))
        return found


class EditResult(NamedTuple):
    """What became of the copies that one edit made.

    `distances` are those between each picture and its copy, in bits, by ``"match"``, ``"search"``
    and, if requested, ``"pdq"`` hash. `relations` counts what the comparison of the pictures says.
    """

    distances: Mapping[str, Distances]
    relations: Relations


class HashResult(NamedTuple):
    """What is known of one hash."""

    bits: int
    default_distance: int
    # Pairs of different pictures, by distance: of all pictures, or of 3,000 of them.
    different: Distances
    # Pairs by chance; None where the sample is too small for an estimate, and for PDQ hashes:
    # nearly all have as many ones as zeros, so that distances are even, and no law fits them.
    chance: Chance | None
    # The largest distance within which few enough pairs are expected by chance.
    distance: int | None
    relations: Relations  # relations of the nearest pairs of different pictures


class Evaluation(NamedTuple):
    """The result of `evaluate`: of each hash, each edit and each label of pairs.

    All pairs of the `n_images` of the collection are considered; `n_sampled` of them were edited,
    `n_failed` of the sample could not be read, nor could `n_unread` labelled pairs.
    """

    n_images: int
    n_sampled: int
    n_failed: int
    max_false_pairs: float
    hashes: Mapping[str, HashResult]
    edits: Mapping[str, EditResult]
    labels: Mapping[str, EditResult]
    n_unread: int


class _Edited(NamedTuple):
    """A picture and its copies: hashes, the picture first, and relations, if they were compared.

    Each has hashes of its own, arrays of one row.
    """

    digest: bytes
    prints: Sequence[Fingerprints]
    relations: Sequence[str]


def evaluate(
    files: Sequence[bytes],
    pairs: Sequence[LabelledPair] = (),
    options: EvaluateOptions | None = None,
    *,
    known: tuple[Sequence[bytes], Pictures] | None = None,
    pool: Pool | None = None,
    advance: Callable[[int], None] | None = None,
) -> Evaluation:
    """Evaluate the hashes and the comparison on a sample of some files, and on labelled pairs.

    Hashes of different pictures are compared, too: those in `known`, many of the files with their
    hashes from the index, or else those of some files, which are hashed. Pictures are decoded in
    `pool`, or in processes of their own. `advance` is called with 1 after each picture of the
    sample. Raises ImgdupError if no picture can be read.
    """
    options = options or EvaluateOptions()
    chosen = [files[i] for i in sample_rows(len(files), options.sample)]
    limits = options.limits
    patient = replace(limits, timeout_s=limits.timeout_s * len(EDITS))
    with pool or decoding_pool(patient) as workers:
        answers = _edit_all(chosen, options, workers, advance)
        found = [(file, answer) for file, answer in answers if answer is not None]
        if not found and not pairs:
            raise ImgdupError("no picture could be read: name a folder that contains pictures")
        edited = [each for _, each in found]
        hashes: dict[str, HashResult] = {}
        if found:
            some = known or _hashed(files, found, options, workers)
            hashes = _hash_results(*some, len(files), options, workers)
        labels, n_unread = _labelled(pairs, options, workers)
    return Evaluation(
        len(files),
        len(found),
        len(chosen) - len(found),
        options.max_false_pairs,
        hashes,
        _edit_results(edited),
        labels,
        n_unread,
    )


def _edit_all(
    files: Sequence[bytes],
    options: EvaluateOptions,
    workers: Pool,
    advance: Callable[[int], None] | None,
) -> Iterator[tuple[bytes, _Edited | None]]:
    """Yield files in random order with what their edits gave; None if a file cannot be read."""
    jobs = [(file, i < options.n_compared) for i, file in enumerate(_shuffled(files))]
    answers = decode_each(partial(_edit, options), jobs, workers, batch_files=FILES_AT_ONCE)
    for (file, _), answer in zip(jobs, answers, strict=True):
        yield file, None if isinstance(answer, ImageError) else answer
        if advance is not None:
            advance(1)


def _shuffled(files: Sequence[bytes]) -> list[bytes]:
    """Return files in random order, the same each time."""
    return [files[i] for i in np.random.default_rng(SEED).permutation(len(files))]


def _edit(options: EvaluateOptions, picture: tuple[bytes, bool]) -> _Edited:
    """Edit a picture, hash its copies and, if this is requested, compare them; in a worker."""
    file, is_compared = picture
    data = read_content(file, options.limits).data
    pixels = decode_rgb(data, options.limits, MAX_SIDE)
    prints, relations = [_fingerprint(options, data)], []
    for edit in EDITS.values():
        copy = edit(pixels)
        prints.append(_fingerprint(options, copy))
        if is_compared:
            relations.append(_relation(pixels, decode_rgb(copy, options.limits, MAX_SIDE)))
    return _Edited(content_digest(data, NEW_DIGEST_KIND), prints, relations)


def _fingerprint(options: EvaluateOptions, data: bytes) -> Fingerprints:
    needs_opencv = HASHERS[options.hash].needs_opencv
    gray = decode(data, options.limits, with_opencv=needs_opencv).gray
    return fingerprints([gray], options.hash, options.bits, with_pdq=options.with_pdq)


def _relation(first: Pixels, second: Pixels) -> str:
    if same_pixels(first, second):
        return SAME_PIXELS
    return compare_pictures(first, second).relation


def _edit_results(edited: Sequence[_Edited]) -> dict[str, EditResult]:
    """Gather the distances and relations by edit."""
    results: dict[str, EditResult] = {}
    for i, name in enumerate(EDITS if edited else ()):
        originals = [each.prints[0] for each in edited]
        copies = [each.prints[i + 1] for each in edited]
        relations = Counter(each.relations[i] for each in edited if each.relations)
        results[name] = EditResult(_distances(originals, copies), relations)
    return results


def _distances(
    first: Sequence[Fingerprints], second: Sequence[Fingerprints]
) -> dict[str, Distances]:
    """Return the distances of pairs of pictures by each hash."""
    a, b = (_together(side) for side in (first, second))
    is_clear = np.minimum(a.qualities, b.qualities) >= MATCH_MIN_QUALITY
    found = {
        "match": np.where(is_clear, distances(a.match, b.match), NOT_FOUND),
        "search": distances(a.hashes, b.hashes),
    }
    if a.pdq is not None and b.pdq is not None:
        found["pdq"] = np.where(is_clear, distances(a.pdq, b.pdq), NOT_FOUND)
    return found


def _together(prints: Sequence[Fingerprints]) -> Fingerprints:
    """Join the hashes of some pictures, of one at least, in arrays of one row each."""
    pdq = [each.pdq for each in prints if each.pdq is not None]
    return Fingerprints(
        np.concatenate([each.hashes for each in prints]),
        np.concatenate([each.match for each in prints]),
        np.concatenate([each.qualities for each in prints]),
        np.concatenate(pdq) if pdq else None,
        np.concatenate([each.trimmed for each in prints]),
    )


def _hashed(
    files: Sequence[bytes],
    edited: Sequence[tuple[bytes, _Edited]],
    options: EvaluateOptions,
    pool: Pool,
) -> tuple[list[bytes], Pictures]:
    """Choose up to 3,000 files, and hash those that were not edited; leave out unreadable ones."""
    prints = {file: (each.digest, each.prints[0]) for file, each in edited}
    wanted = (files[i] for i in sample_rows(len(files)).tolist())
    missing = [file for file in wanted if file not in prints]
    answers = decode_each(partial(_digest_and_hash, options), missing, pool)
    for file, answer in zip(missing, answers, strict=True):
        if not isinstance(answer, ImageError):
            prints[file] = answer
    found = _together([each for _, each in prints.values()])
    digests = np.array([np.frombuffer(digest, np.uint8) for digest, _ in prints.values()])
    return list(prints), Pictures(found.hashes, found.match, found.qualities, digests, found.pdq)


def _digest_and_hash(options: EvaluateOptions, file: bytes) -> tuple[bytes, Fingerprints]:
    """Read a file, and return the digest of its content and its hashes; in a worker."""
    data = read_content(file, options.limits).data
    return content_digest(data, NEW_DIGEST_KIND), _fingerprint(options, data)


def _hash_results(
    files: Sequence[bytes],
    pictures: Pictures,
    n_images: int,
    options: EvaluateOptions,
    pool: Pool,
) -> dict[str, HashResult]:
    """Find for each hash how far apart different pictures are, and which distance to choose."""
    results = {}
    for by, (bits, default) in options.defaults.items():
        considered = np.arange(len(files))
        if by != "search":
            considered = np.flatnonzero(pictures.quality >= MATCH_MIN_QUALITY)
        some = pictures.of(considered)
        i, j, far = different_pairs(some.hashes_by(by), some)
        nearest = np.argsort(far, kind="stable")[:N_NEAREST]
        named = [(files[considered[i[k]]], files[considered[j[k]]]) for k in nearest]
        relations = Counter(_relations(named, options.limits, pool))
        chance = None if by == "pdq" else chance_among(some, by)
        n = round(n_images * len(considered) / len(files))
        distance = chance and chance.largest_distance(n * (n - 1) // 2, options.max_false_pairs)
        different = np.bincount(far, minlength=bits + 1)
        results[by] = HashResult(bits, default, different, chance, distance, relations)
    return results


def _relations(pairs: Sequence[tuple[bytes, bytes]], limits: Limits, pool: Pool) -> Iterator[str]:
    """Compare the pictures of pairs of files; ``unverified`` where one cannot be read."""
    for answer in decode_each(partial(_compare, limits), pairs, pool):
        yield UNVERIFIED if isinstance(answer, ImageError) else answer


def _compare(limits: Limits, pair: tuple[bytes, bytes]) -> str:
    """Compare the pictures of two files; in a worker."""
    first, second = (read_content(file, limits).data for file in pair)
    if first == second:
        return SAME_BYTES
    return _relation(*(decode_rgb(data, limits, MAX_SIDE) for data in (first, second)))


def _labelled(
    pairs: Sequence[LabelledPair], options: EvaluateOptions, pool: Pool
) -> tuple[dict[str, EditResult], int]:
    """Evaluate labelled pairs; also count those that cannot be read."""
    files = sorted({file for pair in pairs for file in (pair.a, pair.b)})
    hashed = dict(zip(files, decode_each(partial(_hash_file, options), files, pool), strict=True))
    compared = list(_relations([(pair.a, pair.b) for pair in pairs], options.limits, pool))
    groups: dict[str, list[tuple[Fingerprints, Fingerprints, str]]] = {}
    n_unread = 0
    for pair, relation in zip(pairs, compared, strict=True):
        first, second = hashed[pair.a], hashed[pair.b]
        if isinstance(first, ImageError) or isinstance(second, ImageError):
            n_unread += 1
            continue
        groups.setdefault(pair.label, []).append((first, second, relation))
    results = {}
    for label, members in groups.items():
        first_ones, second_ones, relations = zip(*members, strict=True)
        results[label] = EditResult(_distances(first_ones, second_ones), Counter(relations))
    return results, n_unread


def _hash_file(options: EvaluateOptions, file: bytes) -> Fingerprints:
    """Hash a file; in a worker."""
    return _fingerprint(options, read_content(file, options.limits).data)

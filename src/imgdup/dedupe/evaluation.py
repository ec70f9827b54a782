"""What to evaluate, and what is found: distances and relations by edit, hash and label."""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from imgdup.hashing import HASHERS, MATCH_BITS, MATCH_MAX_DISTANCE
from imgdup.query.chance import Chance
from imgdup.system.limits import Limits

Distances = npt.NDArray[np.int64]
Relations: TypeAlias = Mapping[str, int]  # how many pairs have each relation


class EvaluateOptions(NamedTuple):
    """What to evaluate.

    Attributes
    ----------
    hash, bits : str, int
        The search hash and its length.
    max_false_pairs : float
        How many pairs of different pictures are accepted in the whole collection.
    sample : int
        How many pictures are edited at most. Distances of different pictures are measured on more.
    n_compared : int
        Of how many of them the copies are also compared with the picture, which takes longer.
    with_pdq : bool
        Whether to evaluate PDQ hashes, too.
    limits : Limits
        What one picture may cost.
    """

    hash: str = "dhash"
    bits: int = 64
    max_false_pairs: float = 1.0
    sample: int = 1000
    n_compared: int = 200
    with_pdq: bool = False
    limits: Limits = Limits()

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

    Attributes
    ----------
    distances : mapping of str to ndarray of int64, shape (n,)
        Between each picture and its copy, in bits, by ``"match"``, ``"search"`` and, if requested,
        ``"pdq"`` hash.
    relations : mapping of str to int
        What the comparison of the pictures says, and how often.
    """

    distances: Mapping[str, Distances]
    relations: Relations


class HashResult(NamedTuple):
    """What is known of one hash.

    Attributes
    ----------
    bits, default_distance : int
    different : ndarray of int64, shape (bits + 1,)
        Pairs of different pictures, by distance: of all pictures, or of 3,000 of them.
    chance : Chance or None
        Pairs by chance; None where the sample is too small for an estimate, and for PDQ hashes:
        nearly all have as many ones as zeros, so that distances are even, and no law fits them.
    distance : int or None
        The largest distance within which few enough pairs are expected by chance.
    relations : mapping of str to int
        What the comparison says of the nearest pairs of different pictures.
    """

    bits: int
    default_distance: int
    different: Distances
    chance: Chance | None
    distance: int | None
    relations: Relations


class Evaluation(NamedTuple):
    """The result of `evaluate`, by edit, by hash and by label.

    Attributes
    ----------
    n_images : int
        Of the collection; as many pairs as they have are considered.
    n_sampled, n_failed : int
        Pictures that were edited, and those of the sample that could not be read.
    max_false_pairs : float
    hashes : mapping of str to HashResult
        For ``"match"``, ``"search"`` and, if requested, ``"pdq"``.
    edits : mapping of str to EditResult
    labels : mapping of str to EditResult
        The labelled pairs, by label.
    n_unread : int
        Labelled pairs that could not be read.
    """

    n_images: int
    n_sampled: int
    n_failed: int
    max_false_pairs: float
    hashes: Mapping[str, HashResult]
    edits: Mapping[str, EditResult]
    labels: Mapping[str, EditResult]
    n_unread: int

"""Search an index: matches of probes, and pairs of rows."""

from imgdup.hashing import HASHERS, MATCH_BITS, MATCH_MAX_DISTANCE
from imgdup.index.generation import Generation


def default_distance(generation: Generation, by: str = "search") -> int:
    """Return the largest distance of a hash that a query accepts by default, in bits."""
    if by == "match":
        return MATCH_MAX_DISTANCE
    name = generation.head["hash"] if by == "search" else by
    return HASHERS[name].max_distance[hash_bits(generation, by)]


def hash_bits(generation: Generation, by: str) -> int:
    """Return the length of a hash that `by` names, in bits."""
    return generation.bits if by == "search" else MATCH_BITS

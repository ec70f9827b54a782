"""Which rows have a picture that is not in another index; the twin compares each pair of rows."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from imgdup.errors import UsageError
from imgdup.index.generation import GenerationRows
from imgdup.query.row_pairs import rows_outside
from made_generation import made_generation


@st.composite
def tables(draw, digest):
    n = draw(st.integers(1, 12))
    hashes = draw(st.lists(st.sampled_from([0, 1, 3, 7, 255, 1 << 40]), min_size=n, max_size=n))
    quality = draw(st.lists(st.sampled_from([10, 49, 50, 100]), min_size=n, max_size=n))
    digests = draw(st.lists(st.integers(0, 5), min_size=n, max_size=n))
    failed = draw(st.sets(st.integers(0, n - 1), max_size=3))
    made = made_generation(hashes, hashes, quality, failed, digest=np.array(digests) + digest)
    return GenerationRows(made)


def slow_outside(a, b, max_distance):
    """Compare each row of `a` with each row of `b`."""
    return [
        i
        for i in range(len(a))
        if not any(is_same_picture(facts(a, i), facts(b, j), max_distance) for j in range(len(b)))
    ]


def facts(rows, row):
    names = ("size", "digest", "match", "quality", "status")
    return {name: rows.column(name)[row].tolist() for name in names}


def is_same_picture(a, b, max_distance):
    if any(a["digest"]) and (a["size"], a["digest"]) == (b["size"], b["digest"]):
        return True
    if max_distance is None or a["status"] or b["status"] or min(a["quality"], b["quality"]) < 50:
        return False
    bits = sum((x ^ y).bit_count() for x, y in zip(a["match"], b["match"], strict=True))
    return bits <= max_distance


@given(tables(digest=0), tables(digest=0), st.sampled_from([None, 0, 1, 2, 8]))
def test_the_rows_are_those_that_comparing_each_pair_gives(a, b, max_distance):
    assert rows_outside(a, b, max_distance).tolist() == slow_outside(a, b, max_distance)


@given(tables(digest=1))
def test_an_index_without_itself_is_empty(a):
    assert rows_outside(a, a).tolist() == []


def test_digests_of_two_kinds_are_refused():
    a, b = (GenerationRows(made_generation([1])) for _ in range(2))
    b.generation.head["digest_kind"] = "blake3"

    with pytest.raises(UsageError, match="run imgdup index --rehash"):
        rows_outside(a, b)

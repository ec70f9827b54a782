"""Components: chains of duplicates, for information.

Oracle: labels that spread over all pairs until nothing changes.
"""

from hypothesis import given
from hypothesis import strategies as st

from array_rows import File, rows_of
from imgdup.components import chains, component_labels
from imgdup.dedupe import Wishes, find_duplicates
from imgdup.duplicates import Rule

NEAR = Wishes(rule=Rule(2))

FILES = st.lists(
    st.builds(
        dict,
        pdq=st.integers(0, 63),
        quality=st.sampled_from([100, 50, 49]),
        content=st.sampled_from([b"", b"", b"x", b"y"]),
    ),
    max_size=12,
)


def are_duplicates(a, b):
    near = (a.pdq ^ b.pdq).bit_count() <= 2 and min(a.quality, b.quality) >= 50
    return near or a.content == b.content


def spread(files):
    """The number of each file's component, by first appearance."""
    labels = list(range(len(files)))
    for _ in files:
        for i, a in enumerate(files):
            for j, b in enumerate(files):
                if are_duplicates(a, b):
                    labels[i] = labels[j] = min(labels[i], labels[j])
    seen = list(dict.fromkeys(labels))
    return [seen.index(label) for label in labels]


@given(FILES)
def test_labels_equal_those_that_spread_over_all_pairs(drawn):
    files = [File(b"/data/%02d.jpg" % i, **facts) for i, facts in enumerate(drawn)]

    labels = component_labels(find_duplicates(rows_of(files), NEAR))

    assert labels.tolist() == spread(files)


def test_a_chain_is_one_component_although_its_ends_are_far_apart():
    files = [File(b"/data/%d.jpg" % i, pdq=2 ** (2 * i) - 1) for i in range(5)]

    found = find_duplicates(rows_of([*files, File(b"/data/z.jpg", pdq=2**200 - 1)]), NEAR)

    assert chains(found) == {5: 1}


def test_no_files_have_no_components():
    found = find_duplicates(rows_of([]), NEAR)

    assert component_labels(found).tolist() == []
    assert chains(found) == {}

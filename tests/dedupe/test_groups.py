"""Star groups: which file is kept, which is removed, and in favour of which.

Oracle: ``oracles_dedupe.star_groups`` visits the files one by one with plain loops. Files are
drawn from few hashes a few bits apart, few contents and few names, so that ties, equal hashes,
chains, hard links, protected folders and low quality meet each other. Contents may disagree with
hashes, as in an index that two versions of a decoder filled.

Checked by hand, each makes a test here fail: visiting in row order; ``<`` for ``<=`` in the
distance of the pairs; leaving out `_look_again`; leaving out the split files; using the first
keeper instead of the nearest; using a removed file as a keeper; removing protected files.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

import oracles_dedupe
from array_rows import File, rows_of, same_picture
from imgdup.dedupe import components
from imgdup.dedupe.candidates import MatchRule
from imgdup.dedupe.groups import DedupeOptions, Inspection, star_groups
from imgdup.dedupe.keep import DEFAULT_RULES, Keep
from imgdup.index.columns import images

NAMES = [b"/data/" + name for name in (b"a", b"a/b", b"a-b", b"keep/x", b"keep/y", b"z")]


def files_strategy(max_size=14, *, consistent=False):
    """Files whose hashes are sums of a few bits: distances 0 to 6, many ties."""
    fields = {
        "match": st.integers(0, 63).map(lambda n: n * ((1 << 250) + 1)),
        "quality": st.sampled_from([49, 50, 100]),
        "content": st.sampled_from([b"1", b"2", b"3", b"4", b"5", b"6"]),
        "size": st.sampled_from([1, 2]),
        "width": st.sampled_from([1, 2]),
        "mtime_ns": st.integers(0, 2),
        "search": st.integers(0, 3),
        "status": st.sampled_from([0, 0, 0, 0, 0, 1]),
        "inode": st.sampled_from([0, 0, 0, 0, 7]),
    }
    drawn = st.lists(st.fixed_dictionaries(fields), max_size=max_size)
    return drawn.map(lambda each: _named(each, consistent))


SPREAD = (1, 10, 32, 32)  # bits; sums of some are 64 and 65, on both sides of a limit


def spread(match):
    """A match hash that is 0 to 75 bits from the others."""
    return sum(((1 << n) - 1) << 40 * k + 1 for k, n in enumerate(SPREAD) if match >> k & 1)


def spread_files(files):
    """The same files with match hashes that are 0 to 75 bits apart, and search hashes 0 to 4.

    Some have a border; the hash of what it encloses is also one of these.
    """
    return [
        replace(
            file,
            match=spread(file.match),
            search=5 * file.search,
            trimmed=spread(~file.match) if file.width == 2 else 0,
        )
        for file in files
    ]


def turned_files(files):
    """Files whose pictures are rotated or mirrored, each in one of the eight ways."""
    return st.lists(st.integers(0, 7), min_size=len(files), max_size=len(files)).map(
        lambda numbers: [
            _turned(file, 1 if file.inode else number)  # names of one file have one hash
            for file, number in zip(files, numbers, strict=True)
        ]
    )


def _turned(file, number):
    upright = file.match & ~1  # of the mean brightness, always 0 in a match hash
    return replace(file, match=oracles_dedupe.turned_match(upright)[number])


def _named(drawn, consistent):
    """Add paths; names of one file share its facts and, if asked, equal bytes share a hash."""
    files, by_inode, by_content = [], {}, {}
    for number, facts in enumerate(drawn):
        facts = by_inode.setdefault(facts["inode"], facts) if facts["inode"] else facts
        if consistent:
            twin = by_content.setdefault((facts["content"], facts["size"]), facts)
            facts = {**facts, **{name: twin[name] for name in ("match", "quality", "search")}}
        path = NAMES[number % len(NAMES)] + b"/%d.jpg" % (number // len(NAMES))
        files.append(File(path, **facts))
    return files


def decided(rows, groups):
    """The library's groups in the oracle's form."""
    keepers = groups.keeper_of_each().tolist()
    removed = zip(groups.removed.tolist(), keepers, groups.distances.tolist(), strict=True)
    return {rows.path(r): (rows.path(k), d) for r, k, d in removed}


def grouped(files, keep=None, rule=None, **options):
    rows = rows_of(files, **options)
    return decided(rows, groups_of(rows, keep, rule))


def groups_of(rows, keep=None, rule=None, judge=same_picture, **options):
    given = DedupeOptions(keep or Keep(), rule or MatchRule(), **options)
    return star_groups(rows, images(rows), given, inspection=Inspection(judge))


@pytest.mark.parametrize("consistent", [True, False], ids=["consistent", "drifted"])
@given(data=st.data())
def test_groups_equal_visiting_the_files_one_by_one(consistent, data):
    files = data.draw(files_strategy(consistent=consistent))
    max_distance = data.draw(st.integers(0, 6))
    protect = data.draw(st.sampled_from([(), (b"/data/keep",), (b"/data/a",)]))
    rules = data.draw(st.permutations(DEFAULT_RULES))

    result = grouped(files, Keep(tuple(rules), protect), MatchRule(max_distance))

    assert result == oracles_dedupe.star_groups(files, rules, protect, max_distance)


@given(files=files_strategy().flatmap(turned_files), max_distance=st.integers(0, 6))
def test_groups_of_turned_pictures_equal_visiting_the_files_one_by_one(files, max_distance):
    result = grouped(files, rule=MatchRule(max_distance, orientations=True))

    assert result == oracles_dedupe.star_groups(
        files, DEFAULT_RULES, max_distance=max_distance, orientations=True
    )


@pytest.mark.parametrize("most_kept", [0, 1, 1 << 20])
@given(
    files=files_strategy().flatmap(turned_files),
    max_distance=st.integers(0, 6),
    orientations=st.booleans(),
    room=st.sampled_from([1, 1 << 28]),
)
def test_pairs_that_are_too_many_to_keep_are_found_again(
    most_kept, files, max_distance, orientations, room
):
    rule = {"max_distance": max_distance, "orientations": orientations}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(components, "MOST_KEPT", most_kept)
        patched.setattr(components, "PART_BYTES", room)  # one component in a part, or all

        result = grouped(files, rule=MatchRule(**rule))

    assert result == oracles_dedupe.star_groups(files, DEFAULT_RULES, **rule)


@given(
    files=files_strategy().map(spread_files),
    max_distance=st.integers(0, 40),
    orientations=st.booleans(),
)
def test_groups_of_a_wide_rule_equal_visiting_the_files_one_by_one(
    files, max_distance, orientations
):
    rule = {"max_distance": max_distance, "orientations": orientations, "wide": True}

    result = grouped(files, rule=MatchRule(**rule))

    assert result == oracles_dedupe.star_groups(files, DEFAULT_RULES, **rule)


@given(files=files_strategy(), search_distance=st.integers(0, 2), max_distance=st.integers(0, 6))
def test_a_search_distance_narrows_the_pairs(files, search_distance, max_distance):
    result = grouped(files, rule=MatchRule(max_distance, search_distance))

    expected = oracles_dedupe.star_groups(files, DEFAULT_RULES, (), max_distance, search_distance)
    assert result == expected


@given(files=files_strategy(), data=st.data())
def test_the_numbering_of_the_rows_does_not_matter(files, data):
    shuffled = data.draw(st.permutations(files))

    result = grouped(shuffled, rule=MatchRule(3), in_path_order=False)

    assert result == grouped(files, rule=MatchRule(3))


@given(files=files_strategy(consistent=True), max_distance=st.integers(0, 6))
def test_no_two_kept_files_are_duplicates(files, max_distance):
    gone = grouped(files, rule=MatchRule(max_distance))

    staying = [f for f in files if f.path not in gone and f.status == 0]
    for i, a in enumerate(staying):
        for b in staying[:i]:
            linked = a.inode == b.inode != 0
            assert linked or not oracles_dedupe.are_duplicates(a, b, max_distance)


@given(files=files_strategy(max_size=10))
def test_all_names_of_a_file_are_kept_or_removed_together(files):
    gone = grouped(files, rule=MatchRule(3))

    names = [f.path for f in files if f.inode == 7 and f.status == 0]
    assert len({gone.get(name) for name in names}) <= 1


@given(files=files_strategy(), threads=st.sampled_from([1, 2, 7]))
def test_threads_do_not_matter(files, threads):
    rows = rows_of(files)

    result = groups_of(rows, rule=MatchRule(3), threads=threads)

    assert decided(rows, result) == grouped(files, rule=MatchRule(3))


@given(files=files_strategy())
def test_groups_are_sorted_best_first_and_each_nearest_first(files):
    rows = rows_of(files)

    groups = groups_of(rows, rule=MatchRule(4))

    order = [f.path for f in oracles_dedupe.keep_order(files, DEFAULT_RULES)]
    keepers = [order.index(rows.path(row)) for row in groups.keepers.tolist()]
    assert keepers == sorted(keepers)
    for a, b in zip(groups.offsets[:-1].tolist(), groups.offsets[1:].tolist(), strict=True):
        assert a < b
        assert groups.distances[a:b].tolist() == sorted(groups.distances[a:b].tolist())


def test_a_chain_removes_only_files_near_the_kept_file():
    best, middle, far = (
        File(b"/data/1", match=0, width=300),
        File(b"/data/2", match=(1 << 20) - 1, width=200),
        File(b"/data/3", match=(1 << 40) - 1, width=100),
    )

    result = grouped([best, middle, far])

    assert result == {b"/data/2": (b"/data/1", 20)}


def test_a_twin_is_removed_in_favour_of_the_nearest_kept_file_before_it():
    files = [
        File(b"/data/1", match=0, width=500),
        File(b"/data/2", match=(1 << 30) - 1, width=400),  # removed in favour of 1
        File(b"/data/3", match=(1 << 32) - 1, width=300),  # too far from 1: kept
        File(b"/data/4", match=(1 << 30) - 1, width=200),  # as 2, but 3 is kept by now
    ]

    result = grouped(files)

    assert result == {b"/data/2": (b"/data/1", 30), b"/data/4": (b"/data/3", 2)}


def test_a_twin_is_never_removed_in_favour_of_a_removed_file():
    files = [
        File(b"/data/1", match=0, width=500),
        File(b"/data/2", match=(1 << 20) - 1, width=400),  # removed in favour of 1
        File(b"/data/3", match=(1 << 21) - 1, width=300),  # removed in favour of 1
        File(b"/data/4", match=(1 << 20) - 1, width=200),  # as 2, with 3 nearest
    ]

    result = grouped(files)

    assert {keeper for keeper, _ in result.values()} == {b"/data/1"}


def test_twenty_thousand_equal_hashes_are_one_group():
    n = 20_000
    rows = rows_of([])
    columns = {name: np.zeros((n, *c.shape[1:]), c.dtype) for name, c in rows.columns.items()}
    columns["same_file"][:] = -1
    columns["quality"][:] = 100
    columns["digest"][:, :4] = np.arange(n, dtype="<u4").view(np.uint8).reshape(n, 4)
    paths = tuple(b"/data/%06d" % row for row in range(n))
    rows = type(rows)(columns, paths)

    groups = groups_of(rows)

    assert groups.keepers.tolist() == [0]
    assert groups.removed.tolist() == list(range(1, n))


@pytest.mark.parametrize("files", [[], [File(b"/data/1")]], ids=["none", "one"])
def test_without_pairs_there_are_no_groups(files):
    rows = rows_of(files)

    groups = groups_of(rows)

    assert groups.offsets.tolist() == [0]
    assert groups.keepers.tolist() == groups.removed.tolist() == []


@pytest.mark.parametrize("distance", [-1, 257])
def test_a_distance_outside_the_hash_is_refused(distance):
    with pytest.raises(ValueError, match=f"0 to 256, got {distance}"):
        MatchRule(distance)


def test_a_negative_search_distance_is_refused():
    with pytest.raises(ValueError, match="0 or more, got -1"):
        MatchRule(31, -1)

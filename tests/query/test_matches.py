"""Looking up many pictures: the matches of each, streamed, the same for each strategy.

Oracle: `matches_by_loops`, two loops that compare integers and share no code with the search.
"""

import os
import tracemalloc
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from make_sample import encode, photo

from imgdup import ImageIndex
from imgdup.build.settings import Settings
from imgdup.errors import ImgdupError, IndexFormatError
from imgdup.query import match as matching, matches, nearby
from imgdup.query.matches import QueryOptions, look_up_each, query_files
from imgdup.workers.pool import inline
from made_generation import a_probe, look_up_probes, made_generation

STRATEGIES = ("tree", "bands", "scan")
HASHES = st.lists(st.integers(0, 63), min_size=1, max_size=40)  # few bits: many ties
ORIENTATIONS = ("none", "rotate-90", "rotate-180")


def matches_by_loops(hashes, failed, picture, max_distance, k):
    """(distance, row, orientation) of the nearest rows of one picture."""
    found = []
    for row, value in enumerate(hashes):
        if row not in failed:
            distance, number = min((((value ^ p).bit_count()), i) for i, p in enumerate(picture))
            if distance <= max_distance:
                found.append((distance, row, ORIENTATIONS[number]))
    return sorted(found)[:k]


def as_probes(picture):
    return [
        a_probe(value, orientation=orientation)
        for value, orientation in zip(picture, ORIENTATIONS, strict=False)
    ]


@given(
    hashes=HASHES,
    pictures=st.lists(st.lists(st.integers(0, 63), min_size=1, max_size=3), max_size=5),
    max_distance=st.integers(0, 7),
    k=st.none() | st.integers(1, 50),
    strategy=st.sampled_from([None, *STRATEGIES]),
    data=st.data(),
)
def test_matches_of_many_pictures_equal_two_loops(
    hashes, pictures, max_distance, k, strategy, data
):
    failed = data.draw(st.sets(st.integers(0, len(hashes) - 1), max_size=3))
    generation = made_generation(hashes, failed=failed)
    options = QueryOptions(max_distance, k, strategy, by="search")

    found = [
        [(match.distance, match.row, match.orientation) for match in each]
        for each in look_up_each(generation, [as_probes(p) for p in pictures], options)
    ]

    assert found == [matches_by_loops(hashes, failed, p, max_distance, k) for p in pictures]


def spread(value):
    """Repeat each bit of a small number eight times, so that 3 bits are within 31 and 4 are not."""
    return sum(0xFF << 8 * bit for bit in range(7) if value >> bit & 1)


FACTS = st.fixed_dictionaries(
    {
        "search": st.integers(0, 31),
        "match": st.integers(0, 63).map(spread),
        "pdq": st.integers(0, 63).map(spread),
        "quality": st.sampled_from([0, 49, 50, 100]),
        "digest": st.integers(1, 3),
    }
)


def distance_between(name, row, probe):
    return (row[name] ^ probe[name]).bit_count()


def is_near(name, row, probe, limit):
    """Whether a hash finds a row, by the rules of the README."""
    if name == "search" or min(row["quality"], probe["quality"]) >= 50:
        return distance_between(name, row, probe) <= limit
    return probe["quality"] < 50 and probe["has_bytes"] and row["digest"] == probe["digest"]


def rows_by_loops(rows, picture, limits, k):
    """(distance, row, orientation, hashes) of the rows near one picture."""
    found = []
    for number, row in enumerate(rows):
        hits = []
        for i, probe in enumerate(picture):
            names = tuple(name for name in limits if is_near(name, row, probe, limits[name]))
            if names:
                distance = distance_between(next(iter(limits)), row, probe)
                hits.append(("match" not in names, distance, i, names))
        if hits and not row["failed"]:
            _, distance, i, names = min(hits)
            found.append((distance, number, ORIENTATIONS[i], names))
    return sorted(found)[:k]


def probe_of(facts, orientation):
    """A probe; if it has no bytes, it was made of an array."""
    digest = bytes([facts["digest"], *[0] * 15]) if facts["has_bytes"] else b""
    names = ("search", "match", "quality")
    search, match, quality = (facts[name] for name in names)
    return a_probe(search, match, quality, digest, orientation, facts["pdq"])


@given(
    rows=st.lists(st.tuples(FACTS, st.booleans()), min_size=1, max_size=30),
    pictures=st.lists(
        st.lists(st.tuples(FACTS, st.booleans()), min_size=1, max_size=3), max_size=4
    ),
    by=st.sampled_from([None, "search", "match", "pdq"]),
    max_distance=st.none() | st.sampled_from([0, 2, 9, 33]),
    k=st.none() | st.integers(1, 40),
    strategy=st.sampled_from([None, *STRATEGIES]),
    few=st.sampled_from([0, 16]),
)
def test_matches_by_one_hash_or_two_equal_two_loops(
    rows, pictures, by, max_distance, k, strategy, few
):
    rows = [{**facts, "failed": failed} for facts, failed in rows]
    pictures = [[{**facts, "has_bytes": has} for facts, has in each] for each in pictures]
    names = ("search", "match", "quality", "pdq", "digest")
    search, match, quality, pdq, digest = ([row[name] for row in rows] for name in names)
    failed = [number for number, row in enumerate(rows) if row["failed"]]
    generation = made_generation(search, match, quality, failed, pdq=pdq, digest=digest)
    default = {"search": 10, "match": 31, "pdq": 31}[by or "search"] if k is None else 256
    limits = {by or "search": default if max_distance is None else max_distance}
    if by is None and k is None:
        limits["match"] = 31

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearby, "FEW_PROBES", few)
        found = [
            [(m.pdq_distance if by == "pdq" else m.match_distance if by == "match" else m.distance,
              m.row, m.orientation, m.found_by) for m in each]
            for each in look_up_each(
                generation,
                [list(map(probe_of, each, ORIENTATIONS[: len(each)])) for each in pictures],
                QueryOptions(max_distance, k, strategy, by=by),
            )
        ]  # fmt: skip

    assert found == [rows_by_loops(rows, picture, limits, k) for picture in pictures]


def test_a_picture_that_only_the_match_hash_finds_is_a_duplicate():
    generation = made_generation([0, (1 << 30) - 1], match=[0, 7])

    found = look_up_probes(generation, [a_probe(0)])

    assert [(m.row, m.distance, m.match_distance, m.found_by) for m in found] == [
        (0, 0, 0, ("search", "match")),
        (1, 30, 3, ("match",)),
    ]
    assert [m.duplicate for m in found] == [True, True]


def test_an_image_near_in_two_orientations_is_given_in_the_one_that_is_a_duplicate():
    generation = made_generation([0], match=[0])
    as_it_is = a_probe(0b1, match=(1 << 60) - 1)
    mirrored = a_probe(0b111, match=1, orientation="mirror")

    (match,) = look_up_probes(generation, [as_it_is, mirrored])

    assert (match.orientation, match.distance, match.duplicate) == ("mirror", 3, True)


@pytest.mark.parametrize("by", ["match", "pdq"])
def test_the_nearest_by_a_hash_without_a_tree_must_be_at_least_one(by):
    with pytest.raises(ValueError, match="k must be at least 1"):
        look_up_probes(made_generation([0], pdq=[0]), [a_probe(0, pdq=0)], QueryOptions(k=0, by=by))


@pytest.mark.parametrize("k", [None, 3])
@pytest.mark.parametrize("by", ["match", "pdq"])
def test_a_distance_outside_a_hash_without_a_tree_is_refused(by, k):
    generation = made_generation([0], pdq=[0])

    for distance in (-1, 257):
        with pytest.raises(ValueError, match="256"):
            look_up_probes(generation, [a_probe(0, pdq=0)], QueryOptions(distance, k, by=by))


def test_a_hash_that_the_index_does_not_have_is_named():
    generation = made_generation([0])

    with pytest.raises(ImgdupError, match="no PDQ hashes: run imgdup index --with pdq"):
        look_up_probes(generation, [a_probe(0)], QueryOptions(by="pdq"))


def test_an_unknown_hash_or_strategy_is_refused():
    for options in (QueryOptions(by="md5"), QueryOptions(strategy="guess")):
        with pytest.raises(ValueError, match=r"md5|guess"):
            look_up_probes(made_generation([0]), [a_probe(0)], options)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("held", [1, 7, 1 << 22])
def test_matches_do_not_depend_on_how_many_are_held(monkeypatch, strategy, held):
    monkeypatch.setattr(nearby, "MAX_HELD", held)
    monkeypatch.setattr(matching, "FIRST_ROWS", 2)
    monkeypatch.setattr(matching, "ROWS_TOGETHER", 3)
    values = [number * 37 % 64 for number in range(50)]
    pictures = [[value] for value in values]

    found = look_up_each(
        made_generation(values),
        map_probes(pictures),
        QueryOptions(3, strategy=strategy, by="search"),
    )

    assert [[(m.distance, m.row) for m in each] for each in found] == [
        [(d, row) for d, row, _ in matches_by_loops(values, (), p, 3, None)] for p in pictures
    ]


@pytest.mark.parametrize("n_read", [1, 2, 7, 100])
@pytest.mark.parametrize("by", ["search", None])
def test_who_reads_only_the_first_matches_gets_the_first_of_all(n_read, by):
    values = [number * 37 % 64 for number in range(50)] + [1, 1, 2]
    generation, pictures = made_generation(values), map_probes([[1], [12], [63]])

    every = [list(each) for each in look_up_each(generation, pictures, QueryOptions(4, by=by))]
    first = [
        list(islice(each, n_read))
        for each in look_up_each(generation, pictures, QueryOptions(4, by=by, n_read=n_read))
    ]

    assert first == [each[:n_read] for each in every]


def map_probes(pictures):
    return [as_probes(picture) for picture in pictures]


def peak_of_a_query(n_rows, n_probes, options):
    """Look up probes in an index of distinct hashes; return what `peak_of_look_ups` does."""
    pictures = map_probes([[number % n_rows] for number in range(n_probes)])
    return peak_of_look_ups(made_generation(list(range(n_rows))), pictures, options)


def peak_of_look_ups(generation, pictures, options):
    """Number of matches, and the most memory that was taken at once, in bytes."""
    names = [Path(os.fsdecode(path)) for path in generation.paths]  # pathlib keeps their texts
    list(islice(next(look_up_each(generation, pictures[:1], options)), 1))  # loads what is lazy
    tracemalloc.start()
    n_matches = sum(1 for each in look_up_each(generation, pictures, options) for _ in each)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    del names
    return n_matches, peak


@pytest.mark.parametrize(
    "options",
    [
        QueryOptions(64, strategy="tree", by="search"),
        QueryOptions(64, strategy="scan"),
        QueryOptions(256, strategy="scan", by="match"),
        QueryOptions(k=200),
        QueryOptions(k=200, by="match"),
    ],
    ids=["tree", "scan", "match-scan", "nearest", "match-nearest"],
)  # fmt: skip
def test_memory_does_not_grow_with_the_number_of_matches(options, monkeypatch):
    monkeypatch.setattr(nearby, "MAX_HELD", 1 << 10)

    n_matches, peak = peak_of_a_query(200, 120, options)

    assert n_matches == 200 * 120
    assert peak < 16 * n_matches  # the bare numbers of all matches would take more


@pytest.mark.parametrize("options", [QueryOptions(k=200, by="match"), QueryOptions(by="match")])
def test_memory_does_not_grow_with_the_files_that_have_the_bytes_of_blank_pictures(
    options, monkeypatch
):
    monkeypatch.setattr(nearby, "MAX_HELD", 1 << 10)
    monkeypatch.setattr(nearby, "FEW_PROBES", 1 << 10)  # they are compared by a scan
    generation = made_generation([0] * 200, quality=[0] * 200, digest=[7] * 200)
    blank = a_probe(0, quality=0, digest=bytes([7, *[0] * 15]))

    n_matches, peak = peak_of_look_ups(generation, [[blank]] * 120, options)

    assert n_matches == 200 * 120
    assert peak < 16 * n_matches


@pytest.mark.parametrize(("by", "match_bytes"), [("search", 100), (None, 200)])
def test_matches_by_bands_are_held_as_numbers_only(by, match_bytes):
    n_matches, peak = peak_of_a_query(200, 160, QueryOptions(64, strategy="bands", by=by))

    assert n_matches == 200 * 160
    assert peak < match_bytes * n_matches  # as matches they would take over 400 bytes each


def test_a_duplicate_has_near_match_hashes_and_structure_or_the_same_bytes():
    generation = made_generation(
        [0] * 5, match=[0, (1 << 31) - 1, (1 << 32) - 1, 0, (1 << 40) - 1],
        quality=[50, 100, 100, 49, 0],
    )  # fmt: skip
    same_bytes = generation.arrays["digest"][4].tobytes()

    found = look_up_probes(generation, [a_probe(0, match=0, digest=same_bytes)], QueryOptions(0))

    assert [m.duplicate for m in found] == [True, True, False, False, True]
    assert [m.match_distance for m in found] == [0, 31, 32, 0, 40]
    assert [(m.width, m.height) for m in found] == [(row + 1, row + 2) for row in range(5)]
    assert [str(m.path) for m in found] == [f"/000{row}.jpg" for row in range(5)]


def test_a_rotated_picture_does_not_have_the_bytes_of_its_file():
    generation = made_generation([0], quality=[0])
    digest = generation.arrays["digest"][0].tobytes()
    rotated = a_probe(0, orientation="rotate-90")

    (match,) = look_up_probes(generation, [a_probe(1, digest=digest), rotated], QueryOptions(0))

    assert match.orientation == "rotate-90"
    assert not match.duplicate


@pytest.mark.parametrize("strategy", [None, *STRATEGIES])
def test_a_distance_outside_the_hash_is_refused_by_each_strategy(strategy):
    for distance in (-1, 65):
        with pytest.raises(ValueError, match="64"):
            look_up_probes(
                made_generation([0]), [a_probe(0)], QueryOptions(distance, strategy=strategy)
            )


def test_forged_row_numbers_are_refused():
    generation = made_generation([0])
    generation.arrays["class_rows"][0] = 7

    with pytest.raises(IndexFormatError, match="forged"):
        look_up_probes(generation, [a_probe(0)])


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("matches") / "photos"
    folder.mkdir()
    for seed in range(6):
        (folder / f"{seed}.jpg").write_bytes(encode(photo(seed, 160, 120), ".jpg"))
    (folder / "copy.jpg").write_bytes((folder / "0.jpg").read_bytes())
    settings = Settings(workers=1, engine=inline)
    return ImageIndex.build(folder, path=folder.parent / "index", settings=settings)


def files_of(index):
    """The indexed files, a broken one and a missing one among them."""
    broken = index.folder.parent / "broken.jpg"
    broken.write_bytes(b"nonsense")
    paths = [index.rows.path(row) for row in range(len(index))]
    return [*paths[:3], bytes(broken), *paths[3:], bytes(broken.with_name("missing.jpg"))]


@pytest.mark.parametrize("together", [1, 3, 10_000])
def test_each_file_gets_its_matches_or_the_reason_why_there_are_none(index, monkeypatch, together):
    monkeypatch.setattr(matches, "MAX_PROBES", together)
    files = files_of(index)

    answers = list(query_files(index.generation, iter(files)))

    assert [answer.file for answer in answers] == files
    for answer in answers:
        if answer.error is None:
            assert list(answer.matches) == index.within(answer.file.decode())
        else:
            assert list(answer.matches) == []
    reasons = [answer.error and answer.error.reason for answer in answers]
    assert reasons == [None, None, None, "not-an-image", *[None] * 4, "missing"]


def test_files_are_read_as_they_are_needed(index, monkeypatch):
    monkeypatch.setattr(matches, "MAX_PROBES", 2)
    taken = []
    files = (taken.append(file) or file for file in files_of(index))

    next(query_files(index.generation, files))

    assert len(taken) == 2


def test_a_query_reports_its_plan_and_what_it_has_cost(index):
    lines = []
    options = QueryOptions(64, strategy="scan")

    answers = list(query_files(index.generation, files_of(index), options, report=lines.append))

    assert len(answers) == 9
    assert lines[0].startswith("search hash: strategy ")
    assert lines[4].startswith("match hash: strategy ")
    assert [line.split()[0] for line in sorted(lines[5:7])] == ["bands", "scan"]
    assert lines[7] == "strategy scan was requested"
    assert lines[8].startswith("91 hashes visited, 49 matches of 7 probes, ")  # 6 x 7 and 7 x 7
    assert len(lines) == 9


def test_no_files_have_no_answers_and_no_report(index):
    assert list(query_files(index.generation, [], report=pytest.fail)) == []

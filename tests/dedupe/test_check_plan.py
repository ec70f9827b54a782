"""The checker of plans: every plan that the library makes passes, and every false one fails.

Plans are drawn as in test_groups; then one fact is made false in each way that an edit could, and
the checker must find it. A test verifies that the checker shares no code with the maker of plans.
"""

import ast
import dataclasses
from itertools import product

import numpy as np
import pytest
from hypothesis import given, strategies as st
from test_groups import files_strategy, spread_files, turned_files

import imgdup.dedupe.check_plan
from array_rows import File, rows_of, same_picture
from imgdup.dedupe import DedupeOptions, find_duplicates
from imgdup.dedupe.candidates import MatchRule
from imgdup.dedupe.check_plan import check_plan, faults
from imgdup.dedupe.keep import Keep
from imgdup.dedupe.plan import sealed
from imgdup.errors import PlanError
from imgdup.query.transformed import CROPS, likely_parts

FILES = [
    File(b"/data/best", match=0, width=300, size=30, search=0),
    File(b"/data/near", match=0b111, width=200, size=20, search=0b11),
    File(b"/data/same", match=0, width=100, size=10, content=b"1"),
    File(b"/data/twin", match=0, width=100, size=10, content=b"1"),
    File(b"/data/far", match=2**40 - 1, size=5),
    File(b"/data/flat", match=0, quality=10),
    File(b"/data/linked", match=2**100 - 1, inode=1),
    File(b"/data/linked2", match=2**100 - 1, inode=1),
    File(b"/data/other", match=2**100 - 1, width=500),
    File(b"/data/broken", status=2),
]


def row(rows, name):
    return rows.paths.index(b"/data/" + name)


@given(
    files=files_strategy(),
    max_distance=st.integers(0, 6),
    search_distance=st.sampled_from([None, 0, 1]),
    protect=st.sampled_from([(), (b"/data/keep",), (b"/data/a",)]),
)
def test_every_plan_that_is_made_passes(files, max_distance, search_distance, protect):
    rows = rows_of(files)
    options = DedupeOptions(Keep(protect=protect), MatchRule(max_distance, search_distance))

    plan = find_duplicates(rows, options, same_picture).plan()

    assert list(faults(plan, rows)) == []


@given(files=files_strategy().flatmap(turned_files), max_distance=st.integers(0, 6))
def test_every_plan_of_turned_pictures_passes_and_is_false_if_it_states_that_none_is_turned(
    files, max_distance
):
    rows = rows_of(files)
    options = DedupeOptions(rule=MatchRule(max_distance, orientations=True))

    plan = find_duplicates(rows, options, same_picture).plan()

    assert list(faults(plan, rows)) == []
    upright = plan._replace(header=sealed(plan.header._replace(orientations=False)))
    is_turned = any(
        not upright_duplicates(rows, removal, max_distance) for removal in plan.removals
    )
    assert bool(list(faults(upright, rows))) >= is_turned


@given(files=files_strategy().map(spread_files), max_distance=st.integers(0, 40))
def test_every_plan_of_a_wide_rule_passes(files, max_distance):
    rows = rows_of(files)
    options = DedupeOptions(rule=MatchRule(max_distance, wide=True))

    plan = find_duplicates(rows, options, same_picture).plan()

    assert list(faults(plan, rows)) == []
    narrow = plan._replace(header=sealed(plan.header._replace(wide=False)))
    is_wide = any(removal.distance > max_distance for removal in plan.removals)
    assert bool(list(faults(narrow, rows))) == is_wide


def test_plans_of_pictures_that_are_alike_in_the_middle_pass():
    rng = np.random.default_rng(2)
    files = []
    for number, (middle, n_other, n_flipped) in enumerate(
        product((0x2D5A_C3B1, 0b111, 0b11), range(3), (40, 56, 57, 80, 81))
    ):
        match = int.from_bytes(rng.bytes(32), "little") & ~1
        for name, bits in (("one", 0), ("two", (1 << n_other) - 1)):
            edges = int.from_bytes(rng.bytes(8), "little") & 0xFFFF_0000_0000_FFFF
            files.append(
                File(
                    b"/data/%03d-%s.jpg" % (number, name.encode()),
                    search=edges | (middle ^ bits << 8) << 16,
                    match=match,
                )
            )
            for bit in rng.choice(np.arange(1, 256), n_flipped, replace=False).tolist():
                match ^= 1 << bit
    rows = rows_of(sorted(files, key=lambda file: file.path))

    plan = find_duplicates(rows, DedupeOptions(rule=MatchRule(0, wide=True)), same_picture).plan()

    assert len(plan.removals) == 2 * (4 + 2)
    assert list(faults(plan, rows)) == []


def test_plans_with_crops_of_any_likeness_pass():
    rng = np.random.default_rng(1)
    files = []
    for number, (crop, n_flipped) in enumerate(product(CROPS, range(20, 60, 2))):
        whole = rng.integers(0, 2**64, (1, 4), np.uint64) & ~np.array([1, 0, 0, 0], np.uint64)
        cut = int.from_bytes(likely_parts(whole, crop).hashes.tobytes(), "little")
        for bit in rng.choice(np.arange(1, 256), n_flipped, replace=False).tolist():
            cut ^= 1 << bit
        for name, match in (("whole", int.from_bytes(whole.tobytes(), "little")), ("cut", cut)):
            files.append(File(b"/data/%03d-%s.jpg" % (number, name.encode()), match=match))
    rows = rows_of(sorted(files, key=lambda file: file.path))

    plan = find_duplicates(rows, DedupeOptions(rule=MatchRule(0, wide=True)), same_picture).plan()

    assert 30 < len(plan.removals) < 130
    assert list(faults(plan, rows)) == []


def upright_duplicates(rows, removal, max_distance):
    """Return whether the two files of a removal are duplicates as they are."""
    one, other = (
        int.from_bytes(rows.column("match")[facts.row].tobytes(), "little")
        for facts in (removal.keep, removal.remove)
    )
    near = (one ^ other).bit_count() <= max_distance
    return near or removal.relation == "same-bytes"


def made(name, remove=(), keep=(), rows=None, header=(), **members):
    """The plan of FILES with the removal of one file changed."""
    rows = rows or rows_of(FILES)
    plan = find_duplicates(rows, judge=same_picture).plan()
    place = [r.remove.path for r in plan.removals].index(b"/data/" + name)
    removal = plan.removals[place]
    removal = removal._replace(
        remove=removal.remove._replace(**dict(remove)),
        keep=removal.keep._replace(**dict(keep)),
        **members,
    )
    plan.removals[place] = removal
    return plan._replace(header=sealed(plan.header._replace(**dict(header)))), rows


def facts_of(rows, name):
    number = row(rows, name)
    return {
        "row": number,
        "path": rows.path(number),
        "size": int(rows.column("size")[number]),
        "mtime_ns": 0,
        "digest": rows.column("digest")[number].tobytes(),
        "digest_kind": rows.digest_kind,
    }


ROWS = rows_of(FILES)
FALSE_PLANS = {
    "another distance": ({"distance": 2}, "the distance is not as stated"),
    "another relation": ({"relation": "same-bytes"}, "the relation is not as stated"),
    "one file under two names": ({"relation": "same-file"}, "the relation is not as stated"),
    "another size": ({"remove": {"size": 21}}, "another size, time or digest"),
    "another time": ({"keep": {"mtime_ns": 1}}, "another size, time or digest"),
    "another digest": ({"keep": {"digest": b"x" * 16}}, "another size, time or digest"),
    "a row outside": ({"keep": {"row": 10}}, "row 10 of the index is not '/data/best'"),
    "another path": ({"remove": {"path": b"/data/x"}}, "of the index is not '/data/x'"),
    "a file in favour of itself": (
        {"keep": facts_of(ROWS, b"near"), "distance": 0},
        "the file to keep is removed, too",
    ),
    "a file that is removed, too": (
        {"keep": facts_of(ROWS, b"same")},
        "the file to keep is removed, too",
    ),
    "a file that is removed twice": (
        {"remove": facts_of(ROWS, b"same")},
        "a file is removed twice",
    ),
    "too far": ({"keep": facts_of(ROWS, b"far"), "distance": 37}, "not duplicates"),
    "too flat": ({"keep": facts_of(ROWS, b"flat")}, "not duplicates"),
    "no image": ({"keep": facts_of(ROWS, b"broken")}, "not an image"),
    "several names": ({"remove": facts_of(ROWS, b"linked")}, "has other names"),
    "several names, the other row": ({"remove": facts_of(ROWS, b"linked2")}, "other names"),
    "protected": ({"header": {"protect": (b"/data/near",)}}, "is protected"),
    "protected folder": ({"header": {"protect": (b"/data",)}}, "is protected"),
    "a smaller distance asked": ({"header": {"max_distance": 2}}, "not duplicates"),
    "a search distance asked": ({"header": {"search_distance": 1}}, "not duplicates"),
    "an edited picture": ({"relation": "edited"}, "files of this relation are not removed"),
    "different pictures": (
        {"relation": "different", "header": {"removable": ("different",)}},
        "files of this relation are not removed",
    ),
    "another index": ({"header": {"generation": "1" * 32}}, "made from another index"),
    "other roots": ({"header": {"roots": (b"/data", b"/more")}}, "made from another index"),
}


@pytest.mark.parametrize("name", FALSE_PLANS)
def test_a_false_or_foreign_plan_is_refused(name):
    changes, message = FALSE_PLANS[name]
    plan, rows = made(b"near", **changes)

    with pytest.raises(PlanError, match=message) as caught:
        check_plan(plan, rows)

    assert "nothing was changed, make a new plan with imgdup dedupe" in str(caught.value)


@pytest.mark.parametrize(
    "edited",
    [{"max_distance": 256}, {"protect": ()}, {"search_distance": None}, {"keep": ("smallest",)},
     {"n_removals": 9}, {"seal": ""}],
)  # fmt: skip
def test_an_edited_header_is_refused(edited):
    asked = {"protect": (b"/data/other",), "search_distance": 5}
    plan, rows = made(b"near", header=asked)
    check_plan(plan, rows)

    with pytest.raises(PlanError, match="the first line of the plan was edited"):
        check_plan(plan._replace(header=plan.header._replace(**edited)), rows)


def test_the_true_plan_of_these_files_passes():
    plan, rows = made(b"near")

    check_plan(plan, rows)

    assert {r.remove.path for r in plan.removals} == {b"/data/near", b"/data/same", b"/data/twin"}


def test_a_plan_with_digests_of_another_kind_is_refused():
    plan, rows = made(b"near", header={"digest_kind": "blake2b"})

    with pytest.raises(PlanError, match="the plan has blake2b digests, its index blake3"):
        check_plan(plan, rows)


def test_a_plan_of_an_older_imgdup_is_refused():
    rows = rows_of(FILES)
    plan = find_duplicates(rows, judge=same_picture).plan()
    header = sealed(plan.header._replace(version=1))

    with pytest.raises(PlanError, match="nothing shows whether its lines were edited"):
        check_plan(plan._replace(header=header), rows)


def test_a_plan_without_removals_passes():
    plan, rows = made(b"near")
    plan.removals.clear()

    check_plan(plan, rows)


def test_a_plan_that_removes_all_copies_is_refused():
    plan, rows = made(b"near")
    best, near = facts_of(rows, b"best"), facts_of(rows, b"near")
    removal = plan.removals[0]
    kind = type(removal.remove)
    plan.removals.append(removal._replace(remove=kind(**best), keep=kind(**near), distance=3))

    with pytest.raises(PlanError, match=r"the file to keep is removed, too \(removals: 4,"):
        check_plan(plan, rows)


def test_files_of_low_quality_are_not_duplicates():
    rows = rows_of([File(b"/data/a", width=900), File(b"/data/b")])
    plan = find_duplicates(rows, judge=same_picture).plan()

    for place in (0, 1):
        quality = np.array([100, 100], np.uint8)
        quality[place] = 49
        flat = dataclasses.replace(rows, columns={**rows.columns, "quality": quality})
        assert "not duplicates" in next(faults(plan, flat))


def test_the_checker_imports_nothing_of_the_maker():
    with open(imgdup.dedupe.check_plan.__file__, encoding="utf-8") as file:
        nodes = list(ast.walk(ast.parse(file.read())))

    own = {n.module for n in nodes if isinstance(n, ast.ImportFrom) and "imgdup" in n.module}
    assert own == {
        "imgdup.errors",
        "imgdup.search",
        "imgdup.dedupe.plan",
        "imgdup.index.columns",
    }

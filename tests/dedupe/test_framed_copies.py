"""Copies with a border, with bars, and crops: dedupe shows them, and removes them if asked to.

Only the pictures decide what they are; here it counts that they are compared at all. A crop by 3 %
of each side is more than 31 bits from its photo, and so is a picture with a border.
"""

import make_sample
import numpy as np
import pytest

from encoded import save
from imgdup import ImageIndex, cli
from imgdup.dedupe import DedupeOptions, find_duplicates
from imgdup.dedupe.candidates import MatchRule, widened
from imgdup.dedupe.check_plan import faults
from imgdup.dedupe.decide import Policy
from imgdup.dedupe.plan import sealed
from imgdup.dedupe.relations import removable
from imgdup.dedupe.verify import Verifier
from imgdup.index import folder, store
from imgdup.index.columns import images

pytestmark = pytest.mark.usefixtures("in_process")

SIZE = (320, 240)
EDITS = {
    "frame": lambda p: np.pad(p, ((12, 12), (12, 12), (0, 0)), constant_values=255),
    "bars": lambda p: np.pad(p, ((40, 40), (0, 0), (0, 0))),
    "crop": lambda p: p[8:-8, 10:-10],
}


@pytest.fixture(scope="module")
def folder_of_copies(tmp_path_factory):
    """A photo and a copy for each edit, and three photos without copies."""
    place = tmp_path_factory.mktemp("copies")
    for seed, (name, edit) in enumerate(EDITS.items()):
        photo = make_sample.photo(seed, *SIZE)
        (place / f"{name}-photo.png").write_bytes(save(photo, "png"))
        (place / f"{name}.jpg").write_bytes(save(edit(photo), "jpeg", quality=90))
    for seed in range(4, 7):
        (place / f"other{seed}.png").write_bytes(save(make_sample.photo(seed, *SIZE), "png"))
    return place


@pytest.fixture
def index(folder_of_copies, tmp_path):
    return ImageIndex.build(folder_of_copies, tmp_path / "index")


def found(rows, *, removes=""):
    """What dedupe finds: the duplicates, which compares pictures as the command does."""
    rule = widened(MatchRule(), [(rows, images(rows))])
    options = DedupeOptions(rule=rule, policy=Policy(removable(removes)))
    with Verifier(workers=1) as verifier:
        return find_duplicates(rows, options, verifier.judge(rows))


def name_of(rows, row):
    return rows.path(row).rpartition(b"/")[2].decode()


def test_framed_and_cropped_copies_are_shown_and_stay(index):
    rows = index.rows
    match = rows.column("match")

    groups = found(rows).groups

    assert len(groups.removed) == 0
    pairs = {frozenset(name_of(rows, row) for row in (s.better, s.row)) for s in groups.shown}
    assert pairs == {frozenset({f"{name}.jpg", f"{name}-photo.png"}) for name in EDITS}
    assert {each.verdict.relation for each in groups.shown} == {"cropped"}
    for each in groups.shown:
        bits = np.bitwise_count(match[each.better] ^ match[each.row]).sum()
        assert each.distance == bits > 31


def test_a_plan_that_removes_them_passes_the_check_only_as_a_wide_one(index):
    plan = found(index.rows, removes="cropped").plan()

    assert len(plan.removals) == len(EDITS)
    assert list(faults(plan, index.rows)) == []
    narrow = plan._replace(header=sealed(plan.header._replace(wide=False)))
    assert any("duplicates" in fault for fault in faults(narrow, index.rows))


def test_an_index_that_knows_no_borders_finds_the_crops_and_says_what_is_missing(
    index, tmp_path, capsys
):
    place = tmp_path / "index"
    cli.main(["dedupe", "--index", str(place)])
    without_note = capsys.readouterr().err
    file = folder.generation_path(place, 1)
    stored = store.load(file)
    arrays = {k: np.array(a) for k, a in stored.arrays.items() if not k.startswith("trimmed")}
    store.save(file, stored.head, arrays)

    code = cli.main(["dedupe", "--index", str(place)])

    out, err = capsys.readouterr()
    assert code == 0
    assert "did not look for borders" not in without_note
    assert "copies with a border are not found: run imgdup index --rehash" in err
    assert "1 file only shown" in out

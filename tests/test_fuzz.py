"""Fuzz: mutants of pictures, index files, plans and journals; nothing dies of any.

Bounded by default. ``IMGDUP_FUZZ=600`` goes on for about so many seconds (``make fuzz``), and
``IMGDUP_FUZZ_SEED`` makes other mutants. A mutant is named by its number: the seed and the number
make it again (`fuzz_tasks.made`).
"""

import itertools
import os
import shutil
import struct
import time
from collections import Counter, defaultdict
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from make_sample import encode, photo

import fuzz_seeds
import fuzz_tasks
from imgdup.api.index import ImageIndex
from imgdup.apply.journal import Journal, read_journal
from imgdup.apply.steps import Header, Step
from imgdup.build.settings import Settings
from imgdup.build.update import update_index
from imgdup.dedupe.plan import FileFacts, Plan, PlanHeader, Removal, read_plan, write_plan
from imgdup.errors import ImgdupError, IndexFormatError
from imgdup.images.decode import init_worker
from imgdup.index import folder, store
from imgdup.query.check_index import check_structure
from imgdup.system.limits import Limits
from imgdup.workers.pool import Died, Pool, answers, inline
from imgdup.workers.process import Processes, Setup

FUZZ_S = float(os.environ.get("IMGDUP_FUZZ", "0"))
SEED = int(os.environ.get("IMGDUP_FUZZ_SEED", "2026"))
N_EACH = 120  # mutants of each kind of picture, unless it goes on for a time
BATCH = 50
HANG_S = 60.0  # after which a file counts as hanging, and ends its worker
MAX_BYTES = 512 << 20  # of a worker, the decoders themselves included; its cap is 2 GiB more
N_EXAMPLES = 100 if not FUZZ_S else int(20 * FUZZ_S)


# ---- pictures


def batches(n_kinds):
    """Numbers of mutants: so many, or for so long."""
    deadline = time.monotonic() + FUZZ_S
    for start in itertools.count(0, BATCH):
        done = time.monotonic() > deadline if FUZZ_S else start >= N_EACH * n_kinds
        if done:
            return
        yield range(start, start + BATCH)


def test_every_kind_of_picture_to_begin_with_is_decoded():
    statuses = {name: fuzz_tasks.status_of(data) for name, data in fuzz_tasks.seeds()}

    assert statuses == dict.fromkeys(statuses, "ok")
    assert len(statuses) > 40


def test_mutants_are_made_again_from_their_numbers():
    first = [fuzz_tasks.made(SEED, number) for number in range(60)]
    again = [fuzz_tasks.made(SEED, number) for number in range(60)]

    assert first == again
    assert [fuzz_tasks.made(SEED + 1, number) for number in range(60)] != first


@pytest.mark.timeout(0 if FUZZ_S else 300)
def test_fuzz_mutants_of_pictures_get_one_answer_each_in_bounded_memory():
    kinds = [name for name, _ in fuzz_tasks.seeds()]
    found, died, peak = defaultdict(Counter), {}, 0

    with Pool(Setup(2, HANG_S, init_worker, (Limits(),))) as pool:
        for numbers, answer in answers(
            partial(fuzz_tasks.decode_mutants, SEED), batches(len(kinds)), pool
        ):
            if isinstance(answer, Died):
                died[numbers[0]] = answer
                continue
            peak = max(peak, answer.peak_bytes)
            for number, status in zip(numbers, answer.statuses, strict=True):
                found[kinds[number % len(kinds)].partition(".")[2]][status] += 1

    assert died == {}
    assert peak < MAX_BYTES
    for statuses in found.values():
        assert {"ok", "damaged"} < set(statuses)  # neither is all noise


@pytest.mark.skipif(not fuzz_tasks.peak_bytes(), reason="needs /proc")
def test_a_gif_frame_larger_than_its_canvas_takes_no_memory_for_it():
    """A find: Pillow makes what stands behind a frame while it opens the file."""
    intact = dict(fuzz_tasks.seeds())["moving.gif"]
    frame = intact.index(struct.pack("<HHHH", 0, 0, fuzz_seeds.WIDTH, fuzz_seeds.HEIGHT)) + 4
    huge = intact[:frame] + b"\xff\xff\xff\xff" + intact[frame + 4 :]

    with Processes(Setup(1, 60.0, init_worker, (Limits(),))) as worker:
        before = worker.submit(fuzz_tasks.peak_bytes).result()
        status = worker.submit(fuzz_tasks.status_of, huge).result()
        after = worker.submit(fuzz_tasks.peak_bytes).result()

    assert status == "too-large"
    assert after - before < 64 << 20


# ---- files of our own


@st.composite
def damaged(draw, data):
    """The bytes of a file with up to three faults."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        n_gone = draw(st.sampled_from([0, 1, 1, 1, 2, 4, 8, 100]))
        new = draw(st.binary(max_size=8) | st.just(b"") | st.just(data[at : at + 16]))
        data = data[:at] + new + data[at + n_gone :]
    return data


def fuzz(test):
    """So many examples, the same ones each time unless it goes on for a time."""
    return settings(max_examples=N_EXAMPLES, derandomize=not FUZZ_S)(test)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An index of six pictures, some of them equal, and one that failed."""
    base = tmp_path_factory.mktemp("fuzz")
    (base / "photos").mkdir()
    for i in range(6):
        (base / "photos" / f"{i}.jpg").write_bytes(encode(photo(i % 4, 160, 120), ".jpg"))
    (base / "photos" / "bad.jpg").write_bytes(b"text")
    update_index(
        base / "index", [str(base / "photos")], Settings(workers=1, engine=without_memory_cap)
    )
    return base / "index"


def without_memory_cap(setup):
    """Work in this process, whose memory is not to be capped."""
    return inline(setup._replace(initializer=None, initargs=()))


@pytest.fixture(scope="module")
def copy(place):
    """A copy of the index, to be damaged again and again."""
    shutil.copytree(place, place.with_name("copy"))
    return place.with_name("copy")


@fuzz
@given(data=st.data())
def test_fuzz_a_damaged_generation_is_found_out_when_it_is_verified(place, copy, data):
    intact = (place / "index.1").read_bytes()
    file = copy / "index.1"
    file.write_bytes(data.draw(damaged(intact)))
    if file.read_bytes() == intact:
        return

    with pytest.raises(IndexFormatError, match=r"index\.1"):
        store.load(file, verify=True)


@fuzz
@given(data=st.data())
def test_fuzz_a_generation_of_false_numbers_gives_an_error_or_rows_that_are_there(
    place, copy, data
):
    intact = store.load(place / "index.1")
    arrays = {name: array.copy() for name, array in intact.arrays.items()}
    for name in data.draw(st.lists(st.sampled_from(sorted(arrays)), min_size=1, max_size=3)):
        flat = arrays[name].reshape(-1).view("u1")
        for _ in range(data.draw(st.integers(0, 4)) if len(flat) else 0):
            flat[data.draw(st.integers(0, len(flat) - 1))] = data.draw(st.integers(0, 255))
    store.save(copy / "index.1", dict(intact.head), arrays, sync=False)
    use(copy, place.parent / "photos" / "0.jpg")


@pytest.mark.parametrize(
    ("name", "numbers"),
    [("run_roots", [-1]), ("run_roots", [-(2**63)]), ("run_roots", [1]), ("run_rows", [1])],
)
def test_rows_in_no_root_are_refused(place, copy, name, numbers):
    """A find: a negative root was an IndexError, or another root's path."""
    intact = store.load(place / "index.1")
    arrays = {**intact.arrays, name: np.array(numbers, np.int64)}
    store.save(copy / "index.1", dict(intact.head), arrays, sync=False)

    with pytest.raises(IndexFormatError, match="root"):
        ImageIndex.open(copy)


def use(index_folder, probe):
    """Do all that an index does; what it refuses, it must refuse by its own error."""
    try:
        index = ImageIndex.open(index_folder)
    except ImgdupError:
        return
    n = len(index.rows)
    for action in (
        lambda: index.info(),
        lambda: [index.rows.path(row) for row in range(n)],
        lambda: [match.row for match in index.within(probe, 64)],
        lambda: [match.row for match in index.nearest(probe, 3)],
        lambda: [row for block in index.pairs_arrays(256) for row in block.left.tolist()],
        lambda: list(check_structure(index.rows)),
    ):
        try:
            found = action()
        except ImgdupError:
            continue
        rows = [each for each in found if type(each) is int]
        assert all(0 <= row < n for row in rows)


@fuzz
@given(data=st.data())
def test_fuzz_a_damaged_current_is_refused_or_names_a_generation(place, copy, data):
    intact = (place / "current").read_bytes()
    (copy / "current").write_bytes(data.draw(damaged(intact)))

    try:
        current = folder.read_current(copy)
    except IndexFormatError as error:
        assert "current" in str(error)
    else:
        assert type(current.generation) is int
        assert current.generation > 0


PLAN = Plan(
    PlanHeader(
        "ab" * 16,
        (b"/data", b"/\xff"),
        31,
        None,
        ("largest",),
        (b"/keep",),
        9,
        1,
        1,
        7,
        digest_kind="blake3",
    ),
    [
        Removal(
            FileFacts(1, b"/data/caf\xe9.jpg", 10, 11, b"r" * 16, "blake3"),
            FileFacts(0, b"/data/a.jpg", 20, 21, b"k" * 16, "blake3"),
            3,
            "same-picture",
        )
    ],
)


@fuzz
@given(data=st.data())
def test_fuzz_a_damaged_plan_is_refused_or_a_plan(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "plan.jsonl"
    write_plan(file, PLAN)
    file.write_bytes(data.draw(damaged(file.read_bytes())))

    try:
        plan = read_plan(file)
    except ImgdupError as error:
        assert "plan.jsonl" in str(error)
        return
    for removal in plan.removals:
        for facts in (removal.remove, removal.keep):
            assert os.path.isabs(facts.path)
            assert b".." not in facts.path.split(b"/")
            assert len(facts.digest) == 16


@fuzz
@given(data=st.data())
def test_fuzz_a_damaged_journal_is_refused_or_a_journal(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "journal.jsonl"
    file.unlink(missing_ok=True)
    header = Header("move", "f" * 32, "0" * 16, (b"/from",), b"/to", "e" * 32, "blake3")
    with Journal(file, header, lambda journal, first_line: None) as book:
        for number, removal in enumerate(PLAN.removals * 2, start=1):
            step = Step(header.token, number, removal.remove, removal.keep.path, b"/to/\xff")
            book.announce(step)
            book.ended(step, "done")
    file.write_bytes(data.draw(damaged(file.read_bytes())))

    try:
        past = read_journal(file)
    except ImgdupError as error:
        assert "journal.jsonl" in str(error)
        return
    for step in past.steps:
        assert all(map(os.path.isabs, (step.remove.path, step.keep, step.to)))
        assert os.path.dirname(step.aside) == os.path.dirname(step.remove.path)

"""Verdicts about real files, written here, and how long verdicts are kept."""

import os
import sys
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from array_rows import File, rows_of
from imgdup.dedupe import DedupeOptions, find_duplicates, pictures, sources, tasks, verify
from imgdup.dedupe.candidates import MatchRule
from imgdup.dedupe.decide import Policy
from imgdup.dedupe.relations import ON_REQUEST, REMOVABLE, VERDICT_VERSION, removable
from imgdup.dedupe.verify import Verifier, check_pictures
from imgdup.errors import UsageError
from imgdup.images.decode import decode_rgb
from imgdup.index.folder import VERDICTS
from imgdup.system.limits import CAN_CAP_MEMORY, Limits
from imgdup.workers.pool import decoding_pool, inline
from imgdup.workers.process import Death, WorkerDied

RNG = np.random.default_rng(5)


def scene(seed, height=96, width=128):
    """A smooth picture with a few shapes, unlike that of every other seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 128
    waves = [np.sin(a * x + b * y + c) for a, b, c in rng.uniform(1, 9, (3, 3))]
    pixels = np.stack(waves, axis=2) * 60 + 120
    for left, top, level in rng.integers(0, 80, (5, 3)):
        pixels[top : top + 20, left : left + 30] = level * 3
    return pixels.astype(np.uint8)


PIXELS = scene(1)


def written(folder, name, pixels=PIXELS, **options):
    path = folder / name
    Image.fromarray(pixels).save(path, **options)
    return path


def noted(folder, name):
    """The picture with its name written into the file."""
    note = PngInfo()
    note.add_text("name", name)
    return written(folder, name, pnginfo=note)


def row_of(path, **facts):
    data = path.read_bytes()
    with Image.open(path) as image:
        facts = {"width": image.width, "height": image.height, **facts}
    kind = {".jpg": "jpeg"}.get(path.suffix, path.suffix[1:])
    return File(os.fsencode(path), content=data, size=len(data), format=kind, **facts)


def found_in(rows, options=None, **verifier):
    with Verifier(**verifier) as each:
        return find_duplicates(rows, options, each.judge(rows), each.facts(rows))


def relations(files, **verifier):
    """Relation by name, of the removed files and of those that are only shown."""
    rows = rows_of(files)
    found = found_in(rows, **verifier)
    pairs = [*zip(found.groups.removed.tolist(), found.relations, strict=True)]
    pairs += [(shown.row, shown.verdict.relation) for shown in found.groups.shown]
    return {os.path.basename(rows.path(row)).decode(): relation for row, relation in pairs}


def test_a_picture_saved_again_without_loss_has_the_same_pixels(tmp_path):
    files = [
        written(tmp_path, "1.bmp"),
        written(tmp_path, "2.png"),
        written(tmp_path, "3.png", compress_level=0),
        written(tmp_path, "4.tiff"),
        written(tmp_path, "5.png", PIXELS ^ 1),
    ]

    found = relations([row_of(path) for path in files])

    assert found.pop("5.png") == "same-picture"
    assert list(found.values()) == ["same-pixels"] * 3


def test_large_pictures_have_the_same_pixels_only_if_they_are_equal_at_full_size(tmp_path):
    large = scene(2, 1500, 2000)
    changed = large.copy()
    changed[700, 900] ^= 1
    files = [written(tmp_path, "1.bmp", large), written(tmp_path, "2.png", large, compress_level=1)]
    files.append(written(tmp_path, "3.png", changed, compress_level=1))

    found = relations([row_of(path) for path in files])

    assert found == {"2.png": "same-pixels", "3.png": "same-picture"}


def test_a_png_of_a_large_jpeg_has_its_pixels_although_the_jpeg_is_reduced_otherwise(tmp_path):
    jpeg = written(tmp_path, "1.jpg", scene(3, 2100, 2100), quality=95)
    pixels = decode_rgb(jpeg.read_bytes(), Limits(), 2100)
    png = written(tmp_path, "2.png", pixels, compress_level=1)

    found = relations([row_of(jpeg), row_of(png, match=0b11)])

    assert set(found.values()) == {"same-pixels"}


def test_files_that_changed_vanished_or_cannot_be_decoded_are_unverified_and_kept(tmp_path):
    files = [row_of(noted(tmp_path, f"{i}.png")) for i in range(3)]
    (tmp_path / "1.png").write_bytes((tmp_path / "0.png").read_bytes())
    (tmp_path / "2.png").unlink()
    broken = tmp_path / "3.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nno more")
    files.append(File(os.fsencode(broken), content=broken.read_bytes(), format="png"))

    found = relations(files, index_folder=tmp_path)

    assert len(found) == 3
    assert set(found.values()) == {"unverified"}
    assert not (tmp_path / VERDICTS).exists()


@pytest.mark.parametrize(
    "limit",
    [
        {"max_pixels": 1_000_000},
        {"max_file_bytes": 5000},
        {"worker_memory_bytes": 80 << 20},
        {"timeout_s": 0.01},
    ],
    ids=lambda limit: next(iter(limit)),
)
@pytest.mark.usefixtures("processes")
def test_files_beyond_a_limit_are_unverified_and_kept(tmp_path, limit):
    if "worker_memory_bytes" in limit and not CAN_CAP_MEMORY:
        pytest.skip("the memory of a process cannot be limited on this system")
    large = np.tile(PIXELS, (50, 50, 1))
    files = [written(tmp_path, "1.tiff", large), written(tmp_path, "2.bmp", large)]

    found = relations([row_of(path) for path in files], limits=Limits(**limit), workers=1)

    assert list(found.values()) == ["unverified"]


def test_files_of_equal_bytes_are_not_decoded(monkeypatch):
    monkeypatch.setattr("imgdup.workers.pool.Processes", None)
    files = [File(b"/data/1.jpg", content=b"x"), File(b"/data/2.jpg", content=b"x")]

    assert relations(files) == {"2.jpg": "same-bytes"}


def test_the_next_run_decodes_nothing_and_finds_the_same(tmp_path, monkeypatch):
    files = [row_of(written(tmp_path, f"{i}.png", PIXELS ^ i)) for i in range(4)]
    rows = rows_of(files)
    first = found_in(rows, index_folder=tmp_path).plan()
    monkeypatch.setattr("imgdup.workers.pool.Processes", None)

    second = found_in(rows, index_folder=tmp_path).plan()

    assert second == first
    assert len(second.removals) == 3


@pytest.mark.parametrize("place", [0, 3, 20, 40, 60, -1])
def test_verdicts_that_were_damaged_are_not_used(tmp_path, place):
    files = [row_of(written(tmp_path, f"{i}.png", PIXELS ^ i)) for i in range(3)]
    rows = rows_of(files)
    first = found_in(rows, index_folder=tmp_path).plan()
    path = tmp_path / VERDICTS
    data = bytearray(path.read_bytes())
    data[place] ^= 8
    path.write_bytes(data)
    for file in files:
        Path(os.fsdecode(file.path)).unlink()

    found = found_in(rows, index_folder=tmp_path)

    assert len(first.removals) == 2
    assert found.plan().removals == []


def test_verdicts_of_another_version_are_not_used(tmp_path, monkeypatch):
    files = [row_of(written(tmp_path, f"{i}.png", PIXELS ^ i)) for i in range(3)]
    rows = rows_of(files)
    found_in(rows, index_folder=tmp_path)
    monkeypatch.setattr("imgdup.dedupe.known.VERDICT_VERSION", VERDICT_VERSION + 1)
    for file in files:
        Path(os.fsdecode(file.path)).unlink()

    assert found_in(rows, index_folder=tmp_path).plan().removals == []


def test_a_place_where_nothing_can_be_written_is_no_error(tmp_path, caplog):
    files = [row_of(written(tmp_path, f"{i}.png", PIXELS ^ i)) for i in range(2)]

    found = found_in(rows_of(files), index_folder=tmp_path / "missing")

    assert len(found.plan().removals) == 1
    assert "the verdicts are not kept for the next run" in caplog.text


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.usefixtures("processes")
def test_neither_workers_nor_room_for_pictures_change_a_plan(tmp_path, monkeypatch, workers):
    files = [row_of(written(tmp_path, f"{i}.png", PIXELS ^ (i % 3))) for i in range(3)]
    files += [row_of(written(tmp_path, f"{i}.png", scene(i))) for i in range(3, 9)]
    rows = rows_of(files)
    expected = found_in(rows).plan()
    monkeypatch.setattr(verify, "PART_BYTES", 100_000)  # two pictures

    found = found_in(rows, workers=workers).plan()

    assert found == expected
    assert [r.relation for r in found.removals] == ["same-picture"] * 2


def test_a_worker_decodes_each_picture_once_to_compare_it_with_all_others(tmp_path, monkeypatch):
    read = []
    indexed_content = pictures.indexed_content

    def noted_content(limits, file):
        read.append(file.path)
        return indexed_content(limits, file)

    monkeypatch.setattr(pictures, "indexed_content", noted_content)
    files = [row_of(written(tmp_path, f"{i}.png", scene(i))) for i in range(9)]

    found = found_in(rows_of(files), pool=decoding_pool(Limits(), 1, inline))

    assert found.groups.n_compared == 9 * 8 / 2
    assert sorted(read) == sorted(file.path for file in files)
    assert not sources.recent  # this process keeps none of the pictures


def test_a_picture_that_has_no_room_any_more_is_decoded_again(tmp_path, monkeypatch):
    files = [row_of(written(tmp_path, f"{i}.png", scene(i))) for i in range(5)]
    rows = rows_of(files)
    expected = found_in(rows)
    monkeypatch.setattr(sources, "RECENT_BYTES", 1)

    found = found_in(rows, pool=decoding_pool(Limits(), 1, inline))

    assert found.groups.n_compared == 5 * 4 / 2
    assert found.plan() == expected.plan()


def test_the_pictures_used_last_are_kept(monkeypatch):
    size = 60  # bytes of a picture
    monkeypatch.setattr(sources, "RECENT_BYTES", 2 * size)
    picture = sources.Picture(np.zeros((4, 5, 3), np.uint8), b"", None)
    a, b, c = (sources.File(name, b"", "", 5, 4) for name in (b"a", b"b", b"c"))
    kept = sources.RecentPictures()

    for file in (a, b, a, c):
        kept.add(file, picture)

    assert [kept.find(file) is picture for file in (a, b, c)] == [True, False, True]
    assert len(kept) == 2


@pytest.fixture
def frequent_switches():
    """Let threads take turns as often as possible."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("frequent_switches")
def test_several_threads_may_keep_pictures(monkeypatch):
    monkeypatch.setattr(sources, "RECENT_BYTES", 60)
    picture = sources.Picture(np.zeros((4, 5, 3), np.uint8), b"", None)
    files = [sources.File(name, b"", "", 5, 4) for name in (b"a", b"b")]

    def use(kept, first):
        for i in range(5_000):
            if kept.find(files[(first + i) % 2]) is None:
                kept.add(files[(first + i) % 2], picture)

    for _ in range(10):
        kept = sources.RecentPictures()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(use, [kept] * 4, range(4)))
        assert len(kept) == 1


def test_large_pictures_are_decoded_once_for_all_workers(tmp_path, monkeypatch):
    described, compared = [], []
    decode_each = verify.decode_each

    def noted_each(function, items, pool, **options):
        kept = {tasks.describe_file: described, tasks.compare_files: compared}[function.func]
        items = list(items)
        kept.extend(items)
        return decode_each(function, items, pool, **options)

    monkeypatch.setattr(verify, "decode_each", noted_each)
    pixels = [np.tile(scene(i), (1, 9, 1)) for i in range(3)]  # 1,152 pixels wide
    files = [row_of(written(tmp_path, f"{i}.png", pixels[i])) for i in range(3)]

    found = found_in(rows_of(files), workers=2)

    assert found.groups.n_compared == 3
    assert sorted(file.path for file in described) == sorted(file.path for file in files)
    sent = [source for pair in compared for source, _ in pair]
    assert {type(source) for source in sent} == {sources.Picture}
    assert {max(source.pixels.shape) for source in sent} == {1024}


class Dying(Executor):
    """Works in this process, but says that the worker died of each call with a certain file."""

    def __init__(self, bad):
        self.bad, self.n_deaths = bad, 0

    def submit(self, function, task, items):
        future = Future()
        died = [i for i, (_, item) in enumerate(items) if self._holds(item)]
        if died:
            self.n_deaths += 1
            future.set_exception(WorkerDied(Death(died[0], exit_code=-11)))
        else:
            future.set_result(function(task, items))
        return future

    def _holds(self, item):
        if isinstance(item, sources.File):
            return item == self.bad
        return any(source == self.bad for source, _ in item)


def test_a_file_that_ends_its_worker_does_so_a_few_times_however_many_partners_it_has(tmp_path):
    rows = rows_of([row_of(written(tmp_path, f"{i}.png", scene(i))) for i in range(41)])
    bad, *rest = (sources.file_of_row(rows, i) for i in range(41))
    executor = Dying(bad)

    with Verifier(pool=decoding_pool(Limits(), 1, lambda setup: executor)) as verifier:
        found = verifier.compare([(bad, each) for each in rest] + [(rest[0], rest[1])])

    assert [each.relation for each in found] == ["unverified"] * 40 + ["different"]
    assert executor.n_deaths < 30


@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_forged_hashes_remove_nothing_that_is_different(tmp_path_factory, data):
    """Whatever the hashes say, the pictures decide."""
    folder = tmp_path_factory.getbasetemp() / "forged"
    folder.mkdir(exist_ok=True)
    numbers = data.draw(st.lists(st.integers(0, 3), min_size=2, max_size=7))
    files = []
    for i, number in enumerate(numbers):
        path = written(folder, f"{i}.png", scene(number))
        files.append(row_of(path, match=data.draw(st.integers(0, 3)), search=i))
    rows = rows_of(files)

    plan = found_in(rows).plan()

    shown = dict(zip((file.path for file in files), numbers, strict=True))
    for removal in plan.removals:
        assert shown[removal.remove.path] == shown[removal.keep.path]
    assert len(plan.removals) == len(numbers) - len(set(numbers))


def test_an_edited_picture_is_removed_only_on_request(tmp_path):
    edited = PIXELS.copy()
    edited[30:60, 40:80] = 255 - edited[30:60, 40:80]
    rows = rows_of([row_of(written(tmp_path, "1.png")), row_of(written(tmp_path, "2.png", edited))])

    shown = found_in(rows)
    asked = found_in(rows, DedupeOptions(policy=Policy(removable("edited"))))

    assert shown.plan().removals == []
    assert shown.only_shown() == {"edited": 1}
    [removal] = asked.plan().removals
    assert removal.relation == "edited"
    assert removal.peak > 0
    assert len(removal.box) == 4
    assert asked.plan().header.removable == (*REMOVABLE, "edited")


def test_without_a_comparison_only_equal_bytes_are_removed():
    files = [File(b"/data/1", content=b"x"), File(b"/data/2", content=b"x"), File(b"/data/3")]
    rows = rows_of(files)

    safe = find_duplicates(rows)
    asked = find_duplicates(rows, DedupeOptions(policy=Policy(removable(verify=False))))

    assert [r.relation for r in safe.plan().removals] == ["same-bytes"]
    assert safe.only_shown() == {"unverified": 1}
    assert [r.relation for r in asked.plan().removals] == ["same-bytes", "unverified"]


@pytest.mark.parametrize("name", ["same-bytes", "different", "unverified", "edit"])
def test_an_unknown_relation_to_remove_is_refused(name):
    with pytest.raises(UsageError, match=f"'{name}' is not a relation .*{ON_REQUEST[0]}"):
        removable(f"edited,{name}")


def paged(folder, name, *pages, **options):
    first, *others = map(Image.fromarray, pages)
    first.save(folder / name, save_all=True, append_images=others, **options)
    return folder / name


def test_a_file_with_more_pages_is_not_removed_and_removes_none(tmp_path):
    files = [
        paged(tmp_path, "1.tiff", PIXELS, scene(2), scene(3)),
        written(tmp_path, "2.png"),
        paged(tmp_path, "3.tiff", PIXELS, scene(2)),
        paged(tmp_path, "4.tiff", PIXELS, scene(2), scene(4)),
    ]

    found = relations([row_of(path) for path in files])

    assert set(found.values()) == {"unverified"}


def test_files_whose_pages_are_all_equal_have_the_same_pixels(tmp_path):
    pages = PIXELS, scene(2), scene(3)
    files = [paged(tmp_path, "1.tiff", *pages)]
    files.append(paged(tmp_path, "2.tiff", *pages, compression="tiff_lzw"))

    found = relations([row_of(path) for path in files])

    assert list(found.values()) == ["same-pixels"]


def test_a_picture_with_transparent_pixels_is_kept_beside_one_without(tmp_path):
    alpha = np.full((*PIXELS.shape[:2], 1), 255, np.uint8)
    alpha[:9] = 200
    shown = written(tmp_path, "1.png", np.concatenate([PIXELS, alpha], axis=2))
    flat = written(tmp_path, "2.png", decode_rgb(shown.read_bytes(), Limits(), 1024))

    without = relations([row_of(flat, mtime_ns=1, width=129), row_of(shown)])
    kept = relations([row_of(flat), row_of(shown, width=129)])

    assert without == {"1.png": "unverified"}
    assert set(kept) == {"2.png"}
    assert kept["2.png"] in REMOVABLE


def test_pictures_of_16_bits_that_differ_below_8_have_not_the_same_pixels(tmp_path):
    deep = PIXELS[:, :, 0].astype(np.uint16) << 8
    files = [written(tmp_path, f"{i}.png", deep + i) for i in (0, 1)]

    found = relations([row_of(path) for path in files])

    assert list(found.values()) == ["same-picture"]


def test_a_plan_is_compared_again_with_the_files(tmp_path):
    files = [row_of(written(tmp_path, f"{i}.png", PIXELS ^ i)) for i in range(3)]
    rows = rows_of(files)
    plan = found_in(rows).plan()
    with Verifier() as verifier:
        before = list(check_pictures(plan, rows, verifier))
    (tmp_path / "1.png").unlink()

    with Verifier() as verifier:
        after = list(check_pictures(plan, rows, verifier))

    assert before == []
    assert [text.partition(" and not ")[0] for text in after] == [
        f"{str(tmp_path / '1.png')!r} is unverified"
    ]


def test_the_distance_of_the_rule_still_counts(tmp_path):
    rows = rows_of(
        [row_of(written(tmp_path, f"{i}.png", PIXELS ^ i), match=i * 0b1111) for i in range(2)]
    )

    found = found_in(rows, DedupeOptions(rule=MatchRule(3)))

    assert found.groups.n_compared == 0
    assert found.plan().removals == []

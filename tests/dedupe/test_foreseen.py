"""Files that are described early: one answer each, none for those of a worker that ended."""

import os
from concurrent.futures import Executor, Future
from pathlib import Path

import pytest
from test_verify import found_in, row_of, scene, written

from array_rows import rows_of
from imgdup.dedupe import foreseen, pictures, sources
from imgdup.dedupe.candidates import MatchRule
from imgdup.dedupe.components import components
from imgdup.dedupe.foreseen import Foreseen
from imgdup.dedupe.groups import star_groups
from imgdup.dedupe.verify import DedupeOptions, Verifier
from imgdup.images.facts import image_facts
from imgdup.index.columns import images
from imgdup.system.limits import Limits
from imgdup.workers.pool import decoding_pool, inline
from imgdup.workers.process import Death, WorkerDied


class Failing(Executor):
    """Workers that all end."""

    def submit(self, function, /, *args):
        future = Future()
        future.set_exception(WorkerDied(Death(0, -9)))
        return future


@pytest.fixture
def rows(tmp_path):
    return rows_of([row_of(written(tmp_path, f"{i}.png", scene(i))) for i in range(6)])


def files_of(rows):
    return [sources.file_of_row(rows, row) for row in range(len(rows))]


def foreseen_files(engine=inline):
    return Foreseen(Limits(), decoding_pool(Limits(), 1, engine))


def test_each_file_is_described_once(rows):
    files, early = files_of(rows), foreseen_files()

    early.begin(files[:4])
    early.begin(files[2:])

    found = list(early.finish())
    assert [file for file, _ in found] == files
    facts = [image_facts(Path(os.fsdecode(file.path)).read_bytes(), Limits()) for file in files]
    assert [contents.facts for _, (_, contents) in found] == facts
    assert list(early.finish()) == []


def test_a_worker_that_ends_leaves_no_answer(rows):
    early = foreseen_files(lambda setup: Failing())

    early.begin(files_of(rows))

    assert list(early.finish()) == []


def test_no_more_than_some_files_are_begun(rows, monkeypatch):
    monkeypatch.setattr(foreseen, "MOST_FORESEEN", 4)
    files, early = files_of(rows), foreseen_files()

    early.begin(files[:3])
    rest = iter(files[3:])
    early.begin(rest)

    assert list(rest) == files[4:], "files that have no room are not even looked at"
    assert [file for file, _ in early.finish()] == files[:4]


def test_equal_contents_are_described_once(tmp_path):
    paths = [written(tmp_path, f"{name}.png", scene(0)) for name in "ab"]
    first, second = files_of(rows_of([row_of(path) for path in paths]))
    early = foreseen_files()

    early.begin([first, second])

    assert [file for file, _ in early.finish()] == [first]


def test_files_with_equal_hashes_are_foreseen_only_if_their_bytes_differ(tmp_path):
    paths = [written(tmp_path, f"{name}.png", scene(0)) for name in "ab"]
    other = tmp_path / "c.png"
    other.write_bytes(paths[0].read_bytes() + b"after the picture")
    found = []
    for some in (paths, [*paths, other]):
        rows = rows_of([row_of(path) for path in some])
        components(
            rows, images(rows), MatchRule(), foresee=lambda each: found.extend(each.tolist())
        )
        found.append("then")

    assert found == ["then", 0, 2, "then"]


def test_pictures_that_are_sent_are_begun_if_there_is_room(rows, monkeypatch):
    files, early = files_of(rows), foreseen_files()
    monkeypatch.setattr(sources, "is_sent", lambda file: file != files[1])
    monkeypatch.setattr(sources, "MAX_SIDE", 64)
    monkeypatch.setattr(pictures, "is_sent", sources.is_sent)
    monkeypatch.setattr(foreseen, "MOST_BYTES", 2 * sources.sent_bytes(files[0]))

    early.begin(files)

    found = list(early.finish())
    assert [file for file, _ in found] == files[:3]
    assert [picture is None for _, (picture, _) in found] == [False, True, False]


def test_files_without_room_are_not_looked_at_for_ever(rows, monkeypatch):
    monkeypatch.setattr(foreseen, "MOST_LOOKED_AT", 4)
    monkeypatch.setattr(sources, "is_sent", lambda file: True)
    monkeypatch.setattr(foreseen, "MOST_BYTES", 0)
    early, looked_at = foreseen_files(), []

    for _ in range(2):
        early.begin(looked_at.append(file) or file for file in files_of(rows))

    assert len(looked_at) == 4
    assert list(early.finish()) == []


def test_nothing_else_runs_once_files_are_described(rows, monkeypatch):
    monkeypatch.setattr(foreseen, "MOST_FORESEEN", 4)
    running = []

    def read(self, files, *, again=False):
        running.append(len(self._foreseen._begun))

    monkeypatch.setattr(Verifier, "_read", read)
    with Verifier(workers=1) as verifier:
        verifier.foresee(rows)(images(rows))
        verifier.facts(rows)(images(rows))

    assert running == [0]


@pytest.mark.parametrize("lost", [False, True])
def test_groups_are_the_same_with_files_that_are_described_early(rows, monkeypatch, lost):
    expected = found_in(rows).groups
    if lost:
        monkeypatch.setattr(Foreseen, "finish", lambda self: iter(()))

    with Verifier(workers=2) as verifier:
        found = star_groups(
            rows, images(rows), DedupeOptions(), inspection=verifier.inspection(rows)
        )

    assert str(found) == str(expected)
    assert found.n_compared == 6 * 5 / 2

"""Taking back while others work on the same files: one at a time, and no picture is lost.

What undo does when nobody else is about stands in test_faults_actions.
"""

import os
import subprocess
import sys

import pytest

from imgdup.apply import undo as undoing
from imgdup.apply.journal import Journal, Step, held_journal, read_journal
from imgdup.apply.undo import undo
from imgdup.apply.verify import verify
from imgdup.dedupe.plan import FileFacts
from imgdup.errors import LockedError
from imgdup.files import content_digest
from photo_scene import CONTENTS, make_scene, tree

N_FILES = 300
COPY = "b/1.jpg"


@pytest.fixture
def scene(tmp_path):
    return make_scene(tmp_path)


@pytest.fixture
def moved(scene):
    """A scene whose duplicates were moved away, and its journal."""
    return scene, scene.apply("move", scene.index.parent / "aside").journal


def test_case_120_a_second_undo_is_refused(moved):
    scene, journal = moved

    with held_journal(journal), pytest.raises(LockedError, match="in use by another process"):
        undo(journal)

    assert undo(journal).n_restored == 2
    assert scene.tree() == CONTENTS


def test_case_120_undo_is_refused_while_apply_writes_the_journal(scene):
    refused = []

    def meanwhile(n_seen):
        with pytest.raises(LockedError, match="in use by another process"):
            undo(scene.index / "journal")
        refused.append(n_seen)

    scene.apply("move", scene.index.parent / "aside", progress=meanwhile)

    assert refused == [1, 2]
    assert undo(scene.index / "journal").n_restored == 2


def many_moved(folder):
    """A journal of many small files that were moved away."""
    journal = folder / "journal"
    (folder / "there").mkdir()
    (folder / "here").mkdir()
    with Journal(journal, "move", "") as book:
        for number in range(N_FILES):
            name, content = b"%d.jpg" % number, b"picture %d" % number
            to = os.path.join(os.fsencode(folder / "there"), name)
            with open(to, "wb") as file:
                file.write(content)
            facts = FileFacts(
                0,
                os.path.join(os.fsencode(folder / "here"), name),
                len(content),
                os.stat(to).st_mtime_ns,
                content_digest(content),
            )
            book.announce(Step(book.token, number, facts, b"/keep", to))
    return journal


@pytest.mark.parametrize("locks", [True, False], ids=["with locks", "without locks"])
def test_case_120_two_undos_at_once_lose_no_picture(tmp_path, locks):
    journal = many_moved(tmp_path)
    script = "from imgdup.folder import lock; from pathlib import Path; import sys;"
    script += "" if locks else "lock._take = lambda descriptor: None;"
    script += "from imgdup.apply.undo import undo; undo(Path(sys.argv[1]))"
    runs = [
        subprocess.Popen([sys.executable, "-c", script, journal], stderr=subprocess.DEVNULL)
        for _ in range(3)
    ]

    for run in runs:
        run.wait(60)

    found = {*tree(tmp_path / "here").values(), *tree(tmp_path / "there").values()}
    assert found == {b"picture %d" % number for number in range(N_FILES)}
    assert undo(journal).n_restored + undo(journal).n_in_place == N_FILES
    assert len(tree(tmp_path / "here")) == N_FILES


def test_case_120_a_file_that_apply_sets_aside_meanwhile_stays_aside(moved, monkeypatch):
    _, journal = moved
    undo(journal)
    step = read_journal(journal).steps[0]

    def verified(facts, *rest):
        status = verify(facts, *rest)
        if facts.path == step.remove.path:
            os.rename(facts.path, step.aside)
        return status

    monkeypatch.setattr(undoing, "verify", verified)

    undone = undo(journal)

    assert [skip.reason for skip in undone.skipped] == ["missing"]
    with open(step.aside, "rb") as file:
        assert file.read() == CONTENTS[COPY]

"""Cleaning by commands: dedupe changes nothing, apply removes what was verified, undo restores."""

import errno
import json
import os
import re
import shlex
from pathlib import Path

import pytest
from make_sample import encode, photo

from cli_runs import on_a_terminal, pty, run
from encoded import painted
from imgdup import cli
from imgdup.apply import options
from imgdup.apply.journal import read_journal
from imgdup.cli import carrying_out as running, dedupe, prepare
from imgdup.dedupe import verify
from imgdup.dedupe.relations import Verdict
from imgdup.dedupe.verify import Verifier
from imgdup.errors import LockedError
from imgdup.system.records import path_from_json
from imgdup.workers.pool import inline

pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Three photos, a half-size copy of each, an equal copy of the first."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(3):
        (folder / f"p{seed}.jpg").write_bytes(painted(seed, 320, 240))
        (folder / f"small{seed}.jpg").write_bytes(painted(seed, 320, 240, step=2))
    (folder / "p0-copy.jpg").write_bytes((folder / "p0.jpg").read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMGDUP_INDEX", raising=False)
    return folder


@pytest.fixture
def plan(photos, tmp_path, capsys):
    cli.main(["dedupe", "photos", "--plan", "plan.jsonl"])
    capsys.readouterr()
    return tmp_path / "plan.jsonl"


def removals(plan):
    return [json.loads(line) for line in plan.read_text().splitlines()[1:]]


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_dedupe_changes_nothing_and_prints_what_could_be_removed(photos, capsys):
    before = contents(photos)

    code = cli.main(["dedupe", "photos", "--json", "--chains"])

    summary = json.loads(capsys.readouterr().out)
    assert code == 0
    assert contents(photos) == before
    assert (summary["images"], summary["groups"], summary["removable"]) == (7, 3, 4)
    assert set(summary["relations"]) == {"same-bytes", "same-picture"}
    assert summary["chains"] == {"2": 2, "3": 1}


def test_a_mirrored_copy_is_shown_and_only_removed_if_its_relation_is_named(photos, capsys):
    mirrored = photo(1, 320, 240)[:, ::-1]
    (photos / "mirrored.jpg").write_bytes(encode(mirrored[::2, ::2], ".jpg"))
    summaries = []
    for more in ((), ("--orientations",), ("--orientations", "--remove", "turned")):
        cli.main(["dedupe", "photos", "--json", "--plan", "plan.jsonl", "--force", *more])
        summaries.append(json.loads(capsys.readouterr().out))

    assert [each["removable"] for each in summaries] == [4, 4, 5]
    assert [each["shown"] for each in summaries] == [{}, {"turned": 1}, {}]
    turned = {r["remove"]: r["orientation"] for r in removals(Path("plan.jsonl"))}
    assert turned[str(photos / "mirrored.jpg")] == "mirror"
    assert sorted(turned.values()) == ["mirror", "none", "none", "none", "none"]
    assert cli.main(["check", "plan.jsonl", "--deep"]) == 0


def test_the_summary_for_people_has_the_same_numbers(photos, capsys):
    cli.main(["dedupe", "photos", "--chains"])

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("7 images, 3 groups, 4 removable files, ")
    assert lines[1].split()[:2] == ["same-bytes", "1"]
    assert lines[-1] == "  chains: 7 files in 3 chains, at most 3 in one"


def test_workers_import_while_the_command_does_if_pictures_will_be_compared(photos, monkeypatch):
    order = []
    open_index = prepare.open_index
    processes = "imgdup.workers.pool.Processes"
    monkeypatch.setattr(processes, lambda setup: order.append("workers") or inline(setup))
    monkeypatch.setattr(
        prepare, "open_index", lambda *args, **kw: order.append("index") or open_index(*args, **kw)
    )
    cli.main(["index", "photos"])
    orders = []
    for args in (["--no-verify", "--max-dist", "31"], [], []):  # the last one knows the verdicts
        order.clear()
        cli.main(["dedupe", *args])
        orders.append([*order])

    assert orders == [["index"], ["workers", "index"], ["index"]]
    assert dedupe.PRELOAD == verify.PRELOAD


def test_workers_that_were_started_end_with_a_command_that_fails(photos):
    cli.main(["index", "photos"])

    done = run("dedupe", "--remove", "nonsense")  # waits for all that could print

    assert done.code == 2
    assert done.err.count(b"\n") == 1


def test_lists_of_what_is_kept_and_removed_are_relative_to_the_root(photos, tmp_path):
    cli.main(["dedupe", "photos", "--keep-list", "kept", "--remove-list", "gone", "--null"])

    kept = (tmp_path / "kept").read_bytes().split(b"\0")[:-1]
    gone = (tmp_path / "gone").read_bytes().split(b"\0")[:-1]
    assert sorted(kept + gone) == sorted(os.fsencode(name) for name in contents(photos))
    assert all(name.startswith(b"p") for name in kept)


@pytest.mark.parametrize("option", ["--keep-list", "--remove-list", "--report", "--plan"])
@pytest.mark.parametrize(
    ("place", "words"), [("nodir/k", "there is no folder nodir"), ("photos", "photos is a folder")]
)
def test_nothing_is_written_unless_all_can_be(photos, tmp_path, capsys, option, place, words):
    others = ["--plan", "p", "--keep-list", "k", "--remove-list", "r", "--report", "page.html"]

    code = cli.main(["dedupe", "photos", *others, option, place])

    err = capsys.readouterr().err
    assert code == 2
    assert f"'{option}': {words}" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


def test_a_name_with_a_newline_ends_no_line_of_a_list(photos, tmp_path, capsys):
    (photos / "p1.jpg").rename(photos / "a\nb.jpg")
    arguments = ["dedupe", "photos", "--plan", "p", "--keep-list", "k"]

    assert cli.main(arguments) == 1
    assert "'a\\nb.jpg' contains a newline" in capsys.readouterr().err.replace("\\\\", "\\")
    assert not (tmp_path / "p").exists()
    assert not (tmp_path / "k").exists()
    assert cli.main([*arguments, "--null"]) == 0

    assert b"a\nb.jpg\0" in (tmp_path / "k").read_bytes()


def test_keep_rules_and_protection_decide_what_is_kept(photos, tmp_path):
    cli.main(["dedupe", "photos", "--keep", "smallest", "--keep-list", "kept"])

    assert (tmp_path / "kept").read_text().split() == ["small0.jpg", "small1.jpg", "small2.jpg"]


def test_without_verification_the_keep_rules_that_need_the_files_are_named(photos, capsys):
    unverified = ["dedupe", "photos", "--no-verify", "--max-dist", "10"]
    cli.main(unverified)
    said = capsys.readouterr().err
    cli.main([*unverified, "--keep", "largest,first"])
    of_others = capsys.readouterr().err

    assert (
        "--no-verify: no file is read, so these keep rules decide nothing: "
        "colour, metadata, quality\n" in said
    )
    assert "no file is read" not in of_others


def test_the_report_is_one_page_with_pictures(photos, tmp_path):
    cli.main(["dedupe", "photos", "--report", "report.html"])

    page = (tmp_path / "report.html").read_text()
    assert page.count("/9j/") >= 7  # how a JPEG begins in base64
    assert "small1.jpg" in page


def test_a_plan_without_removals_is_done_with_a_note(photos, capsys):
    cli.main(["dedupe", "photos", "--protect", "photos", "--plan", "p.jsonl"])
    planned = capsys.readouterr().err
    code = cli.main(["apply", "p.jsonl", "--move-to", "gone", "--yes"])

    out, err = capsys.readouterr()
    assert planned == "nothing to remove: p.jsonl is empty; a larger --max-dist finds more\n"
    assert code == 0
    assert out == "0 files removed, 0 bytes\n"
    assert "nothing to do: p.jsonl has no removals; make another with: imgdup dedupe" in err


def test_an_index_of_a_folder_above_is_named(photos, tmp_path, monkeypatch, capsys):
    cli.main(["index", "photos", "--quiet"])
    cli.main(["dedupe", "--json"])
    at_home = capsys.readouterr().err
    monkeypatch.chdir(photos)

    cli.main(["dedupe", "--json"])

    assert at_home == ""
    named, roots = capsys.readouterr().err.splitlines()
    assert named == f"using the index {tmp_path / '.imgdup'}"
    assert roots.endswith(f"including those outside the current folder: {photos}")


def test_check_verifies_the_plan(plan, capsys):
    assert cli.main(["check", str(plan)]) == 0

    out, err = capsys.readouterr()
    assert out == "OK: 4 removals verified\n"
    assert "plan.jsonl: duplicates within 31 bits, or within 64 bits if" in err
    assert err.endswith("protected: nothing\n")


def test_check_deep_compares_the_pictures_of_a_plan_again(plan, photos, capsys):
    checked = cli.main(["check", str(plan), "--deep"])
    capsys.readouterr()
    (photos / "small1.jpg").write_bytes(encode(photo(7, 160, 120), ".jpg"))
    changed = cli.main(["check", str(plan), "--deep"])

    err = capsys.readouterr().err
    assert (checked, changed) == (0, 1)
    assert "small1.jpg' is unverified and not same-picture" in err
    assert "the pictures of 1 removal are not as the plan states" in err


def test_check_and_apply_print_the_rule_of_a_plan(photos, capsys):
    arguments = ["--by", "search", "--max-dist", "9", "--protect", "photos", "--plan", "p.jsonl"]
    cli.main(["dedupe", "photos", *arguments])
    capsys.readouterr()
    expected = (
        f"duplicates within 31 bits, and within 9 bits of the search hash, protected: {photos}\n"
    )

    cli.main(["check", "p.jsonl"])
    assert capsys.readouterr().err.endswith(expected)
    cli.main(["apply", "p.jsonl", "--delete", "--dry-run"])
    assert expected in capsys.readouterr().err


def test_a_plan_whose_header_was_edited_is_refused(photos, capsys):
    cli.main(["dedupe", "photos", "--protect", "photos", "--plan", "p.jsonl"])
    with open("p.jsonl") as file:
        header = json.loads(next(file))
    header["protect"] = []
    with open("p.jsonl", "w") as file:
        file.write(json.dumps(header) + "\n")

    assert cli.main(["apply", "p.jsonl", "--delete", "--yes"]) == 1

    assert "line 1: this line was edited" in capsys.readouterr().err


def test_an_edited_plan_is_refused(plan, photos, capsys):
    text = plan.read_text().splitlines()
    record = json.loads(text[1])
    record["distance"] += 1
    plan.write_text("\n".join([text[0], json.dumps(record), *text[2:]]) + "\n")
    before = contents(photos)

    assert cli.main(["check", str(plan)]) == 1
    assert cli.main(["apply", str(plan), "--delete", "--yes"]) == 1

    assert contents(photos) == before
    assert "line 2: this line was edited" in capsys.readouterr().err


def test_a_plan_of_another_generation_is_refused(plan, photos, capsys):
    (photos / "new.jpg").write_bytes(encode(photo(9, 320, 240), ".jpg"))
    cli.main(["index", "--quiet"])

    assert cli.main(["apply", str(plan), "--delete", "--yes"]) == 1

    assert "imgdup dedupe" in capsys.readouterr().err


def test_apply_moves_and_undo_brings_back(plan, photos, tmp_path, capsys):
    before = contents(photos)
    kept = sorted({os.path.basename(path_from_json(r, "keep")).decode() for r in removals(plan)})

    applied = cli.main(["apply", str(plan), "--move-to", "gone", "--yes"])
    left = contents(photos)
    undone = cli.main(["undo", str(tmp_path / "plan.journal-1.jsonl")])

    out = capsys.readouterr().out.splitlines()
    assert (applied, undone) == (0, 0)
    assert sorted(left) == kept
    assert contents(photos) == before
    assert out[0].startswith("4 files removed, ")
    assert out[1] == "4 files restored, 0 already in place"


def test_a_dry_run_verifies_and_changes_nothing(plan, photos, tmp_path, capsys):
    before = contents(photos)

    code = cli.main(["apply", str(plan), "--delete", "--dry-run"])

    assert code == 0
    assert contents(photos) == before
    assert capsys.readouterr().out.startswith("4 files would be removed, ")
    assert not (tmp_path / "plan.journal-1.jsonl").exists()


def test_a_file_that_changed_is_skipped_and_named(plan, photos, capsys):
    changed = path_from_json(removals(plan)[0], "remove")
    with open(changed, "ab") as file:
        file.write(b"more")

    code = cli.main(["apply", str(plan), "--delete", "--yes"])

    out, err = capsys.readouterr()
    assert code == 3
    assert out.startswith("3 files removed, ")
    assert "skipped" in err
    assert os.path.exists(changed)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["apply", "plan.jsonl"], "--move-to FOLDER, --write-to FOLDER, --trash"),
        (["apply", "plan.jsonl", "--trash", "--move-to", "x"], "give exactly one of"),
        (["apply", "plan.jsonl", "--hardlink", "--delete"], "give exactly one of"),
        (["apply", "plan.jsonl", "--trash", "--delete", "--symlink"], "give exactly one of"),
        (["apply", "plan.jsonl", "--move-to", "photos/in"], "is in the indexed folder"),
        (["dedupe", "--keep", "prettiest"], "largest"),
        (["dedupe", "--max-dist", "300"], "--max-dist 300: expected 0 to 256"),
        (["dedupe", "--by", "search", "--max-dist", "65"], "--max-dist 65: expected 0 to 64"),
        (["dedupe", "--protect", "nowhere"], "nowhere"),
        (["undo", "nowhere.jsonl"], "nowhere.jsonl"),
        (["check", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_errors_are_one_line(plan, capsys, args, words):
    code = cli.main(args)

    err = capsys.readouterr().err
    assert code in (1, 2)
    assert words in err
    assert err.count("\n") == 1


def test_of_two_actions_none_is_chosen(plan, photos):
    before = contents(photos)

    assert cli.main(["apply", str(plan), "--hardlink", "--delete", "--yes"]) == 2

    assert contents(photos) == before


def test_a_journal_whose_disk_fills_ends_the_run_and_is_named(plan, photos, monkeypatch, capsys):
    write = os.write

    def full(descriptor, data):
        if b'"step": 3' in data:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data)

    before = contents(photos)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        code = cli.main(["apply", "plan.jsonl", "--move-to", "gone", "--yes"])

    out, err = capsys.readouterr()
    assert code == 3
    assert out.startswith("2 files removed, ")
    assert "no room to write plan.journal-1.jsonl" in err
    assert err.splitlines()[-1] == "to undo, run: imgdup undo plan.journal-1.jsonl"
    assert cli.main(["undo", "plan.journal-1.jsonl"]) == 0
    assert contents(photos) == before


def test_a_journal_that_announced_nothing_is_not_left(plan, tmp_path, photos, monkeypatch, capsys):
    before = contents(photos)

    def tired(descriptor):
        raise OSError(errno.EIO, "the disk is tired")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", tired)
        assert cli.main(["apply", "plan.jsonl", "--delete", "--yes"]) == 1

    assert contents(photos) == before
    assert not (tmp_path / "plan.journal-1.jsonl").exists()
    assert "undo" not in capsys.readouterr().err


def test_no_command_to_restore_deleted_files_is_printed(plan, capsys):
    assert cli.main(["apply", "plan.jsonl", "--delete", "--yes"]) == 0

    last = capsys.readouterr().err.splitlines()[-1]
    assert (
        last == "the removed files are listed in plan.journal-1.jsonl; imgdup cannot restore them"
    )


def test_an_interrupted_run_names_its_journal(plan, photos, monkeypatch, capsys):
    before, rename, n_calls = contents(photos), os.rename, []

    def interrupted(*args):
        n_calls.append(args)
        if len(n_calls) == 3:
            raise KeyboardInterrupt
        return rename(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", interrupted)
        code = cli.main(["apply", "plan.jsonl", "--move-to", "gone", "--yes"])

    assert code == 130
    assert "to undo, run: imgdup undo plan.journal-1.jsonl" in capsys.readouterr().err
    assert cli.main(["apply", "plan.jsonl", "--move-to", "gone", "--yes"]) == 0
    out, err = capsys.readouterr()
    assert re.fullmatch(r"2 files removed, [0-9]+ kB, 2 already done\n", out)
    assert err.splitlines()[-1] == "to undo, run: imgdup undo plan.journal-1.jsonl"
    assert not os.path.exists("plan.journal-2.jsonl")
    assert cli.main(["undo", "plan.journal-1.jsonl"]) == 0
    assert contents(photos) == before


def killed_in_the_last_step(plan, photos, capsys):
    """Apply a plan, then let it look as if the run had been killed in its last step."""
    cli.main(["apply", str(plan), "--move-to", "gone", "--yes"])
    cli.main(["undo", "plan.journal-1.jsonl"])
    cli.main(["index", "--quiet"])
    journal = plan.with_name("plan.journal-1.jsonl")
    journal.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "drop_removed_rows", lambda result, index_folder: 0)
        cli.main(["apply", str(plan), "--move-to", "gone", "--yes"])
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:-1]))
    step = read_journal(journal).steps[-1]
    os.rename(step.to, step.aside)
    capsys.readouterr()
    return journal, step


def test_a_killed_run_is_continued_with_its_journal(plan, photos, capsys):
    before = contents(photos)
    journal, _ = killed_in_the_last_step(plan, photos, capsys)

    code = cli.main(["apply", str(plan), "--move-to", "gone", "--yes"])

    assert code == 0
    assert capsys.readouterr().out.endswith(" kB, 3 already done\n")
    assert cli.main(["undo", str(journal)]) == 0
    assert contents(photos) == before
    assert not os.path.exists("gone")


def test_what_a_killed_run_set_aside_must_be_restored_before_another_action(plan, photos, capsys):
    before = contents(photos)
    journal, step = killed_in_the_last_step(plan, photos, capsys)

    code = cli.main(["apply", str(plan), "--delete", "--yes"])

    err = capsys.readouterr().err
    assert code == 1
    assert os.path.basename(os.fsdecode(step.aside)) in err
    assert err.endswith(f"undo it first: imgdup undo {journal}\n")
    assert cli.main(["undo", str(journal)]) == 0
    assert contents(photos) == before


def test_a_plan_that_was_carried_out_has_nothing_left_to_do(plan, photos, capsys):
    cli.main(["apply", str(plan), "--move-to", "gone", "--yes"])
    left = contents(photos)
    capsys.readouterr()

    assert cli.main(["apply", str(plan), "--move-to", "gone", "--yes"]) == 0

    assert capsys.readouterr().out == "0 files removed, 0 bytes, 4 already done\n"
    assert contents(photos) == left


def test_removed_files_leave_the_index_and_are_in_it_again_after_undo(plan, photos, capsys):
    cli.main(["apply", str(plan), "--move-to", "gone", "--yes"])
    capsys.readouterr()

    assert cli.main(["info", "--json"]) == 0
    applied = json.loads(capsys.readouterr().out)
    assert cli.main(["index", "--quiet"]) == 0  # and not: most files are gone
    cli.main(["undo", "plan.journal-1.jsonl"])
    assert "imgdup index" in capsys.readouterr().err
    cli.main(["index", "--quiet"])
    cli.main(["info", "--json"])
    undone = json.loads(capsys.readouterr().out)

    assert (applied["images"], undone["images"]) == (3, 7)


def test_an_index_that_is_being_written_keeps_its_rows_and_the_command_is_named(
    plan, photos, monkeypatch, capsys
):
    def busy(result, index_folder):
        raise LockedError("the index is being written by process 7")

    monkeypatch.setattr(running, "drop_removed_rows", busy)

    assert cli.main(["apply", str(plan), "--move-to", "gone", "--yes"]) == 0

    assert "by process 7; to remove the files from it, run: imgdup index" in capsys.readouterr().err


REASONS = {
    "--delete": "it deletes files permanently",
    "--move-to=gone": "it removes 4 of 7 images",
    "--trash": "it removes 4 of 7 images",
}


@pytest.mark.parametrize("action", REASONS)
def test_without_a_terminal_a_plan_that_removes_much_needs_yes(
    plan, photos, capsys, monkeypatch, action
):
    monkeypatch.setattr(options, "trash_function", lambda: None)  # as if the package were there
    before = contents(photos)

    code = cli.main(["apply", "plan.jsonl", action])

    err = capsys.readouterr().err.splitlines()
    assert code == 2
    assert REASONS[action] in err[-1]
    assert "confirm with --yes" in err[-1]
    assert contents(photos) == before
    assert not os.path.exists("plan.journal-1.jsonl")


@pytest.mark.parametrize("action", ["--hardlink", "--symlink"])
def test_links_are_made_without_a_question(plan, action, capsys):
    assert cli.main(["apply", "plan.jsonl", action]) == 3

    assert capsys.readouterr().out.startswith("1 file replaced by links")


def test_a_plan_that_removes_little_is_moved_without_a_question(photos, capsys):
    for seed in range(10, 14):
        (photos / f"p{seed}.jpg").write_bytes(encode(photo(seed, 320, 240), ".jpg"))
    cli.main(["dedupe", "photos", "--plan", "plan.jsonl"])
    lines = Path("plan.jsonl").read_text().splitlines(keepends=True)
    Path("plan.jsonl").write_text("".join(lines[:3]))  # 2 of 11 images

    assert cli.main(["apply", "plan.jsonl", "--move-to", "gone"]) == 0
    assert cli.main(["apply", "plan.jsonl", "--delete"]) == 2


@pytest.mark.skipif(pty is None, reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 1), (b"\n", 1), (b"y\n", 0)])
def test_on_a_terminal_a_person_is_asked(plan, photos, answer, code):
    before = contents(photos)

    found, written = on_a_terminal("apply", "plan.jsonl", "--delete", typed=answer)

    assert found == code
    assert b"plan.jsonl: it deletes files permanently" in written
    assert b"plan.jsonl: it removes 4 of 7 images" in written
    assert b"Continue? [y/N]: " in written
    assert (contents(photos) == before) == (code == 1)
    assert (b"nothing was changed" in written) == (code == 1)


@pytest.mark.skipif(pty is None, reason="needs a pseudo-terminal")
def test_a_dry_run_and_yes_ask_nothing_on_a_terminal(plan):
    tried = on_a_terminal("apply", "plan.jsonl", "--delete", "--dry-run")
    done = on_a_terminal("apply", "plan.jsonl", "--delete", "--yes")

    assert (tried[0], done[0]) == (0, 0)
    assert b"Continue?" not in tried[1] + done[1]


def test_companions_are_moved_and_restored(plan, photos, capsys):
    removed = [Path(os.fsdecode(path_from_json(r, "remove"))) for r in removals(plan)]
    for path in removed:
        path.with_suffix(".json").write_text(f"caption of {path.name}")
    before = contents(photos)

    cli.main(["apply", str(plan), "--move-to", "gone", "--yes"])
    out, err = capsys.readouterr()

    assert out.startswith("4 files removed, ")
    assert "also moved 4 files that belong to them\n" in err
    assert all((Path("gone") / path.with_suffix(".json").name).exists() for path in removed)
    cli.main(["undo", "plan.journal-1.jsonl"])
    assert contents(photos) == before
    assert not os.path.exists("gone")


def test_companions_are_named_before_files_are_deleted(plan, photos, capsys):
    removed = [Path(os.fsdecode(path_from_json(r, "remove"))) for r in removals(plan)]
    caption = removed[0].with_suffix(".json")
    caption.write_text("caption")

    code = cli.main(["apply", "plan.jsonl", "--delete"])
    refused = capsys.readouterr().err.splitlines()
    cli.main(["apply", "plan.jsonl", "--delete", "--yes"])

    assert code == 2
    assert refused[-2] == f"{caption}: belongs to a file of the plan; it is not removed"
    assert caption.read_text() == "caption"
    assert not removed[0].exists()


def test_a_plan_with_wrong_verdicts_removes_no_other_picture(photos, monkeypatch, capsys):
    """As from a damaged index: the plan fits it, and only the pictures show the error."""
    same = Verdict("same-picture", 0.0, None)
    with monkeypatch.context() as patch:
        patch.setattr(Verifier, "compare", lambda self, pairs: [same] * len(pairs))
        cli.main(["dedupe", "photos", "--max-dist", "256", "--plan", "plan.jsonl"])
    before = contents(photos)
    assert len(removals(Path("plan.jsonl"))) == 6  # all but one picture
    assert cli.main(["check", "plan.jsonl"]) == 0
    capsys.readouterr()

    code = cli.main(["apply", "plan.jsonl", "--delete", "--yes"])

    assert code == 3
    assert "different-picture: the pictures were compared again" in capsys.readouterr().err
    left = contents(photos)
    assert {"p1.jpg", "p2.jpg"} <= set(left)
    assert left.items() <= before.items()


def test_links_to_removed_files_lead_to_the_kept_files(plan, photos, capsys):
    paths = [(path_from_json(r, "remove"), path_from_json(r, "keep")) for r in removals(plan)]
    for number, (removed, _) in enumerate(paths):
        os.symlink(os.path.basename(removed), os.fsencode(photos / f"link{number}"))

    cli.main(["apply", str(plan), "--delete", "--yes"])

    assert "pointed 4 links to the kept files\n" in capsys.readouterr().err
    for number, (_, kept) in enumerate(paths):
        assert os.path.samefile(photos / f"link{number}", kept)


def test_the_undo_command_can_be_pasted(photos, tmp_path, capsys):
    name = "my plan; it's new.jsonl"
    cli.main(["dedupe", "photos", "--plan", name])

    cli.main(["apply", name, "--move-to", "gone", "--yes"])

    command = capsys.readouterr().err.splitlines()[-1].partition(": ")[2]
    journal = tmp_path / "my plan; it's new.journal-1.jsonl"
    assert shlex.split(command) == ["imgdup", "undo", journal.name]
    assert journal.exists()


def test_links_replace_files_in_the_summary(plan, capsys):
    assert cli.main(["apply", str(plan), "--hardlink", "--yes"]) == 3

    out, err = capsys.readouterr()
    assert out.startswith("1 file replaced by links, ")
    assert "skipped (different-bytes: links can only replace files with equal bytes)" in err


@pytest.mark.skipif(pty is None, reason="needs a pseudo-terminal")
def test_apply_and_undo_show_on_a_terminal_how_far_they_are(plan):
    applied = on_a_terminal("apply", str(plan), "--move-to", "gone", "--yes")[1]
    undone = on_a_terminal("undo", "plan.journal-1.jsonl")[1]

    assert b"4/4" in applied
    assert b"4/4" in undone


def test_check_verifies_an_index(photos, tmp_path, capsys):
    cli.main(["index", "photos", "--quiet"])

    assert cli.main(["check", "--deep"]) == 0

    assert capsys.readouterr().out == f"OK: 7 files in {tmp_path / '.imgdup'}\n"


def test_check_names_what_a_killed_run_left(plan, photos, capsys):
    journal, _ = killed_in_the_last_step(plan, photos, capsys)

    assert cli.main(["check"]) == 0

    assert f"to clean up: imgdup undo {journal}" in capsys.readouterr().err


def test_undo_of_a_journal_that_the_index_does_not_know_is_refused(plan, photos, capsys):
    cli.main(["apply", str(plan), "--move-to", "gone", "--yes"])
    (plan.parent / ".imgdup" / "journals").unlink()
    left = contents(photos)
    capsys.readouterr()

    assert cli.main(["undo", "plan.journal-1.jsonl"]) == 1
    assert capsys.readouterr().err.endswith("imgdup undo plan.journal-1.jsonl --index FOLDER\n")
    assert contents(photos) == left
    assert cli.main(["undo", "plan.journal-1.jsonl", "--index", ".imgdup"]) == 0


def next_command(text):
    """The arguments of the command that the last line proposes to run."""
    return shlex.split(text.splitlines()[-1].partition("run: imgdup ")[2])


def test_each_proposed_command_finds_an_index_that_only_its_option_names(photos, capsys):
    cli.main(["dedupe", "photos", "--index", "other", "--plan", "plan.jsonl"])
    apply = next_command(capsys.readouterr().err)
    assert cli.main([*[arg.replace("FOLDER", "gone") for arg in apply], "--yes"]) == 0
    undo = next_command(capsys.readouterr().err)
    assert cli.main(undo) == 0
    again = next_command(capsys.readouterr().err)
    assert cli.main(again) == 0

    assert capsys.readouterr().out.startswith("7 seen: 4 hashed")
    assert [command[-2:] for command in (apply, undo, again)] == [["--index", "other"]] * 3


def test_each_proposed_command_works_where_apply_found_the_index_by_the_plan(
    plan, tmp_path, monkeypatch, capsys
):
    (elsewhere := tmp_path.parent / f"{tmp_path.name}-elsewhere").mkdir()
    monkeypatch.chdir(elsewhere)

    assert cli.main(["check", str(plan)]) == 0
    assert cli.main(["apply", str(plan), "--move-to", "gone", "--yes"]) == 0
    undo = next_command(capsys.readouterr().err)
    assert undo == [
        "undo",
        str(plan.with_name("plan.journal-1.jsonl")),
        "--index",
        f"{tmp_path}/.imgdup",
    ]
    assert cli.main(undo[:2]) == 1
    assert capsys.readouterr().err.endswith("imgdup undo " + undo[1] + " --index FOLDER\n")
    assert cli.main(undo) == 0
    assert cli.main(next_command(capsys.readouterr().err)) == 0


def test_the_command_that_undoes_names_no_index_that_it_finds_itself(plan, capsys):
    cli.main(["apply", str(plan), "--move-to", "gone", "--index", ".imgdup", "--yes"])

    journal = str(plan.with_name("plan.journal-1.jsonl"))
    assert next_command(capsys.readouterr().err) == ["undo", journal]


def test_check_names_the_damage_and_fails(photos, tmp_path, capsys):
    cli.main(["index", "photos", "--quiet"])
    file = tmp_path / ".imgdup" / "index.1"
    data = bytearray(file.read_bytes())
    data[-8] ^= 1
    file.write_bytes(data)

    assert cli.main(["check"]) == 1
    assert cli.main(["check", "--deep"]) == 1

    lines = [line for line in capsys.readouterr().err.splitlines() if "checksum" in line]
    assert len(lines) == 2

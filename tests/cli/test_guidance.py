"""What the commands print before, instead of and after what was asked: warnings and next steps."""

import json
import os
import re
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image

from cli_runs import in_process
from imgdup import ImageIndex, cli
from imgdup.query.chance import expected_pairs
from imgdup.query.row_pairs import Side

pytestmark = pytest.mark.usefixtures("in_process")


def test_dedupe_without_a_plan_ends_with_the_command_that_writes_one(photos):
    done = in_process("dedupe", "photos", "--keep", "largest,first")

    step = "imgdup dedupe photos --keep largest,first --plan plan.jsonl"
    assert f"to remove files, first run: {step}\n" in done.err.decode()
    assert not os.path.exists("plan.jsonl")
    assert in_process(*shlex.split(step)[1:]).code == 0
    assert os.path.exists("plan.jsonl")


def test_the_next_step_is_to_look_at_the_report_if_there_is_one(photos):
    with_report = in_process("dedupe", "photos", "--plan", "plan.jsonl", "--report", "page.html")
    without = in_process("dedupe", "photos", "--plan", "plan2.jsonl")

    assert b"look at page.html, then run: imgdup apply plan.jsonl --move-to" in with_report.err
    assert b"look at plan2.jsonl, then run: imgdup apply plan2.jsonl --move-to" in without.err


def test_a_folder_without_images_is_named(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)

    done = in_process("dedupe", "empty")

    assert done.err == b"no images found\n"
    assert done.out.startswith(b"0 images")


def test_the_next_step_names_a_plan_that_does_not_exist(indexed):
    open("plan.jsonl", "w").close()

    assert b"--plan plan-2.jsonl\n" in in_process("dedupe").err


@pytest.mark.parametrize("options", [["--json"], ["--remove-list", "list.txt"]])
def test_no_next_step_where_the_user_has_another_way(indexed, options):
    assert b"first run" not in in_process("dedupe", *options).err


def test_nothing_to_remove_is_no_step(photos):
    (photos / "small.png").unlink()

    assert b"first run" not in in_process("dedupe", "photos").err


@pytest.mark.parametrize(
    ("command", "meaning"),
    [
        (["pairs", "--max-dist", "100"], "pairs of different pictures are expected"),
        (["pairs", "--by", "search", "--max-dist", "11"], "beyond the default of 10 bits"),
        (["dedupe", "--max-dist", "40"], "what they show decides"),
        (["dedupe", "--max-dist", "40", "--no-verify"], "only resemble a kept one are removed"),
        (["query", "photos/p0.jpg", "--max-dist", "11"], "expect different pictures"),
        (["query", "photos/p0.jpg", "--by", "match", "--max-dist", "32"], "default of 31 bits"),
        (["compare", "photos", "photos", "--max-dist", "40"], "takes longer"),
        (["compare", "photos", "photos", "--max-dist", "40", "--no-verify"], "are listed, too"),
        (["split", "--ratios", "a=1", "--out", "o", "--max-dist", "40"], "kept together"),
    ],
)
def test_a_distance_beyond_the_default_is_explained(indexed, command, meaning):
    err = in_process(*command).err.decode()

    assert meaning in err
    assert err.count("beyond the default") == 1


@pytest.mark.parametrize(
    "command", [["pairs", "--max-dist", "31"], ["dedupe"], ["query", "photos/p0.jpg"]]
)
def test_the_default_distance_is_not_commented(indexed, command):
    assert b"beyond" not in in_process(*command).err


@pytest.fixture(scope="module")
def noises(tmp_path_factory):
    """An index of 60 different pictures, whose hashes are far from each other."""
    folder = tmp_path_factory.mktemp("noises")
    rng = np.random.default_rng(5)
    for i in range(60):
        pixels = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    cli.main(["index", str(folder), "--index", str(folder / "index"), "--quiet"])
    return folder / "index"


def test_pairs_prints_first_how_many_are_expected(noises):
    index = ImageIndex.open(noises)
    match = index.rows.column("match")
    distances = np.bitwise_count(match[:, None] ^ match).sum(axis=2)
    within = int(np.count_nonzero(distances[np.triu_indices(60, 1)] <= 125))

    done = in_process("pairs", "--index", str(noises), "--max-dist", "125")

    lines = done.err.decode().splitlines()
    expected = float(re.search(r"about ([0-9,.]+) pairs", lines[0])[1].replace(",", ""))
    assert expected == pytest.approx(within, rel=0.2)
    assert lines[-1].startswith(f"{within:,} pairs")


def test_pairs_of_two_sides_are_expected_among_all_pairs_across(noises):
    rows = ImageIndex.open(noises).rows
    first, second = Side(rows, np.arange(20)), Side(rows, np.arange(20, 60))

    assert expected_pairs(256, first, second, by="match") == pytest.approx(20 * 40)
    assert expected_pairs(256, first, by="match") == pytest.approx(20 * 19 / 2)


@pytest.mark.parametrize(
    ("option", "command"),
    [
        ("--plan", ["dedupe"]),
        ("--keep-list", ["dedupe"]),
        ("--remove-list", ["dedupe"]),
        ("--out", ["split", "--ratios", "kept=1"]),
    ],
)
def test_plans_and_lists_that_exist_are_kept_without_force(indexed, tmp_path, option, command):
    os.mkdir("lists")
    file = tmp_path / "lists" / "kept.txt"
    file.write_text("mine\n")
    target = "lists" if option == "--out" else str(file)

    refused = in_process(*command, option, target)
    kept = file.read_text()
    forced = in_process(*command, option, target, "--force")

    assert (refused.code, kept) == (2, "mine\n")
    assert b"exists: name another file, or add --force" in refused.err
    assert forced.code == 0
    assert file.read_text() != "mine\n"


def test_an_empty_file_is_no_loss(indexed, tmp_path):
    (tmp_path / "plan.jsonl").touch()

    assert in_process("dedupe", "--plan", "plan.jsonl").code == 0


def test_ignored_files_are_listed_with_the_reason(photos):
    (photos / "notes.txt").write_text("text")
    (photos / "scene.exr").write_bytes(b"\x76\x2f\x31\x01" + bytes(20))
    (photos / "link.jpg").symlink_to(photos / "p0.jpg")

    done = in_process("index", "photos", "--list-ignored")
    again = in_process("index", "--list-ignored", "--json")

    assert [line.split("\t") for line in done.out.decode().splitlines()] == [
        ["a link that is not followed", str(photos / "link.jpg")],
        ["not an image", str(photos / "notes.txt")],
        ["OpenEXR is not decoded", str(photos / "scene.exr")],
    ]
    *ignored, counts = map(json.loads, again.out.splitlines())
    assert sorted(os.path.basename(each["path"]) for each in ignored) == [
        "link.jpg",
        "notes.txt",
        "scene.exr",
    ]
    assert counts["ignored"] == 3
    assert b"3 ignored" in done.err


def test_ignored_files_are_only_counted_if_nobody_asks(photos):
    (photos / "notes.txt").write_text("text")

    done = in_process("index", "photos")

    assert b"notes.txt" not in done.out + done.err
    assert b"1 ignored" in done.out


def test_verbose_names_all_failures(photos):
    for i in range(12):
        (photos / f"bad{i}.jpg").write_bytes(b"\xff\xd8\xff nothing")

    brief = in_process("index", "photos")
    whole = in_process("index", "--retry-failed", "photos", "--index", "new", "-v")

    assert brief.err.decode().count("bad") == 10
    assert b"2 more; -v prints all" in brief.err
    assert len(set(re.findall(rb"bad\d+", whole.err))) == 12


@pytest.mark.parametrize("name", ["found.jpg", "found.JPEG", "found.png"])
def test_a_montage_has_the_format_of_its_name_and_may_be_drawn_again(indexed, name):
    command = ["query", "photos/p0.jpg", "--montage", name]

    assert [in_process(*command).code, in_process(*command).code] == [0, 0]

    with Image.open(name) as image:
        assert image.format == ("PNG" if name.endswith("png") else "JPEG")


@pytest.mark.parametrize("name", ["found.gif", "found", "found.webp"])
def test_a_montage_of_another_format_is_refused_before_any_work(indexed, name):
    done = in_process("query", "photos/p0.jpg", "--montage", name)

    assert done.code == 2
    assert b"expected a name that ends in .png .jpg .jpeg" in done.err
    assert not os.path.exists(name)


def test_split_prints_the_five_labels_that_deviate_most(photos):
    for i in range(9):
        folder = photos / f"label{i}"
        folder.mkdir()
        rng = np.random.default_rng(i)
        for j in range(i % 3 + 1):
            pixels = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
            Image.fromarray(pixels).save(folder / f"{j}.png")

    ratios = ["--ratios", "a=0.5,b=0.5", "--stratify", "label"]
    done = in_process("split", "photos", *ratios, "--out", "o")

    first, second, title, *worst = done.out.decode().splitlines()
    assert (first[:2], second[:2]) == ("a ", "b ")
    assert title == "largest deviations of 10 labels:"
    shares = [float(re.search(r"([0-9.]+)%", line)[1]) for line in worst]
    deviations = [abs(share - 50) for share in shares]
    assert len(worst) == 5
    assert deviations == sorted(deviations, reverse=True)
    assert deviations[0] == 50  # of labels with one image
    assert all(line.split()[-1].startswith("label") for line in worst)


def test_apply_finds_the_index_from_the_plan(indexed, tmp_path, monkeypatch):
    cli.main(["dedupe", "--plan", "plan.jsonl"])
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    shutil.move("plan.jsonl", elsewhere / "plan.jsonl")
    monkeypatch.chdir(elsewhere)

    done = in_process("apply", "plan.jsonl", "--move-to", "out", "--yes")

    assert done.code == 0, done.err
    assert f"using the index {tmp_path / '.imgdup'}".encode() in done.err
    assert done.out.startswith(b"1 file removed, ")


def test_apply_prefers_the_index_that_made_the_plan_to_a_nearer_one(indexed, tmp_path, monkeypatch):
    cli.main(["dedupe", "--plan", "plan.jsonl"])
    os.mkdir("other")
    shutil.copy("photos/p1.jpg", "other/a.jpg")
    monkeypatch.chdir("other")
    cli.main(["index", "a.jpg", "--index", ".imgdup", "--quiet"])

    done = in_process("apply", "../plan.jsonl", "--move-to", "../out", "--yes", "--dry-run")

    assert done.code == 0, done.err
    assert f"using the index {tmp_path / '.imgdup'}".encode() in done.err


def test_an_interrupted_run_finds_its_index_though_that_changed(indexed, tmp_path, monkeypatch):
    cli.main(["dedupe", "--plan", "plan.jsonl"])
    cli.main(["apply", "plan.jsonl", "--move-to", "out", "--yes"])
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir("deep")

    done = in_process("apply", "../plan.jsonl", "--move-to", "../out", "--yes")

    assert done.code == 0, done.err
    assert b"1 already done" in done.out


@pytest.mark.parametrize("form", ["text", "moved", "info"])
def test_sizes_are_printed_in_one_way(indexed, form):
    done = in_process("dedupe", "--plan", "plan.jsonl")
    if form == "info":
        done = in_process("info")
    elif form == "moved":
        done = in_process("apply", "plan.jsonl", "--move-to", "out", "--yes")

    assert re.search(rb"[0-9] (kB|MB)\b", done.out)
    assert b"bytes" not in done.out.replace(b"same-bytes", b"")

"""Two sets by commands: compare finds leaks and gates on them, split makes none."""

import csv
import json
import os
import shutil

import numpy as np
import pytest
from make_sample import encode, photo

from cli_runs import on_a_terminal
from imgdup import cli
from imgdup.api.index import ImageIndex
from imgdup.system.records import path_from_json
from printed_lines import tsv_fields

pytestmark = pytest.mark.usefixtures("in_process")


def test_compare_lists_leaks_and_labels_that_disagree(sets, capsys):
    code = cli.main(["compare", "train", "test", "--json"])

    out, err = capsys.readouterr()
    leaks = {os.path.basename(leak["path"]): leak for leak in map(json.loads, out.splitlines())}
    assert code == 0
    assert sorted(leaks) == ["2.jpg", "3.jpg"]
    assert (leaks["2.jpg"]["label"], leaks["2.jpg"]["conflict_label"]) == ("dog", "cat")
    assert leaks["3.jpg"]["conflict"] is None
    assert leaks["3.jpg"]["relation"] == "same-picture"
    assert err.splitlines()[-1] == "2 of 4 images leak, 1 label conflict"


@pytest.mark.parametrize(("option", "n_leaks"), [((), 3), (("--no-orientations",), 2)])
def test_compare_finds_rotated_images_unless_the_option_forbids_it(sets, capsys, option, n_leaks):
    turned = np.rot90(photo(1, 320, 240))
    (sets / "test" / "cat" / "1-turned.jpg").write_bytes(encode(turned, ".jpg"))

    cli.main(["compare", "train", "test", "--json", *option])

    leaks = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(leaks) == n_leaks
    turns = {leak["orientation"]: leak["relation"] for leak in leaks}
    assert turns.get("rotate-90") == ("turned" if n_leaks == 3 else None)


@pytest.mark.parametrize(("option", "is_divided"), [((), False), (("--no-orientations",), True)])
def test_split_does_not_divide_a_photo_and_its_mirror_images(sets, option, is_divided):
    for seed in range(8):
        mirrored = photo(seed, 320, 240)[:, ::-1]
        (sets / "train" / "dog" / f"{seed}-mirrored.jpg").write_bytes(encode(mirrored, ".jpg"))

    cli.main(["split", "train", "--ratios", "a=0.5,b=0.5", "--out", "lists", *option])

    lists = [set((sets / "lists" / name).read_text().splitlines()) for name in ("a.txt", "b.txt")]
    stems = [{os.path.basename(path)[0] for path in each} for each in lists]
    assert bool(stems[0] & stems[1]) == is_divided


def test_lines_hold_the_same_in_the_same_order(sets, capsysbinary):
    cli.main(["compare", "train", "test"])

    rows = [tsv_fields(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert len(rows) == 2
    assert all(len(row) == 9 for row in rows)
    assert {os.path.basename(row[0]) for row in rows} == {b"2.jpg", b"3.jpg"}


@pytest.mark.parametrize(("limit", "code"), [("0", 4), ("1", 4), ("2", 0)])
def test_the_gate_is_an_exit_code(sets, capsys, limit, code):
    assert cli.main(["compare", "train", "test", "--max-leaks", limit]) == code


def test_sets_keep_their_own_indexes_and_are_not_read_again(sets, capsys):
    cli.main(["compare", "train", "test"])
    first = sorted(path.name for path in (sets / ".imgdup" / "sets").iterdir())
    generations = sorted((sets / ".imgdup" / "sets").glob("*/index.*"))

    cli.main(["compare", "train", "test"])

    assert [name.rpartition("-")[0] for name in first] == ["test", "train"]
    assert sorted((sets / ".imgdup" / "sets").glob("*/index.*")) == generations
    assert cli.main(["index", "train", "--quiet"]) == 0


def test_the_second_comparison_of_two_sets_decodes_nothing(sets, capsys, monkeypatch):
    cli.main(["compare", "train", "test", "--json"])
    first = capsys.readouterr().out
    monkeypatch.setattr("imgdup.workers.pool.Processes", None)

    assert cli.main(["compare", "train", "test", "--json"]) == 0

    assert capsys.readouterr().out == first
    assert first


def test_the_progress_of_a_comparison_counts_images_up_to_all_of_them(sets, monkeypatch):
    reports = []
    monkeypatch.setattr("imgdup.output.progress.Bar.compared", lambda bar, *n: reports.append(n))

    cli.main(["compare", "train", "test"])

    assert reports[-1] == (2, 2)


def test_index_folders_and_parts_of_one_index_give_the_same(sets, capsys):
    cli.main(["index", "train", "--index", "one", "--quiet"])
    cli.main(["index", "test", "--index", "two", "--quiet"])
    cli.main(["index", ".", "--index", "both", "--quiet"])
    capsys.readouterr()

    cli.main(["compare", "one", "two", "--json"])
    two = capsys.readouterr().out
    cli.main(["compare", "train", "test", "--index", "both", "--json"])
    parts = capsys.readouterr().out

    assert two == parts
    assert two.count("\n") == 2


def test_compare_makes_the_index_that_it_names(sets, capsys):
    code = cli.main(["compare", "train", "test", "--index", "new", "--json"])
    made = capsys.readouterr().out
    again = cli.main(["compare", "train", "test", "--index", "new", "--json"])

    assert (code, again) == (0, 0)
    assert made == capsys.readouterr().out
    assert made.count("\n") == 2
    assert sorted(map(os.path.basename, ImageIndex.open("new").rows.roots)) == [b"test", b"train"]


def test_compare_brings_the_index_that_it_names_up_to_date(sets, capsys):
    cli.main(["compare", "train", "test", "--index", "new"])
    shutil.copy("train/cat/0.jpg", "test/cat/0.jpg")
    (sets / "test" / "bad.jpg").write_bytes(b"no picture")
    capsys.readouterr()

    code = cli.main(["compare", "train", "test", "--index", "new"])

    out, err = capsys.readouterr()
    assert code == 3
    assert out.count("\n") == 3
    assert "bad.jpg: not-an-image" in err


def test_labels_are_read_from_a_table(sets, capsys):
    with open("labels.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label"])
        writer.writerows([[f"cat/{i}.jpg", "animal"] for i in range(4)])
        writer.writerow(["dog/2.jpg", "animal"])

    cli.main(["compare", "train", "test", "--labels", "labels.csv"])

    assert capsys.readouterr().err.splitlines()[-1] == "2 of 4 images leak, 0 label conflicts"


def test_images_without_a_label_are_counted(sets, capsys):
    (sets / "labels.csv").write_text("cat/3.jpg,animal\n")

    assert cli.main(["compare", "train", "test", "--labels", "labels.csv"]) == 0

    err = capsys.readouterr().err
    assert "7 of 8 images of train have no label in labels.csv\n" in err
    assert "3 of 4 images of test have no label in labels.csv\n" in err


def test_a_table_that_names_no_image_is_refused(sets, capsys):
    (sets / "labels.csv").write_text("train/cat/3.jpg,animal\n")

    assert cli.main(["compare", "train", "test", "--labels", "labels.csv"]) == 2

    assert "--labels labels.csv names none of the 8 images of train" in capsys.readouterr().err


def test_sets_without_labels_have_none_to_compare(sets, capsys):
    cli.main(["compare", "train/cat", "test/cat"])

    err = capsys.readouterr().err
    assert err.splitlines()[-1] == "1 of 2 images leaks, no labels to compare"


@pytest.mark.parametrize("content", [None, b"no picture"], ids=["empty", "all failed"])
@pytest.mark.parametrize("order", [1, -1], ids=["as A", "as B"])
def test_a_gate_does_not_pass_on_a_set_without_images(sets, capsys, content, order):
    (sets / "nothing").mkdir()
    if content:
        (sets / "nothing" / "x.jpg").write_bytes(content)

    code = cli.main(["compare", *["nothing", "test"][::order], "--max-leaks", "0"])

    assert code == 1
    assert "nothing contains no readable image" in capsys.readouterr().err


@pytest.fixture
def odd_label(sets):
    """A folder whose name commands a terminal and is no UTF-8; it holds a leak with a conflict."""
    name = b"\x1b[31m\xff"
    os.rename(os.fsencode(sets / "test" / "dog"), os.path.join(os.fsencode(sets / "test"), name))
    return name


def test_labels_are_escaped_on_a_terminal(odd_label, sets):
    compared = on_a_terminal("compare", "train", "test")[1]
    ratios = ["--ratios", "a=0.3,b=0.7"]  # which no label meets
    split = on_a_terminal("split", "test", *ratios, "--stratify", "label", "--out", "o")[1]

    expected = rb"\x1b[31m\xff"
    assert b"label " + expected + b", but cat" in compared
    assert expected in split
    assert b"\x1b[31m" not in compared + split


def test_labels_that_are_not_unicode_lose_nothing_in_json(odd_label, sets, capsys):
    cli.main(["compare", "train", "test", "--json"])

    leaks = list(map(json.loads, capsys.readouterr().out.splitlines()))
    assert odd_label in [path_from_json(leak, "label") for leak in leaks]
    assert all("\udcff" not in str(leak) for leak in leaks)


def test_the_page_shows_leaks(sets, capsys):
    cli.main(["compare", "train", "test", "--report", "leaks.html"])

    page = (sets / "leaks.html").read_text()
    assert "<title>Leaks" in page
    assert page.count("/9j/") >= 4


def test_split_divides_no_chain_and_is_the_same_again(sets, capsys):
    arguments = ["split", ".", "--ratios", "train=0.5,test=0.5", "--seed", "7"]

    assert cli.main([*arguments, "--out", "one"]) == 0
    assert cli.main([*arguments, "--out", "two"]) == 0

    lists = {name: (sets / "one" / f"{name}.txt").read_text().split() for name in ("train", "test")}
    assert sorted(map(len, lists.values())) == [6, 6]
    for name in lists:
        assert lists[name] == (sets / "two" / f"{name}.txt").read_text().split()
        assert ("train/cat/2.jpg" in lists[name]) == ("test/dog/2.jpg" in lists[name])
        assert ("train/cat/3.jpg" in lists[name]) == ("test/cat/3.jpg" in lists[name])
    assert "4 images in 2 chains; no chain is divided" in capsys.readouterr().err


def test_split_leaves_no_list_of_another_split_beside_its_own(sets, capsys):
    cli.main(["split", ".", "--ratios", "train=0.8,val=0.2", "--out", "lists"])
    before = {path.name: path.read_bytes() for path in (sets / "lists").iterdir()}

    code = cli.main(["split", ".", "--ratios", "train=0.5,test=0.5", "--out", "lists", "--force"])

    assert code == 2
    assert "lists contains val.txt" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (sets / "lists").iterdir()} == before


def test_split_writes_all_lists_or_none(sets, capsys):
    (sets / "test" / "dog" / "21.jpg").rename(sets / "test" / "dog" / "a\nb.jpg")

    code = cli.main(["split", "test", "--ratios", "a=0.5,b=0.5", "--out", "lists"])

    assert code == 1
    assert "contains a newline" in capsys.readouterr().err
    assert not (sets / "lists").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["split", "train", "--ratios", "Train=0.8,train=0.2", "--out", "x"], "given twice"),
        (["split", "train", "--ratios", "a=1", "--out", "test/dog/21.jpg"], "21.jpg' is a file"),
        (["compare", "train", "nowhere"], "no such file or folder"),
        (["compare", "train", "train"], "in common"),
        (["compare", "train", "test", "--max-dist", "300"], "--max-dist 300"),
        (["split", "train", "--ratios", "train=0.8", "--out", "x"], "ratio"),
        (["split", "train", "--ratios", "nonsense", "--out", "x"], "train=0.8"),
    ],
)
def test_errors_are_one_line(sets, capsys, args, words):
    code = cli.main(args)

    err = capsys.readouterr().err
    assert code == 2
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("names", [("train", "nowhere"), ("nowhere", "test")])
def test_no_set_is_indexed_if_the_other_does_not_exist(sets, capsys, names):
    assert cli.main(["compare", *names]) == 2

    assert not (sets / ".imgdup").exists()


def test_on_a_terminal_all_paths_are_relative_to_the_current_folder(sets):
    printed = on_a_terminal("compare", "train", "test")[1]

    assert b"but cat: train/cat/2.jpg" in printed
    assert bytes(sets) not in printed


@pytest.mark.parametrize(
    "command",
    [
        ["compare", "train", "test"],
        ["pairs", "train"],
        ["dedupe", "train"],
        ["split", "train", "--ratios", "a=0.5,b=0.5", "--out", "lists", "--force"],
    ],
    ids=lambda command: command[0],
)
def test_a_cleaned_set_may_lose_its_files_with_allow_removals(sets, capsys, command):
    cli.main(command)
    for folder in ("cat", "dog"):
        shutil.rmtree(sets / "train" / folder)
    (sets / "train" / "1.jpg").write_bytes((sets / "test" / "cat" / "20.jpg").read_bytes())

    refused = cli.main(command)
    err = capsys.readouterr().err
    allowed = cli.main([*command, "--allow-removals"])

    assert (refused, allowed) == (1, 0)
    assert "--allow-removals" in err

"""Hash packs: an index to share without pictures, which query and compare read like an index.

A pack gives the answers that the index gives; what it must not reveal is searched for in its bytes.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import imgdup
from imgdup import ImageIndex, cli
from imgdup.cli import indexes
from imgdup.errors import ImgdupError, IndexFormatError, UsageError
from imgdup.index import layout, store
from imgdup.index.generation import PACK, PACK_NAMES, open_generation
from imgdup.index.pack import save_pack

pytestmark = pytest.mark.usefixtures("in_process")

N_BYTES = 2048


def run(*args):
    return cli.main([str(each) for each in args])


@pytest.fixture
def packed(sets, capfd):
    """The training set as a pack, its pictures and its index gone, and a test set with copies."""
    (sets / "train" / "damaged.jpg").write_bytes(b"no picture")
    shutil.copy(sets / "train" / "cat" / "0.jpg", sets / "test" / "cat" / "equal.jpg")
    assert run("index", "train", "--index", "known", "--quiet") == 3
    assert run("export", "--format", "pack", "-o", "train.pack", "--index", "known") == 0
    shutil.move(sets / "train", sets / "pictures")
    capfd.readouterr()
    return sets


def output(capfd):
    printed = capfd.readouterr()
    return [json.loads(line) for line in printed.out.splitlines()], printed.err


def test_a_pack_answers_queries_as_its_index_does(packed, capfd):
    assert run("query", "test/dog/2.jpg", "--index", "known", "--json") == 0
    expected, _ = output(capfd)
    assert run("query", "test/dog/2.jpg", "--index", "train.pack", "--json") == 0
    found, err = output(capfd)

    assert expected and err == ""
    known, inside = f"{packed}/train/", f"{packed}/train.pack!/"
    assert [each["path"].replace(known, inside) for each in expected] == [
        each["path"] for each in found
    ]
    assert [each["distance"] for each in expected] == [each["distance"] for each in found]


def test_verdicts_on_pictures_of_a_pack_are_by_bytes_or_unverified(packed, capfd):
    code = run("query", "test", "--index", "train.pack", "--verify", "--json")

    found, err = output(capfd)
    relations = {Path(each["probe"]).name: each["relation"] for each in found if each["duplicate"]}
    assert code == 0
    assert relations == {"equal.jpg": "same-bytes", "2.jpg": "unverified", "3.jpg": "unverified"}
    assert "train.pack is a hash pack, without pictures to compare" in err


def test_pictures_of_a_pack_are_not_drawn(packed, capfd):
    code = run("query", "test", "--index", "train.pack", "--montage", "found.png")

    assert code == 2
    assert "a hash pack, without pictures to draw" in capfd.readouterr().err


def test_leaks_from_a_pack_are_candidates_and_fail_a_gate(packed, capfd):
    code = run("compare", "train.pack", "test", "--json", "--max-leaks", 2, "--max-unread", 1)

    found, err = output(capfd)
    assert code == 4
    assert {(Path(leak["path"]).name, leak["relation"]) for leak in found} == {
        ("equal.jpg", "same-bytes"), ("2.jpg", "unverified"), ("3.jpg", "unverified"),
    }  # fmt: skip
    assert "every image with a near hash counts as a leak, as unverified" in err
    assert run("compare", "train.pack", "test", "--max-leaks", 3, "--max-unread", 1) == 0
    assert run("compare", "train.pack", "test", "--max-leaks", 3) == 4  # damaged.jpg was not read


def test_the_second_set_may_be_a_pack_and_the_labels_of_both_are_compared(packed, capfd):
    assert run("compare", "test", "train.pack", "--json") == 0

    found, _ = output(capfd)
    labels = {Path(leak["path"]).name: (leak["label"], leak["label_of"]) for leak in found}
    assert labels == {"0.jpg": ("cat", "cat"), "2.jpg": ("cat", "dog"), "3.jpg": ("cat", "cat")}


def test_a_report_on_a_pack_needs_no_pictures_of_it(packed, capfd):
    assert run("compare", "train.pack", "test", "--report", "report.html") == 0

    assert "train.pack!" in Path("report.html").read_text()


def test_two_packs_can_be_compared(packed, capfd):
    assert run("index", "test", "--index", "new", "--quiet") == 0
    assert run("export", "--format", "pack", "-o", "test.pack", "--index", "new") == 0
    shutil.rmtree("test")

    assert run("compare", "train.pack", "test.pack", "--json") == 0

    assert len(output(capfd)[0]) == 3


def test_python_opens_packs_as_sets(packed):
    leaks = imgdup.compare("train.pack", "test", progress=False)

    assert sorted(leak.relation for leak in leaks) == ["same-bytes", "unverified", "unverified"]
    with pytest.raises(AssertionError):
        imgdup.assert_no_leak("train.pack", "test", max_unread=1)
    assert len(ImageIndex.open("train.pack").within("test/cat/equal.jpg", 0)) == 1


@pytest.mark.parametrize(
    "use",
    [
        lambda: ImageIndex.open("train.pack").groups(),
        lambda: imgdup.split("train.pack", {"a": 1}, progress=False),
    ],
)
def test_python_refuses_what_needs_the_pictures_of_a_pack(packed, use):
    with pytest.raises(ImgdupError, match="is a hash pack, which has no pictures"):
        use()


@pytest.mark.parametrize(
    "command",
    [
        ["dedupe"],
        ["pairs"],
        ["evaluate"],
        ["serve"],
        ["split", "--ratios", "a=1", "--out", "lists"],
    ],
    ids=lambda c: c[0],
)
def test_commands_that_need_pictures_refuse_a_pack(packed, capfd, command):
    code = run(*command, "--index", "train.pack")

    assert code == 1
    assert "train.pack is a hash pack, which has no pictures" in capfd.readouterr().err


@pytest.mark.parametrize("command", [["index"], ["index", "test"], ["forget", "test"]], ids=str)
def test_commands_that_write_refuse_a_pack(packed, capfd, command):
    before = Path("train.pack").read_bytes()

    assert run(*command, "--index", "train.pack") == 1
    assert "train.pack is a file, not an index folder" in capfd.readouterr().err
    assert Path("train.pack").read_bytes() == before


def test_info_check_and_export_read_a_pack(packed, capfd):
    assert run("check", "--index", "train.pack") == 0
    capfd.readouterr()
    assert run("info", "--json", "--index", "train.pack") == 0
    [facts], _ = output(capfd)
    assert (facts["images"], facts["pack"], "built" in facts) == (8, "relative", False)
    assert run("export", "--format", "json", "--index", "train.pack") == 0
    assert len(output(capfd)[0]) == 9


def test_subtract_accepts_a_pack_of_what_is_known(packed, capfd):
    assert run("index", "test", "--index", "new", "--quiet") == 0

    assert run("subtract", "new", "train.pack", "-o", "unseen", "--max-dist", 31, "--json") == 0

    assert output(capfd)[0] == [{"files": 2, "of": 5}]


# ---- what a pack reveals


@pytest.mark.parametrize("names", PACK_NAMES)
def test_a_pack_contains_no_more_than_requested(packed, names):
    args = ["export", "--format", "pack", "-o", "p", "--names", names, "--index", "known"]
    assert run(*args) == 0

    generation = open_generation(Path("p"), PACK)
    content = Path("p").read_bytes()
    assert (os.fsencode(packed) in content) == (names == "absolute")
    assert (b"cat/0.jpg" in content) == (names != "none")
    assert not generation.arrays["mtime_ns"].any() and "identity" not in generation.arrays
    assert len(generation.arrays["failed_rows"]) == 0
    assert run("check", "--index", "p") == 0


def test_a_pack_without_digests_has_none_of_a_file_and_no_two_that_are_equal(packed, capfd):
    known = ImageIndex.open("known")
    args = ["export", "--format", "pack", "-o", "p", "--no-digests", "--index", "known"]
    assert run(*args) == 0

    pack = ImageIndex.open("p")
    digests = [each.tobytes() for each in pack.column("digest")]
    assert len(set(digests)) == len(digests)
    assert not {each.tobytes() for each in known.column("digest")} & set(digests)
    assert not pack.column("size").any()
    capfd.readouterr()
    assert run("compare", "p", "test", "--json") == 0
    assert {leak["relation"] for leak in output(capfd)[0]} == {"unverified"}


def test_equal_indexes_give_equal_packs(packed):
    assert run("export", "--format", "pack", "-o", "again.pack", "--index", "known") == 0

    assert Path("again.pack").read_bytes() == Path("train.pack").read_bytes()


def test_names_of_several_folders_and_single_files_remain_in_order(packed, capfd):
    for name in ("b/x/1.jpg", "a/1.jpg", "c/1.jpg", "c/.hidden/2.jpg", "aa.jpg", "bb.jpg"):
        (packed / "more" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(packed / "pictures" / "cat" / "0.jpg", packed / "more" / name)
    sources = ["more/a", "more/b", "more/c", "more/c/.hidden", "more/aa.jpg", "more/bb.jpg"]
    assert run("index", *sources, "--index", "several", "--quiet") == 0

    assert run("export", "--format", "pack", "-o", "p", "--index", "several") == 0

    names = [os.fsdecode(path).partition("!/")[2] for path in ImageIndex.open("p").generation.paths]
    assert names == ["1-a/1.jpg", "2-files/#1", "3-b/x/1.jpg", "4-files/#3", "5-c/.hidden/2.jpg",
                     "5-c/1.jpg"]  # fmt: skip
    assert run("check", "--index", "p") == 0


def test_a_pack_of_no_images_opens(packed, capfd):
    os.mkdir("empty")
    assert run("index", "empty", "--index", "none", "--quiet") == 0

    for names in PACK_NAMES:
        args = ["export", "--format", "pack", "-o", "p", "--names", names, "--index", "none"]
        assert run(*args) == 0
        assert len(ImageIndex.open("p")) == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--format", "pack"], "name it, as in -o"),
        (["--format", "json", "--names", "none"], "are for --format pack"),
        (["--format", "csv", "--no-digests"], "are for --format pack"),
    ],
)
def test_impossible_options_of_export_are_wrong_usage(packed, capfd, args, words):
    assert run("export", *args, "--index", "known") == 2
    assert words in capfd.readouterr().err


def test_unknown_names_are_refused(packed):
    with pytest.raises(UsageError, match="names must be one of relative, absolute, none"):
        save_pack(ImageIndex.open("known").generation, Path("p"), names="all")


def test_the_command_line_has_the_names_that_packs_have():
    assert indexes.PACK_NAMES == PACK_NAMES


# ---- damaged and forged packs


def test_each_damaged_array_of_a_pack_is_refused(packed, capfd):
    pack = Path("train.pack")
    whole = pack.read_bytes()
    generation = open_generation(pack, PACK)
    with pack.open("rb") as file:
        front = layout.read(pack, file)
    starts = list(layout.starts(front))
    for number, (name, array) in enumerate(generation.arrays.items()):
        if array.size:
            data = bytearray(whole)
            data[starts[number]] ^= 255
            pack.write_bytes(data)

            assert run("compare", "train.pack", "test") == 1, name
            assert "damaged" in capfd.readouterr().err


def test_a_pack_that_is_cut_short_is_refused(packed, capfd):
    whole = Path("train.pack").read_bytes()
    for n_bytes in (10, 100, len(whole) // 2, len(whole) - 1):
        Path("train.pack").write_bytes(whole[:n_bytes])

        assert run("query", "test/dog/2.jpg", "--index", "train.pack") == 1
        assert "truncated" in capfd.readouterr().err


@pytest.mark.parametrize(
    "changes",
    [
        {"names": "all"}, {"names": 3}, {"digests": "yes"}, {"roots": []}, {"hash": "none"},
        {"kind": "index"}, {"kind": "list"}, {"bits": 63},
        {"roots": [{"path": "a\0b", "exclude": [], "follow_symlinks": 0, "hidden": 0}]},
        {"roots": [{"path": "", "exclude": [], "follow_symlinks": 0, "hidden": 0}] * 2},
    ],
    ids=str,
)  # fmt: skip
def test_a_pack_with_a_forged_head_is_refused(packed, capfd, changes):
    generation = open_generation(Path("train.pack"), PACK)
    arrays = {name: np.array(array) for name, array in generation.arrays.items()}
    store.save(Path("forged.pack"), {**generation.head, **changes}, arrays)

    with pytest.raises(IndexFormatError):
        ImageIndex.open("forged.pack")
    assert run("compare", "forged.pack", "test") == 1


def test_a_file_of_an_index_folder_is_no_pack(packed, capfd):
    assert run("query", "test/dog/2.jpg", "--index", "known/index.1") == 1
    assert "not a hash pack; name the index by its folder" in capfd.readouterr().err

"""Two sets compared, a test that refuses leaks, and a set divided: in Python.

Oracle: the names of the painted files say which show the same photo.
"""

import html
import json
import os
import re
import subprocess
import sys
from itertools import combinations

import pytest
from make_sample import encode, photo

from imgdup import ImageIndex, ImgdupError, assert_no_leak, cli, compare, split


@pytest.fixture
def sets(tmp_path, monkeypatch):
    """Photos 0 to 3 in train, with two labels; in test half-size copies of 2 to 4."""
    for seed in range(4):
        folder = tmp_path / "train" / ("cat" if seed < 3 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"photo{seed}.jpg").write_bytes(encode(photo(seed, 320, 240), ".jpg"))
    (tmp_path / "test" / "cat").mkdir(parents=True)
    for seed in range(2, 5):
        picture = photo(seed, 320, 240)[::2, ::2]
        (tmp_path / "test" / "cat" / f"photo{seed}.png").write_bytes(encode(picture, ".png"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMGDUP_INDEX", raising=False)
    return tmp_path


def found(leaks):
    return sorted((leak.path.stem, leak.duplicate_of.stem) for leak in leaks)


EXPECTED = [("photo2", "photo2"), ("photo3", "photo3")]


def test_folders_indexes_and_opened_indexes_are_compared_alike(sets):
    leaks = compare("train", "test", progress=False)
    opened = [
        ImageIndex.build(name, sets / f"index-{name}", progress=False) for name in ("train", "test")
    ]

    assert found(leaks) == EXPECTED
    assert [*compare(*opened, progress=False)] == [*leaks]
    assert [*compare(sets / "index-train", sets / "index-test", progress=False)] == [*leaks]
    assert len(list((sets / ".imgdup" / "sets").iterdir())) == 2


@pytest.fixture
def turned(sets):
    """Also a rotated copy of photo 0 in test."""
    picture = photo(0, 320, 240).swapaxes(0, 1)[::-1]
    (sets / "test" / "turned.png").write_bytes(encode(picture, ".png"))
    return sets


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({}, []),
        ({"orientations": False}, ["--no-orientations"]),
        ({"max_distance": 40, "verify": False}, ["--max-dist", "40", "--no-verify"]),
    ],
    ids=["default", "upright only", "not verified"],
)
def test_the_leaks_are_those_of_the_command(turned, options, arguments, capsys):
    leaks = compare("train", "test", **options, progress=False)

    assert cli.main(["compare", "train", "test", "--json", *arguments]) == 0

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) > 0
    assert [
        (str(leak.path), str(leak.duplicate_of), leak.relation, leak.distance) for leak in leaks
    ] == [
        (each["path"], each["duplicate_of"], each["relation"], each["distance"]) for each in lines
    ]


def test_a_turned_copy_is_a_leak(turned):
    (leak,) = (leak for leak in compare("train", "test") if leak.path.stem == "turned")

    assert (leak.relation, leak.duplicate_of.stem) == ("turned", "photo0")
    assert len(compare("train", "test", orientations=False)) == 2
    with pytest.raises(
        AssertionError, match=r"turned\.png is in the training set as .*photo0\.jpg"
    ):
        assert_no_leak("train", "test", max_leaks=2)
    assert_no_leak("train", "test", max_leaks=2, orientations=False)


def test_the_sets_of_a_split_are_the_lists_of_the_command(collection, tmp_path):
    options = ["--index", str(collection.folder), "--ratios", "a=0.6,b=0.4", "--seed", "5"]
    assert cli.main(["split", *options, "--out", str(tmp_path / "command")]) == 0

    files = split(collection, {"a": 0.6, "b": 0.4}, seed=5).save(tmp_path / "library")

    assert [file.name for file in files] == ["a.txt", "b.txt"]
    for file in files:
        assert file.read_bytes() == (tmp_path / "command" / file.name).read_bytes()


def test_a_leak_has_paths_relation_labels_and_conflicts(sets):
    leaks = {leak.path.stem: leak for leak in compare("train", "test", progress=False)}

    assert leaks["photo2"].path == sets / "test" / "cat" / "photo2.png"
    assert leaks["photo2"].duplicate_of == sets / "train" / "cat" / "photo2.jpg"
    assert leaks["photo2"].relation == "same-picture"
    assert leaks["photo2"].conflict is None
    assert (leaks["photo3"].label, leaks["photo3"].label_of) == ("cat", "dog")
    assert leaks["photo3"].conflict == leaks["photo3"].duplicate_of


def test_leaks_are_a_sequence_with_a_text_and_a_report(sets):
    leaks = compare("train", "test", progress=False)

    leaks.save_report("leaks.html")

    assert repr(leaks) == "<imgdup.Leaks: 2 of 3 images have a duplicate>"
    assert leaks[:1] == [leaks[0]]
    assert "photo2.png" in (sets / "leaks.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("as_file", [False, True])
def test_labels_may_be_given_by_path(sets, as_file):
    table = {"dog/photo3.jpg": "cat", "cat/photo3.png": "cat", "cat/photo2.jpg": "x"}
    if as_file:
        text = "".join(f"{path},{label}\n" for path, label in table.items())
        (sets / "labels.csv").write_text(text)

    leaks = compare("train", "test", labels="labels.csv" if as_file else table, progress=False)

    labels = {leak.path.stem: (leak.label, leak.label_of) for leak in leaks}
    assert labels == {"photo2": (None, "x"), "photo3": ("cat", "cat")}
    with pytest.raises(ValueError, match="labels name none of the"):
        compare("train", "test", labels={"nothing": "x"}, progress=False)


def test_an_empty_set_and_one_that_is_not_there_are_errors(sets):
    (sets / "empty").mkdir()

    with pytest.raises(ImgdupError, match=r"empty.* contains no readable image"):
        compare("train", "empty", progress=False)
    with pytest.raises(ValueError, match="'nowhere': no such file or folder"):
        compare("train", "nowhere", progress=False)


def test_a_leak_fails_and_names_both_paths_and_the_distance(sets):
    with pytest.raises(AssertionError) as error:
        assert_no_leak("train", "test")

    lines = str(error.value).splitlines()
    assert lines[0] == "2 of 3 test images leaked from the training set:"
    leak = next(each for each in compare("train", "test") if each.path.stem == "photo2")
    bits = f"{leak.distance} bit{'s' * (leak.distance != 1)}"
    expected = f"  {leak.path} is in the training set as {leak.duplicate_of} (same-picture, {bits})"
    assert expected in lines


def test_so_many_leaks_may_be_accepted(sets):
    assert_no_leak("train", "test", max_leaks=2)
    with pytest.raises(AssertionError):
        assert_no_leak("train", "test", max_leaks=1)


def test_sets_without_a_leak_pass(sets):
    for seed in (2, 3):
        (sets / "test" / "cat" / f"photo{seed}.png").unlink()

    assert_no_leak("train", "test")


def test_a_file_that_could_not_be_read_does_not_pass_in_silence(sets):
    for seed in (2, 3):
        (sets / "test" / "cat" / f"photo{seed}.png").unlink()
    (sets / "test" / "cat" / "bad.jpg").write_bytes(encode(photo(0, 320, 240), ".jpg")[:900])

    with pytest.raises(AssertionError, match=r"1 file could not be read.*\n  .*bad\.jpg"):
        assert_no_leak("train", "test")
    assert_no_leak("train", "test", max_unread=1)


def test_a_notebook_shows_leaks_and_how_many_files_were_not_read(sets):
    (sets / "test" / "bad.jpg").write_bytes(b"nonsense")

    page = compare("train", "test", progress=False)._repr_html_()

    assert "2 of 3 images have a duplicate in the other set, 1 file not read" in page
    assert page.count("data:image/jpeg;base64,") == 4


def test_only_the_first_leaks_are_named(sets):
    for number in range(12):
        name = sets / "test" / f"again{number}.jpg"
        name.write_bytes((sets / "train" / "cat" / "photo0.jpg").read_bytes())

    with pytest.raises(AssertionError) as error:
        assert_no_leak("train", "test")

    lines = str(error.value).splitlines()
    assert len(lines) == 12
    assert lines[-1] == "  and 4 more"


def test_pytest_shows_the_leaks_and_not_the_library(sets):
    (sets / "test_data.py").write_text(
        "from imgdup import assert_no_leak\n\n\n"
        "def test_no_leak():\n    assert_no_leak('train', 'test')\n"
    )

    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_data.py"],
        capture_output=True,
        text=True,
    )

    assert result.returncode == 1
    assert "AssertionError: 2 of 3 test images leaked from the training set" in result.stdout
    assert "photo2.png is in the training set as" in result.stdout
    assert "raise AssertionError" not in result.stdout


def photo_of(path):
    """Which photo a file of the collection shows."""
    return "0" if path.stem == "copy" else path.stem[1:]


def test_no_two_sets_of_a_split_share_a_photo(collection):
    sets = split(collection, {"train": 0.6, "test": 0.4}, seed=3)

    assert sorted(path for paths in sets.values() for path in paths) == collection.paths
    for one, other in combinations(sets.values(), 2):
        assert not {photo_of(path) for path in one} & {photo_of(path) for path in other}
    assert all(sets.values())
    assert sets.n_chains == 5


def test_a_split_gives_the_positions_of_paths(collection):
    sets = split(collection, {"train": 0.6, "test": 0.4})
    paths = [*reversed(collection.paths)]

    positions = sets.indices(paths)

    assert {name: sorted(paths[i] for i in found) for name, found in positions.items()} == dict(
        sets
    )
    with pytest.raises(ValueError, match="does not have 1 of 12 paths"):
        sets.indices([*paths, "nowhere.jpg"])
    assert sets.indices([*paths, "nowhere.jpg"], unknown="drop") == positions
    with pytest.raises(ValueError, match="choose 'raise' or 'drop'"):
        sets.indices(paths, unknown="keep")


def test_a_split_is_a_mapping_with_a_text_and_lists(collection, tmp_path):
    sets = split(collection, {"train": 0.6, "test": 0.4})

    files = sets.save(tmp_path / "lists")

    assert list(sets) == ["train", "test"]
    assert repr(sets) == (
        f"<imgdup.Splits: train {len(sets['train'])}, test {len(sets['test'])} images; "
        "5 chains of duplicates>"
    )
    for file in files:
        assert file.read_text().split() == [path.name for path in sets[file.stem]]
    with pytest.raises(KeyError):
        sets["val"]


@pytest.mark.parametrize(
    ("ratios", "words"),
    [
        ({"train": 0.5}, "add up to 0.5: they must add up to 1"),
        ({"a/b": 1.0}, "'a/b' cannot be the name of a list"),
        ({"a": 0.5, "A": 0.5}, "given twice"),
        ({"a": 1.5, "b": -0.5}, "a=1.5 must be a number above 0, at most 1"),
        ({"a": "half", "b": 0.5}, "a=half must be a number"),
    ],
)
def test_wrong_ratios_are_a_value_error_without_options_of_the_command_line(
    collection, ratios, words
):
    with pytest.raises(ValueError) as error:
        split(collection, ratios)

    assert words in str(error.value)
    assert "--" not in str(error.value)


def test_ratios_without_names_and_a_negative_seed_are_errors(collection):
    with pytest.raises(TypeError, match="must map names to shares, got list"):
        split(collection, [0.8, 0.2])
    with pytest.raises(ValueError, match="seed must be 0 or more, got -1"):
        split(collection, {"train": 0.8, "test": 0.2}, seed=-1)


@pytest.mark.parametrize("place", [".", "train"])
def test_what_an_index_holds_already_is_not_hashed_again(sets, files_read, in_process, place):
    for file in sets.rglob("photo*"):
        os.utime(file, (1, 1))  # one that was just written may have changed while it was read
    ImageIndex.build(place, f"{place}/.imgdup", progress=False)
    files_read.clear()

    leaks = compare("train", "test", progress=False)

    assert found(leaks) == EXPECTED
    folders = {os.path.relpath(os.fsdecode(path)).split(os.sep)[0] for path in files_read}
    assert folders == ({"test"} if place == "train" else set())


def test_no_set_is_indexed_if_the_other_does_not_exist(sets):
    for a, b in (("train", "nowhere"), ("nowhere", "test")):
        with pytest.raises(ValueError, match="'nowhere': no such file or folder"):
            compare(a, b, progress=False)

    assert not (sets / ".imgdup").exists()


def test_the_report_states_what_that_of_the_command_states(sets, capsys):
    (sets / "test" / "broken.jpg").write_bytes(b"")
    cli.main(["compare", "train", "test", "--report", "command.html"])

    compare("train", "test", progress=False).save_report("library.html")

    command, library = (
        dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", (sets / file).read_text(encoding="utf-8")))
        for file in ("command.html", "library.html")
    )
    call = "imgdup.compare('train', 'test', max_distance=None, orientations=True, verify=True)"
    assert html.unescape(library.pop("command")) == call
    assert command.pop("command").startswith("imgdup compare train test")
    assert command.pop("date")[:10] == library.pop("date")[:10]
    assert len(library) > 8
    assert library == command


def test_a_picture_of_a_format_that_is_not_decoded_does_not_pass_in_silence(sets):
    (sets / "test" / "raw.nef").write_bytes(b"II*\0 no picture")

    assert [path.name for path in compare("train", "test", progress=False).unread] == ["raw.nef"]
    with pytest.raises(AssertionError, match=r"1 file could not be read[^\n]*\n  .*raw\.nef$"):
        assert_no_leak("train", "test", max_leaks=2)
    assert_no_leak("train", "test", max_leaks=2, max_unread=1)

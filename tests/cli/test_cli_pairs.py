"""The command pairs: what it prints, in all its forms."""

import json
import os

import numpy as np
import pytest
from make_sample import encode, photo

from cli_runs import on_a_terminal
from imgdup import cli, hash_image
from imgdup.output.progress import Bar
from imgdup.system.records import path_from_json
from patchworks import save_patchworks
from printed_lines import tsv_fields

pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Folders new and old with two pictures in common, one of them twice in old."""
    for folder, seeds in (("new", (0, 1, 2)), ("old", (1, 2, 3))):
        (tmp_path / folder).mkdir()
        for seed in seeds:
            suffix = ".jpg" if folder == "new" else ".png"
            (tmp_path / folder / f"p{seed}{suffix}").write_bytes(
                encode(photo(seed, 160, 120), suffix)
            )
    (tmp_path / "old" / "p2-again.png").write_bytes((tmp_path / "old" / "p2.png").read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMGDUP_INDEX", raising=False)
    return tmp_path


def names(*paths):
    return tuple(os.path.basename(path).decode() for path in paths)


def test_pairs_of_folders_indexes_them_on_the_way(photos, capsysbinary):
    code = cli.main(["pairs", "new", "old"])

    out, err = capsysbinary.readouterr()
    rows = [tsv_fields(line) for line in out.splitlines()]
    assert code == 0
    assert sorted(names(row[3], row[4]) for row in rows) == [
        ("p1.jpg", "p1.png"), ("p2-again.png", "p2.png"),
        ("p2.jpg", "p2-again.png"), ("p2.jpg", "p2.png"),
    ]  # fmt: skip
    assert {row[2] for row in rows} == {b"yes"}
    assert err.splitlines()[-1] == b"4 pairs within 31 bits, all duplicates"


def test_pairs_across_two_folders_leaves_each_by_itself(photos, capsysbinary):
    cli.main(["pairs", "new", "--with", "old"])

    rows = [tsv_fields(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert sorted(names(row[3], row[4]) for row in rows) == [
        ("p1.jpg", "p1.png"), ("p2.jpg", "p2-again.png"), ("p2.jpg", "p2.png"),
    ]  # fmt: skip


def test_turned_pairs_are_found_when_requested_and_have_their_orientation(photos, capsys):
    mirrored = photo(3, 160, 120)[:, ::-1]
    (photos / "new" / "mirrored.png").write_bytes(encode(mirrored, ".png"))

    cli.main(["pairs", "new", "--with", "old", "--json", "--verify"])
    upright = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    cli.main(["pairs", "new", "--with", "old", "--json", "--verify", "--orientations"])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    (turned,) = [pair for pair in found if pair["orientation"] != "none"]
    assert names(*map(os.fsencode, (turned["a"], turned["b"]))) == ("mirrored.png", "p3.png")
    assert (turned["orientation"], turned["relation"]) == ("mirror", "turned")
    assert [pair for pair in found if pair != turned] == [
        {**pair, "orientation": "none"} for pair in upright
    ]


def test_search_hashes_cannot_be_turned(photos, capsys):
    for command in ("pairs", "dedupe"):
        code = cli.main([command, "new", "--by", "search", "--orientations"])

        assert code == 2
        assert "--orientations works only with match hashes" in capsys.readouterr().err


def test_pairs_across_two_indexes(photos, capsysbinary):
    cli.main(["index", "new", "--index", "one", "--quiet"])
    cli.main(["index", "old", "--index", "two", "--quiet"])

    cli.main(["pairs", "--index", "one", "--with", "two", "--null"])

    paths = capsysbinary.readouterr().out.split(b"\0")[:-1]
    pairs = list(zip(paths[::2], paths[1::2], strict=True))
    assert sorted(names(*pair) for pair in pairs) == [
        ("p1.jpg", "p1.png"), ("p2.jpg", "p2-again.png"), ("p2.jpg", "p2.png"),
    ]  # fmt: skip


def test_indexes_of_different_hashes_are_not_compared(photos, capsys):
    cli.main(["index", "new", "--index", "one", "--quiet"])
    cli.main(["index", "old", "--index", "two", "--quiet", "--hash", "phash"])

    code = cli.main(["pairs", "--index", "one", "--with", "two"])

    assert code == 1
    assert "two holds phash 64, one holds dhash 64" in capsys.readouterr().err


def test_pairs_as_json_have_the_documented_keys(photos, capsys):
    cli.main(["pairs", "new", "old", "--json"])

    pairs = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(pairs) == 4
    assert list(pairs[0]) == ["a", "b", "distance", "match_distance", "duplicate", "pdq_distance"]
    assert all(os.path.isabs(path_from_json(pair, "a")) for pair in pairs)


def test_pairs_of_an_index_with_pdq_hashes_have_their_distance(photos, capsys):
    cli.main(["index", "new", "old", "--quiet", "--with", "pdq"])

    cli.main(["pairs", "--json"])

    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(found) == 4
    for pair in found:
        a, b = (hash_image(pair[side], "pdq", 256) for side in "ab")
        assert pair["pdq_distance"] == np.bitwise_count(a ^ b).sum()


def test_pairs_by_the_search_hash_have_another_limit(photos, capsysbinary):
    cli.main(["pairs", "new", "old", "--by", "search", "--max-dist", "64"])

    out, err = capsysbinary.readouterr()
    assert out.count(b"\n") == 7 * 6 // 2
    assert err.splitlines()[-1].startswith(b"21 pairs within 64 bits, ")


@pytest.mark.parametrize(("by", "value"), [("match", "257"), ("search", "65"), ("match", "-1")])
def test_a_distance_outside_the_range_is_a_usage_error(photos, capsys, by, value):
    cli.main(["index", "new", "--quiet"])

    code = cli.main(["pairs", "--by", by, f"--max-dist={value}"])

    assert code == 2
    assert "expected 0 to" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["new", "old", "--with", "old"], ["--with", ".imgdup"]], ids=["folder", "index"]
)
def test_sets_that_share_files_are_not_compared(photos, capsys, command):
    cli.main(["index", "new", "old", "--quiet"])

    code = cli.main(["pairs", *command])

    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert "files in common" in err


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo terminal")
def test_paths_of_pairs_are_one_piece_on_a_narrow_terminal(photos):
    cli.main(["index", "new", "old", "--quiet"])

    code, written = on_a_terminal("pairs", columns=24)

    assert code == 0
    assert written.decode().count("/p2-again.png") == 2


def test_the_progress_line_ends_before_the_first_pair(photos, capsysbinary, monkeypatch):
    reported = []
    monkeypatch.setattr(Bar, "share", lambda bar, done: reported.append(bar.shown))
    monkeypatch.setattr(Bar, "end", lambda bar: reported.append("end"))

    cli.main(["pairs", "new", "old"])

    assert reported[-1] == "end"


def test_pairs_with_a_number_of_false_pairs_prints_the_distance(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMGDUP_INDEX", raising=False)
    save_patchworks(tmp_path / "many", range(60))
    cli.main(["index", "many", "--quiet"])

    by_distance = {}
    for budget in (0.01, 1, 50):
        assert cli.main(["pairs", "--by", "search", "--max-false-pairs", str(budget)]) == 0
        out, err = capsys.readouterr()
        said = next(line for line in err.splitlines() if "by chance" in line)
        by_distance[budget] = int(said.split(" bits")[0].split()[-1])
        cli.main(["pairs", "--by", "search", "--max-dist", str(by_distance[budget])])
        assert capsys.readouterr().out == out
    assert sorted(by_distance.values()) == list(by_distance.values())
    assert by_distance[0.01] < by_distance[50]


def test_pairs_by_a_distance_and_a_number_of_false_pairs_is_refused(photos, capsys):
    code = cli.main(["pairs", "new", "--max-dist", "3", "--max-false-pairs", "1"])

    assert code == 2
    assert "exclude each other" in capsys.readouterr().err


def test_pairs_verified_print_the_relation_of_each_pair_and_count_them(photos, capsysbinary):
    edited = photo(1, 160, 120)
    edited[50:70, 50:75] //= 2
    (photos / "old" / "p1.png").write_bytes(encode(edited, ".png"))

    code = cli.main(["pairs", "new", "old", "--verify"])

    out, err = capsysbinary.readouterr()
    rows = [tsv_fields(line) for line in out.splitlines()]
    assert code == 0
    assert {(*names(row[3], row[4]), row[5].decode()) for row in rows} == {
        ("p1.jpg", "p1.png", "edited"),
        ("p2-again.png", "p2.png", "same-bytes"),
        ("p2.jpg", "p2-again.png", "same-picture"),
        ("p2.jpg", "p2.png", "same-picture"),
    }
    assert err.splitlines()[-1].decode() == (
        "4 pairs within 31 bits, all duplicates: same-picture 2, edited 1, same-bytes 1"
    )


def test_pairs_verified_across_two_indexes_use_the_verdicts_of_an_earlier_run(
    photos, capsys, monkeypatch
):
    for name in ("new", "old"):
        cli.main(["index", name, "--index", f"{name}.index"])
    command = ["pairs", "--index", "new.index", "--with", "old.index", "--verify", "--json"]

    cli.main(command)
    first = capsys.readouterr().out
    monkeypatch.setattr("imgdup.dedupe.verify.decode_each", refuse_to_decode)
    cli.main(command)

    found = [json.loads(line) for line in first.splitlines() if line.startswith("{")]
    assert capsys.readouterr().out.splitlines() == first.splitlines()[-len(found) :]
    assert [list(each)[-3:] for each in found] == [["relation", "peak", "box"]] * 3
    assert {each["relation"] for each in found} == {"same-picture"}


def refuse_to_decode(function, items, pool, **options):
    assert not list(items)
    return iter(())


@pytest.mark.parametrize(
    "args", [["--by", "search"], ["--with", "old", "--orientations"], []], ids=" ".join
)
def test_pairs_by_shards_are_the_same(photos, capfd, args):
    named = ["new"] if "--with" in args else []
    assert cli.main(["index", "new", "old", "--quiet"]) == 0
    outputs = []
    for more in (
        [],
        ["--shards", "3"],
        ["--shards", "2", "--checkpoints", "kept"],
        ["--memory", "200M"],
    ):
        assert cli.main(["pairs", *named, *args, *more, "--json"]) == 0
        outputs.append(capfd.readouterr().out)

    assert outputs[0] and outputs == [outputs[0]] * 4
    assert os.listdir("kept")


def test_options_of_shards_that_do_not_fit_are_wrong_usage(photos, capfd):
    assert cli.main(["pairs", "new", "--checkpoints", "kept"]) == 2
    assert "needs --shards" in capfd.readouterr().err
    assert cli.main(["pairs", "new", "--memory", "1G", "--shards", "2"]) == 2
    assert "--shards and --memory exclude each other" in capfd.readouterr().err
    assert cli.main(["pairs", "new", "--memory", "10M"]) == 2
    assert "cannot be compared in 10 MB: at least 180 MB are needed" in capfd.readouterr().err

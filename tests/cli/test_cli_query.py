"""The command query: what it finds, prints and draws, and what becomes of bad probes."""

import json
import os

import cv2
import numpy as np
import pytest
from make_sample import encode, photo

from cli_runs import on_a_terminal
from imgdup import cli
from imgdup.cli.query import DIFFERENT, HASHES, STRATEGIES
from imgdup.cli.search_groups import N_ORIENTATIONS
from imgdup.dedupe.relations import DIFFERENT as KNOWN_DIFFERENT, Verdict
from imgdup.images.gray import ORIENTATIONS
from imgdup.query.match import HASHES as KNOWN_HASHES
from imgdup.search.planner import STRATEGIES as KNOWN_STRATEGIES
from patchworks import save_patchworks
from printed_lines import tsv_fields

pytestmark = pytest.mark.usefixtures("in_process")


def test_query_finds_the_copy_and_itself(indexed, capsysbinary):
    code = cli.main(["query", "photos/p0.jpg", "--max-dist", "10"])

    rows = [tsv_fields(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert code == 0
    assert [os.path.basename(row[4]) for row in rows] == [b"p0.jpg", b"small.png"]
    assert [row[2] for row in rows] == [b"self", b"yes"]
    assert rows[0][3] == b"320x240"


def test_query_as_json_has_the_documented_keys(indexed, capsys):
    cli.main(["query", "photos/p0.jpg", "--json"])

    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert list(first) == [
        "probe", "path", "distance", "match_distance", "duplicate", "width", "height", "is_probe",
        "pdq_distance", "found_by",
    ]  # fmt: skip
    assert (first["is_probe"], second["is_probe"]) == (True, False)
    assert os.path.isabs(second["path"])


def test_query_with_k_has_no_limit_of_distance(indexed, capsysbinary):
    cli.main(["query", "photos/p0.jpg", "-k", "4"])
    everything = capsysbinary.readouterr().out
    cli.main(["query", "photos/p0.jpg", "-k", "4", "--max-dist", "10"])
    near = capsysbinary.readouterr().out

    assert (everything.count(b"\n"), near.count(b"\n")) == (4, 2)


def test_query_of_a_folder_asks_for_each_image(indexed, capsysbinary):
    cli.main(["query", "photos", "--max-dist", "0", "--null"])

    paths = capsysbinary.readouterr().out.split(b"\0")[:-1]
    assert len(paths) >= 4


def test_query_in_all_orientations_prints_which_matched(indexed, tmp_path, capsys):
    turned = np.ascontiguousarray(photo(1, 320, 240)[:, ::-1])
    (tmp_path / "mirrored.png").write_bytes(encode(turned, ".png"))

    cli.main(["query", "mirrored.png", "--orientations", "--json"])

    (match,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert os.path.basename(match["path"]) == "p1.jpg"
    assert match["orientation"] == "mirror"


def test_every_strategy_prints_the_same_bytes_and_explains_itself(indexed, capsysbinary):
    printed = {}
    for strategy in ("tree", "bands", "scan"):
        cli.main(["query", "photos", "--max-dist", "20", "--strategy", strategy, "--explain"])
        printed[strategy], err = capsysbinary.readouterr()
        wide, *lines = err.decode().splitlines()
        assert "beyond the default" in wide
        assert lines[0].startswith("search hash: strategy ")
        assert lines[4].startswith("match hash: strategy ")
        assert {line.split()[0] for line in lines[1:4]} == {"tree", "bands", "scan"}
        assert "hashes visited" in lines[-1]

    assert len(set(printed.values())) == 1
    assert printed["tree"].count(b"\n") >= 6


def test_query_draws_a_montage(indexed, tmp_path, capsys):
    code = cli.main(["query", "photos/p0.jpg", "--montage", "seen.png"])

    assert code == 0
    assert (tmp_path / "seen.png").read_bytes().startswith(b"\x89PNG")


def test_an_unreadable_probe_fails_with_the_words_of_indexing(indexed, capsys):
    (indexed / "bad.jpg").write_bytes(b"nonsense")

    code = cli.main(["query", "photos/bad.jpg"])

    out, err = capsys.readouterr()
    assert (code, out) == (1, "")
    assert err.startswith("imgdup: photos/bad.jpg: not-an-image: ")
    assert err.count("\n") == 1


def test_one_bad_probe_of_several_is_named_and_the_rest_looked_up(indexed, capsysbinary):
    (indexed / "bad.jpg").write_bytes(b"nonsense")

    code = cli.main(["query", "photos/bad.jpg", "photos/p1.jpg"])

    out, err = capsysbinary.readouterr()
    assert code == 3
    assert out.count(b"\n") == 1
    assert b"bad.jpg: not-an-image" in err


def test_the_strategies_and_hashes_offered_are_those_there_are():
    assert sorted(STRATEGIES) == sorted(KNOWN_STRATEGIES)
    assert HASHES == KNOWN_HASHES
    assert DIFFERENT == KNOWN_DIFFERENT


@pytest.mark.parametrize(("limit", "code"), [("0", 4), ("1", 0)])
@pytest.mark.parametrize("verify", [(), ("--verify",)])
def test_a_limit_of_duplicates_does_not_count_the_probe_itself(
    indexed, capsys, limit, code, verify
):
    assert cli.main(["query", "photos/p0.jpg", "--max-duplicates", limit, *verify]) == code

    expected = "imgdup: FAIL: 1 duplicate in the index, more than --max-duplicates 0\n"
    assert capsys.readouterr().err == (expected if code else "")


def test_a_picture_that_was_compared_and_is_different_is_no_duplicate_for_the_limit(
    indexed, monkeypatch
):
    different = Verdict(KNOWN_DIFFERENT, 200.0, None)
    monkeypatch.setattr(
        "imgdup.dedupe.verify.Verifier.compare", lambda verifier, pairs: [different] * len(pairs)
    )

    assert cli.main(["query", "photos/p0.jpg", "--max-duplicates", "0", "--verify"]) == 0


def test_turned_probes_work_with_every_strategy_and_explain_it(indexed, capsysbinary):
    printed = {}
    for strategy in STRATEGIES:
        options = ["--orientations", "--strategy", strategy, "--explain"]
        assert cli.main(["query", "photos", *options]) == 0
        printed[strategy], err = capsysbinary.readouterr()
        assert f"strategy {strategy} was requested".encode() in err
        assert b"of 32 probes" in err

    assert len(set(printed.values())) == 1


def test_a_probe_named_twice_is_answered_twice(indexed, capsysbinary):
    cli.main(["query", "photos/p1.jpg", "photos/p1.jpg"])

    assert capsysbinary.readouterr().out.count(b"\n") == 2


@pytest.mark.parametrize("option", ["--explain", "--strategy=scan"])
def test_the_nearest_are_not_planned(indexed, capsys, option):
    code = cli.main(["query", "photos/p0.jpg", "-k", "2", option])

    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert "remove --strategy and --explain" in err


def test_a_montage_may_be_drawn_anew(indexed, tmp_path, capsys):
    cli.main(["query", "photos/p0.jpg", "--montage", "seen.png"])
    first = (tmp_path / "seen.png").read_bytes()

    code = cli.main(["query", "photos/p1.jpg", "--montage", "seen.png"])

    assert code == 0
    assert (tmp_path / "seen.png").read_bytes() != first


def test_a_folder_of_bad_probes_alone_fails(indexed, tmp_path, capsys):
    (tmp_path / "bad").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "bad" / name).write_bytes(b"nonsense")

    code = cli.main(["query", "bad"])

    assert code == 1
    assert capsys.readouterr().err.count("not-an-image") == 2


def test_one_bad_probe_in_a_folder_does_not_fail_the_others(indexed, capsys):
    (indexed / "bad.jpg").write_bytes(b"nonsense")

    code = cli.main(["query", "photos"])

    assert code == 3


def test_a_name_that_is_not_there_is_found_out_before_the_search(indexed, capsys):
    code = cli.main(["query", "photos/p0.jpg", "photos/nowhere.jpg"])

    assert (code, capsys.readouterr().out) == (2, "")


def test_a_listed_name_that_is_not_there_is_a_failed_input(indexed, tmp_path, capsys, monkeypatch):
    (tmp_path / "list").write_bytes(b"photos/p1.jpg\nphotos/nowhere.jpg\n")
    with (tmp_path / "list").open() as listed:
        monkeypatch.setattr("sys.stdin", listed)

        code = cli.main(["query", "-"])

    out, err = capsys.readouterr()
    assert code == 3
    assert out.count("\n") == 1
    assert "photos/nowhere.jpg: missing" in err


def test_a_folder_that_cannot_be_searched_is_named(indexed, capsys, monkeypatch):
    (indexed / "closed").mkdir()
    scandir = os.scandir

    def refuse(path):
        if os.fsdecode(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)

    code = cli.main(["query", "photos"])

    assert code == 3
    assert "closed: not searched (Permission denied)" in capsys.readouterr().err


def test_query_with_a_number_of_false_pairs_refuses_a_small_index(indexed, capsys):
    code = cli.main(["query", "photos/p0.jpg", "--max-false-pairs", "1"])

    assert code == 2
    assert "too few different images" in capsys.readouterr().err


def test_query_with_a_number_of_false_pairs_finds_what_its_distance_finds(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMGDUP_INDEX", raising=False)
    save_patchworks(tmp_path / "many", range(60))
    cli.main(["index", "many", "--quiet"])

    code = cli.main(["query", "many/001.png", "--max-false-pairs", "0.5"])
    out, err = capsys.readouterr()
    turned_code = cli.main(["query", "many/001.png", "--max-false-pairs", "0.5", "--orientations"])
    turned = capsys.readouterr().err

    distance, turned_distance = (int(said.split(" bits")[0].split()[-1]) for said in (err, turned))
    cli.main(["query", "many/001.png", "--max-dist", str(distance)])
    assert (code, turned_code) == (0, 0)
    assert capsys.readouterr().out == out
    assert turned_distance < distance


def test_the_command_knows_how_many_orientations_there_are():
    assert len(ORIENTATIONS) == N_ORIENTATIONS


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
def test_on_a_terminal_a_probe_without_a_match_is_noted(indexed, form):
    (indexed.parent / "other.png").write_bytes(encode(photo(7, 320, 240), ".png"))

    code, printed = on_a_terminal("query", "other.png", "--max-dist", "0", *form)

    assert code == 0
    assert printed.splitlines()[-1] == b"no match"


def test_in_a_pipe_a_probe_without_a_match_prints_nothing(indexed, capsys):
    (indexed.parent / "other.png").write_bytes(encode(photo(7, 320, 240), ".png"))

    code = cli.main(["query", "other.png", "--max-dist", "0"])

    assert (code, *capsys.readouterr()) == (0, "", "")


def test_a_folder_without_images_is_done_with_a_note(indexed, capsys):
    (indexed / "empty").mkdir()

    code = cli.main(["query", "photos/empty"])

    assert (code, *capsys.readouterr()) == (0, "", "no images found\n")


def rotated_by_a_degree(seed):
    """The picture of p0.jpg, p1.jpg, ... as from a scanner."""
    turn = cv2.getRotationMatrix2D((160, 120), 1, 1.02)
    return cv2.warpAffine(photo(seed, 320, 240), turn, (320, 240), borderMode=cv2.BORDER_REFLECT)


def test_a_query_prints_what_only_the_match_hash_finds(indexed, tmp_path, capsys):
    (tmp_path / "turned.png").write_bytes(encode(rotated_by_a_degree(1), ".png"))

    cli.main(["query", "turned.png", "--max-dist", "0", "--json"])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    cli.main(["query", "turned.png", "--max-dist", "0", "--by", "search"])

    assert [os.path.basename(each["path"]) for each in found] == ["p1.jpg"]
    assert found[0]["found_by"] == ["match"]
    assert found[0]["duplicate"]
    assert capsys.readouterr().out == ""


def test_max_dist_is_a_distance_of_the_hash_that_is_looked_up(indexed, capsys):
    codes = [cli.main(["query", "photos/p0.jpg", "--max-dist", "65", *by]) for by in (
        ["--by", "match"], ["--by", "search"], [],
    )]  # fmt: skip

    assert codes == [0, 2, 2]
    assert "expected 0 to 64" in capsys.readouterr().err


def test_a_query_by_pdq_needs_an_index_that_has_pdq_hashes(indexed, capsys):
    without = cli.main(["query", "photos/p0.jpg", "--by", "pdq"])
    out, err = capsys.readouterr()
    cli.main(["index", "--with", "pdq"])
    capsys.readouterr()

    code = cli.main(["query", "photos/p0.jpg", "--by", "pdq", "--json"])

    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (without, out, err.count("\n")) == (1, "", 1)
    assert "has no PDQ hashes: run imgdup index --with pdq" in err
    assert code == 0
    assert [each["pdq_distance"] for each in found] == sorted(e["pdq_distance"] for e in found)
    assert {tuple(each["found_by"]) for each in found} == {("pdq",)}
    assert found[0]["is_probe"]


def test_only_the_search_hash_can_be_looked_up_by_tree(indexed, capsys):
    code = cli.main(["query", "photos/p0.jpg", "--by", "match", "--strategy", "tree"])

    assert code == 2
    assert "the match hash has no tree; use scan or bands" in capsys.readouterr().err


@pytest.fixture
def with_copies(indexed):
    """The indexed pictures and two copies of the first: one edited, one outside of the index."""
    edited = photo(0, 320, 240)
    edited[100:140, 100:160] = (255, 0, 0)
    (indexed / "edited.png").write_bytes(encode(edited, ".png"))
    (indexed.parent / "outside.png").write_bytes(encode(photo(0, 200, 150), ".png"))
    assert cli.main(["index"]) == 0
    return indexed


def relations_of(printed):
    """What query --verify printed for a pipe: file names and relations."""
    rows = [tsv_fields(line) for line in printed.splitlines()]
    return {os.path.basename(row[4]).decode(): row[-1].decode() for row in rows}


def test_query_verified_prints_the_relation_of_each_match(with_copies, capsysbinary):
    expected = {"p0.jpg": "same-bytes", "small.png": "same-picture", "edited.png": "edited"}
    capsysbinary.readouterr()

    code = cli.main(["query", "photos/p0.jpg", "--verify"])
    inside = capsysbinary.readouterr().out
    cli.main(["query", "outside.png", "--verify"])
    outside = capsysbinary.readouterr().out

    assert code == 0
    assert relations_of(inside) == expected
    assert relations_of(outside) == expected | {"p0.jpg": "same-picture"}


def test_query_verified_shows_the_relation_on_a_terminal(with_copies):
    code, printed = on_a_terminal("query", "photos/p0.jpg", "--verify")

    header, *rows = printed.decode().splitlines()
    assert code == 0
    assert header.split() == ["dist", "match", "by", "dup", "size", "relation", "path"]
    assert {row.split()[5] for row in rows} == {"same-bytes", "same-picture", "edited"}


def test_query_verified_as_json_has_the_place_of_the_largest_difference(with_copies, capsys):
    capsys.readouterr()
    cli.main(["query", "photos/p0.jpg", "--verify", "--json"])

    matches = map(json.loads, capsys.readouterr().out.splitlines())
    [edited] = [each for each in matches if each["path"].endswith("edited.png")]
    assert list(edited)[-3:] == ["relation", "peak", "box"]
    x, y, width, height = edited["box"]
    assert edited["relation"] == "edited" and edited["peak"] > 60
    assert x <= 406 and y <= 500 and x + width >= 406 and y + height >= 500  # the middle of the red


def test_query_verified_again_decodes_nothing(with_copies, capsysbinary, monkeypatch):
    cli.main(["query", "photos/p0.jpg", "outside.png", "--verify"])
    first = capsysbinary.readouterr().out
    monkeypatch.setattr("imgdup.dedupe.verify.decode_each", refuse_to_decode)
    cli.main(["query", "photos/p0.jpg", "outside.png", "--verify"])

    assert capsysbinary.readouterr().out == first[first.index(b"0\t") :]


def refuse_to_decode(function, items, pool, **options):
    assert not list(items)
    return iter(())


def test_of_many_matches_only_those_with_the_nearest_match_hashes_are_compared(
    with_copies, capsysbinary, monkeypatch
):
    monkeypatch.setattr("imgdup.dedupe.wide.MOST_COMPARED_MATCHES", 2)
    capsysbinary.readouterr()

    cli.main(["query", "photos/p0.jpg", "photos/p1.jpg", "--verify", "--max-dist", "64"])

    printed = capsysbinary.readouterr()
    rows = [tsv_fields(line) for line in printed.out.splitlines()]
    for probe in (b"p0.jpg", b"p1.jpg"):
        found = [row for row in rows if os.path.basename(row[5]) == probe]
        nearest = sorted(found, key=lambda row: (int(row[1]), int(row[0])))
        relations = [row[-1] for row in nearest]
        assert b"unverified" not in relations[:2]
        assert set(relations[2:]) == {b"unverified"}
    n_beyond = sum(row[-1] == b"unverified" for row in rows)
    assert b"%d matches unverified: of a PROBE, the 2 with" % n_beyond in printed.err


def test_a_match_whose_file_has_changed_is_unverified(with_copies, capsysbinary):
    (with_copies / "small.png").write_bytes(encode(photo(3, 160, 120), ".png"))
    capsysbinary.readouterr()

    cli.main(["query", "photos/p0.jpg", "--verify"])

    assert relations_of(capsysbinary.readouterr().out)["small.png"] == "unverified"

"""What commands print: stable fields in every form, and each form can be read back."""

import json

from imgdup.cli.indexing import index_summary
from imgdup.output.results import (
    MatchRow,
    failure_json,
    match_json,
    match_lines,
    match_nulls,
    match_table,
)
from imgdup.system.records import path_from_json
from printed_lines import tsv_fields

NEAR = MatchRow(b"/a.jpg", b"/b\n\xff.jpg", 3, 12, True, 640, 480, False)
FAR = NEAR._replace(path=b"/c.jpg", distance=10, match_distance=None, duplicate=False)
OWN = NEAR._replace(path=b"/a.jpg", distance=0, match_distance=0, is_probe=True)
OTHER = NEAR._replace(probe=b"/z.jpg", path=b"/y.jpg")


def test_a_table_shows_matches_in_their_order():
    assert match_table([OWN, NEAR, FAR]) == (
        "dist  match  dup   size     path\n"
        "   0      0  self  640x480  /a.jpg\n"
        "   3     12  yes   640x480  /b\\n\\xff.jpg\n"
        "  10      -  no    640x480  /c.jpg\n"
    )


def test_several_probes_get_a_titled_table_each():
    assert match_table([NEAR, OTHER]) == (
        "/a.jpg\n"
        "dist  match  dup  size     path\n"
        "   3     12  yes  640x480  /b\\n\\xff.jpg\n"
        "\n"
        "/z.jpg\n"
        "dist  match  dup  size     path\n"
        "   3     12  yes  640x480  /y.jpg\n"
    )


def test_no_matches_print_nothing():
    assert match_table([]) == ""
    assert [*match_lines([]), *match_json([]), *match_nulls([])] == []


def test_lines_hold_one_match_each():
    fields = [tsv_fields(line) for line in match_lines([OWN, NEAR, FAR])]

    assert fields == [
        [b"0", b"0", b"self", b"640x480", b"/a.jpg", b"/a.jpg", b"search", b""],
        [b"3", b"12", b"yes", b"640x480", b"/b\n\xff.jpg", b"/a.jpg", b"search", b""],
        [b"10", b"", b"no", b"640x480", b"/c.jpg", b"/a.jpg", b"search", b""],
    ]


def test_a_line_ends_with_the_hash_that_found_it_and_the_pdq_distance():
    both = NEAR._replace(found_by=("search", "match"), pdq_distance=20)
    by_pdq = both._replace(found_by=("pdq",))

    ends = [tsv_fields(line)[-2:] for line in match_lines([both, by_pdq])]

    assert ends == [[b"both", b"20"], [b"pdq", b"20"]]


def test_a_table_shows_by_which_hash_a_match_was_found_and_the_pdq_distance_if_requested():
    both = OTHER._replace(found_by=("search", "match"), pdq_distance=20)

    header, row = match_table([both], extra=["by", "pdq"]).splitlines()

    assert header.split()[:5] == ["dist", "match", "by", "pdq", "dup"]
    assert row.split()[:4] == ["3", "12", "both", "20"]


def test_null_lines_hold_raw_paths():
    assert b"".join(match_nulls([NEAR, FAR])) == b"/b\n\xff.jpg\0/c.jpg\0"


def test_json_has_the_promised_keys_in_order():
    record = json.loads(next(match_json([FAR])))

    assert list(record) == [
        *(
            "probe",
            "path",
            "distance",
            "match_distance",
            "duplicate",
            "width",
            "height",
            "is_probe",
        ),
        "pdq_distance",
        "found_by",
    ]
    assert record["match_distance"] is None
    assert record["found_by"] == ["search"]


def test_json_keeps_paths_whole():
    record = json.loads(next(match_json([NEAR])))

    assert path_from_json(record) == NEAR.path
    assert path_from_json(record, "probe") == NEAR.probe


def test_a_failure_is_a_json_line():
    record = json.loads(failure_json(b"\xff.jpg", "damaged", "bad marker"))

    assert path_from_json(record) == b"\xff.jpg"
    assert (record["reason"], record["detail"]) == ("damaged", "bad marker")


def test_the_summary_adds_up_for_people():
    summary = {
        "seen": 10,
        "hashed": 7,
        "unchanged": 2,
        "failed": 1,
        "removed": 0,
        "ignored": 1200,
        "seconds": 0.04,
        "images_per_second": 175.0,
    }

    assert index_summary(summary) == (
        "10 seen: 7 hashed, 2 unchanged, 1 failed; 0 removed, 1,200 ignored; 0.0 s, 175 images/s"
    )

"""An evaluation as text, as JSON and as a page; its figures are counted again by loops."""

import json
import re
from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pytest

from imgdup.dedupe.evaluate import NOT_FOUND, EditResult, Evaluation, HashResult
from imgdup.output.evaluation import (
    evaluation_html,
    evaluation_json,
    evaluation_lines,
    evaluation_table,
    reasons,
    save_evaluation,
)
from imgdup.query.chance import count_distances, estimate

MATCH = np.array([0, 4, 31, 32, NOT_FOUND])
SEARCH = np.array([0, 0, 10, 11, 64])


def random_hashes(bits):
    return np.random.default_rng(bits).integers(0, 2**64, (200, bits // 64), dtype=np.uint64)


def hash_result(bits, default):
    counts = count_distances(random_hashes(bits))
    chance = estimate(counts)
    distance = chance.largest_distance(1000 * 999 // 2, 1)
    return HashResult(bits, default, counts.sum(axis=0) // 2, chance, distance, {"different": 100})


@pytest.fixture(scope="module")
def found():
    edits = {
        "JPEG <b>10</b>": EditResult(
            {"match": MATCH, "search": SEARCH}, Counter({"same-picture": 3, "edited": 1})
        ),
        "mirrored": EditResult({"match": MATCH + 100, "search": SEARCH}, Counter()),
    }
    labels = {"same": EditResult({"match": MATCH[:2], "search": SEARCH[:2]}, {"cropped": 2})}
    hashes = {"match": hash_result(256, 31), "search": hash_result(64, 10)}
    return Evaluation(1000, 5, 2, 1.0, hashes, edits, labels, 3)


def test_json_has_the_documented_keys_and_the_figures(found):
    record = json.loads(evaluation_json(found))

    assert list(record) == [
        "images", "sampled", "failed", "max_false_pairs", "hashes", "edits", "labels",
        "unread_pairs",
    ]  # fmt: skip
    edit, match = record["edits"][0], record["edits"][0]["match"]
    assert list(edit) == ["edit", "match", "search", "relations"]
    assert match["pairs"] == 5
    assert match["within_default"] == 3 / 5
    assert edit["search"]["within_default"] == 3 / 5
    assert match["by_distance"] == {"0": 1, "4": 1, "31": 1, "32": 1}
    assert (match["median"], edit["search"]["median"]) == (31, 10)
    assert edit["relations"] == {"same-picture": 3, "edited": 1}
    assert record["labels"][0]["label"] == "same"
    for by, bits in (("match", 256), ("search", 64)):
        result = record["hashes"][by]
        assert (result["bits"], len(result["most_false_pairs"])) == (bits, bits + 1)
        assert result["most_false_pairs"][result["distance"]] <= 1
        assert result["most_false_pairs"][result["distance"] + 1] > 1
        assert result["different_pairs"] == sum(result["different_by_distance"].values())
        assert str(result["nearest_different"]) == next(iter(result["different_by_distance"]))


def test_lines_have_the_shares_within_the_default_distances(found):
    rows = [line.rstrip("\n").split("\t") for line in evaluation_lines(found)]

    assert rows == [
        ["60.0 %", "60.0 %", "same-picture 75 %", "JPEG <b>10</b>"],
        ["0.0 %", "60.0 %", "-", "mirrored"],
        ["100.0 %", "100.0 %", "cropped 100 %", "pairs labelled same"],
    ]


def test_the_table_has_a_row_for_each_edit_and_label(found):
    lines = "".join(evaluation_table(found, width=100, encoding="utf-8")).splitlines()

    assert lines[0].split() == ["match", "search", "mostly", "edit"]
    assert len(lines) == 4


def test_the_pdq_hash_has_a_column_where_it_was_evaluated(found):
    edits = {
        name: each._replace(distances={**each.distances, "pdq": SEARCH})
        for name, each in found.edits.items()
    }
    hashes = {**found.hashes, "pdq": hash_result(256, 31)._replace(chance=None, distance=None)}
    more = found._replace(edits=edits, labels={}, hashes=hashes)

    table = "".join(evaluation_table(more, width=100, encoding="utf-8")).splitlines()
    assert table[0].split() == ["match", "search", "pdq", "mostly", "edit"]
    assert table[1].split()[:6] == ["60.0", "%", "60.0", "%", "80.0", "%"]
    assert json.loads(evaluation_json(more))["edits"][0]["pdq"]["within_default"] == 4 / 5
    assert "Pdq hash" not in evaluation_html(more)
    assert "PDQ hash" in evaluation_html(more)
    assert [*reasons(more)][2].endswith("nearly all distances of PDQ hashes are even.")


def test_the_reasons_name_pairs_nearest_distance_and_choice(found):
    match, search = reasons(found)

    assert "1,000 pictures, 499,500 pairs" in match
    assert f"within {found.hashes['match'].distance} bits (default: 31)" in match
    nearest = int(np.flatnonzero(found.hashes["search"].different)[0])
    assert (
        f"the nearest is {nearest} bits apart; the nearest 100, compared: different 100." in search
    )


def test_without_an_estimate_the_reason_is_given(found):
    unknown = found.hashes["match"]._replace(chance=None, distance=None)
    none = found.hashes["search"]._replace(distance=None)
    some = found._replace(hashes={"match": unknown, "search": none})

    match, search = reasons(some)
    page = evaluation_html(some)

    assert match.endswith("too small to estimate how many pairs are near each other by chance.")
    assert search.endswith("more than 1 false pair is expected at any distance.")
    assert page.count("<dd>none</dd>") == 2
    assert json.loads(evaluation_json(some))["hashes"]["match"]["most_false_pairs"] is None


def test_the_page_escapes_names_loads_nothing_and_is_well_formed(found):
    page = evaluation_html(found)

    assert "JPEG &lt;b&gt;10&lt;/b&gt;" in page
    assert "<b>" not in page
    assert not re.search(r"(src|href)=|<script|url\(|@import", page)
    assert "default-src 'none'" in page
    for drawn in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(drawn)
    assert not re.search(r"\bnan\b", page)


def test_the_curve_of_copies_rises_to_the_share_that_is_found(found):
    """The green line of all copies, read back from the plot of the search hash."""
    page = evaluation_html(found)
    section = page.split("<h2>Search hash</h2>")[1]
    heavy = re.search(r'stroke="#2f9e5b" stroke-width="2" d="M([^"]*)"', section)[1]
    heights = [float(point.split()[1]) for point in heavy.split("L")]
    floor, top = 220 - 38, 16

    shares = [(floor - y) / (floor - top) for y in heights]

    both = [*SEARCH, *SEARCH]
    assert len(shares) == 33
    assert shares == pytest.approx(
        [sum(d <= bits for d in both) / 10 for bits in range(33)], abs=0.001
    )


def test_bars_are_as_wide_as_the_share_of_each_relation(found):
    bar = evaluation_html(found).split("JPEG &lt;b&gt;10&lt;/b&gt;")[1].split("</svg>")[0]

    assert re.findall(r'width="([\d.]+)" height="10"', bar) == ["75.00", "25.00"]
    assert "same-picture: 3 of 4" in bar


def test_labelled_pairs_alone_make_a_page(found):
    page = evaluation_html(found._replace(hashes={}, edits={}))

    assert "pairs labelled same" in page


def test_the_page_is_written(found, tmp_path):
    save_evaluation(tmp_path / "page.html", found)

    assert (tmp_path / "page.html").read_text("utf-8") == evaluation_html(found)

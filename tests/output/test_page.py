"""The page of groups: complete, self-contained, and safe from what file names contain.

Here is the page as text; test_page_in_browser.py opens it in a browser.
"""

import base64
import html.parser
import json
import re
import stat
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from hypothesis import given, strategies as st
from make_sample import photo

from imgdup.errors import ImgdupError
from imgdup.output import gallery, page as report
from imgdup.output.gallery import THUMBNAIL, thumbnail
from imgdup.output.page import (
    FIGURE_WIDTH,
    LEFT,
    RIGHT,
    Group,
    Wording,
    histogram_svg,
    page_html,
    save_page,
)
from imgdup.system.limits import Limits, size_text
from painted_groups import ENDS_THE_SCRIPT, EVIL, entry, jpeg, many_groups

THUMBNAIL_AT = 6  # in an entry, as the page's script reads it
NAMES = st.one_of(
    st.sampled_from([EVIL, ENDS_THE_SCRIPT, "<!--", "]]>", "{{script}}", "&lt;"]),
    st.text(),
)


def data_of(page):
    """What the page's script reads."""
    return json.loads(re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page)[1])


class Outline(html.parser.HTMLParser):
    """The tags of a page in order, with their attributes, as a browser finds them."""

    def __init__(self, page):
        super().__init__()
        self.tags = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))


@given(name=NAMES)
def test_no_name_can_change_the_page(name):
    plain = page_html([Group(entry("keeper"), [entry("copy")])])

    page = page_html([Group(entry(name), [entry(name, relation="edited")])])

    assert [tag for tag, _ in Outline(page).tags] == [tag for tag, _ in Outline(plain).tags]
    assert data_of(page)["groups"][0][0][0] == name


@given(title=NAMES)
def test_no_title_can_change_the_page(title):
    plain = page_html([], Wording(title="plain"))

    page = page_html([], Wording(title=title, about=title, none=title))

    assert [tag for tag, _ in Outline(page).tags] == [tag for tag, _ in Outline(plain).tags]


def test_the_page_loads_nothing():
    page = page_html([Group(entry("a", thumbnail=jpeg()), [entry("b")])])

    links = [value for _, each in Outline(page).tags for key, value in each.items()
             if key in ("src", "href", "action")]  # fmt: skip
    assert all(link.startswith("data:") for link in links)
    assert "default-src 'none'" in page


def test_groups_that_save_most_are_first():
    small = Group(entry("a"), [entry("b", size_bytes=10)])
    large = Group(entry("c"), [entry("d", size_bytes=6), entry("e", size_bytes=6)])

    keepers = [keeper[0] for keeper, *_ in data_of(page_html([small, large]))["groups"]]

    assert keepers == ["c", "a"]


def test_the_same_groups_give_the_same_page():
    groups = many_groups(5, jpeg())

    assert page_html(groups) == page_html(iter(groups))


def test_the_summary_counts_and_adds_up():
    page = page_html(many_groups(3, None))

    facts = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page)
    assert facts == [("groups", "3"), ("to remove", "6"), ("saves", "60 MB")]


def test_wording_can_speak_of_leaks():
    wording = Wording("Leaks", "train", "test", counted="in test", saves="", none="No leak.")

    page = page_html([Group(entry("a"), [entry("b")])], wording)

    assert "<title>Leaks</title>" in page
    assert re.findall(r"<dt>(.*?)</dt>", page) == ["groups", "in test"]


def test_groups_in_which_nothing_is_removed_are_counted_apart_as_the_command_counts_them():
    groups = [Group(entry("a"), [entry("b")], [entry("c")]), Group(entry("d"), [], [entry("e")])]

    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page_html(groups)))

    assert facts["groups"] == "1"
    assert (facts["only shown"], facts["groups only shown"]) == ("2", "1")


def test_where_nothing_is_saved_groups_keep_the_given_order():
    groups = [Group(entry("a"), [entry("b", size_bytes=1)]), Group(entry("c"), [entry("d")])]

    page = page_html(groups, Wording(saves="", order="nearest first"))

    assert [keeper[0] for keeper, *_ in data_of(page)["groups"]] == ["a", "c"]
    assert '<option value="first">nearest first</option>' in page


def test_the_page_names_the_rule_and_the_number_of_images():
    page = page_html([], Wording(rule="Within <31> bits.", facts=(("images", "1,234"),)))

    assert "Within &lt;31&gt; bits." in page
    assert re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page)[0] == ("images", "1,234")


def test_too_many_thumbnails_are_left_out(monkeypatch):
    monkeypatch.setattr(report, "MAX_EMBEDDED_BYTES", 5)
    groups = [Group(entry("a", thumbnail=b"1234"), [entry("b")]) for _ in range(3)]

    pictures = [keeper[THUMBNAIL_AT] for keeper, *_ in data_of(page_html(groups))["groups"]]

    assert [base64.b64decode(picture) for picture in pictures] == [b"1234", b"", b""]


SVG = "{http://www.w3.org/2000/svg}"


@given(distances=st.lists(st.integers(0, 256), min_size=1, max_size=50))
def test_the_histogram_has_one_bar_per_distance_as_high_as_its_count(distances):
    svg = ElementTree.fromstring(histogram_svg(distances))

    bars = [
        {name: float(bar.get(name)) for name in ("x", "y", "width", "height")}
        for bar in svg.iter(f"{SVG}rect")
    ]
    counts = [distances.count(bits) for bits in sorted(set(distances))]
    tallest = max(bar["height"] for bar in bars)
    assert [bar["height"] for bar in bars] == pytest.approx(
        [tallest * count / max(counts) for count in counts], abs=0.01
    )
    assert len({round(bar["y"] + bar["height"], 1) for bar in bars}) == 1
    step = (FIGURE_WIDTH - LEFT - RIGHT) / (max(distances) + 1)
    middles = [(bar["x"] + bar["width"] / 2 - LEFT) / step - 0.5 for bar in bars]
    assert middles == pytest.approx(sorted(set(distances)), abs=0.1)
    assert all(LEFT <= bar["x"] <= bar["x"] + bar["width"] <= FIGURE_WIDTH - RIGHT for bar in bars)


def test_the_axes_of_the_histogram_are_labelled():
    svg = ElementTree.fromstring(histogram_svg([0, 3, 3, 31]))

    texts = [element.text for element in svg.iter(f"{SVG}text")]
    assert texts == [
        "0",
        "4",
        "8",
        "12",
        "16",
        "20",
        "24",
        "28",
        "2",
        "0",
        "distance in bits",
        "files",
    ]


def test_the_page_embeds_the_histogram_of_its_distances():
    page = page_html([Group(entry("a"), [entry("b", distance=4), entry("c", distance=9)])])

    [source] = re.findall(r'src="data:image/svg\+xml;base64,(.*?)"', page)
    assert base64.b64decode(source).decode() == histogram_svg([4, 9])


def test_a_page_without_duplicates_has_no_histogram():
    assert "image/svg" not in page_html([])


def test_a_page_has_the_mode_that_it_is_given(tmp_path):
    save_page(tmp_path / "page.html", [], mode=0o600)

    assert stat.S_IMODE((tmp_path / "page.html").stat().st_mode) == 0o600


def test_a_report_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(ImgdupError, match="cannot write"):
        save_page(tmp_path / "none" / "report.html", [])


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (9_960, "10 kB"), (999_600, "1.0 MB"),
     (1, "1 byte"), (10**18, "1,000,000 TB")],
)  # fmt: skip
def test_sizes_are_written_for_people(n_bytes, text):
    assert size_text(n_bytes) == text


def test_a_thumbnail_is_a_small_jpeg_of_its_own(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(cv2.imencode(".png", photo(2, 640, 480)[..., ::-1])[1].tobytes())

    small = cv2.imdecode(np.frombuffer(thumbnail(bytes(path), Limits()), np.uint8), 1)

    assert small.shape == (THUMBNAIL * 3 // 4, THUMBNAIL, 3)


def test_an_unreadable_file_has_no_thumbnail(tmp_path):
    path = bytes(tmp_path / "none.jpg")

    assert gallery.make_thumbnails([path], Limits())[path].reason == "missing"


def test_each_path_gets_its_own_thumbnail_or_the_reason_why_there_is_none(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg())
    (tmp_path / "b.jpg").write_bytes(b"nonsense")
    paths = [bytes(tmp_path / name) for name in ("b.jpg", "a.jpg")]

    found = gallery.make_thumbnails(paths, Limits())

    assert found[paths[0]].reason == "not-an-image"
    assert found[paths[1]] == thumbnail(paths[1], Limits())

"""The page of groups: complete, quiet, and deaf to what file names say.

Here is what the page holds, as text; what it does in a browser is in test_html_page.py.
"""

import base64
import html.parser
import json
import re
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_sample import photo

from imgdup.errors import ImgdupError
from imgdup.output import html as html_report
from imgdup.output import thumbnails
from imgdup.output.histogram import distance_histogram
from imgdup.output.html import Group, Wording, report_page, save_report, size_text
from imgdup.output.thumbnails import THUMBNAIL, thumbnail
from imgdup.system.limits import Limits
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


@settings(max_examples=25)  # where matplotlib is installed, each draws a figure
@given(name=NAMES)
def test_no_name_can_change_the_page(name):
    plain = report_page([Group(entry("keeper"), [entry("copy")])])

    page = report_page([Group(entry(name), [entry(name, relation="edited")])])

    assert [tag for tag, _ in Outline(page).tags] == [tag for tag, _ in Outline(plain).tags]
    assert data_of(page)["groups"][0][0][0] == name


@given(title=NAMES)
def test_no_title_can_change_the_page(title):
    plain = report_page([], Wording(title="plain"))

    page = report_page([], Wording(title=title, about=title, none=title))

    assert [tag for tag, _ in Outline(page).tags] == [tag for tag, _ in Outline(plain).tags]


def test_the_page_asks_for_nothing():
    page = report_page([Group(entry("a", thumbnail=jpeg()), [entry("b")])])

    links = [value for _, each in Outline(page).tags for key, value in each.items()
             if key in ("src", "href", "action")]  # fmt: skip
    assert all(link.startswith("data:") for link in links)
    assert "default-src 'none'" in page


def test_groups_that_save_most_come_first():
    small = Group(entry("a"), [entry("b", size_bytes=10)])
    large = Group(entry("c"), [entry("d", size_bytes=6), entry("e", size_bytes=6)])

    keepers = [keeper[0] for keeper, _ in data_of(report_page([small, large]))["groups"]]

    assert keepers == ["c", "a"]


def test_the_same_groups_give_the_same_page():
    groups = many_groups(5, jpeg())

    assert report_page(groups) == report_page(iter(groups))


def test_the_summary_counts_and_adds_up():
    page = report_page(many_groups(3, None))

    facts = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page)
    assert facts == [("groups", "3"), ("to remove", "6"), ("saves", "60 MB")]


def test_wording_can_speak_of_leaks():
    wording = Wording("Leaks", "train", "test", counted="in test", saves="", none="No leak.")

    page = report_page([Group(entry("a"), [entry("b")])], wording)

    assert "<title>Leaks</title>" in page
    assert re.findall(r"<dt>(.*?)</dt>", page) == ["groups", "in test"]


def test_where_nothing_is_saved_groups_come_as_given():
    groups = [Group(entry("a"), [entry("b", size_bytes=1)]), Group(entry("c"), [entry("d")])]

    page = report_page(groups, Wording(saves="", order="nearest first"))

    assert [keeper[0] for keeper, _ in data_of(page)["groups"]] == ["a", "c"]
    assert '<option value="first">nearest first</option>' in page


def test_the_page_says_by_which_rule_and_of_how_many():
    page = report_page([], Wording(rule="Within <31> bits.", facts=(("images", "1,234"),)))

    assert "Within &lt;31&gt; bits." in page
    assert re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", page)[0] == ("images", "1,234")


def test_too_many_thumbnails_are_left_out(monkeypatch):
    monkeypatch.setattr(html_report, "MAX_EMBEDDED_BYTES", 5)
    groups = [Group(entry("a", thumbnail=b"1234"), [entry("b")]) for _ in range(3)]

    pictures = [keeper[THUMBNAIL_AT] for keeper, _ in data_of(report_page(groups))["groups"]]

    assert [base64.b64decode(picture) for picture in pictures] == [b"1234", b"", b""]


def test_a_page_without_matplotlib_says_which_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    assert "pip install matplotlib" in report_page(many_groups(1, None))


def test_the_histogram_is_an_svg_without_a_clock():
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")

    drawn = distance_histogram([0, 3, 3, 31])

    assert b"<svg" in drawn
    assert drawn == distance_histogram([0, 3, 3, 31])


def test_a_report_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(ImgdupError, match="cannot write"):
        save_report(tmp_path / "none" / "report.html", [])


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (9_960, "10 kB"), (999_600, "1.0 MB"),
     (10**18, "1000000 TB")],
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

    assert thumbnails.make_thumbnails([path], Limits())[path].reason == "missing"


def test_each_path_gets_its_own_thumbnail_or_the_reason_why_there_is_none(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg())
    (tmp_path / "b.jpg").write_bytes(b"nonsense")
    paths = [bytes(tmp_path / name) for name in ("b.jpg", "a.jpg")]

    found = thumbnails.make_thumbnails(paths, Limits())

    assert found[paths[0]].reason == "not-an-image"
    assert found[paths[1]] == thumbnail(paths[1], Limits())

"""The page of groups: complete, quiet, quick, and deaf to what file names say.

What the page does is tested in a real headless Chromium (skipped, saying so, where there is none),
with the mouse and the keyboard; what it holds is tested as text.
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

from chromium import browser
from imgdup import html_report
from imgdup.errors import ImgdupError
from imgdup.histogram import distance_histogram
from imgdup.html_report import Entry, Group, Wording, report_page, save_report, size_text
from imgdup.limits import Limits
from imgdup.thumbnails import THUMBNAIL, thumbnail

EVIL = "<img src=x onerror=alert(1)>.jpg"
RELATIONS = ("resized", "re-encoded", "edited")
READY_MS = 2000
ENDS_THE_SCRIPT = "</script><script>alert(1)</script>"
NAMES = st.one_of(
    st.sampled_from([EVIL, ENDS_THE_SCRIPT, "<!--", "]]>", "{{script}}", "&lt;"]),
    st.text(),
)


def entry(path, distance=4, relation="resized", size_bytes=1000, thumbnail=None):
    return Entry(path, distance, relation, 640, 480, size_bytes, thumbnail)


def jpeg(seed=1):
    return cv2.imencode(".jpg", photo(seed, 220, 165)[..., ::-1])[1].tobytes()


def many_groups(n_groups, picture):
    """Groups of one to three removals, whose sizes fall from group to group."""
    return [
        Group(
            entry(f"photos/{number}/keeper.jpg", 0, "", 5_000, picture),
            [
                entry(
                    f"photos/{number}/copy-{copy}.jpg",
                    (number + copy) % 32,
                    RELATIONS[(number + copy) % 3],
                    10_000_000 - 1000 * number,
                    picture,
                )
                for copy in range(1 + number % 3)
            ],
        )
        for number in range(n_groups)
    ]


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


@settings(max_examples=25, deadline=None)  # where matplotlib is installed, each draws a figure
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
    wording = Wording("Leaks", "train", "test", saves="", none="No leak.")

    page = report_page([Group(entry("a"), [entry("b")])], wording)

    assert "<title>Leaks</title>" in page
    assert re.findall(r"<dt>(.*?)</dt>", page) == ["groups", "to test"]


def test_too_many_thumbnails_are_left_out(monkeypatch):
    monkeypatch.setattr(html_report, "MAX_EMBEDDED_BYTES", 5)
    groups = [Group(entry("a", thumbnail=b"1234"), [entry("b")]) for _ in range(3)]

    pictures = [keeper[-1] for keeper, _ in data_of(report_page(groups))["groups"]]

    assert [base64.b64decode(picture) for picture in pictures] == [b"1234", b"", b""]


def test_a_page_without_matplotlib_says_which_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    assert "pip install imgdup[plot]" in report_page(many_groups(1, None))


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
    assert thumbnail(bytes(tmp_path / "none.jpg"), Limits()) is None


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A page of 2,001 groups, the first of which has names that try to break it."""
    picture = jpeg()
    evil = Group(entry(EVIL, 0, "", 1, picture), [entry(ENDS_THE_SCRIPT, 31, "edited", 10**9)])
    path = tmp_path_factory.mktemp("report") / "report.html"
    save_report(path, [*many_groups(2000, picture), evil])
    return path


@pytest.fixture(scope="module")
def page(report):
    """A browser that has the page open."""
    with browser() as tab:
        tab.screen(1280, 900)
        tab.open(report)
        yield tab


@pytest.fixture
def fresh(page):
    """The page with nothing filtered, on its first page."""
    page.evaluate("document.querySelector('form').reset()")
    wait_for(page, "document.querySelector('.where').textContent.includes('page 1 of 21')")
    return page


def wait_for(page, condition):
    """Wait until a condition holds in the page; the driver gives up in the end."""
    page.evaluate(
        "new Promise(done => { const look = () => "
        f"({condition}) ? done() : setTimeout(look, 20); look(); }})"
    )


def where(page):
    return page.evaluate("document.querySelector('.where').textContent")


def texts(page, selector):
    return page.evaluate(
        f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.textContent)"
    )


def test_two_thousand_groups_are_ready_in_two_seconds(fresh):
    assert int(fresh.evaluate("document.documentElement.dataset.ready")) < READY_MS
    assert where(fresh) == "2,001 groups, 4,000 to remove \u00b7 page 1 of 21"
    assert fresh.evaluate("document.querySelectorAll('.group').length") == 100


def test_names_are_shown_as_text(fresh):
    assert texts(fresh, ".group .path")[:2] == [EVIL, ENDS_THE_SCRIPT]
    assert fresh.evaluate("document.querySelectorAll('img[src=x]').length") == 0


def test_thumbnails_are_shown(fresh):
    assert (
        fresh.evaluate(
            "(async () => { const image = document.querySelector('.group img');"
            "await image.decode(); return image.naturalWidth; })()"
        )
        == 220
    )


def test_next_and_previous_turn_the_page(fresh):
    fresh.click("[data-step='1']")
    second = where(fresh), texts(fresh, ".group h2 b")[0]
    fresh.click("[data-step='-1']")

    assert second == ("2,001 groups, 4,000 to remove \u00b7 page 2 of 21", "Group 101")
    assert texts(fresh, ".group h2 b")[0] == "Group 1"
    assert fresh.evaluate("document.querySelector(\"[data-step='-1']\").disabled")


def test_the_search_filters_by_path(fresh):
    fresh.type("#search", "PHOTOS/1234/")
    wait_for(fresh, "document.querySelectorAll('.group').length === 1")

    assert where(fresh) == "1 group, 2 to remove \u00b7 page 1 of 1"
    assert texts(fresh, ".path")[0] == "photos/1234/keeper.jpg"


def test_relations_can_be_hidden(fresh):
    fresh.click("#relations label:nth-of-type(1)")
    wait_for(fresh, "!document.querySelector('.where').textContent.startsWith('2,001')")

    hidden = fresh.evaluate("document.querySelector('#relations label').childNodes[1].textContent")
    assert hidden not in " ".join(texts(fresh, ".others .facts"))


def test_distances_can_be_limited(fresh):
    fresh.type("#nearest", "30")
    wait_for(fresh, "!document.querySelector('.where').textContent.startsWith('2,001')")

    distances = {int(each.split()[1]) for each in texts(fresh, ".others .facts span:nth-child(3)")}
    assert distances == {30, 31}


def test_nothing_that_fits_is_said(fresh):
    fresh.type("#search", "no such file")
    wait_for(fresh, "document.querySelector('.empty')")

    assert texts(fresh, ".empty") == ["No group fits these filters."]


def test_the_page_fits_a_phone(fresh):
    fresh.screen(390, 844, dark=True)

    try:
        assert fresh.evaluate("document.documentElement.scrollWidth") <= 390
    finally:
        fresh.screen(1280, 900)


def test_the_browser_has_nothing_to_complain_of(fresh, report):
    assert fresh.complaints == []
    asked = [url for url in fresh.requests if not url.startswith("data:")]
    assert asked == [report.resolve().as_uri()]

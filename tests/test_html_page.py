"""The page of groups in a real headless Chromium: quick, quiet, and at the user's hand.

Each test works with the mouse and the keyboard; all are skipped, saying so, where there is no
Chromium. The page is shared, and starts each test with nothing filtered.
"""

import json

import pytest

from chromium import browser
from imgdup.report.html import Group, save_report
from painted_groups import ENDS_THE_SCRIPT, EVIL, entry, jpeg, many_groups

READY_MS = 2000


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


def ready_ms(page):
    return int(page.evaluate("document.documentElement.dataset.ready"))


def where(page):
    return page.evaluate("document.querySelector('.where').textContent")


def texts(page, selector):
    return page.evaluate(
        f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.textContent)"
    )


def test_two_thousand_groups_are_ready_in_two_seconds(fresh, report):
    took_ms = [ready_ms(fresh)]
    while min(took_ms) >= READY_MS and len(took_ms) < 3:  # others may have been in the way
        fresh.open(report)
        took_ms.append(ready_ms(fresh))

    assert min(took_ms) < READY_MS
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

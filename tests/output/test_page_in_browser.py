"""The page of groups in a headless Chromium, used with mouse and keyboard.

All tests are skipped where there is no Chromium. They share one page, without filters at the start
of each test.
"""

import json
import time

import pytest

from browsers import running, serious_findings
from imgdup.api.index import ImageIndex
from imgdup.dedupe.plan import plan_lines, read_plan
from imgdup.output.gallery import save_duplicates
from imgdup.output.page import Comparison, Group, save_page
from painted_collection import paint
from painted_groups import ENDS_THE_SCRIPT, EVIL, entry, jpeg, many_groups


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A page of 2,001 groups, the first of which has names that try to break it."""
    picture = jpeg()
    evil = Group(entry(EVIL, 0, "", 1, picture), [entry(ENDS_THE_SCRIPT, 31, "edited", 10**9)])
    path = tmp_path_factory.mktemp("report") / "report.html"
    save_page(path, [*many_groups(2000, picture), evil])
    return path


@pytest.fixture(scope="module")
def page(report):
    """A browser that has the page open."""
    with running("chromium") as tab:
        tab.screen(1280, 900)
        tab.open(report)
        yield tab


@pytest.fixture
def fresh(page):
    """The page with nothing filtered, on its first page."""
    reset_filters(page)
    assert where(page).endswith("page 1 of 21")
    return page


def reset_filters(page):
    """Reset the form; wait for what the page does then, which is in a timer that was set before."""
    page.evaluate(
        "new Promise((done) => { document.querySelector('form').reset(); setTimeout(done); })"
    )


def where(page):
    return page.evaluate("document.querySelector('.where').textContent")


def texts(page, selector):
    return page.evaluate(
        f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.textContent)"
    )


def test_a_page_of_two_thousand_groups_shows_the_first_hundred(fresh):
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
    fresh.wait_for("document.querySelectorAll('.group').length === 1")

    assert where(fresh) == "1 group, 2 to remove \u00b7 page 1 of 1"
    assert texts(fresh, ".path")[0] == "1234/keeper.jpg"
    assert fresh.evaluate("document.querySelector('.path').title") == "photos/1234/keeper.jpg"


def test_relations_can_be_hidden(fresh):
    fresh.click("#relations label:nth-of-type(1)")
    fresh.wait_for("!document.querySelector('.where').textContent.startsWith('2,001')")

    hidden = fresh.evaluate("document.querySelector('#relations label').childNodes[1].textContent")
    assert hidden not in " ".join(texts(fresh, ".others .facts"))


def test_distances_can_be_limited(fresh):
    fresh.type("#nearest", "30")
    fresh.wait_for("!document.querySelector('.where').textContent.startsWith('2,001')")

    distances = {int(each.split()[1]) for each in texts(fresh, ".others .facts span:nth-child(3)")}
    assert distances == {30, 31}


def test_filters_that_fit_no_group_are_reported(fresh):
    fresh.type("#search", "no such file")
    fresh.wait_for("document.querySelector('.empty') !== null")

    assert texts(fresh, ".empty") == ["No group fits these filters."]


def test_the_page_fits_a_phone(fresh):
    fresh.screen(390, 844, dark=True)

    try:
        assert fresh.evaluate("document.documentElement.scrollWidth") <= 390
    finally:
        fresh.screen(1280, 900)


CONTRAST = """(() => {
  const parts = (colour) => colour.match(/[0-9.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = parts(colour).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    return parts(colour)[3] === 0 ? ground(element.parentElement) : colour;
  };
  const found = {};
  for (const name of ["h1", ".about", ".summary dt", ".chip", ".badge.keep", ".badge.drop",
                      ".facts span:nth-child(2)", ".path", ".group h2 b", "footer", "button"]) {
    const element = document.querySelector(name);
    const ours = getComputedStyle(element).color, theirs = ground(element);
    const [dark, bright] = [light(ours), light(theirs)].sort((a, b) => a - b);
    found[name] = [ours, (bright + 0.05) / (dark + 0.05)];
  }
  return found;
})()"""


def test_dark_mode_changes_the_colours_and_keeps_the_contrast(fresh):
    """4.5 to 1 is what WCAG 2.1 asks of small text."""
    bright = fresh.evaluate(CONTRAST)
    fresh.screen(1280, 900, dark=True)

    try:
        dark = fresh.evaluate(CONTRAST)
    finally:
        fresh.screen(1280, 900)

    assert all(bright[name][0] != dark[name][0] for name in bright)
    low = {
        name: ratio for each in (bright, dark) for name, (_, ratio) in each.items() if ratio < 4.5
    }
    assert low == {}


def test_facts_are_not_broken_and_names_break_behind_a_slash_on_a_phone(fresh):
    fresh.screen(390, 844)

    try:
        heights = fresh.evaluate(
            "[...document.querySelectorAll('.facts span')].slice(0, 50)"
            ".map(e => Math.round(e.getClientRects().length))"
        )
        breaks = fresh.evaluate("document.querySelectorAll('.group .path')[2].innerHTML")
    finally:
        fresh.screen(1280, 900)

    assert set(heights) == {1}
    assert breaks == "2/<wbr>keeper.jpg<wbr>"


def test_the_browser_reports_no_error_and_loads_only_the_page(fresh, report):
    assert fresh.complaints == []
    asked = [url for url in fresh.requests if not url.startswith("data:")]
    assert asked == [report.resolve().as_uri()]


PLACES = """[...document.querySelectorAll('.picture')].map(figure => {
  const image = figure.querySelector('img').getBoundingClientRect();
  return [...figure.querySelectorAll('.mark')].map(mark => {
    const box = mark.getBoundingClientRect();
    const sides = [box.x - image.x, box.y - image.y, box.width, box.height];
    return sides.map(side => side / image.width);
  });
})"""


def test_the_region_that_differs_is_marked_in_both_pictures(page, tmp_path):
    """The picture of 640 x 480 pixels fills the width or the height of its field."""
    found = Comparison("The marked region differs.", 90.4, (100, 200, 300, 500), (0, 0, 250, 125))
    copy = entry("copy.jpg", relation="edited", thumbnail=jpeg())._replace(comparison=found)
    save_page(tmp_path / "page.html", [Group(entry("keeper.jpg", thumbnail=jpeg()), [], [copy])])
    page.open(tmp_path / "page.html")

    places = page.evaluate(PLACES)
    field = page.evaluate(
        "[...document.querySelectorAll('.picture img')].map(e => [e.clientWidth, e.clientHeight])"
    )
    said = texts(page, ".explanation"), texts(page, ".others .badge"), texts(page, ".group h2")

    for [mark], (width, height), box in zip(
        places, field, (found.keeper_box, found.box), strict=True
    ):
        assert mark == pytest.approx(expected_place(box, width, height), abs=0.002)
    assert said == (["The marked region differs."], ["only shown"], ["Group 1 \u00b7 1 only shown"])
    assert "peak 90" in texts(page, ".others .facts span")


def expected_place(box, width, height):
    """Where a box of a 4:3 picture lies in the middle of its field, in widths of the field."""
    drawn = min(width / 4, height / 3) * 4, min(width / 4, height / 3) * 3
    left, top = (width - drawn[0]) / 2, (height - drawn[1]) / 2
    x, y, across, down = (side / 1000 for side in box)
    place = left + x * drawn[0], top + y * drawn[1], across * drawn[0], down * drawn[1]
    return [side / width for side in place]


@pytest.fixture(scope="module")
def duplicates(tmp_path_factory):
    """The duplicates of the painted collection, and the folder for a page of them."""
    place = tmp_path_factory.mktemp("chosen")
    paint(place / "photos")
    index = ImageIndex.build(place / "photos", place / ".imgdup", progress=False)
    return index.groups(progress=False).duplicates, place


@pytest.fixture
def choosing(page, duplicates):
    """The page of these duplicates, on which files can be ticked; it saves files in its folder."""
    found, place = duplicates
    save_duplicates(place / "report.html", found)
    (place / "plan.jsonl").unlink(missing_ok=True)
    page.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(place))
    page.open(place / "report.html")
    yield page
    assert page.complaints == []


def saved_plan(page, place):
    """Save the plan by a click, and return its file once it is whole."""
    page.click("#save")
    deadline = time.monotonic() + 30
    plan = place / "plan.jsonl"
    while not plan.exists() or not plan.read_text().endswith("\n"):
        assert time.monotonic() < deadline, "no plan was saved"
        time.sleep(0.05)
    return plan


def test_the_page_saves_the_plan_of_the_command_when_nothing_is_changed(choosing, duplicates):
    found, place = duplicates

    plan = saved_plan(choosing, place)

    assert plan.read_text() == "".join(plan_lines(found.plan()))
    assert "imgdup apply plan.jsonl" in texts(choosing, "#apply")[0]


def test_a_file_that_is_not_ticked_is_not_in_the_saved_plan(choosing, duplicates):
    found, place = duplicates
    whole = found.plan().removals
    choosing.click(".others .badge input")
    spared = choosing.evaluate("document.querySelector('.others .path').title")

    plan = read_plan(saved_plan(choosing, place))

    left = [each for each in whole if each.remove.path.decode() != spared]
    assert plan.removals == left
    assert len(left) == len(whole) - 1
    assert texts(choosing, ".others .badge")[0] == "keep: your choice"
    assert texts(choosing, "#chosen")[0].startswith(f"{len(left)} files of {len(whole)} to remove")


def test_all_groups_of_a_filter_can_be_kept_at_once(choosing, duplicates):
    found, place = duplicates
    name = choosing.evaluate("document.querySelector('.others .path').title.split('/').pop()")
    choosing.type("#search", name)
    choosing.wait_for("document.querySelectorAll('.group').length === 1")
    choosing.click("#keep-these")
    reset_filters(choosing)
    assert choosing.count(".group") > 1

    plan = read_plan(saved_plan(choosing, place))

    kept = {each.remove.path for each in found.plan().removals} - {
        each.remove.path for each in plan.removals
    }
    assert [path.decode().rpartition("/")[2] for path in kept] == [name]


def test_a_picture_is_enlarged_beside_the_kept_one_and_its_path_is_copied(choosing):
    choosing.screen(390, 844)
    choosing.click(".others .preview")
    choosing.wait_for(
        "document.querySelectorAll('#compare img').length === 2 &&"
        "[...document.querySelectorAll('#compare img')].every((e) => e.naturalWidth)",
    )
    path = choosing.evaluate("document.querySelector('.others .path').title")

    try:
        assert texts(choosing, "#compare .path")[1] == path
        assert choosing.evaluate("document.documentElement.scrollWidth") <= 390
        places = choosing.evaluate(
            "[...document.querySelectorAll('#compare .path')]"
            ".map((e) => e.getBoundingClientRect()).map((r) => [r.left, r.right])"
        )
        assert all(0 <= left < right <= 390 for left, right in places)
        choosing.press("2")
        choosing.wait_for("document.querySelector('.stage.slider') !== null")
        choosing.evaluate(
            "navigator.clipboard.writeText = async (text) => { window.copied = text; }"
        )
        choosing.click("#compare .two > :last-child button")
        assert choosing.wait_for("window.copied") == path
    finally:
        choosing.screen(1280, 900)


def test_pictures_of_the_first_groups_are_large_enough_to_be_enlarged(choosing):
    choosing.click(".others .preview")
    choosing.wait_for(
        "document.querySelectorAll('#compare img').length === 2 &&"
        "[...document.querySelectorAll('#compare img')].every((e) => e.naturalWidth)"
    )

    sizes = "[...document.querySelectorAll('#compare img')].map((e) => e.naturalWidth)"
    assert choosing.evaluate(sizes) == [320, 320]  # those of the files
    assert choosing.texts("#compare .note") == [""]


def test_small_previews_are_reported_as_small(page, tmp_path):
    pair = [entry(name, thumbnail=jpeg()) for name in ("keeper.jpg", "copy.jpg")]
    save_page(tmp_path / "page.html", [Group(pair[0], pair[1:])])
    page.open(tmp_path / "page.html")

    page.click(".others .preview")

    page.wait_for("document.querySelector('#compare .note').textContent.length > 0")
    assert page.texts("#compare .note")[0].startswith("The previews in this page are small.")


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_axe_finds_nothing_serious_in_the_report(choosing, width, dark):
    choosing.screen(width, 900, dark=dark)
    try:
        assert serious_findings(choosing) == []
        choosing.click(".others .preview")
        choosing.wait_for("document.querySelectorAll('#compare img').length === 2")
        assert serious_findings(choosing) == []
    finally:
        choosing.screen(1280, 900)


def test_a_page_without_a_plan_offers_no_choice(page, report):
    page.open(report)

    assert page.evaluate("document.getElementById('choice').hidden")
    assert page.evaluate("document.querySelectorAll('.badge input').length") == 0

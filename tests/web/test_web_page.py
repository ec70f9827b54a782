"""The page of the service in real browsers: what a person does with mouse and keys."""

import base64
import json
import os
import shutil
import time

import cv2
import numpy as np
import pytest

from browsers import running, serious_findings
from encoded import painted
from imgdup import cli
from imgdup.api.index import ImageIndex
from imgdup.dedupe.decisions import read_decisions
from imgdup.images.gray import ORIENTATIONS, upright
from imgdup.web.app import Access, ServeOptions, create_app
from served import TOKEN, serving

HOSTILE = "<img src=x onerror=alert(1)>.png"
GROUPS = "document.querySelectorAll('.group').length"
DECIDED = "document.querySelectorAll('.group.decided').length"
STAGE = "document.querySelector('.stage')"


@pytest.fixture(scope="module")
def hostile_place(painted_index, tmp_path_factory):
    """The collection of the tests, one copy of which has a name that is HTML."""
    if os.name == "nt":
        pytest.skip("Windows has no such names")
    place = tmp_path_factory.mktemp("hostile")
    shutil.copytree(painted_index / "photos", place / "photos")
    (place / "photos" / "q3.png").rename(place / "photos" / HOSTILE)
    ImageIndex.build(place / "photos", place / ".imgdup", progress=False)
    return place


@pytest.fixture(scope="module")
def address(hostile_place):
    """Where the page is."""
    app = create_app(hostile_place / ".imgdup", ServeOptions(Access(TOKEN), show_paths=True))
    with serving(app) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="module", params=["chromium", "firefox"])
def window(request):
    with running(request.param) as tab:
        yield tab


@pytest.fixture(scope="module")
def second_window(window):
    return window.tab()


# Chromium can do more by remote control than Firefox.
only_in_chromium = pytest.mark.parametrize("window", ["chromium"], indirect=True)


@pytest.fixture
def page(window, address, hostile_place):
    """The page, opened and loaded; nothing may be complained about or asked for elsewhere."""
    (hostile_place / ".imgdup" / "decisions.jsonl").unlink(missing_ok=True)
    window.address = address
    open_page(window, address)
    yield window
    check_nothing_went_wrong(window, address)


@pytest.fixture
def second(page, second_window, address):
    """The page in a second window, which has no part in other tests."""
    open_page(second_window, address)
    yield second_window
    check_nothing_went_wrong(second_window, address)
    second_window.open("about:blank")


def open_page(tab, address):
    tab.open("about:blank")
    tab.complaints.clear()  # requests that the last test left are cancelled
    tab.screen(1280, 3000)
    tab.open(f"{address}#token={TOKEN}")
    tab.wait_for(f"{GROUPS} === 5")


def check_nothing_went_wrong(tab, address):
    assert tab.complaints == []
    own = (address, f"blob:{address}", "about:")
    assert [url for url in tab.requests if not url.startswith(own)] == []


def test_groups_show_pictures_names_as_text_and_no_token_in_the_address(page):
    page.wait_for_pictures(".group img", 11)

    assert page.evaluate("location.href") == page.address
    assert HOSTILE in page.texts(".caption strong")
    assert page.texts(".role").count("Kept") == 5
    assert page.texts(".role").count("To remove") == 6


def test_decisions_by_keys_are_kept_after_a_reload_and_can_be_undone(page, hostile_place):
    page.press("ArrowDown")
    page.press("ArrowRight")
    page.press("k")
    page.wait_for(f"{DECIDED} === 1")
    page.press("ArrowDown")
    page.press("a")
    page.wait_for(f"{DECIDED} === 2")

    page.open(page.address)
    page.wait_for(f"{GROUPS} === 5")
    assert page.texts(".group.decided .state") == ["you chose which one to keep", "all are kept"]
    assert "Kept: your choice" in page.texts(".role")
    written = read_decisions(hostile_place / ".imgdup" / "decisions.jsonl")
    assert [each.decision for each in written][:1] == ["prefer"]

    page.press("y")
    page.wait_for(f"{DECIDED} === 3")
    page.press("u")
    page.wait_for(f"{DECIDED} === 2")
    page.press("r")
    page.wait_for(f"{DECIDED} === 3")


def test_earlier_decisions_can_be_undone_for_a_whole_group(page):
    page.press("a")
    page.wait_for(f"{DECIDED} === 1")
    page.open(page.address)
    page.wait_for(f"{GROUPS} === 5")

    page.press("x")

    page.wait_for(f"{DECIDED} === 0")
    assert page.texts(".role").count("To remove") == 6


def test_a_decided_group_becomes_gray_in_its_place(page):
    before = page.evaluate(PLACES_OF_GROUPS)
    page.click(".group:nth-child(2) header button")  # Agree

    page.wait_for(f"{DECIDED} === 1")

    assert page.evaluate(PLACES_OF_GROUPS) == before
    assert page.evaluate(
        "getComputedStyle(document.querySelector('.decided .picture')).opacity < 1"
    )
    assert page.texts(".decided .role") == ["Kept", "To remove: you agreed"]
    assert page.evaluate("document.activeElement.textContent") == "Agree y"


PLACES_OF_GROUPS = """[...document.querySelectorAll('.group')]
  .map((each) => [each.dataset.group, each.offsetTop])"""


def test_two_tabs_decide_at_once_and_each_shows_what_the_other_decided(page, second, hostile_place):
    for _ in range(3):
        second.press("ArrowDown")
    page.press("a")
    second.press("y")
    page.press("ArrowDown")
    page.press("y")
    second.press("ArrowDown")
    second.press("a")

    for tab in (page, second):
        tab.wait_for(f"{DECIDED} === 4")
    assert page.texts(".state") == second.texts(".state")
    assert page.texts(".state") == ["all are kept", "you agreed", "", "you agreed", "all are kept"]
    written = read_decisions(hostile_place / ".imgdup" / "decisions.jsonl")
    assert sorted({each.decision for each in written}) == ["duplicate", "keep"]


def test_a_tab_that_got_decisions_before_it_had_groups_shows_later_ones(page, second):
    second.open(page.address)
    second.evaluate("void document.dispatchEvent(new Event('visibilitychange'))")
    second.wait_for(f"{GROUPS} === 5")

    page.press("y")

    second.wait_for(f"{DECIDED} === 1")


def test_undo_in_one_tab_leaves_what_another_tab_decided_afterwards(page, second):
    for tab in (page, second):  # the first group has files of equal bytes
        tab.press("ArrowDown")
    page.press("y")
    second.wait_for(f"{DECIDED} === 1")
    second.press("ArrowRight")
    second.press("n")
    page.wait_for("document.querySelector('.decided')?.textContent.includes('not a duplicate')")

    page.press("u")

    page.wait_for("document.getElementById('message').textContent.includes('Undone')")
    assert page.texts("#message")[0].endswith("1 decision stayed: decided again elsewhere.")
    assert page.texts(".group.decided .role")[1] == "Kept: not a duplicate"


def test_a_decision_of_a_program_is_shown_when_the_tab_is_looked_at_again(page, address):
    page.evaluate(DECIDE_AS_A_PROGRAM)

    assert page.evaluate(DECIDED) == 0
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    page.wait_for(f"{DECIDED} === 1")


DECIDE_AS_A_PROGRAM = """(async () => {
  const id = document.querySelector('.card').dataset.id;
  const headers = { "Content-Type": "application/json",
    Authorization: `Bearer ${sessionStorage.getItem("imgdup-token")}` };
  const body = JSON.stringify({ decisions: [{ decision: "prefer", id }] });
  await fetch("api/decisions", { method: "POST", headers, body });
})()"""


def test_a_new_generation_of_the_index_is_shown_at_the_next_decision(page, hostile_place):
    added = hostile_place / "photos" / "added.jpg"
    shutil.copy(hostile_place / "photos" / "p1.jpg", added)
    try:
        ImageIndex.build(hostile_place / "photos", hostile_place / ".imgdup", progress=False)
        page.press("y")

        page.wait_for("document.querySelectorAll('.card').length === 12")
        assert page.texts("#message") == ["The index was updated; the page shows it as it is now."]
        page.open("about:blank")
        refused = ("409", "the index was updated")
        assert [each for each in page.complaints if not any(word in each for word in refused)] == []
        page.complaints.clear()
    finally:
        added.unlink()
        ImageIndex.build(hostile_place / "photos", hostile_place / ".imgdup", progress=False)


def test_a_filter_finds_groups_by_path_and_relation(page):
    page.type("#text", "Q1.png")
    page.wait_for(f"{GROUPS} === 1")
    assert "q1.png" in page.texts(".caption strong")

    page.evaluate("document.getElementById('text').value = ''")
    page.choose("relation", "same-bytes")
    page.wait_for(f"{GROUPS} === 1 && document.querySelectorAll('.card').length === 3")


def test_relations_and_folders_are_offered_with_counts_and_accepted_at_once(page, hostile_place):
    photos = str(hostile_place / "photos")
    assert page.texts("#relation option")[:2] == ["all relations", "same-bytes (1)"]
    assert page.texts("#folder option") == ["all folders", f"{photos} (5)"]
    page.choose("folder", photos)
    page.choose("relation", "same-bytes")
    page.wait_for(f"{GROUPS} === 1")

    assert page.texts("#accept") == ["Agree with this group"]
    page.click("#accept")
    page.wait_for("document.getElementById('message').textContent.startsWith('You agreed with')")

    written = read_decisions(hostile_place / ".imgdup" / "decisions.jsonl")
    assert {each.decision for each in written} == {"duplicate"}
    assert len(written) == page.count(".card") - 1
    page.press("u")
    page.wait_for(f"{DECIDED} === 0")


def compare(page):
    """Compare the first pair of the page; wait until both pictures are there."""
    page.press("c")
    page.wait_for_pictures(".stage img", 2)


PANES = """[...document.querySelectorAll('.pane img')].map((img) => {
  const place = img.getBoundingClientRect(), pane = img.parentElement.getBoundingClientRect();
  return [place.x - pane.x, place.y - pane.y, place.width, place.height].map(Math.round);
})"""


def test_both_pictures_are_zoomed_and_moved_together_by_keys(page):
    compare(page)
    whole, other = page.evaluate(PANES)
    assert whole == other

    for key in ("+", "+", "ArrowLeft", "ArrowUp"):
        page.press(key)

    moved, other = page.evaluate(PANES)
    assert moved == other
    assert moved[2] == pytest.approx(1.25**2 * whole[2], abs=2)
    middles = [[x + width / 2, y + height / 2] for x, y, width, height in (whole, moved)]
    assert np.subtract(*reversed(middles)) == pytest.approx([40, 40], abs=2)
    page.press("0")
    assert page.evaluate(PANES) == [whole, whole]
    page.press("Escape")
    page.wait_for("!document.getElementById('compare').open")


@only_in_chromium
def test_dragging_with_the_mouse_moves_both_pictures(page):
    compare(page)
    before = page.evaluate(PANES)

    page.drag(".pane", 30, -20)

    after = page.evaluate(PANES)
    assert after[0] == after[1]
    assert np.subtract(after[0], before[0])[:2] == pytest.approx([30, -20], abs=1)


def test_pictures_are_compared_with_a_slider_by_blinking_and_by_their_difference(page):
    compare(page)
    for key, name in (("2", "slider"), ("3", "blink"), ("4", "difference"), ("1", "side")):
        page.press(key)
        page.wait_for(f"{STAGE}.classList.contains('{name}')")
        assert page.texts("#compare .bar [aria-pressed=true]")[0].endswith(key)

    page.press("2")
    page.wait_for("document.querySelector('.divider') !== null")
    page.evaluate(
        "(() => { const slider = document.querySelector('.divider'); slider.value = 20;"
        "slider.dispatchEvent(new Event('input')); })()"
    )
    clip = "getComputedStyle(document.querySelector('.pane:last-child')).clipPath"
    assert page.evaluate(clip).endswith(" 20%)")
    page.press("3")
    second = "getComputedStyle(document.querySelector('.pane:last-child')).visibility"
    for state in ("visible", "hidden", "visible"):
        page.wait_for(f"{second} === '{state}'")
    assert len(set(page.texts("#compare .facts"))) > 1


@only_in_chromium
def test_the_difference_of_equal_pictures_is_black_and_the_pictures_are_not(page):
    compare(page)
    shown = mean_level(page)

    page.press("4")
    page.wait_for_pictures(".stage.difference img", 2)

    assert mean_level(page) < 0.4 * shown


def mean_level(page):
    """The mean level of what the stage of the comparison shows."""
    x, y, width, height = page.evaluate(
        f"(() => {{ const r = {STAGE}.getBoundingClientRect();"
        "return [r.x, r.y, r.width, r.height].map(Math.round); })()"
    )
    screen = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_GRAYSCALE)
    return float(screen[y : y + height, x : x + width].mean())


TURNED = """(async () => {
  const { upright } = await import("/comparer.js");
  const canvas = new OffscreenCanvas(3, 2);
  const drawing = canvas.getContext("2d");
  for (let i = 0; i < 6; i += 1) {
    drawing.fillStyle = `rgb(${40 * i}, 0, 0)`;
    drawing.fillRect(i % 3, Math.floor(i / 3), 1, 1);
  }
  const img = new Image();
  img.src = URL.createObjectURL(await canvas.convertToBlob());
  await img.decode();
  const pixels = (orientation) => {
    const turned = upright(img, orientation);
    const { width, height } = turned;
    const data = turned.getContext("2d").getImageData(0, 0, width, height).data;
    return [height, width, [...data].filter((_, i) => i % 4 === 0)];
  };
  return ORIENTATIONS.map(pixels);
})()"""


def test_turned_copies_are_brought_upright_as_the_comparison_does(page):
    picture = 40 * np.arange(6).reshape(2, 3)

    drawn = page.evaluate(TURNED.replace("ORIENTATIONS", json.dumps(ORIENTATIONS[1:])))

    for orientation, (height, width, values) in enumerate(drawn, start=2):
        expected = upright(picture, orientation)
        assert np.reshape(values, (height, width)).tolist() == expected.tolist()


def test_the_other_pictures_of_a_group_are_below_the_compared_ones(page):
    page.choose("relation", "same-bytes")
    page.wait_for(f"{GROUPS} === 1")
    page.press("c")

    page.wait_for("document.querySelectorAll('#compare .strip img').length === 2")
    page.press(".")

    page.wait_for("document.querySelectorAll('#compare .strip button')[1].ariaPressed === 'true'")


def file_of(path, name):
    """Source of a transfer of a file, as it is made by dropping it or by pasting it."""
    data = base64.b64encode(path.read_bytes()).decode()
    return (
        f"const bytes = Uint8Array.from(atob('{data}'), (c) => c.charCodeAt(0));"
        f"const file = new File([bytes], '{name}', {{type: 'image/jpeg'}});"
        "const files = new DataTransfer(); files.items.add(file);"
    )


@pytest.mark.parametrize(
    "event",
    [
        "new DragEvent('drop', {dataTransfer: files, cancelable: true})",
        "Object.assign(new Event('paste'), {clipboardData: files})",
    ],
    ids=["drop", "paste"],
)
def test_a_picture_that_is_dropped_or_pasted_and_then_an_indexed_one_are_searched(
    page, hostile_place, event
):
    transfer = file_of(hostile_place / "photos" / "p1.jpg", "mine.jpg")
    page.evaluate(f"(() => {{ {transfer} document.dispatchEvent({event}); }})()")

    page.wait_for("document.querySelectorAll('#matches .card').length > 0")
    assert {"p1.jpg", "q1.png"} <= set(page.texts("#matches strong"))
    assert page.texts("#found")[0].endswith("for mine.jpg")

    page.click("#matches .card button")
    page.wait_for("document.getElementById('matches').textContent.includes('the picture itself')")


@only_in_chromium
def test_the_slider_and_the_relation_choose_the_matches_of_a_chosen_file(page, hostile_place):
    page.evaluate("location.hash = 'search'")
    page.upload("#file", hostile_place / "photos" / "p0.jpg")
    page.wait_for("document.querySelectorAll('#matches .card').length === 3")
    assert set(page.texts("#matches strong")) == {"p0.jpg", "copy.jpg", "q0.png"}

    page.choose("most", "64")
    page.wait_for("document.querySelectorAll('#matches .card').length === 11")
    assert page.texts("#most-value") == ["64"]
    page.choose("match-relation", "same-bytes")

    assert sorted(page.texts("#matches strong")) == ["copy.jpg", "p0.jpg"]
    page.choose("match-relation", "")
    page.press("ArrowLeft")
    page.wait_for("document.getElementById('most-value').textContent === '63'")


@only_in_chromium
def test_a_file_that_is_no_picture_is_refused_in_a_sentence(page, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    page.upload("#file", tmp_path / "text.jpg")

    page.wait_for("document.getElementById('message').textContent.includes('known image format')")
    assert "422" in page.complaints.pop()


@only_in_chromium
def test_everything_can_be_done_with_the_keyboard_alone(page):
    reached = set()
    for _ in range(60):
        page.press("Tab")
        reached.add(
            page.evaluate("document.activeElement.id || document.activeElement.textContent")
        )
        if "Agree y" in reached:
            break
    assert {"to-search", "keys", "relation", "text", "accept", "plan", "accepted-only"} <= reached

    page.press("Enter")

    page.wait_for(f"{DECIDED} === 1")
    assert page.evaluate("document.activeElement.textContent") == "Agree y"
    page.press("?")
    assert "keep this one" in page.texts("#help td")
    page.press("Escape")
    page.wait_for("!document.getElementById('help').open")


@only_in_chromium
def test_the_element_that_has_the_focus_is_framed(page):
    page.press("Tab")

    assert page.evaluate("document.activeElement.id") == "to-groups"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


@only_in_chromium
def test_a_phone_shows_every_view_in_its_width_and_the_dark_has_its_own_colours(page):
    page.screen(390, 844, dark=True)
    width = "document.documentElement.scrollWidth"
    assert page.evaluate(width) == 390
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 22, 27)"

    compare(page)
    assert page.evaluate("document.getElementById('compare').scrollWidth") <= 390
    page.press("Escape")
    page.press("s")
    page.wait_for("document.querySelectorAll('#matches .card').length > 0")
    assert page.evaluate(width) == 390


@only_in_chromium
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_axe_finds_nothing_serious_in_any_view(page, width, dark):
    page.screen(width, 900, dark=dark)
    page.press("y")
    page.wait_for(f"{DECIDED} === 1")
    assert serious_findings(page) == []

    compare(page)
    assert serious_findings(page) == []
    page.press("Escape")
    page.press("?")
    assert serious_findings(page) == []
    page.press("Escape")
    page.press("s")
    page.wait_for("document.querySelectorAll('#matches .card').length > 0")
    assert serious_findings(page) == []


def test_the_plan_is_downloaded_and_its_command_is_shown(page):
    page.evaluate(
        "HTMLAnchorElement.prototype.click = function () { window.saved = this.download; }"
    )

    page.click("#plan")

    page.wait_for("window.saved === 'plan.jsonl'")
    page.wait_for("document.getElementById('apply').textContent.length > 0")
    assert page.texts("#apply")[0].startswith("It removes 6 files.")
    assert "imgdup apply plan.jsonl --move-to FOLDER" in page.texts("#apply")[0]


@only_in_chromium
def test_the_downloaded_plan_is_that_of_the_command_with_the_same_decisions(
    page, hostile_place, tmp_path, capsys
):
    page.press("k")
    page.press("ArrowDown")
    page.press("ArrowRight")
    page.press("n")
    page.wait_for(f"{DECIDED} === 2")
    page.save_downloads(tmp_path)

    page.click("#plan")
    page.wait_for("document.getElementById('apply').textContent.length > 0")

    index, saved, plan = hostile_place / ".imgdup", tmp_path / "plan.jsonl", tmp_path / "own.jsonl"
    decisions = ["--decisions", str(index / "decisions.jsonl")]
    assert cli.main(["dedupe", "--index", str(index), *decisions, "--plan", str(plan)]) == 0
    wait_until(lambda: saved.exists() and saved.stat().st_size >= plan.stat().st_size)
    assert saved.read_bytes() == plan.read_bytes()
    assert cli.main(["check", str(saved), "--index", str(index)]) == 0
    assert cli.main(["apply", str(saved), "--move-to", str(tmp_path / "moved"), "--dry-run"]) == 0


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


N_PHOTOS, N_COPIES = 40, 50
NAMES = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "javascript:alert(1)",
    "\"quotes\" and 'apostrophes' & &amp;",
    "\u202eright to left\u202c \u05d0\u05d1",
    "new\nline\ttab",
    "long " + "x" * 180,
    "%00 %2e%2e #hash ?query",
)


@pytest.fixture(scope="module")
def many_names(tmp_path_factory):
    """An index of 2,000 small files, copies of 40 photos, with names that try to break a page."""
    place = tmp_path_factory.mktemp("names")
    (place / "photos").mkdir()
    for n in range(N_PHOTOS * N_COPIES):
        name = f"{NAMES[n % len(NAMES)]} {n}.jpg".replace("/", "\u2215")
        (place / "photos" / name).write_bytes(painted(n % N_PHOTOS, 96, 72))
    ImageIndex.build(place / "photos", place / ".imgdup", progress=False)
    return place


@only_in_chromium
def test_two_thousand_names_of_any_kind_are_shown_as_text(page, many_names):
    app = create_app(many_names / ".imgdup", ServeOptions(Access(TOKEN), show_paths=True))
    tab = page.tab()
    with serving(app) as port:
        tab.screen(390, 844)
        tab.open(f"http://127.0.0.1:{port}/#token={TOKEN}")
        tab.wait_for(f"{GROUPS} === {N_PHOTOS}")
        shown = tab.texts(".caption strong")
        assert tab.evaluate("document.documentElement.scrollWidth") == 390
        assert tab.count("img[src=x], main script") == 0
        assert tab.complaints == []
        tab.open("about:blank")

    assert sorted(shown) == sorted(each.name for each in (many_names / "photos").iterdir())


def test_without_the_token_the_page_explains_where_it_is(window, address):
    tab = window.tab()
    tab.open(address)

    tab.wait_for("document.getElementById('message').textContent.includes('holds the token')")
    assert tab.evaluate(GROUPS) == 0
    assert all("401" in each or "token" in each for each in tab.complaints)
    tab.open("about:blank")

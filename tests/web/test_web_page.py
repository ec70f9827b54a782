"""The page of the service in a real Chromium: what a person does with mouse and keys."""

import json
import os
import shutil

import numpy as np
import pytest

from chromium import browser
from imgdup.api.index import ImageIndex
from imgdup.dedupe.decisions import read_decisions
from imgdup.images.gray import ORIENTATIONS, upright
from imgdup.web.app import Access, ServeOptions, create_app
from served import TOKEN, serving

HOSTILE = "<img src=x onerror=alert(1)>.png"
GROUPS = "document.querySelectorAll('.group').length"


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
def window(hostile_place):
    """A browser, and the address of the page."""
    app = create_app(hostile_place / ".imgdup", ServeOptions(Access(TOKEN), show_paths=True))
    with browser() as tab, serving(app) as port:
        tab.address = f"http://127.0.0.1:{port}/"
        yield tab


@pytest.fixture
def page(window, hostile_place):
    """The page, opened and loaded; nothing may be complained about or asked for elsewhere."""
    (hostile_place / ".imgdup" / "decisions.jsonl").unlink(missing_ok=True)
    window.screen(1280, 3000)
    window.open("about:blank")
    window.open(f"{window.address}#token={TOKEN}")
    window.wait_for(f"{GROUPS} === 5")
    yield window
    assert window.complaints == []
    own = (window.address, f"blob:{window.address}", "about:")
    assert [url for url in window.requests if not url.startswith(own)] == []


def texts(tab, selector):
    script = f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.textContent)"
    return tab.evaluate(script)


def test_groups_show_pictures_names_as_text_and_no_token_in_the_address(page):
    page.wait_for("[...document.querySelectorAll('.group img')].every((img) => img.naturalWidth)")

    assert page.evaluate("location.href") == page.address
    assert HOSTILE in texts(page, ".caption strong")
    assert page.evaluate("document.querySelectorAll('.group img').length") == 11
    assert texts(page, ".role").count("Kept") == 5
    assert texts(page, ".role").count("Removed") == 6


def test_decisions_by_keys_stay_after_a_reload_and_can_be_taken_back(page, hostile_place):
    page.press("ArrowDown")
    page.press("ArrowRight")
    page.press("k")
    page.wait_for("document.querySelectorAll('.group.decided').length === 1")
    chosen = page.evaluate("document.querySelector('.card.chosen strong').textContent")
    page.press("ArrowDown")
    page.press("a")
    page.wait_for("document.querySelectorAll('.group.decided').length === 2")

    page.open(page.address)
    page.wait_for(f"{GROUPS} === 5")
    assert texts(page, ".group.decided .state") == ["you chose which one to keep", "all are kept"]
    assert "Kept: your choice" in texts(page, ".role")
    written = read_decisions(hostile_place / ".imgdup" / "decisions.jsonl")
    assert [each.decision for each in written][:1] == ["prefer"]
    assert chosen

    page.press("y")
    page.wait_for("document.querySelectorAll('.group.decided').length === 3")
    page.press("u")
    page.wait_for("document.querySelectorAll('.group.decided').length === 2")
    page.press("r")
    page.wait_for("document.querySelectorAll('.group.decided').length === 3")


def test_a_filter_finds_groups_by_path_and_relation(page):
    page.type("#text", "Q1.png")
    page.wait_for(f"{GROUPS} === 1")
    assert "q1.png" in texts(page, ".caption strong")

    page.evaluate("document.getElementById('text').value = ''")
    choose(page, "relation", "same-bytes")
    page.wait_for(f"{GROUPS} === 1 && document.querySelectorAll('.card').length === 3")


def choose(page, name, value):
    page.evaluate(
        f"(() => {{ const e = document.getElementById('{name}'); e.value = {json.dumps(value)};"
        "e.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )


def test_relations_and_folders_are_offered_with_counts_and_accepted_at_once(page, hostile_place):
    photos = str(hostile_place / "photos")
    assert texts(page, "#relation option")[:2] == ["all relations", "same-bytes (1)"]
    assert texts(page, "#folder option") == ["all folders", f"{photos} (5)"]
    choose(page, "folder", photos)
    choose(page, "relation", "same-bytes")
    page.wait_for(f"{GROUPS} === 1")

    assert texts(page, "#accept") == ["Agree with this group"]
    page.click("#accept")
    page.wait_for("document.getElementById('message').textContent.startsWith('You agreed with')")

    written = read_decisions(hostile_place / ".imgdup" / "decisions.jsonl")
    assert {each.decision for each in written} == {"duplicate"}
    assert len(written) == page.evaluate("document.querySelectorAll('.card').length") - 1


def test_two_pictures_are_compared_in_four_ways(page):
    page.press("c")
    page.wait_for("[...document.querySelectorAll('#compare img')].every((i) => i.naturalWidth)")
    for key, name in (("2", "slider"), ("3", "blink"), ("4", "difference"), ("1", "side")):
        page.press(key)
        page.wait_for(f"document.querySelector('.stage').classList.contains('{name}')")

    page.press("+")
    zoomed = "getComputedStyle(document.querySelector('.stage')).getPropertyValue('--zoom')"
    assert float(page.evaluate(zoomed)) == 1.25
    assert len(set(texts(page, "#compare .facts"))) > 1


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
    choose(page, "relation", "same-bytes")
    page.wait_for(f"{GROUPS} === 1")
    page.press("c")

    page.wait_for("document.querySelectorAll('#compare .strip img').length === 2")
    page.press(".")

    page.wait_for("document.querySelectorAll('#compare .strip button')[1].ariaPressed === 'true'")


def test_a_dropped_picture_and_then_an_indexed_one_are_searched(page, hostile_place):
    data = list((hostile_place / "photos" / "p1.jpg").read_bytes())
    page.evaluate(
        f"(() => {{ const bytes = new Uint8Array({data});"
        "const file = new File([bytes], 'mine.jpg', {type: 'image/jpeg'});"
        "const dataTransfer = new DataTransfer(); dataTransfer.items.add(file);"
        "document.dispatchEvent(new DragEvent('drop', {dataTransfer, cancelable: true})); })()"
    )

    page.wait_for("document.querySelectorAll('#matches .card').length > 0")
    assert {"p1.jpg", "q1.png"} <= set(texts(page, "#matches strong"))
    assert texts(page, "#found")[0].endswith("for mine.jpg")

    page.click("#matches .card button")
    page.wait_for("document.getElementById('matches').textContent.includes('the picture itself')")


def test_the_keys_are_shown_and_a_phone_shows_everything_in_its_width(page):
    page.press("?")
    assert "keep this one" in texts(page, "#help td")
    page.evaluate("document.getElementById('help').close()")

    page.screen(390, 844, dark=True)

    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 22, 27)"


def test_the_plan_is_downloaded_and_its_command_is_shown(page):
    page.evaluate(
        "HTMLAnchorElement.prototype.click = function () { window.saved = this.download; }"
    )

    page.click("#plan")

    page.wait_for("window.saved === 'plan.jsonl'")
    page.wait_for("document.getElementById('apply').textContent.length > 0")
    assert texts(page, "#apply")[0].startswith("It removes 6 files.")
    assert "imgdup apply plan.jsonl --move-to FOLDER" in texts(page, "#apply")[0]


def test_without_the_token_the_page_says_where_it_is(window):
    window.evaluate("sessionStorage.clear()")
    window.open("about:blank")
    window.open(window.address)

    window.wait_for("document.getElementById('message').textContent.includes('holds the token')")
    assert window.evaluate(GROUPS) == 0
    assert "401" in window.complaints.pop()

"""Pages in a headless browser, used with mouse and keyboard.

    with running("chromium") as page:
        page.open(path)
        page.evaluate("document.title")

`chromium.py` and `firefox.py` drive the browsers, with the standard library alone. The calling
test is skipped where a browser is not installed.
"""

import abc
import contextlib
import importlib
import json
import os
import shutil
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

ANSWER_S = 120.0  # longest wait for one answer
NAMES = {
    "chromium": ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"),
    "firefox": ("firefox", "firefox-esr"),
}


class Page(abc.ABC):
    """One tab: opens addresses, runs scripts, remembers what went wrong in it."""

    def __init__(self):
        self.complaints = []  # console errors, exceptions, refused requests
        self.requests = []  # addresses asked for

    @abc.abstractmethod
    def tab(self):
        """Open another tab of the same browser; return its page."""

    @abc.abstractmethod
    def open(self, place):
        """Open a file, or an address given as text, and wait until it is loaded."""

    @abc.abstractmethod
    def evaluate(self, script):
        """Return what a script, or the promise that it gives, comes to."""

    @abc.abstractmethod
    def click(self, selector):
        """Click the middle of an element with the mouse, as a user does."""

    @abc.abstractmethod
    def press(self, key):
        """Press a key of the keyboard and let it go."""

    @abc.abstractmethod
    def screen(self, width, height):
        """Set the size of the screen."""

    @abc.abstractmethod
    def screenshot(self):
        """Return what the screen shows as PNG bytes."""

    def texts(self, selector):
        """Return the texts of all elements that a selector finds."""
        found = f"document.querySelectorAll({json.dumps(selector)})"
        return self.evaluate(f"[...{found}].map((e) => e.textContent)")

    def count(self, selector):
        """Return how many elements a selector finds."""
        return self.evaluate(f"document.querySelectorAll({json.dumps(selector)}).length")

    def middle(self, selector):
        """Scroll to an element; return where its middle is in the window."""
        return self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
            "return {x: r.x + r.width / 2, y: r.y + r.height / 2}; })()"
        )

    def wait_for(self, script):
        """Wait until a script gives something true, and return it."""
        deadline = time.monotonic() + ANSWER_S
        while not (value := self.evaluate(script)):
            assert time.monotonic() < deadline, f"never true: {script}"
            time.sleep(0.02)
        return value

    def wait_for_pictures(self, selector, number):
        """Wait until a selector finds so many pictures, and all of them can be drawn."""
        found = f"[...document.querySelectorAll({json.dumps(selector)})]"
        drawn = f"Promise.all({found}.map((each) => each.decode())).then(() => true, () => false)"
        self.wait_for(f"{found}.length === {number} && {drawn}")

    def choose(self, name, value):
        """Set a field of a form, as a person does who chooses or types."""
        self.evaluate(
            f"(() => {{ const e = document.getElementById({json.dumps(name)});"
            f"e.value = {json.dumps(value)};"
            "for (const kind of ['input', 'change'])"
            "e.dispatchEvent(new Event(kind, {bubbles: true})); })()"
        )


def serious_findings(page):
    """Return what axe-core finds serious or critical for people who use a page in other ways."""
    places = [find_spec(name) for name in ("axe_playwright_python", "axe_core_python")]
    found = [Path(place.origin).with_name("axe.min.js") for place in places if place]
    if not found:
        pytest.skip("axe-core is not installed")
    page.evaluate(f"void eval?.({json.dumps(found[0].read_text('utf-8'))})")
    violations = page.evaluate("axe.run().then((found) => found.violations)")
    return [
        (each["id"], node["target"])
        for each in violations
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@contextlib.contextmanager
def running(name):
    """Start a browser and give one page of it."""
    program = next(filter(None, map(shutil.which, NAMES[name])), None)
    if program is None:
        pytest.skip(f"no {name.title()} is installed")
    if os.name == "nt":
        pytest.skip("the browsers are driven as on Unix")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        with importlib.import_module(name).started(program, profile) as page:
            yield page

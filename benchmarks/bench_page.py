"""How long does the page of the service take with many groups, in a real Chromium?

    python benchmarks/bench_page.py [--groups 100000] [--runs 5] [--seed 1]

Makes an index of small pictures, each twice and unlike all others, serves it with the command, and
opens the page. A time ends when the groups are in the page, as the script of the page notes it. The
search for duplicates itself, which the first visitor of an index waits for, is measured apart.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import measure
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browsers import Page, running

TOKEN = "token-of-the-benchmark"
FOLDER_FILES = 1000
SIDE, BLOCKS = 48, 6  # pixels of a picture, and of the noise that it is made of
BARS_MS = {"first page": 1000, "relation": 500, "text": 500, "folder": 500, "next page": 500}
NOTE = """new Promise((done) => {
  const list = document.getElementById("list"), start = performance.now();
  const watch = new MutationObserver(() => {
    if (!list.querySelector(".group")) return;
    watch.disconnect();
    requestAnimationFrame(() => done(performance.now() - start));
  });
  watch.observe(list, { childList: true });
  ACTION
})"""
ACTIONS = {
    "relation": "byId('relation').value = 'same-bytes'; changed();",
    "text": "byId('relation').value = ''; byId('text').value = '0000/'; changed();",
    "folder": "byId('text').value = ''; byId('folder').selectedIndex = 1; changed();",
    "next page": "byId('next').click();",
}
HELP = """const byId = (id) => document.getElementById(id);
  const changed = () => byId("filter").dispatchEvent(new Event("input"));"""
TYPING_MS = 250  # that the page waits for another key


def paint(place: Path, n_groups: int, seed: int) -> None:
    """Write small pictures of noise, each of them in two files."""
    rng = np.random.default_rng(seed)
    for n in range(n_groups):
        folder = place / f"{n // (FOLDER_FILES // 2):04d}"
        folder.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, 256, (BLOCKS, BLOCKS, 3), np.uint8)
        data = cv2.imencode(".jpg", cv2.resize(noise, (SIDE, SIDE)))[1].tobytes()
        for side in "ab":
            (folder / f"{n:06d}{side}.jpg").write_bytes(data)


def opened(page: Page, url: str) -> float:
    """Open the page; return after how many milliseconds its first groups were drawn."""
    page.open("about:blank")
    start = time.perf_counter()
    page.open(url)
    page.wait_for("document.querySelectorAll('.group').length > 0")
    return 1e3 * (time.perf_counter() - start)


def acted(page: Page, action: str) -> float:
    """Do something in the page; return after how many milliseconds other groups were drawn."""
    waited = 0 if "click" in action else TYPING_MS
    return page.evaluate(NOTE.replace("ACTION", f"{HELP} {action}")) - waited


def rows(index: Path, n_runs: int) -> list[list[str]]:
    """Measure, and return the rows of the table."""
    line = [sys.executable, "-m", "imgdup", "serve", "--index", str(index), "--token", TOKEN]
    service = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    try:
        url = service.stdout.readline().strip()
        with running("chromium") as page:
            page.screen(1280, 900)
            page.open(url)
            start = time.perf_counter()
            while not page.count(".group"):
                time.sleep(0.5)
            print(f"The first search for duplicates took {time.perf_counter() - start:.0f} s.\n")
            found = {"first page": [opened(page, url) for _ in range(n_runs)]}
            for name, action in ACTIONS.items():
                found[name] = []
                for _ in range(n_runs):
                    opened(page, url)
                    found[name].append(acted(page, action))
            print(f"{page.texts('#page')[0]}\n")
    finally:
        service.terminate()
        service.wait()
    return [[name, *_shown(times, BARS_MS[name])] for name, times in found.items()]


def _shown(times: list[float], bar: int) -> tuple[str, str]:
    """Write the median and the range of some times, and whether the median is below a bar."""
    median = statistics.median(times)
    verdict = "reached" if median < bar else "**missed**"
    return f"{median:.0f} ({min(times):.0f}-{max(times):.0f})", f"{bar} {verdict}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--groups", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scratch", type=Path, help="keeps the index for the next run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = options.scratch or Path(scratch)
        if not (place / "index" / "current").exists():
            paint(place / "photos", options.groups, options.seed)
            line = [sys.executable, "-m", "imgdup", "index", place / "photos"]
            line += ["--index", place / "index", "--quiet"]
            subprocess.run(list(map(os.fspath, line)), check=True)
        print(measure.surroundings(), end="\n\n")
        table = rows(place / "index", options.runs)
    print(measure.table(["until groups are drawn", "ms, median (range)", "bar, ms"], table))


if __name__ == "__main__":
    main()

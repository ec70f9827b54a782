"""Draws what a report looks like: that of the sample set, in Chromium, as a small PNG.

    python docs/draw_report.py docs/report.png

Only prints a note where Chromium is not installed.
"""

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

REPOSITORY = Path(__file__).parents[1]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH, TOP, BOTTOM = 1000, 717, 1437  # pixels; the first groups are between top and bottom
COLOURS = 200


def draw(chromium: str) -> bytes:
    """Paint the sample, write its report, and return a picture of its first groups."""
    imgdup = [sys.executable, "-m", "imgdup"]
    wanted = ["--protect", "sample/originals", "--report", "report.html"]
    with tempfile.TemporaryDirectory() as folder:
        for command in (
            [sys.executable, REPOSITORY / "data" / "make_sample.py", "sample"],
            [*imgdup, "--config", "", "dedupe", "sample", "--index", "index", *wanted],
            [chromium, *_flags(folder), "--screenshot=report.png", "report.html"],
        ):
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
        return _small(Path(folder, "report.png").read_bytes())


def _flags(folder: str) -> list[str]:
    """Return how to start Chromium: without a window, and with a profile in the folder."""
    size = f"--window-size={WIDTH},{BOTTOM}"
    profile = f"--user-data-dir={os.path.join(folder, 'profile')}"
    return ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", size, profile]


def _small(png: bytes) -> bytes:
    """Cut out what is to be shown, and reduce the colours, which makes the file smaller."""
    with Image.open(io.BytesIO(png)) as picture:
        reduced = picture.convert("RGB").crop((0, TOP, WIDTH, BOTTOM)).quantize(COLOURS)
    out = io.BytesIO()
    reduced.save(out, "PNG", optimize=True)
    return out.getvalue()


def main() -> None:
    """Draw the report into the file that is named, unless there is no Chromium."""
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        print("Chromium is not installed: the picture of the report stays as it is")
    else:
        Path(sys.argv[1]).write_bytes(draw(chromium))


if __name__ == "__main__":
    main()

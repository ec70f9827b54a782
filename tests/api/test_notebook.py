"""What a notebook shows: small pieces of HTML, and a progress bar in the cell; and a terminal."""

import os
import re
import subprocess
import sys
import types

import numpy as np
import pytest
from make_sample import encode, photo

from array_rows import File, rows_of
from imgdup import ImageIndex, Settings
from imgdup.api import notebook as notebook_pages
from imgdup.output.page import Entry
from imgdup.output.progress import Bar


class Cell:
    """What IPython's display returns: a place in the output that can be replaced."""

    def __init__(self):
        self.shown = []

    def __call__(self, data, *, raw, display_id):
        assert raw
        assert display_id
        self.shown.append(data)
        return self

    def update(self, data, *, raw):
        assert raw
        self.shown.append(data)


def notebook(monkeypatch, cell, kernel=True):
    """Let the process look like that of a notebook, or of IPython in a terminal."""
    shell = types.SimpleNamespace(kernel=object() if kernel else None)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=cell))


def test_groups_show_thumbnails_of_the_kept_and_the_removed_files(groups):
    page = groups._repr_html_()

    assert "5 groups, 6 duplicates of 11 images" in page
    assert page.count("data:image/jpeg;base64,") == 11
    assert "same-bytes, 0 bits" in page
    assert len(page) < 100_000
    assert "<script" not in page


def test_an_index_shows_its_facts_and_what_looks_alike(collection):
    page = collection._repr_html_()

    assert ">11<" in page
    assert str(collection.roots[0]) in page
    assert "pictures with equal match hashes, not compared yet" in page


def test_a_name_is_only_text(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    picture = photo(1, 160, 120)
    for name in ("<b onclick=x>&'.png", '"><script>1.png'):
        (folder / name).write_bytes(encode(picture, ".png"))
    index = ImageIndex.build(folder, tmp_path / "index", Settings(workers=1), progress=False)

    for page in (index._repr_html_(), index.groups(progress=False)._repr_html_()):
        assert re.findall(r"</?(\w+)", page).count("script") == 0
        assert not re.search(r"<b [^>]*onclick", page)
        assert "&lt;script&gt;1.png" in page


def test_a_long_name_is_cut_and_a_missing_picture_is_named():
    shown = Entry("/data/" + "x" * 60 + ".jpg", 0, "", 30, 20, 1000, n_hidden=6)

    text = notebook_pages._figure(shown, notebook_pages.Picture(None, 0, "words"))

    assert ">…" + "x" * 35 + ".jpg<br>30x20, 1.0 kB<br>words<" in text
    assert ">no picture<" in text
    assert "<img" not in text


def test_pictures_that_cannot_be_compared_are_not_called_alike():
    flat = rows_of([File(b"/data/1.jpg", quality=0), File(b"/data/2.jpg", quality=0)])
    clear = rows_of([File(b"/data/%d.jpg" % i, match=i % 2) for i in range(5)])
    old = rows_of([File(b"/data/1.jpg"), File(b"/data/2.jpg")])
    del old.columns["match"]

    found = [notebook_pages._alike(rows, np.arange(len(rows))) for rows in (flat, clear, old)]

    assert found == [[], [[0, 2, 4], [1, 3]], []]


def test_progress_is_shown_in_the_cell_that_runs(monkeypatch):
    cell = Cell()
    notebook(monkeypatch, cell)

    bar = Bar(quiet=False)
    bar.start(4)
    bar.advance(4)
    bar.close()

    texts = [data["text/plain"] for data in cell.shown]
    assert "0/4" in texts[0]
    assert "4/4" in texts[-2]
    assert texts[-1] == ""
    assert cell.shown[-2]["text/html"] == f"<pre>{texts[-2]}</pre>"


def test_no_cell_is_written_without_a_kernel_or_when_quiet(monkeypatch):
    for kernel, quiet in ((False, False), (True, True)):
        cell = Cell()
        notebook(monkeypatch, cell, kernel)

        bar = Bar(quiet=quiet)
        bar.start(4)
        bar.advance(4)
        bar.close()

        assert cell.shown == []


def stderr_of(script, folder, *, on_terminal):
    """What a script writes to stderr, which is a terminal or a pipe."""
    read_end, write_end = os.openpty() if on_terminal else os.pipe()
    environment = {**os.environ, "TERM": "xterm"}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=folder, stderr=write_end, env=environment) as process:
        os.close(write_end)
        pieces = list(iter(lambda: _piece(read_end), b""))
    os.close(read_end)
    assert process.returncode == 0
    return b"".join(pieces).decode()


def _piece(descriptor):
    """What can be read next, nothing at the end; a terminal ends with an error."""
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:
        return b""


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal of POSIX")
@pytest.mark.parametrize(("on_terminal", "progress"), [(True, True), (True, False), (False, True)])
def test_progress_is_shown_on_a_terminal_if_it_is_wanted(
    own_collection, tmp_path, on_terminal, progress
):
    script = (
        "import imgdup\n"
        f"index = imgdup.ImageIndex.build('photos', 'new', progress={progress})\n"
        f"index.groups(progress={progress})\n"
    )

    written = stderr_of(script, tmp_path, on_terminal=on_terminal)

    if on_terminal and progress:
        assert "11/11" in written.partition("comparing pictures")[0]
        assert "11/11" in written.partition("comparing pictures")[2]
    else:
        assert written == ""

"""Work by name: a library that cannot be imported ends the run, whatever its import raises."""

import os
import subprocess
import sys

import pytest

from imgdup.dedupe import tasks

SCRIPT = """
import pickle
from imgdup.dedupe import tasks
from imgdup.errors import as_image_error, library_problem
try:
    tasks.describe_file(None, None)
except Exception as error:
    try:
        as_image_error(error)
    except ImportError as error:
        print(library_problem(pickle.loads(pickle.dumps(error))))
"""


@pytest.mark.parametrize("raised", ["SyntaxError", "AttributeError"])
def test_a_broken_library_is_not_the_fault_of_a_file(tmp_path, raised):
    folder = tmp_path / "site-packages"
    (folder / "cv2").mkdir(parents=True)
    (folder / "cv2/__init__.py").write_text(f"raise {raised}('broken')")

    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )

    problem = f"cannot load the library cv2 ({raised}: broken); install it again with pip\n"
    assert ran.stdout == problem


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, tasks.MODULE, None)
    monkeypatch.delattr("imgdup.dedupe.pictures", raising=False)

    with pytest.raises(ImportError) as error:
        tasks.describe_file(None, None)

    assert error.value.name == tasks.MODULE

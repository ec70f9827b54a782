"""Processes: whose they are, what they see, and that nobody's ``__main__`` runs twice."""

import subprocess
import sys

import pytest

import pool_tasks

SCRIPT = """
import pool_tasks
from imgdup.executors import answers

print("started")
got = [seen for _, seen in answers(pool_tasks.look_around, [[1], [2]], workers=2, timeout_s=60.0)]
print(*[seen["main"] for seen in got])
"""
NOTEBOOK = f"""
import __main__
if hasattr(__main__, "__file__"):
    del __main__.__file__
exec(compile({SCRIPT!r}, "<cell>", "exec"), __main__.__dict__)
"""


@pytest.mark.parametrize("form", ["script", "module", "command", "stdin", "notebook"])
def test_an_unguarded_main_is_run_once_in_every_form(tmp_path, form):
    (tmp_path / "unguarded.py").write_text(SCRIPT)
    (tmp_path / "cell.py").write_text(NOTEBOOK)
    arguments = {
        "script": ["unguarded.py"],
        "module": ["-m", "unguarded"],
        "command": ["-c", SCRIPT],
        "stdin": ["-"],
        "notebook": ["cell.py"],
    }

    done = subprocess.run(
        [sys.executable, *arguments[form]],
        input=SCRIPT if form == "stdin" else "",
        cwd=tmp_path,
        env=pool_tasks.ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stderr == ""
    assert done.stdout == "started\nNone None\n"

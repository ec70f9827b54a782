"""Is an index correct after many faults, again and again?

    python benchmarks/soak.py [--images 50000] [--ends 30] [--seed 1] [--scratch FOLDER]

Indexes a collection while it kills workers and the program itself, interrupts the program, fills
the disk, damages checkpoints, and changes, removes and adds pictures. After each run that ends
early, the same command runs again, until `--ends` runs have ended early; the last run is not
disturbed. Its generation must equal that of an index built without faults, byte for byte.

Needs a Unix system. Exits with 1 if a check fails.
"""

import argparse
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import measure
import numpy as np
from painted import encode, photo

from imgdup.index.folder import generation_path, read_current

N_SCENES = 200  # from which the pictures are cut
SCENE = (320, 240)  # pixels, width and height
PICTURE = (128, 96)
FOLDER_FILES = 500
BAD = {  # one file in this many is of this kind; its contents
    151: lambda data: data[: len(data) // 2],
    307: lambda data: b"",
    401: lambda data: b"<html></html>",
}
ODD_NAME = "p\udcff\n%d.jpg"  # not UTF-8, and two lines
PAUSE_S = (0.3, 1.5)  # between two faults
QUOTA_BLOCKS = (8, 64, 512)  # of 512 bytes a file: too small for a part, a generation, neither
CHANGED = 50  # one picture in so many, after each run that was done
ORPHANS_S = 3.0
DONE = (0, 3)  # exit codes: done, and done but for failed files
# Killed; interrupted or terminated, also while Python itself starts or ends; no room.
ENDED = (-signal.SIGKILL, 130, -signal.SIGINT, 143, -signal.SIGTERM, 1)


class Trial(NamedTuple):
    """A collection, its index, random numbers, and how often each fault was caused."""

    pictures: Path
    index: Path
    rng: random.Random
    faults: Counter[str]


def paint(folder: Path, n_pictures: int) -> None:
    """Cut small pictures out of some scenes; some are damaged, some have odd names."""
    rng = np.random.default_rng(1)
    scenes = [photo(seed, *SCENE) for seed in range(N_SCENES)]
    for number in range(n_pictures):
        if number % FOLDER_FILES == 0:
            place = folder / f"{number // FOLDER_FILES:04}"
            place.mkdir(parents=True)
        path = place / (ODD_NAME % number if number % 97 == 0 else f"picture-{number:06}.jpg")
        path.write_bytes(content(scenes[number % N_SCENES], number, rng))


def content(scene: np.ndarray, number: int, rng: np.random.Generator) -> bytes:
    """Return an image file of a random part of a scene, or a damaged one."""
    width, height = PICTURE
    left, top = rng.integers(0, np.subtract(SCENE, PICTURE))
    data = encode(scene[top : top + height, left : left + width], ".jpg")
    return next((spoil(data) for n, spoil in BAD.items() if number % n == 0), data)


def command(trial: Trial) -> list[str]:
    return [
        *(sys.executable, "-m", "imgdup", "index", str(trial.pictures)),
        *("--index", str(trial.index), "--json", "--allow-removals"),
    ]


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    found = subprocess.run(
        ["pgrep", "-P", str(process.pid), "-f", "spawn_main"], capture_output=True, text=True
    )
    return [int(pid) for pid in found.stdout.split()]


def kill_worker(trial: Trial, process: subprocess.Popen[str]) -> None:
    for pid in trial.rng.sample(workers := workers_of(process), min(1, len(workers))):
        os.kill(pid, signal.SIGKILL)


def kill_program(trial: Trial, process: subprocess.Popen[str]) -> None:
    process.kill()


def interrupt(trial: Trial, process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGINT)


def terminate(trial: Trial, process: subprocess.Popen[str]) -> None:
    process.terminate()


def damage_part(trial: Trial, process: subprocess.Popen[str] | None) -> None:
    """Flip a bit of a part, and put the damaged part in its place, whole or cut.

    The part is not cut in place: the program may have mapped it, and would be ended by SIGBUS.
    """
    parts = sorted((trial.index / "parts").glob("*"))
    damaged = trial.index.with_name("damaged")
    for path in trial.rng.sample(parts, min(1, len(parts))):
        try:
            data = bytearray(path.read_bytes())
            data[trial.rng.randrange(len(data))] ^= 1 << trial.rng.randrange(8)
            damaged.write_bytes(data[: trial.rng.choice([len(data), len(data) // 2])])
            damaged.replace(path)
        except (FileNotFoundError, IndexError, ValueError):  # it is gone, or empty
            return


def change_pictures(trial: Trial, process: subprocess.Popen[str] | None) -> None:
    """Change a picture, remove another, and add one: all to what a third one holds."""
    names = sorted(os.listdir(trial.pictures))
    place = trial.pictures / trial.rng.choice(names)
    source, changed, removed = (
        place / name for name in trial.rng.sample(sorted(os.listdir(place)), 3)
    )
    data = source.read_bytes()
    changed.write_bytes(data)
    removed.unlink()
    (place / f"new-{trial.rng.getrandbits(40):010x}.jpg").write_bytes(data)


ENDS: dict[Callable[[Trial, subprocess.Popen[str]], None], int] = {
    kill_program: 3,
    interrupt: 1,
    terminate: 1,
}
FAULTS = ENDS | {kill_worker: 8, damage_part: 4, change_pictures: 2}


def run(trial: Trial, *, disturbed: bool) -> int:
    """Run the command once; return its exit code."""
    prefix = []
    if disturbed and trial.rng.random() < 0.2:
        trial.faults["disk quota"] += 1
        blocks = trial.rng.choice(QUOTA_BLOCKS)
        prefix = ["sh", "-c", f'ulimit -f {blocks}; exec "$@"', "sh"]
    process = subprocess.Popen(
        [*prefix, *command(trial)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    workers = disturb(trial, process) if disturbed else []
    output, errors = process.communicate()
    check_end(trial, process, workers, output, errors)
    last_line = (errors.splitlines() or [""])[-1]
    print(f"exit code {process.returncode} {last_line}", file=sys.stderr)
    return process.returncode


def disturb(trial: Trial, process: subprocess.Popen[str]) -> list[int]:
    """Cause faults until the program has ended; return its last workers."""
    workers: list[int] = []
    while True:
        try:
            process.wait(trial.rng.uniform(*PAUSE_S))
            return workers
        except subprocess.TimeoutExpired:
            workers = workers_of(process) or workers
        [fault] = trial.rng.choices(list(FAULTS), list(FAULTS.values()))
        trial.faults[fault.__name__.replace("_", " ")] += 1
        fault(trial, process)


def check_end(
    trial: Trial, process: subprocess.Popen[str], workers: list[int], output: str, errors: str
) -> None:
    """Check how a run ended; exit with a message if it is wrong."""
    wrong = []
    if process.returncode not in (*DONE, *ENDED):
        wrong.append(f"exit code {process.returncode}")
    if "Traceback" in errors and process.returncode != -signal.SIGKILL:
        wrong.append("a traceback")  # which a worker prints that starts as its parent is killed
    if not all_gone(workers):
        wrong.append("a worker outlived the program")
    if (trial.index / "current").exists():
        info = [sys.executable, "-m", "imgdup", "check", "--index", str(trial.index)]
        checked = subprocess.run(info, capture_output=True, text=True)
        if checked.returncode != 0:
            wrong.append(f"the index is damaged: {checked.stderr}{checked.stdout}")
    if wrong:
        sys.exit(f"{trial.index}: {', '.join(wrong)}\n{output}{errors}")


def all_gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + ORPHANS_S
    while any(is_running(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return shown.returncode == 0 and not shown.stdout.startswith("Z")


def disturb_until_done(trial: Trial, n_ends: int, n_changes: int) -> int:
    """Run until the program was ended so often, then once undisturbed; how many runs it took.

    Whenever a run is done, so many pictures are changed.
    """
    n_ended = 0
    for n_runs in itertools.count(1):
        code = run(trial, disturbed=n_ended < n_ends)
        n_ended += code not in DONE
        trial.faults[f"exit code {code}"] += 1
        if n_ended >= n_ends and code in DONE:
            return n_runs
        if code in DONE:
            for _ in range(n_changes):
                change_pictures(trial, None)
    raise AssertionError


def generation(index: Path) -> bytes:
    current = read_current(index)
    if current is None:
        sys.exit(f"{index} has no generation")
    return generation_path(index, current.generation).read_bytes()


def soak(scratch: Path, n_images: int, n_ends: int, seed: int) -> None:
    """Run everything and print what happened, as Markdown."""
    trial = Trial(scratch / "pictures", scratch / "tried", random.Random(seed), Counter())
    paint(trial.pictures, n_images)
    started = time.perf_counter()
    n_runs = disturb_until_done(trial, n_ends, n_images // CHANGED)
    tried_s = time.perf_counter() - started
    undisturbed = trial._replace(index=scratch / "undisturbed")
    started = time.perf_counter()
    run(undisturbed, disturbed=False)
    undisturbed_s = time.perf_counter() - started
    same = generation(trial.index) == generation(undisturbed.index)
    print(measure.surroundings())
    rows = [(name, f"{count:,}") for name, count in sorted(trial.faults.items())]
    rows += [
        ("runs", f"{n_runs:,}"),
        ("seconds", f"{tried_s:,.0f}"),
        ("seconds of one undisturbed run", f"{undisturbed_s:,.0f}"),
        ("bytes of the generation", f"{len(generation(trial.index)):,}"),
        ("same bytes as undisturbed", "yes" if same else "**no**"),
    ]
    print(measure.table((f"{n_images:,} pictures", "times"), rows))
    if not same:
        sys.exit("the generations differ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--ends", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scratch", type=Path)
    options = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="imgdup-soak-", dir=options.scratch))
    soak(scratch, options.images, options.ends, options.seed)
    shutil.rmtree(scratch)


if __name__ == "__main__":
    main()

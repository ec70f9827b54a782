"""Is every answer of the service right while much goes wrong at once?

    python benchmarks/soak_serve.py [--images 400] [--clients 1000] [--generations 20] [--seed 1]

A thousand clients send pictures to `imgdup serve` at the same time, and four write decisions.
Meanwhile pictures are added and the index is updated, twenty times, and worker processes of the
service are killed. Each answer must name the copies of its picture, or be a 409 or 503; after that
the client asks again. At the end every decision that was answered must be in the file, and the
service must still answer.

Needs Linux. Exits with 1 if a check fails.
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import measure
from painted import encode, photo

from imgdup.dedupe.decisions import read_decisions

TOKEN = "token-of-the-soak-run"
SCENE = (320, 240)  # pixels
N_WRITERS = 4
KILL_S = 0.5  # between two workers that are killed
TIMEOUT_S = 120
STACK_BYTES = 256 << 10  # of a client's thread
CLEAR = (409, 503)  # of answers that say why there is no result
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


class Run:
    """The service under test, what was answered, and what went wrong."""

    def __init__(self, place: Path, port: int) -> None:
        self.place = place
        self.port = port
        self.ended = threading.Event()
        self.counts: Counter[str] = Counter()
        self.confirmed: set[str] = set()
        self.wrong: list[str] = []

    def ask(
        self, connection: http.client.HTTPConnection, address: str, kind: str, body: bytes
    ) -> tuple[int, dict[str, Any]]:
        """Send a request; return the status and the record of the answer, 0 if the line broke."""
        try:
            connection.request("POST", address, body, {**HEADERS, "Content-Type": kind})
            answer = connection.getresponse()
            record = json.loads(answer.read())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return 0, {"error": type(error).__name__}
        return answer.status, record

    def search(self, name: str, data: bytes) -> None:
        """Look up one picture again and again; its copy must be found each time."""
        connection = self.connection()
        expected = {f"{name}.png", f"{name}.jpg"}
        while not self.ended.is_set():
            status, record = self.ask(connection, "/api/query?k=3", "image/jpeg", data)
            self.counts[f"query: {status or record['error']}"] += 1
            if status == 200:
                found = {match["path"].rpartition("/")[2] for match in record["matches"]}
                if not expected <= found:
                    self.wrong.append(f"{name}: found {sorted(found)}")
            elif status not in (0, *CLEAR):
                self.wrong.append(f"{name}: {status} {record}")
            else:
                time.sleep(random.uniform(0.5, 1.5))

    def decide(self, number: int) -> None:
        """Write one decision after the other."""
        connection = self.connection()
        for n in range(sys.maxsize):
            if self.ended.is_set():
                return
            digest = f"{number:08x}{n:024x}"
            body = json.dumps({"decisions": [{"decision": "keep", "digest": digest}]}).encode()
            status, record = self.ask(connection, "/api/decisions", "application/json", body)
            self.counts[f"decision: {status or record['error']}"] += 1
            if status == 200:
                self.confirmed.add(digest)
            elif status not in (0, *CLEAR):
                self.wrong.append(f"decision: {status} {record}")

    def kill_workers(self, pid: int, rng: random.Random) -> None:
        """Kill one of the processes that decode pictures, at intervals."""
        while not self.ended.wait(KILL_S):
            workers = [each for child in children(pid) for each in children(child)]
            if workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(rng.choice(workers), signal.SIGKILL)
                self.counts["workers killed"] += 1

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)


def children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def paint(folder: Path, n_images: int, seed: int) -> dict[str, bytes]:
    """Write pictures and a copy of each; return the former by name."""
    folder.mkdir()
    found = {}
    for n in range(n_images // 2):
        pixels = photo(seed * 1_000_003 + n, *SCENE)
        found[f"{n:05d}"] = encode(pixels, ".jpg")
        (folder / f"{n:05d}.jpg").write_bytes(found[f"{n:05d}"])
        (folder / f"{n:05d}.png").write_bytes(encode(pixels, ".png"))
    return found


def update(place: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "imgdup", "index", str(place / "photos"), "--index",
         str(place / "index"), "--quiet"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def soak(run: Run, pid: int, pictures: dict[str, bytes], options: argparse.Namespace) -> None:
    """Ask, decide, kill and update at the same time."""
    rng = random.Random(options.seed)
    names = sorted(pictures)
    asked = [names[n % len(names)] for n in range(options.clients)]
    threads = [threading.Thread(target=run.search, args=(name, pictures[name])) for name in asked]
    threads += [threading.Thread(target=run.decide, args=(n,)) for n in range(N_WRITERS)]
    threads.append(threading.Thread(target=run.kill_workers, args=(pid, rng)))
    for thread in threads:
        thread.start()
    for n in range(options.generations):
        data = encode(photo(options.seed * 1_000_003 + 900_000 + n, *SCENE), ".jpg")
        (run.place / "photos" / f"new-{n}.jpg").write_bytes(data)
        update(run.place)
        run.counts["generations"] += 1
    run.ended.set()
    for thread in threads:
        thread.join()


def check_end(run: Run, pictures: dict[str, bytes]) -> None:
    """Compare the file of decisions with what was confirmed; ask once more."""
    kept = {each.digest.hex() for each in read_decisions(run.place / "index" / "decisions.jsonl")}
    lost = run.confirmed - kept
    run.counts["decisions confirmed"], run.counts["decisions lost"] = len(run.confirmed), len(lost)
    run.wrong += [f"lost: {digest}" for digest in sorted(lost)]
    name = min(pictures)
    status, _ = run.ask(run.connection(), "/api/query", "image/jpeg", pictures[name])
    if status != 200:
        run.wrong.append(f"at the end the service answers {status}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--generations", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    threading.stack_size(STACK_BYTES)
    print(measure.surroundings(), end="\n\n")
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        pictures = paint(place / "photos", options.images, options.seed)
        update(place)
        line = [sys.executable, "-m", "imgdup", "serve", "--index", str(place / "index")]
        process = subprocess.Popen([*line, "--token", TOKEN], stdout=subprocess.PIPE, text=True)
        try:
            port = int(process.stdout.readline().partition("/#")[0].rpartition(":")[2])
            run = Run(place, port)
            start = time.monotonic()
            soak(run, process.pid, pictures, options)
            check_end(run, pictures)
        finally:
            process.terminate()
            process.wait()
    rows = [[name, f"{count:,}"] for name, count in sorted(run.counts.items())]
    print(measure.table(["in " + f"{time.monotonic() - start:.0f} s", "number"], rows))
    print("\n".join(run.wrong[:20]) or "every answer was right, or said why there is none")
    sys.exit(bool(run.wrong))


if __name__ == "__main__":
    main()

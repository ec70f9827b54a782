"""How long does the service take to look up a hash, beside a server that asks faiss?

    python benchmarks/bench_serve.py [--n 10000000] [--seconds 5] [--seed 1] [--scratch FOLDER]

Both servers are Starlette applications in a uvicorn of one process, and answer a hash with the
100 nearest indexed hashes, as JSON. The baseline searches with the flat index of faiss, in
threads. Each is asked for indexed hashes with two bits changed: search hashes of 64 bits within
10, and match hashes of 256 bits within 31. A client sends its next request when it has the answer.
The last column is the time of the search alone, called in this process.

A scratch folder that is named keeps the hashes and the index for the next run.
"""

import argparse
import contextlib
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import measure
import numpy as np
import synthetic_index
from synthetic import dhash_like, pdq_like

from imgdup import ImageIndex
from imgdup.query.matches import QueryOptions, look_up_each
from imgdup.query.probe import Probe

TOKEN = "token-of-the-benchmark"
LIMIT = 100  # matches of an answer
CHANGED_BITS = 2
N_PROBES = 1000
N_ALONE = 200  # searches without a server
BAR_MS = 5.0  # of the median search
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


class Case(NamedTuple):
    """A kind of hash and a distance, inclusive."""

    by: str
    distance: int


CASES = (Case("search", 10), Case("match", 31))
CLIENTS = (1, 16)


def prepare(place: Path, n: int, seed: int) -> None:
    """Write hashes and an index of them, if they are not there."""
    if (place / "index" / "current").exists():
        return
    rng = np.random.default_rng(seed)
    hashes = {"search": dhash_like(n, rng), "match": pdq_like(n, rng)}
    for name, each in hashes.items():
        np.save(place / f"{name}.npy", each)
    synthetic_index.write(place / "index", hashes["search"], hashes["match"])


def make_probes(place: Path, seed: int) -> dict[str, np.ndarray]:
    """Return indexed hashes, some bits of which are changed, one a row."""
    rng = np.random.default_rng(seed + 1)
    found = {}
    for case in CASES:
        hashes = np.load(place / f"{case.by}.npy", mmap_mode="r")
        probes = hashes[np.sort(rng.integers(len(hashes), size=N_PROBES))]
        for _ in range(CHANGED_BITS):
            bits = rng.integers(64 * probes.shape[1], size=N_PROBES)
            probes[np.arange(N_PROBES), bits // 64] ^= np.uint64(1) << (bits % 64).astype(np.uint64)
        found[case.by] = rng.permutation(probes)
    return found


def body_of(case: Case, probe: np.ndarray) -> bytes:
    """Return the body of a request: hashes in hexadecimal, the most significant digits first."""
    digits = probe.astype("<u8").tobytes()[::-1].hex()
    record = {"hash": digits} if case.by == "search" else {"hash": "0" * 16, "match": digits}
    return json.dumps(record).encode()


@contextlib.contextmanager
def serving(line: list[str]) -> Iterator[int]:
    """Run a server that prints its address first; give its port."""
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    try:
        yield int(process.stdout.readline().partition("/#")[0].rpartition(":")[2])
    finally:
        process.terminate()
        process.wait()


def asked(port: int, case: Case, probes: np.ndarray, n_clients: int, seconds: float) -> list[float]:
    """Ask for some seconds; return how long each answer took."""
    bodies = [body_of(case, probe) for probe in probes]
    end = time.perf_counter() + seconds
    times: list[float] = []

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        address = f"/api/query?by={case.by}&max_dist={case.distance}&limit={LIMIT}"
        for body in bodies[number::n_clients] * 1000:
            start = time.perf_counter()
            if start > end:
                break
            connection.request("POST", address, body, HEADERS)
            answer = connection.getresponse()
            found = json.loads(answer.read())
            if answer.status != 200 or not found["matches"]:
                raise RuntimeError(f"{answer.status}: {found}")
            times.append(time.perf_counter() - start)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(n_clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def searched(place: Path, case: Case, probes: np.ndarray) -> list[float]:
    """Search without a server; return how long each search took."""
    generation = ImageIndex.open(place / "index").generation
    options = QueryOptions(case.distance, by=case.by)
    times = []
    for probe in probes[:N_ALONE]:
        hashes = {"search": np.zeros((1, 1), np.uint64), "match": np.zeros((1, 4), np.uint64)}
        hashes[case.by] = probe[np.newaxis]
        start = time.perf_counter()
        for found in look_up_each(
            generation, [[Probe(hashes["search"], hashes["match"], 100, b"")]], options
        ):
            next(iter(found), None)
        times.append(time.perf_counter() - start)
    return times


def baseline(place: Path) -> None:
    """Serve flat indexes of faiss, until the process is ended."""
    import socket

    import faiss
    import uvicorn
    from anyio import CapacityLimiter, to_thread
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    faiss.omp_set_num_threads(1)  # requests are what runs at the same time
    indexes = {}
    for case in CASES:
        hashes = np.load(place / f"{case.by}.npy")
        indexes[case.by] = faiss.IndexBinaryFlat(64 * hashes.shape[1])
        indexes[case.by].add(hashes.view(np.uint8))
    limiter = CapacityLimiter(16)

    def search(by: str, distance: int, digits: str) -> list[dict[str, int]]:
        probe = np.frombuffer(bytes.fromhex(digits)[::-1], np.uint8)[np.newaxis]
        _, distances, rows = indexes[by].range_search(probe, distance + 1)  # exclusive
        order = np.lexsort((rows, distances))[:LIMIT]
        return [{"row": int(rows[i]), "distance": int(distances[i])} for i in order]

    async def query(request: Request) -> JSONResponse:
        by, record = request.query_params["by"], await request.json()
        digits = record["hash" if by == "search" else "match"]
        distance = int(request.query_params["max_dist"])
        matches = await to_thread.run_sync(search, by, distance, digits, limiter=limiter)
        return JSONResponse({"matches": matches})

    listener = socket.socket(proto=socket.IPPROTO_TCP)  # so that asyncio does not delay answers
    listener.bind(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/#", flush=True)
    app = Starlette(routes=[Route("/api/query", query, methods=["POST"])])
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listener])


def rows(place: Path, probes: dict[str, np.ndarray], seconds: float) -> Iterator[list[str]]:
    """Yield the rows of the table."""
    ours = [sys.executable, "-m", "imgdup", "serve", "--index", str(place / "index")]
    theirs = [sys.executable, __file__, "--baseline", str(place)]
    with serving([*ours, "--token", TOKEN]) as our_port, serving(theirs) as their_port:
        for case in CASES:
            alone = 1e3 * np.median(searched(place, case, probes[case.by]))
            for n_clients in CLIENTS:
                by_server = []
                for port in (our_port, their_port):
                    asked(port, case, probes[case.by], n_clients, 0.5)  # so that all is in memory
                    by_server.append(asked(port, case, probes[case.by], n_clients, seconds))
                medians = [float(np.median(times)) for times in by_server]
                yield [
                    f"{case.by} hash within {case.distance}",
                    str(n_clients),
                    *(shown(times) for times in by_server),
                    f"{medians[1] / medians[0]:.1f}",
                    f"{alone:.2f} {'reached' if alone <= BAR_MS else '**missed**'}",
                ]


def shown(times: list[float]) -> str:
    """Write the median and the 99th percentile, in milliseconds, and the answers."""
    p50, p99 = 1e3 * np.percentile(times, [50, 99])
    return f"{p50:.1f} / {p99:.1f} ({len(times):,})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=10**7, help="indexed hashes")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each server and case")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--baseline", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.baseline:
        baseline(options.baseline)
        return
    with tempfile.TemporaryDirectory() as scratch:
        place = options.scratch or Path(scratch)
        place.mkdir(exist_ok=True)
        prepare(place, options.n, options.seed)
        print(measure.surroundings(), end="\n\n")
        header = ["query", "clients", "imgdup, p50 / p99 ms (answers)", "faiss", "times as fast"]
        table = rows(place, make_probes(place, options.seed), options.seconds)
        print(measure.table([*header, f"search alone, p50 ms (bar {BAR_MS:g})"], table))


if __name__ == "__main__":
    main()

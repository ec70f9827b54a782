"""A Dask cluster on this machine: a scheduler and workers, each started by its command."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(Path(__file__).parent),  # for the tasks of tests
    "DASK_DISTRIBUTED__WORKER__DAEMON": "False",
}
HIDE = 'mount -t tmpfs tmpfs "$0" && exec "$@"'  # the folder $0, from the command $@


class DaskCluster:
    """The processes of a cluster; `hidden` is a folder that the workers see empty, if possible."""

    def __init__(self, folder, hidden=None):
        self.folder = folder
        self.scheduler_file = folder / "scheduler.json"
        self.hidden = hidden
        self.workers = []
        self.scheduler = self._start("scheduler", "--port", "0", "--scheduler-file")
        while not self.scheduler_file.exists() or not self.scheduler_file.stat().st_size:
            assert self.scheduler.poll() is None, (folder / "scheduler.log").read_text()
            time.sleep(0.02)
        self.address = json.loads(self.scheduler_file.read_bytes())["address"]

    def add_worker(self, *options):
        options = ["--nthreads", "1", "--local-directory", self.folder, *options]
        self.workers.append(self._start("worker", *options, "--scheduler-file"))

    def _start(self, kind, *options):
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--host", "127.0.0.1"]
        command += [*options, self.scheduler_file, "--no-dashboard"]
        if kind == "worker" and self.hidden is not None:
            command = ["unshare", "--mount", "sh", "-c", HIDE, self.hidden, *command]
        log = self.folder / f"{kind}{len(self.workers)}.log"
        with log.open("w") as out:
            return subprocess.Popen(
                command, env=ENVIRONMENT, stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )

    def stop(self):
        """End all processes: the workers first, so that they take leave."""
        processes = [*self.workers, self.scheduler]
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def running_cluster(folder, hidden=None, workers=2):
    cluster = DaskCluster(folder, hidden)
    try:
        for _ in range(workers):
            cluster.add_worker()
        yield cluster
    finally:
        cluster.stop()


def can_hide(folder):
    """Whether this user may hide a folder from a process."""
    command = ["unshare", "--mount", "sh", "-c", HIDE, folder, "true"]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False

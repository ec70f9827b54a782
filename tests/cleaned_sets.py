"""Sets of pictures in folders and shards, with an index and the plan of their duplicates."""

import io
import json
import os
import zipfile
from pathlib import Path

from encoded import painted
from imgdup.api.index import ImageIndex
from imgdup.apply.options import PlanIndex
from imgdup.apply.write_set import WriteOptions, write_set
from imgdup.build.roots import OptionChanges
from imgdup.build.settings import Settings
from imgdup.build.update import update_index
from imgdup.dedupe.plan import read_plan
from imgdup.dedupe.relations import Verdict
from imgdup.workers.pool import inline
from object_servers import BUCKET
from photo_scene import tree

THEN = 1.7e9
PICTURES = {name: painted(seed, 160, 120) for seed, name in enumerate("abcd")}


def alike(pairs):
    return [Verdict("same-picture", 0.0, None) for _ in pairs]


def write_files(folder, contents):
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (THEN, THEN))


def zip_of(contents):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in contents:
            file.writestr(zipfile.ZipInfo(name), content)
    return data.getvalue()


def sample(name, picture):
    return [
        (f"{name}.jpg", PICTURES[picture]),
        (f"{name}.txt", f"caption of {name}".encode()),
        (f"{name}.json", json.dumps({"key": name}).encode()),
    ]


class Set:
    """A folder `set` with an index and the plan of its duplicates."""

    def __init__(self, folder, contents, *named):
        self.folder = Path(os.path.realpath(folder))
        self.root = self.folder / "set"
        write_files(self.root, contents)
        self._index([str(self.root / name) for name in named] or [str(self.root)])

    def _index(self, roots):
        self.index, self.out = self.folder / "index", self.folder / "out"
        update_index(
            self.index,
            roots,
            Settings(workers=1, engine=inline, changes=OptionChanges(containers=True)),
        )
        index = ImageIndex.open(self.index)
        self.rows = index.rows
        self.plan_file = self.folder / "plan.jsonl"
        groups = index.groups(31, verify=False, keep="first", progress=False)
        groups.plan().save(self.plan_file)
        self.plan = read_plan(self.plan_file)

    def write(self, judge=alike, **options):
        index = PlanIndex(self.index, self.rows, judge)
        chosen = WriteOptions(os.fsencode(self.out), **options)
        return write_set(self.plan, index, chosen)

    def written(self):
        return {name: data for name, data in tree(self.out).items() if name != "manifest.jsonl"}

    def manifest(self):
        lines = (self.out / "manifest.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


class RemoteSet(Set):
    """The same in a bucket."""

    def __init__(self, folder, contents, bucket, *named):
        self.folder = Path(os.path.realpath(folder))
        bucket.objects.update({f"set/{name}": data for name, data in contents.items()})
        root = f"s3://{BUCKET}/set"
        self._index([f"{root}/{name}" for name in named] or [root])

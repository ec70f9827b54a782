"""A folder of real files with an index of arrays over it and its removal plan, to act upon."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from array_rows import File, rows_of
from imgdup.apply import apply_plan
from imgdup.apply.journal import Journal, read_journal
from imgdup.apply.options import ApplyOptions, PlanIndex, journal_header, make_options
from imgdup.apply.registry import register_journal
from imgdup.apply.undo import undo
from imgdup.dedupe.plan import FileFacts, Plan, PlanHeader, Removal, sealed
from imgdup.dedupe.relations import Verdict

CONTENTS = {
    "a/1.jpg": b"the picture, large" * 50,
    "b/1.jpg": b"the picture, large" * 50,
    "c/near.jpg": b"the picture, small",
    "c/other.jpg": b"something else",
}
MATCH = {"a/1.jpg": 0, "b/1.jpg": 0, "c/near.jpg": 0b111, "c/other.jpg": 2**200 - 1}
TIME_NS = 1_600_000_000_123_456_789


def alike(pairs):
    """A judge who finds no difference, since the files of a scene are no real pictures."""
    return [Verdict("same-picture", 0.0, None) for _ in pairs]


@dataclass(frozen=True)
class Scene:
    """The folder, the rows over it, its plan: copy and near go in favour of best."""

    root: Path
    index: Path
    rows: object
    plan: object

    def path(self, name):
        return os.fsencode(self.root / name)

    def apply(
        self,
        action,
        target=None,
        *,
        journal="journal",
        dry_run=False,
        plan=None,
        judge=alike,
        **options,
    ):
        plan = plan or self.plan
        order = make_options(plan, action, target, dry_run=dry_run)
        index = PlanIndex(self.index, self.rows, judge)
        return apply_plan(plan, index, order, journal=self.index / journal, **options)

    def undo(self, journal, **options):
        return undo(journal, self.index, **options)

    def steps(self, journal):
        return read_journal(journal).steps

    def journal(self, path, action="move", target=None):
        """A journal of a run on this index, to be written by hand, and its token."""
        header = journal_header(self.plan, ApplyOptions(action, target and os.fsencode(target)))
        register = partial(register_journal, self.index)
        return Journal(path, header, register), header.token

    def tree(self):
        """Path -> content, of all files; links show where they lead."""
        return tree(self.root)


def tree(root):
    files = (path for path in sorted(root.rglob("*")) if path.is_symlink() or path.is_file())
    return {
        path.relative_to(root).as_posix(): (
            ("->", os.readlink(path)) if path.is_symlink() else path.read_bytes()
        )
        for path in files
    }


def write_scene(root):
    """Write the files as they are at first; whatever else is there goes."""
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_symlink() or path.is_file():
            path.unlink()
    for name, content in CONTENTS.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, ns=(TIME_NS, TIME_NS))


def add_companions_and_links(root):
    """Give the files that go a caption each, and one of them links that lead to it."""
    (root / "b" / "1.txt").write_text("caption of the copy")
    (root / "c" / "near.jpg.xmp").write_text("edits of the small picture")
    (root / "d").mkdir()
    (root / "d" / "relative").symlink_to("../b/1.jpg")
    (root / "d" / "absolute").symlink_to(root / "b" / "1.jpg")


def make_scene(folder, digest_kind="blake3"):
    root, index = Path(os.path.realpath(folder)) / "photos", folder / "index"
    root.mkdir(parents=True)
    index.mkdir()
    write_scene(root)
    files = [
        File(
            os.fsencode(root / name),
            match=MATCH[name],
            content=content,
            size=len(content),
            mtime_ns=TIME_NS,
            width=len(content),
        )
        for name, content in CONTENTS.items()
    ]
    rows = rows_of(files, roots=(os.fsencode(root),), digest_kind=digest_kind)
    return Scene(root, index, rows, _plan(rows))


def _plan(rows):
    """Written by hand, so that nothing heavy is imported; that it is true is certified."""
    best, copy, near = (_facts(rows, row) for row in (0, 1, 2))
    removals = [Removal(copy, best, 0, "same-bytes"), Removal(near, best, 3, "same-picture")]
    n_bytes = copy.size + near.size
    header = PlanHeader(
        rows.digest, rows.roots, 31, None, ("largest",), (), 4, 1, 2, n_bytes,
        digest_kind=rows.digest_kind,
    )  # fmt: skip
    return Plan(sealed(header), removals)


def _facts(rows, row):
    digest = rows.column("digest")[row].tobytes()
    size = int(rows.column("size")[row])
    return FileFacts(row, rows.path(row), size, TIME_NS, digest, rows.digest_kind)

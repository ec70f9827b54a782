"""The house: which module may import which, and where each outside package lives.

`ORDER` is the table of the house, from the ground up: a module imports only modules that stand
before it. Imports inside functions count too.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import imgdup

SOURCE = Path(imgdup.__file__).parent

ORDER = """
    errors limits formats terms cores files confine chatter
    native.library native.hashes native grey
    images.headers images.endings images.decoders images
    hashing.operators hashing.grids hashing.comparisons hashing
    hamming
    vptree.vantage vptree
    _kernels
    pairs.classes pairs.packed pairs.costs pairs.bands pairs.tables pairs.join pairs
    planner
    atomic
    store.plain store.layout store
    folder.lock folder
    lines jsonl tabular table sources
    executors.workers executors.processes executors
    decoding generation
    parts parts.batch parts.task
    indexing.losses indexing.old_rows indexing.survey indexing.scopes indexing.run
    indexing.links indexing.assembly indexing.reading indexing
    probes probing lookup rows lists joining
    dedupe.duplicates dedupe.keep dedupe.groups dedupe.relations dedupe.records dedupe.plan
    dedupe.certify dedupe
    index check export
    dedupe.components dedupe.pixels
    apply.verify apply.journal apply.past apply.moves apply.actions apply.target apply apply.undo
    compare.labels compare compare.split
    report.terminal report report.pairs report.cleaning report.leaks report.thumbnails
    report.montage report.groups report.histogram report.html report.gallery
    cli.common cli.progress cli.build cli.asking cli.search cli.pairs cli.clean
    cli.acting cli.compare cli.app cli __main__
""".split()

# Outside packages and the modules that may import them.
HOMES = {
    "cv2": {"images.decoders", "report.montage", "report.thumbnails"},
    "PIL": {"images.decoders"},
    "pillow_heif": {"images.decoders"},
    "imutils": {"report.montage"},
    "numba": {"_kernels"},
    "click": {name for name in ORDER if name.startswith("cli.")},
    "tqdm": {"cli.progress"},
    "matplotlib": {"report.histogram"},
    "send2trash": {"apply.actions"},
    "vptree": {"check"},
    "pyarrow": {"tabular"},
}


def modules():
    for file in sorted(SOURCE.rglob("*.py")):
        name = ".".join(file.relative_to(SOURCE).with_suffix("").parts)
        yield name.removesuffix(".__init__"), file


def imported(file):
    """Full names of what a file imports, wherever the statement stands."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name} has a relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def own(name):
    """The module of the house that an import means, or None."""
    parts = name.split(".")
    if parts[0] != "imgdup":
        return None
    for length in (3, 2):
        module = ".".join(parts[1:length])
        if module in ORDER:
            return module
    return None


@pytest.mark.parametrize(("name", "file"), [m for m in modules() if m[0] != "__init__"])
def test_a_module_imports_only_what_stands_before_it(name, file):
    assert name in ORDER, f"{name} has no place in ORDER"

    later = {own(each) for each in imported(file)} - {None, *ORDER[: ORDER.index(name)]}

    assert later == set()


@pytest.mark.parametrize(("name", "file"), list(modules()))
def test_outside_packages_stay_in_their_homes(name, file):
    packages = {each.split(".")[0] for each in imported(file)}

    strangers = {package for package in packages & set(HOMES) if name not in HOMES[package]}

    assert strangers == set()


def test_public_names_resolve_and_are_all():
    assert sorted(imgdup.__all__) == sorted(imgdup._HOMES)
    for name in imgdup.__all__:
        assert getattr(imgdup, name).__name__ == name


def test_a_name_that_is_not_public_raises():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        imgdup.nonsense  # noqa: B018


def test_importing_the_package_imports_nothing_heavy():
    script = (
        "import sys, imgdup;"
        "print([m for m in ('numpy', 'cv2', 'numba', 'click') if m in sys.modules])"
    )

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert result.stdout == "[]\n"


def test_what_makes_a_duplicate_is_written_down_once():
    """But for the checker of plans, which shares nothing with their maker."""
    thresholds = re.compile(r"^\w*(?:DISTANCE|QUALITY|BITS) = (?:31|50|256)\b", re.MULTILINE)

    found = [name for name, file in modules() if thresholds.search(file.read_text("utf-8"))]

    assert found == ["hashing"]


def test_pickle_is_loaded_nowhere():
    for name, file in modules():
        text = file.read_text(encoding="utf-8")
        assert "pickle.load" not in text, name
        assert "allow_pickle=True" not in text, name

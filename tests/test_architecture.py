"""Which room of the package may import which, and where each outside package lives.

`ROOMS` is the table: a module imports only from its own room and from rooms above it, and inside a
room imports run in one direction. Imports inside functions count too.
"""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import imgdup

SOURCE = Path(imgdup.__file__).parent

ROOMS = (
    "errors",
    "system",
    "native",
    "images",
    "containers",
    "hashing",
    "search",
    "workers",
    "index",
    "build",
    "query",
    "dedupe",
    "apply",
    "output",
    "api",
    "datasets",
    "web",
    "cli",
    "__main__",
)

# Outside packages and the modules that may import them; a room stands for all of its modules.
HOMES = {
    "blake3": {"system.files"},
    "cv2": {"images.edits", "images.opencv", "output.montage"},
    "PIL": {"images.pillow"},
    "pillow_heif": {"images.pillow"},
    "pillow_jxl": {"images.pillow"},
    "simplejpeg": {"images.jpeg"},
    "dask": {"workers.cluster"},
    "distributed": {"workers.cluster"},
    "imutils": {"output.montage"},
    "click": {"cli"},
    "send2trash": {"apply.actions"},
    "watchfiles": {"cli.indexing"},
    "vptree": {"query.check_index"},
    "obstore": {"containers.remote"},
    "pyarrow": {"output.export", "containers.table", "containers.table_without"},
    "starlette": {"web"},
    "uvicorn": {"web"},
    "h11": {"web"},
    "anyio": {"web"},
    "rich": {"output.tables", "output.progress"},
}

MAX_LATE_IMPORTS = 60


def modules():
    for file in sorted(SOURCE.rglob("*.py")):
        name = ".".join(file.relative_to(SOURCE).with_suffix("").parts)
        yield name.removesuffix(".__init__"), file


def imported(file):
    """Full names of what a file imports, at the top of the file and inside functions."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name} has a relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


MODULES = dict(modules())


def own(name):
    """The module of the package that an import means, or None for an outside one."""
    parts = name.split(".")
    if parts[0] != "imgdup":
        return None
    return next((module for n in (3, 2) if (module := ".".join(parts[1:n])) in MODULES), None)


def room_of(module):
    return module.split(".")[0]


@pytest.mark.parametrize("name", [name for name in MODULES if name != "__init__"])
def test_a_module_imports_only_from_its_room_and_the_rooms_above(name):
    assert room_of(name) in ROOMS, f"{name} is in no room of the table"
    above = ROOMS[: ROOMS.index(room_of(name)) + 1]

    below = {
        module
        for each in imported(MODULES[name])
        if (module := own(each)) and room_of(module) not in above
    }

    assert below == set()


@pytest.mark.parametrize("room", ROOMS)
def test_imports_inside_a_room_run_in_one_direction(room):
    graph = {
        name: {module for each in imported(file) if (module := own(each)) and module != name}
        for name, file in MODULES.items()
        if room_of(name) == room
    }

    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError if they run in a circle


@pytest.mark.parametrize("name", list(MODULES))
def test_outside_packages_stay_in_their_homes(name):
    packages = {each.split(".")[0] for each in imported(MODULES[name])}

    strangers = {
        package for package in packages & set(HOMES) if not {name, room_of(name)} & HOMES[package]
    }

    assert strangers == set()


def test_the_guide_for_contributors_lists_the_rooms_in_this_order():
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()

    listed = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)

    assert listed == [room for room in ROOMS if room != "__main__"]


def test_fewer_than_60_imports_are_inside_functions():
    """Each is there for the time to start; every other import belongs at the top of its file."""
    found = [
        f"{name}:{statement.lineno}"
        for name, file in modules()
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in ast.walk(function)
        if isinstance(statement, ast.Import | ast.ImportFrom)
    ]

    assert len(set(found)) < MAX_LATE_IMPORTS, sorted(set(found))


def test_docstrings_of_private_functions_have_at_most_three_lines():
    """Examples, which are run as tests, do not count."""
    long = [
        f"{name}:{node.lineno}"
        for name, file in modules()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and re.match("_[^_]", node.name)
        and (ast.get_docstring(node) or "").partition("\n\nExamples")[0].count("\n") >= 3
    ]

    assert long == []


def test_public_names_resolve_and_are_all():
    assert imgdup.__all__ == sorted(imgdup._MODULES)
    for name in imgdup.__all__:
        assert getattr(imgdup, name).__name__.removeprefix("imgdup.") == name


def test_the_package_lists_its_public_names_alone_before_they_are_imported():
    script = "import imgdup; print([name for name in dir(imgdup) if not name.startswith('__')])"

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert result.stdout == f"{sorted(imgdup.__all__)}\n"


def test_a_name_that_is_not_public_raises():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        imgdup.nonsense  # noqa: B018


def test_importing_the_package_imports_nothing_heavy():
    script = "import sys, imgdup;print([m for m in ('numpy', 'cv2', 'click') if m in sys.modules])"

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert result.stdout == "[]\n"


def test_what_makes_a_duplicate_is_written_down_once():
    """But for the checker of plans, which shares no code with what makes them."""
    thresholds = re.compile(r"^\w*(?:DISTANCE|QUALITY|BITS) = (?:31|50|256)\b", re.MULTILINE)

    found = [name for name, file in modules() if thresholds.search(file.read_text("utf-8"))]

    assert found == ["hashing"]


def test_pickle_is_loaded_only_from_pipes_between_own_processes():
    for name, file in modules():
        text = file.read_text(encoding="utf-8")
        assert "pickle.load" not in text or name == "workers.child", name
        assert "allow_pickle=True" not in text, name


def test_a_wrong_argument_is_not_called_an_option_of_the_command_line():
    """A ValueError of the library may name a whole command as a remedy, but no option alone."""
    found = [
        f"{name}:{node.lineno}: {text}"
        for name, file in modules()
        if room_of(name) not in ("cli", "__main__")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
        if ast.unparse(node.exc.func) in ("UsageError", "ValueError", "TypeError")
        for text in [ast.unparse(node.exc)]
        if re.search(r"--[a-z]", re.sub(r"imgdup [a-z]+( \S+)*? --[a-z]+", "", text))
    ]

    assert found == []

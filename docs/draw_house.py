"""Draws the subpackages of imgdup and which of them imports which, as SVG.

A subpackage is below those that it imports. A dot shows that the subpackage of its row imports
the one of its column, so every dot lies below the diagonal.
"""

import ast
import sys
from html import escape
from pathlib import Path

CELL, LEFT, TOP = 30, 330, 80  # pixels: a row or column, and where the dots begin


def house_svg(package: Path) -> str:
    """Draw the package in a folder; every import counts, inside functions too."""
    files = {name: list(_files(package, name)) for name in _names(package)}
    imports = {name: _imported(files[name], package.name) - {name} for name in files}
    order = _sorted_by_imports(imports)
    drawn = [_row(i, name, files[name]) + _column(i, name) for i, name in enumerate(order)]
    drawn += [
        _dot(row, order.index(target))
        for row, name in enumerate(order)
        for target in sorted(imports[name] & set(order))
    ]
    width, height = LEFT + CELL * len(order) + 40, TOP + CELL * len(order) + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="14">\n'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n'
        + "\n".join(drawn)
        + "\n</svg>\n"
    )


def _names(package: Path) -> list[str]:
    folders = [f.name for f in package.iterdir() if (f / "__init__.py").exists()]
    modules = [f.stem for f in package.glob("*.py") if not f.stem.startswith("__")]
    return sorted(folders + modules)


def _files(package: Path, name: str) -> list[Path]:
    folder = package / name
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [package / f"{name}.py"]


def _imported(files: list[Path], package: str) -> set[str]:
    """Find the subpackages that files import."""
    found = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            found |= {n.split(".")[1] for n in names if n.startswith(f"{package}.")}
    return found


def _sorted_by_imports(imports: dict[str, set[str]]) -> list[str]:
    """Order the names so that each one comes after those that it imports."""
    order: list[str] = []
    left = dict(imports)
    while left:
        ready = [name for name, targets in left.items() if not targets & left.keys()]
        chosen = min(ready or left, key=lambda name: (len(imports[name]), name))
        order.append(chosen)
        del left[chosen]
    return order


def _row(i: int, name: str, files: list[Path]) -> str:
    y = TOP + i * CELL
    modules = sum(file.name != "__init__.py" for file in files)
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
    size = f"{modules} modules, {lines:,} lines" if modules > 1 else f"{lines:,} lines"
    return (
        f'<rect x="5" y="{y + 2}" width="{LEFT + i * CELL - 5}" height="{CELL - 4}" '
        f'fill="#eef2f7"/>'
        f'<rect x="{LEFT + i * CELL}" y="{y + 2}" width="{CELL}" height="{CELL - 4}" '
        f'fill="#c5d0de"/><text x="14" y="{y + 20}" fill="#1c2733">{escape(name)}</text>'
        f'<text x="{LEFT - 14}" y="{y + 20}" text-anchor="end" fill="#5b6b80">{size}</text>'
    )


def _column(i: int, name: str) -> str:
    x = LEFT + i * CELL + CELL / 2
    return (
        f'<text transform="translate({x + 4} {TOP - 6}) rotate(-50)" fill="#1c2733">'
        f"{escape(name)}</text>"
    )


def _dot(row: int, column: int) -> str:
    x, y = LEFT + column * CELL + CELL / 2, TOP + row * CELL + CELL / 2
    return f'<circle cx="{x}" cy="{y}" r="5" fill="#2f5f9e"/>'


if __name__ == "__main__":
    sys.stdout.write(house_svg(Path(__file__).parents[1] / "src" / "imgdup"))

"""Write annotations without the removed pictures: COCO, CSV, JSON lines, lists, label folders.

The entries of all other pictures keep their bytes; only a COCO file is written
again, in the same order, if one of its pictures is removed.
"""

import csv
import io
import json
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

from imgdup.apply.set_content import SetRemovals
from imgdup.apply.set_files import Content, SetFiles
from imgdup.errors import UsageError
from imgdup.images.formats import IMAGE_EXTENSIONS
from imgdup.index.columns import Rows
from imgdup.system.paths import join

PATH_COLUMNS = (
    "file_name", "filename", "path", "file", "filepath", "file_path", "image", "image_path",
    "img_path", "image_file", "image_name", "img", "name",
)  # fmt: skip
LABELS = ("-1", "0", "1")  # behind the name of a picture in the lists of Pascal VOC

IsRemoved = Callable[[str], bool]  # whether an annotation with this name is of a removed picture


class RemovedPictures:
    """Finds the picture that an annotation names, and returns whether it is removed."""

    def __init__(self, rows: Rows, removed: Collection[bytes]) -> None:
        self._removed = removed
        stems = {_stem(path) for path in removed}
        self._by_stem: dict[bytes, list[bytes]] = {}
        for row in range(len(rows)):
            path = rows.path(row)
            if (stem := _stem(path)) in stems:
                self._by_stem.setdefault(stem, []).append(path)

    def test_of(self, file: bytes) -> IsRemoved:
        """Return the test for the names in an annotation file.

        It raises UsageError if a name may mean two pictures, one of which is removed.
        """
        return lambda name: self._is_removed(name, file)

    def _is_removed(self, text: str, file: bytes) -> bool:
        name = os.path.normpath(text.strip().replace("\\", "/")).encode("utf-8", "surrogateescape")
        paths = self._by_stem.get(_stem(name), [])
        if os.path.splitext(name)[1].lower().decode("latin-1") not in IMAGE_EXTENSIONS:
            found = [path for path in paths if _ends(os.path.splitext(path)[0], name)]
        else:
            found = [path for path in paths if _ends(path, name)]
            if not found and name.startswith((b"/", b"..")):  # of another machine, or folder
                found = [path for path in paths if os.path.basename(path) == os.path.basename(name)]
                found = _most(found, lambda path: _shared(path, name, -1))
        if len({path in self._removed for path in found}) > 1:
            found = _most(found, lambda path: _shared(path, file, 1))
        if len({path in self._removed for path in found}) > 1:
            if len({os.path.splitext(path)[0] for path in found}) == 1:
                return False  # ``7`` means 7.jpg and 7.png, of which one is kept
            first, second = (os.fsdecode(path) for path in found[:2])
            raise UsageError(
                f"{os.fsdecode(file)} names {text!r}, which may be {first} or {second}: give "
                "annotations whose names say in which folder a picture is"
            )
        return bool(found) and found[0] in self._removed


def _stem(path: bytes) -> bytes:
    return os.path.splitext(os.path.basename(path))[0]


def _ends(path: bytes, name: bytes) -> bool:
    return path == name or path.endswith(b"/" + name)


def _shared(path: bytes, other: bytes, step: int) -> int:
    """Count the equal parts of two paths from the start, or with -1 from the end."""
    n_equal = 0
    for one, two in zip(path.split(b"/")[::step], other.split(b"/")[::step], strict=False):
        if one != two:
            break
        n_equal += 1
    return n_equal


def _most(paths: list[bytes], count: Callable[[bytes], int]) -> list[bytes]:
    most = max(map(count, paths), default=0)
    return [path for path in paths if count(path) == most]


def without_pictures(file: bytes, data: bytes, is_removed: IsRemoved) -> tuple[bytes, int]:
    """Return an annotation file without the removed pictures, and the number of removed entries.

    The extension says what it is. Raises UsageError if it is of no known form.
    """
    kind = os.path.splitext(file)[1].lower()
    if kind not in _FORMS:
        expected = ", ".join(key.decode() for key in _FORMS)
        raise UsageError(f"annotations {os.fsdecode(file)}: expected a folder or one of {expected}")
    try:
        text = data.decode("utf-8", "surrogateescape")
        return _FORMS[kind](text, is_removed, data)
    except (ValueError, csv.Error) as error:
        raise UsageError(f"annotations {os.fsdecode(file)}: {error}") from error


def belongs_to_removed(file: bytes, folder: bytes, is_removed: IsRemoved) -> bool:
    """Return whether an annotation file in a folder (one per picture) belongs to a removed picture.

    So are the labels of YOLO, ``labels/train/7.txt`` for ``images/train/7.jpg``, and the files of
    Pascal VOC, ``Annotations/7.xml`` for ``JPEGImages/7.jpg``.
    """
    return is_removed(os.fsdecode(os.path.splitext(file[len(folder) :].lstrip(b"/"))[0]))


def annotate(found: SetRemovals, files: SetFiles, rows: Rows, annotations: Sequence[bytes]) -> None:
    """Have the annotations of a set written without the removed pictures.

    Those in an indexed folder keep their place; others lie in the folder of the cleaned set.

    Raises UsageError if annotations are missing, of no known form, or name a picture ambiguously.
    """
    if not annotations:
        return
    removed = {removal.remove.path for removal in found.removals} | found.companions.keys()
    pictures = RemovedPictures(rows, removed)
    for path in annotations:
        is_removed = pictures.test_of(path)
        if os.path.isdir(path):
            _annotate_folder(found, files, path, is_removed)
        else:
            _annotate_file(found, files, path, is_removed)
    found.contents = dict(sorted(found.contents.items()))


def _annotate_file(found: SetRemovals, files: SetFiles, path: bytes, is_removed: IsRemoved) -> None:
    try:
        with open(path, "rb") as file:
            _, n_removed = without_pictures(path, file.read(), is_removed)
        content = Content.of(path)
    except OSError as error:
        raise UsageError(f"annotations {os.fsdecode(path)}: {error.strerror}") from error
    place = files.places.get(path) or _free(found, os.path.basename(path), path)
    found.annotations[place] = n_removed
    if n_removed:
        content = replace(content, edit=lambda data: without_pictures(path, data, is_removed)[0])
    found.contents[place] = content


def _annotate_folder(
    found: SetRemovals, files: SetFiles, folder: bytes, is_removed: IsRemoved
) -> None:
    n_removed = 0
    for above, _, names in sorted(os.walk(folder)):
        for path in (join(above, name) for name in sorted(names)):
            place = files.places.get(path)
            if belongs_to_removed(path, folder, is_removed):
                n_removed += 1
                if place is not None:
                    found.contents.pop(place, None)
            elif place is None:
                name = path[len(os.path.dirname(folder)) :].lstrip(b"/")
                found.contents[_free(found, name, path)] = Content.of(path)
    name = os.path.basename(folder)
    found.annotations[files.place(folder) if files.holds(folder) else name] = n_removed


def _free(found: SetRemovals, place: bytes, path: bytes) -> bytes:
    """Return a path in the folder of the cleaned set; raise UsageError if another file has it."""
    if place in found.contents:
        raise UsageError(
            f"annotations {os.fsdecode(path)}: the cleaned set has another file of this name; "
            "name it differently, or put it in the indexed folder"
        )
    return place


def _coco(text: str, is_removed: IsRemoved, data: bytes) -> tuple[bytes, int]:
    content = json.loads(text)
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, list) or not all(isinstance(each, dict) for each in images):
        raise ValueError("not a COCO file: there is no list of images")
    removed = {each["id"] for each in images if is_removed(_text(each, "file_name"))}
    if not removed:
        return data, 0
    content["images"] = [each for each in images if each["id"] not in removed]
    if isinstance(content.get("annotations"), list):
        content["annotations"] = [
            each for each in content["annotations"] if each.get("image_id") not in removed
        ]
    return json.dumps(content).encode("ascii"), len(images) - len(content["images"])


def _text(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or (key == "file_name" and "id" not in record):
        raise ValueError(f"an image without id and {key}")
    return value


def _json_lines(text: str, is_removed: IsRemoved, data: bytes) -> tuple[bytes, int]:
    del data
    lines, kept = _lines(text), []
    for line in lines:
        record = json.loads(line) if line.strip() else {}
        names = [record[key] for key in PATH_COLUMNS if isinstance(record.get(key), str)]
        if line.strip() and not names:
            raise ValueError(f"a line without one of the keys {', '.join(PATH_COLUMNS)}")
        if not (names and is_removed(names[0])):
            kept.append(line)
    return _joined(kept), len(lines) - len(kept)


def _list(text: str, is_removed: IsRemoved, data: bytes) -> tuple[bytes, int]:
    """Leave lines out of a list of pictures, as of YOLO and of Pascal VOC."""
    del data
    lines, kept = _lines(text), []
    for line in lines:
        name, _, label = line.strip().rpartition(" ")
        if label not in LABELS or not name:
            name = line.strip()
        if not (name and is_removed(name)):
            kept.append(line)
    return _joined(kept), len(lines) - len(kept)


def _table(text: str, is_removed: IsRemoved, data: bytes) -> tuple[bytes, int]:
    """Leave rows out of a table; the column is found by its name."""
    del data
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    records = list(_records(text, delimiter))
    names = [name.lstrip("\ufeff").strip().lower() for name in records[0][1]] if records else []
    column = next((names.index(name) for name in PATH_COLUMNS if name in names), None)
    if column is None:
        raise ValueError(
            f"no column is called {', '.join(PATH_COLUMNS[:-1])} or {PATH_COLUMNS[-1]}"
        )
    kept = [
        raw for raw, cells in records[1:] if column >= len(cells) or not is_removed(cells[column])
    ]
    return _joined([records[0][0], *kept]), len(records) - 1 - len(kept)


def _records(text: str, delimiter: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each record of a table as it is, and its cells."""
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in _lines(text):
            taken.append(line)
            yield line

    for cells in csv.reader(lines(), delimiter=delimiter):
        yield "".join(taken), cells
        taken.clear()


def _lines(text: str) -> list[str]:
    return list(io.StringIO(text, newline=""))


def _joined(lines: list[str]) -> bytes:
    return "".join(lines).encode("utf-8", "surrogateescape")


_FORMS: dict[bytes, Callable[[str, IsRemoved, bytes], tuple[bytes, int]]] = {
    b".json": _coco,
    b".jsonl": _json_lines,
    b".csv": _table,
    b".tsv": _table,
    b".txt": _list,
}

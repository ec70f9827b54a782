"""Data sets: objects of the same form as those of torchvision and of Hugging Face.

`make test-datasets` runs the tests with the packages themselves, where they are installed.
"""

import dataclasses

import pytest

from imgdup import datasets
from painted_collection import paint

OPTIONS = {"keep": "largest,first", "progress": False}


class Folder:
    """What torchvision's ImageFolder has."""

    def __init__(self, root, wanted=lambda path: True):
        self.root = str(root)
        self.samples = [(str(path), 0) for path in sorted(root.iterdir()) if wanted(path)]


@dataclasses.dataclass
class Image:
    """The feature of a column of images."""

    decode: bool = True


class Table:
    """What a data set of Hugging Face has: rows by number, features, columns to select."""

    def __init__(self, rows, features, *, decoded=True):
        self.rows, self.features, self.decoded = rows, features, decoded

    def __len__(self):
        return len(self.rows)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __getitem__(self, i):
        assert not self.decoded, "a picture would be decoded"
        return self.rows[i]

    def cast_column(self, column, feature):
        assert column in self.features
        return Table(self.rows, self.features, decoded=feature.decode)

    def select_columns(self, columns):
        rows = [{name: row[name] for name in columns} for row in self.rows]
        return Table(rows, self.features, decoded=self.decoded)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMGDUP_INDEX", raising=False)
    return paint(tmp_path / "photos")


def names(paths, positions):
    return [paths[i].name for i in positions]


def test_an_image_folder_keeps_one_file_of_each_photo(photos):
    dataset = Folder(photos)
    paths = sorted(photos.iterdir())

    found = datasets.dedupe_imagefolder(dataset, **OPTIONS)

    assert names(paths, found.kept) in (
        [f"p{i}.jpg" for i in range(5)],
        ["copy.jpg", *(f"p{i}.jpg" for i in range(1, 5))],
    )
    assert sorted([*found.kept, *found.removed]) == list(range(len(paths)))
    for group in found:
        assert {names(paths, [each.position])[0][1] for each in group.removed} <= {
            names(paths, [group.keeper])[0][1],
            "o",  # of copy.jpg
            "0",
        }
    assert "5 groups, 6 duplicates of 11 images" in repr(found)


def test_a_file_that_is_not_in_the_data_set_replaces_none_that_is(photos):
    """Otherwise a picture would be lost whose best file the data set leaves out."""
    dataset = Folder(photos, lambda path: path.suffix == ".png")

    found = datasets.dedupe_imagefolder(dataset, **OPTIONS)

    assert (found.kept, len(found)) == ([0, 1, 2, 3, 4], 0)


def test_a_table_of_bytes_and_paths_is_hashed_without_a_file(photos, tmp_path):
    paths = sorted(photos.iterdir())
    rows = [
        {"image": {"bytes": path.read_bytes(), "path": None}, "label": 0}
        if path.suffix == ".png"
        else {"image": {"bytes": None, "path": str(path)}, "label": 0}
        for path in paths
    ]
    rows += [
        {"image": None, "label": 0},
        {"image": {"bytes": b"nonsense", "path": None}, "label": 0},
    ]

    found = datasets.dedupe_hf(Table(rows, {"image": Image(), "label": None}), **OPTIONS)

    assert names(paths, found.kept[:5]) == ["copy.jpg", *(f"p{i}.jpg" for i in range(1, 5))]
    assert found.kept[5:] == [11, 12]
    assert [(i, words.split(":")[0]) for i, words in found.unread] == [
        (11, "missing"),
        (12, "not-an-image"),
    ]
    relations = {each.relation for group in found for each in group.removed}
    assert relations == {"same-bytes", "same-picture"}
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_without_a_comparison_the_duplicates_of_a_table_are_unverified(photos):
    rows = [{"file": path.read_bytes()} for path in sorted(photos.glob("*1.*"))]

    found = datasets.dedupe_hf(Table(rows, {"file": None}, decoded=False), "file", verify=False)

    assert [[each.relation for each in group.removed] for group in found] == [["unverified"]]


@pytest.mark.parametrize(
    ("dataset", "column", "error", "words"),
    [
        ({"train": 1, "test": 2}, "image", TypeError, "choose one of the splits.*train, test"),
        (iter(()), "image", TypeError, "not streamed, got tuple_iterator"),
        (Table([], {"picture": Image()}), "image", ValueError, "no column 'image'.*picture"),
        (Table([{"a": 3}], {"a": None}, decoded=False), "a", TypeError, "'a' holds int"),
    ],
)
def test_what_is_no_table_of_images_is_refused(dataset, column, error, words):
    with pytest.raises(error, match=words):
        datasets.dedupe_hf(dataset, column)


def test_what_is_no_image_folder_is_refused():
    with pytest.raises(TypeError, match="ImageFolder, got list"):
        datasets.dedupe_imagefolder([])

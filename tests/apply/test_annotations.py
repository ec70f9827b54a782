"""Annotations that are written in step with a cleaned set."""

import csv
import io
import json
import os

import pytest

from array_rows import File, rows_of
from cleaned_sets import PICTURES, Set, sample
from imgdup.apply.annotations import RemovedPictures, belongs_to_removed, without_pictures
from imgdup.errors import UsageError
from object_servers import tarred

PATHS = (b"/d/train/a.jpg", b"/d/train/b.jpg", b"/d/val/a.jpg", b"/d/x.tar!/s/c.jpg", b"/d/e e.jpg")
ROWS = rows_of([File(path) for path in sorted(PATHS)], roots=(b"/d",))


def names_one_of(*gone, file=b"/d/annotations/x"):
    return RemovedPictures(ROWS, set(gone)).test_of(file)


def cleaned(name, text, goes):
    data, n_removed = without_pictures(name.encode(), text.encode(), goes)
    return data.decode(), n_removed


@pytest.mark.parametrize(
    "name", ["train/b.jpg", "b.jpg", "./train/b.jpg", "/d/train/b.jpg", "train\\b.jpg", "b"]
)
def test_a_picture_is_found_by_the_end_of_its_path(name):
    assert names_one_of(b"/d/train/b.jpg")(name)
    assert not names_one_of(b"/d/train/a.jpg")(name)


@pytest.mark.parametrize("name", ["/other/train/a.jpg", "../data/train/a.jpg"])
def test_a_path_of_another_machine_is_found_by_its_last_parts(name):
    assert names_one_of(b"/d/train/a.jpg")(name)
    assert not names_one_of(b"/d/val/a.jpg")(name)


def test_a_member_is_found_by_its_name_in_the_container():
    assert names_one_of(b"/d/x.tar!/s/c.jpg")("s/c.jpg")


def test_a_name_that_two_pictures_have_means_that_nearest_to_the_annotations():
    assert names_one_of(b"/d/train/a.jpg", file=b"/d/train/labels.csv")("a.jpg")
    assert not names_one_of(b"/d/train/a.jpg", file=b"/d/val/labels.csv")("a.jpg")


def test_a_name_that_may_mean_a_removed_picture_or_another_is_refused():
    with pytest.raises(UsageError, match=r"'a\.jpg', which may be /d/train/a\.jpg or /d/"):
        names_one_of(b"/d/train/a.jpg")("a.jpg")


def test_a_name_of_two_pictures_that_are_both_removed_is_no_problem():
    assert names_one_of(b"/d/train/a.jpg", b"/d/val/a.jpg")("a.jpg")


def test_the_label_of_two_pictures_of_one_name_is_kept_with_the_kept_one():
    rows = rows_of([File(b"/d/7.jpg"), File(b"/d/7.png")], roots=(b"/d",))

    assert not RemovedPictures(rows, {b"/d/7.png"}).test_of(b"/d/labels")("7")
    assert RemovedPictures(rows, {b"/d/7.png", b"/d/7.jpg"}).test_of(b"/d/labels")("7")


def test_a_coco_file_loses_images_and_their_annotations_and_keeps_all_else():
    content = {
        "info": {"year": 2026},
        "images": [
            {"id": 7, "file_name": "train/a.jpg", "width": 5},
            {"id": 8, "file_name": "train/b.jpg", "width": 6},
        ],
        "annotations": [{"id": i, "image_id": 7 + i % 2, "bbox": [0.5, 1, 2, 3]} for i in range(4)],
        "categories": [{"id": 1, "name": "ä"}],
    }

    text, n_removed = cleaned("x.json", json.dumps(content), names_one_of(b"/d/train/b.jpg"))

    assert n_removed == 1
    expected = {
        **content,
        "images": content["images"][:1],
        "annotations": content["annotations"][::2],
    }
    assert list(json.loads(text).items()) == list(expected.items())


def test_annotations_without_a_removed_picture_keep_their_bytes():
    text = '{"images" : [ {"id":1,"file_name":"train/a.jpg"} ] }\n'

    assert cleaned("x.json", text, names_one_of(b"/d/train/b.jpg")) == (text, 0)


def test_a_table_loses_rows_and_keeps_the_bytes_of_the_others():
    text = '\ufeffid;File_Name;text\r\n1;train/b.jpg;x\r\n2;"train/a.jpg";"two\r\nlines; ""q"""\r\n'

    left, n_removed = cleaned("x.csv", text, names_one_of(b"/d/train/b.jpg"))

    assert (left, n_removed) == (text.replace("1;train/b.jpg;x\r\n", ""), 1)
    assert len(list(csv.reader(io.StringIO(left, newline=""), delimiter=";"))) == 2


def test_json_lines_as_of_an_image_folder_lose_lines():
    text = '{"file_name": "train/a.jpg", "text": "1"}\n{"file_name": "train/b.jpg"}\n'

    assert cleaned("metadata.jsonl", text, names_one_of(b"/d/train/a.jpg")) == (
        '{"file_name": "train/b.jpg"}\n',
        1,
    )


@pytest.mark.parametrize("line", ["./train/b.jpg", "b", "b -1", "/other/train/b.jpg"])
def test_lists_of_yolo_and_pascal_voc_lose_lines(line):
    text = f"train/a.jpg\n{line}\n\ne e.jpg"

    assert cleaned("train.txt", text, names_one_of(b"/d/train/b.jpg")) == (
        "train/a.jpg\n\ne e.jpg",
        1,
    )


@pytest.mark.parametrize(
    ("file", "belongs"),
    [
        (b"/d/labels/train/a.txt", True),
        (b"/d/labels/val/a.txt", False),
        (b"/d/labels/classes.txt", False),
    ],
)
def test_a_label_file_belongs_to_the_picture_of_its_name(file, belongs):
    assert belongs_to_removed(file, b"/d/labels", names_one_of(b"/d/train/a.jpg")) == belongs


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.json", "[1]", "not a COCO file"),
        ("x.json", '{"images": [{"file_name": "a"}]}', "without id and file_name"),
        ("x.json", "{", "Expecting"),
        ("x.csv", "a,b\n", "no column is called file_name"),
        ("x.jsonl", '{"a": 1}\n', "a line without one of the keys"),
        ("x.yaml", "", "expected a folder or one of"),
    ],
)
def test_annotations_of_no_known_form_are_refused_in_one_line(name, text, words):
    with pytest.raises(UsageError, match=words) as caught:
        cleaned(name, text, names_one_of(b"/d/train/b.jpg"))

    assert "\n" not in str(caught.value)


@pytest.fixture
def yolo(tmp_path):
    """The layout of YOLO: the copy in `val` goes, and its label and its line with it."""
    contents = {
        "images/train/1.jpg": PICTURES["a"],
        "images/val/1.jpg": PICTURES["b"],
        "images/val/2.jpg": PICTURES["a"],
        "labels/train/1.txt": b"0 .5 .5 1 1\n",
        "labels/val/1.txt": b"1 .5 .5 1 1\n",
        "labels/val/2.txt": b"0 .5 .5 1 1\n",
        "val.txt": b"./images/val/1.jpg\n./images/val/2.jpg\n",
    }
    return Set(tmp_path, contents)


def test_a_set_in_the_layout_of_yolo_keeps_pictures_and_labels_together(yolo):
    given = tuple(os.fsencode(yolo.root / name) for name in ("labels", "val.txt"))

    result = yolo.write(annotations=given)

    written = yolo.written()
    assert sorted(written) == [
        "images/train/1.jpg", "images/val/1.jpg",
        "labels/train/1.txt", "labels/val/1.txt", "val.txt",
    ]  # fmt: skip
    assert written["val.txt"] == b"./images/val/1.jpg\n"
    assert result.n_entries == 2
    noted = [each for each in yolo.manifest() if "annotations" in each]
    assert noted == [
        {"annotations": "labels", "n_removed": 1},
        {"annotations": "val.txt", "n_removed": 1},
    ]


def test_annotations_beside_the_input_are_written_into_the_set(tmp_path):
    scene = Set(tmp_path, {"0.tar": tarred([*sample("0", "a"), *sample("1", "a")])})
    (tmp_path / "voc").mkdir()
    for name in "01":
        (tmp_path / "voc" / f"{name}.xml").write_text("<annotation/>")
    (tmp_path / "list.csv").write_text("path\n0.jpg\n1.jpg\n")

    scene.write(annotations=(os.fsencode(tmp_path / "voc"), os.fsencode(tmp_path / "list.csv")))

    assert sorted(scene.written()) == ["0.tar", "list.csv", "voc/0.xml"]
    assert scene.written()["list.csv"] == b"path\n0.jpg\n"


def test_annotations_that_are_not_there_are_refused_before_anything_is_written(yolo):
    with pytest.raises(UsageError, match=r"missing\.json: No such file"):
        yolo.write(annotations=(os.fsencode(yolo.root / "missing.json"),))

    assert not yolo.out.exists()

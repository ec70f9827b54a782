"""Cleaned sets as other packages read them: webdataset, datasets, pycocotools."""

import gc
import json
import os

import pytest

from cleaned_sets import PICTURES, Set, sample
from object_servers import tarred

# These packages leave files open.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True)
def close_what_they_left_open():
    """Close their files while the warnings are ignored, not when all tests have ended."""
    yield
    gc.collect()


def test_webdataset_reads_whole_samples_from_cleaned_shards(tmp_path):
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed")
    shards = {
        "0.tar": tarred([*sample("x/0", "a"), *sample("x/1", "b"), *sample("x/2", "a")]),
        "1.tar": tarred([*sample("x/3", "b"), *sample("x/4", "c")]),
    }
    scene = Set(tmp_path, shards)

    scene.write()

    urls = [str(scene.out / name) for name in sorted(shards)]
    found = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert [each["__key__"] for each in found] == ["x/0", "x/1", "x/4"]
    assert [each["jpg"] for each in found] == [PICTURES[name] for name in "abc"]
    assert [each["txt"] for each in found] == [f"caption of x/{i}".encode() for i in (0, 1, 4)]
    assert [json.loads(each["json"])["key"] for each in found] == ["x/0", "x/1", "x/4"]


def test_datasets_reads_cleaned_parquet_files_with_their_features(tmp_path):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    pictures = [{"bytes": PICTURES[name], "path": f"{name}.jpg"} for name in "abca"]
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["no", "yes"])}
    )
    made = datasets.Dataset.from_dict({"image": pictures, "label": [0, 1, 0, 1]}, features)
    made.to_parquet(tmp_path / "x.parquet")
    scene = Set(tmp_path, {"x.parquet": (tmp_path / "x.parquet").read_bytes()})

    scene.write()

    found = datasets.Dataset.from_parquet(
        str(scene.out / "x.parquet"), cache_dir=str(tmp_path / "cache")
    )
    assert found.features == features
    assert found["label"] == [0, 1, 0]
    raw = found.cast_column("image", datasets.Image(decode=False))
    assert [each["bytes"] for each in raw["image"]] == [PICTURES[name] for name in "abc"]
    assert [each.size for each in found["image"]] == [(160, 120)] * 3


def test_datasets_reads_a_cleaned_image_folder_with_its_metadata(tmp_path):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    table = "file_name,text\n0.jpg,zero\n1.jpg,one\n2.jpg,two\n"
    contents = {f"{i}.jpg": PICTURES[name] for i, name in enumerate("aba")}
    scene = Set(tmp_path, {**contents, "metadata.csv": table.encode()})

    scene.write(annotations=(os.fsencode(scene.root / "metadata.csv"),))

    found = datasets.load_dataset(
        "imagefolder", data_dir=str(scene.out), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert found["text"] == ["zero", "one"]


def test_pycocotools_reads_cleaned_annotations(tmp_path):
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    content = {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "width": 160, "height": 120} for i in range(3)
        ],
        "annotations": [
            {"id": i, "image_id": i % 3, "category_id": 1, "bbox": [0, 0, 5, 5], "area": 25}
            for i in range(6)
        ],
        "categories": [{"id": 1, "name": "thing"}],
    }
    pictures = {f"images/{i}.jpg": PICTURES[name] for i, name in enumerate("aba")}
    scene = Set(tmp_path, {**pictures, "instances.json": json.dumps(content).encode()})

    scene.write(annotations=(os.fsencode(scene.root / "instances.json"),))

    found = coco.COCO(scene.out / "instances.json")
    assert found.getImgIds() == [0, 1]
    assert found.getAnnIds() == [0, 1, 3, 4]
    assert {each["file_name"] for each in found.loadImgs([0, 1])} == {
        path.name for path in (scene.out / "images").iterdir()
    }

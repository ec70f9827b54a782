"""Data sets of the packages themselves; `make test-datasets` installs these and runs this file."""

import pytest
from PIL import Image

from imgdup import datasets
from painted_collection import paint

OPTIONS = {"keep": "largest,oldest,first", "progress": False}


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMGDUP_INDEX", raising=False)
    return paint(tmp_path / "data" / "photos")


def test_a_data_set_of_hugging_face_is_filtered(photos):
    package = pytest.importorskip("datasets", reason="datasets is not installed")
    paths = sorted(photos.iterdir())
    rows = [{"bytes": path.read_bytes(), "path": None} for path in paths]
    dataset = package.Dataset.from_dict({"image": rows, "label": list(range(len(rows)))})
    dataset = dataset.cast_column("image", package.Image())

    found = datasets.dedupe_hf(dataset, **OPTIONS)
    kept = dataset.select(found.kept)

    assert len(found) == len(kept) == 5
    assert all(isinstance(row["image"], Image.Image) for row in kept)
    assert {paths[label].name[1] for label in kept["label"]} == {"o", "1", "2", "3", "4"}


def test_an_image_folder_of_torchvision_is_filtered(photos):
    package = pytest.importorskip("torchvision.datasets", reason="torchvision is not installed")
    from torch.utils.data import DataLoader, Subset

    dataset = package.ImageFolder(photos.parent, transform=lambda image: image.size[0])

    found = datasets.dedupe_imagefolder(dataset, **OPTIONS)

    assert len(found) == 5
    loader = DataLoader(Subset(dataset, found.kept), batch_size=2, num_workers=2)
    assert sum(len(widths) for widths, _ in loader) == 5


class Nearest:
    """A data set that finds each image of an index in this index."""

    def __init__(self, index):
        self.index, self.paths = index, index.paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        match = self.index.within(self.paths[i], max_distance=0)[0]
        return i, match.distance


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_an_opened_index_is_used_in_the_workers_of_a_loader(collection, method):
    package = pytest.importorskip("torch.utils.data", reason="torch is not installed")

    loader = package.DataLoader(
        Nearest(collection), batch_size=3, num_workers=2, multiprocessing_context=method
    )
    found = [pair for batch in loader for pair in zip(*map(list, batch), strict=True)]

    assert [(int(i), int(bits)) for i, bits in found] == [(i, 0) for i in range(11)]


def test_a_tensor_is_looked_up(photos):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    import numpy as np

    from imgdup import hash_image

    with Image.open(photos / "q1.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    tensor = torch.from_numpy(pixels.copy())

    assert hash_image(tensor).tolist() == hash_image(photos / "q1.png").tolist()
    with pytest.raises(ValueError, match="the channels come first"):
        hash_image(tensor.permute(2, 0, 1))
    with pytest.raises(ValueError, match="scale it to 0 to 255"):
        hash_image(tensor.float() / 255)

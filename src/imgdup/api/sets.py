"""Open the sets of images that a caller names, with their labels."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from imgdup.api.index import ImageIndex
from imgdup.dedupe.labels import ImageSet, folder_labels, read_labels, table_labels
from imgdup.errors import ImgdupError, UsageError
from imgdup.index.folder import is_index, place_of_set

Images: TypeAlias = ImageIndex | str | os.PathLike[str]
"""A set: an opened index, an index folder, or a folder of images, which is indexed."""

Labels: TypeAlias = Mapping[str, str] | str | os.PathLike[str]
"""Labels by path, or a CSV file of paths and labels."""


def open_set(images: Images, *, progress: bool) -> ImageIndex:
    """Open the index of a set; a folder of images is indexed first."""
    if isinstance(images, ImageIndex):
        return images.check_before_decision()
    path = Path(images)
    if is_index(path):
        return ImageIndex.open(path).check_before_decision()
    return ImageIndex.build(path, place_of_set(path), progress=progress).check_before_decision()


def image_set(index: ImageIndex, labels: Labels | None) -> ImageSet:
    """Return the images of an index with their labels; raise ImgdupError if there is none."""
    selected = index.image_rows
    if not len(selected):
        raise ImgdupError(f"{index} contains no readable image: see its failures")
    if labels is None:
        return ImageSet(index.rows, selected, folder_labels(index.rows, selected))
    if isinstance(labels, Mapping):
        table = {
            os.fsencode(path).replace(os.fsencode(os.sep), b"/"): label
            for path, label in labels.items()
        }
    else:
        table = read_labels(Path(labels))
    found = table_labels(table, index.rows, selected)
    if not any(found):
        raise UsageError(
            f"labels name none of the {len(found):,} images of {index.folder}: give paths below "
            "the indexed folder, or absolute ones"
        )
    return ImageSet(index.rows, selected, found)

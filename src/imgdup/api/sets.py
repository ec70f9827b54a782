"""Open the sets of images that a caller names, with their labels."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeAlias

from imgdup.api.index import ImageIndex
from imgdup.build.settings import Outcome, Settings
from imgdup.build.update import update_index
from imgdup.dedupe.labels import ImageSet, folder_labels, read_labels, table_labels
from imgdup.dedupe.leaks import Coverage, coverage
from imgdup.errors import ImgdupError, UsageError
from imgdup.index.folder import is_index, look_for, place_of_set
from imgdup.index.pack import is_index_or_pack
from imgdup.output.progress import showing
from imgdup.system.paths import absolute, as_path, check_exists

Images: TypeAlias = ImageIndex | str | os.PathLike[str]
"""A set: an opened index, an index folder, a hash pack, or a folder of images, which is indexed."""

Labels: TypeAlias = Mapping[str, str] | str | os.PathLike[str]
"""Labels by path, or a CSV file of paths and labels."""


class OpenedSet(NamedTuple):
    """A set: its name, its index, and the result of the run that scanned it, if there was one."""

    name: str
    images: ImageIndex
    outcome: Outcome | None

    @property
    def coverage(self) -> Coverage:
        """How much of the set could be compared."""
        return coverage(self.name, self.images.rows, (), self.outcome)

    @property
    def unread(self) -> list[Path]:
        """The files without a hash; undecoded formats are known only of a set that was scanned."""
        undecoded = self.outcome.undecoded if self.outcome else ()
        return [
            *(failure.path for failure in self.images.failures),
            *(as_path(path) for path in undecoded),
        ]

    @property
    def unscanned(self) -> list[Path]:
        """The folders that could not be scanned."""
        unlisted = self.outcome.unlisted if self.outcome else ()
        return [as_path(folder) for folder, _ in unlisted]


def open_sets(sets: Sequence[Images], *, progress: bool) -> list[OpenedSet]:
    """Open the indexes of some sets; folders of images are indexed first.

    No folder is indexed if one of the sets does not exist.
    """
    for each in sets:
        if not isinstance(each, ImageIndex):
            check_exists(each)
    return [_open_set(each, progress=progress) for each in sets]


def _open_set(images: Images, *, progress: bool) -> OpenedSet:
    if isinstance(images, ImageIndex):
        return OpenedSet(str(images.folder), images.check_before_decision(), None)
    path, outcome = Path(images), None
    place = path
    if not is_index_or_pack(path):
        place = place_of_set(path)
        settings = Settings(reuse=covering_index(path, look_for(Path())))
        with showing(progress) as bar:
            outcome = update_index(place, [os.fspath(path)], settings, bar if progress else None)
    return OpenedSet(str(path), ImageIndex.open(place).check_before_decision(), outcome)


def covering_index(path: str | os.PathLike[str], nearest: Path | None) -> Path | None:
    """Return the first of two indexes that has files of a folder; its rows need no hashing.

    The first is `nearest`, the index to use in the current folder; the second that in the folder
    itself or in a folder above it.
    """
    folder = absolute(path)
    with suppress(ImgdupError):  # an index of another user, or a damaged one
        for place in (nearest, look_for(Path(os.fsdecode(folder)))):
            if place and is_index(place) and ImageIndex.open(place).generation.paths.holds(folder):
                return place
    return None


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

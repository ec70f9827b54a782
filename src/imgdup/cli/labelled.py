"""Index the sets that are compared or divided, and read the labels of their images."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from imgdup.api.index import ImageIndex
from imgdup.build.settings import covering_index
from imgdup.cli.indexing import exit_code, index_first
from imgdup.cli.options import find_or_new_index
from imgdup.cli.printing import note
from imgdup.dedupe.labels import ImageSet, folder_labels, read_labels, table_labels
from imgdup.dedupe.leaks import Coverage, coverage
from imgdup.errors import ImgdupError, UsageError
from imgdup.index.columns import folder_of_index, images
from imgdup.index.folder import place_of_set
from imgdup.index.pack import is_index_or_pack
from imgdup.system.paths import check_exists


class TwoSets(NamedTuple):
    """Two sets, what is known of their files, where verdicts are kept, and exit code 0 or 3."""

    sets: list[ImageSet]
    coverages: list[Coverage]
    folder: Path
    code: int


def two_sets(
    names: Sequence[str],
    index_folders: Sequence[Path | None],
    labels: Path | None,
    *,
    allow_removals: bool,
) -> TwoSets:
    """Index two sets, and return the images of each with their labels.

    `index_folders` names one index for both, that of the first, and that of the second; each may
    be None. Verdicts are kept in the index folder of the second set. No set is indexed if one of
    them does not exist.
    """
    for name in names:
        check_exists(name)
    both, *own_places = index_folders
    if both is not None:
        return _sets_in_one_index(names, both, labels, allow_removals=allow_removals)
    sets, coverages, code = [], [], 0
    opened: dict[Path, ImageIndex] = {}  # so that a set is never compared with itself
    are_indexes = all(is_index_or_pack(Path(name)) for name in names)
    nearest = None if are_indexes else find_or_new_index(None)
    for name, own_place in zip(names, own_places, strict=True):
        outcome = None
        if is_index_or_pack(Path(name)):
            place = Path(name)
        else:
            place = own_place or place_of_set(name, nearest)
            reuse = covering_index(name, nearest)
            outcome = index_first(place, [name], allow_removals=allow_removals, reuse=reuse)
            code = max(code, exit_code(outcome, strict=False))
        index = opened.setdefault(place.resolve(), ImageIndex.open(place).check_before_decision())
        sets.append(labelled_set(index, name, [], labels))
        coverages.append(coverage(name, index.rows, (), outcome))
    return TwoSets(sets, coverages, index.folder, code)


def _sets_in_one_index(
    names: Sequence[str], index_folder: Path, labels: Path | None, *, allow_removals: bool
) -> TwoSets:
    place = find_or_new_index(index_folder)
    outcome = index_first(place, names, allow_removals=allow_removals)
    index = ImageIndex.open(place).check_before_decision()
    folders = [folder_of_index(index.rows, *each) for each in zip(names, "AB", strict=True)]
    named = list(zip(names, folders, strict=True))
    sets = [labelled_set(index, name, [folder], labels) for name, folder in named]
    coverages = [coverage(name, index.rows, [folder], outcome) for name, folder in named]
    return TwoSets(sets, coverages, index.folder, exit_code(outcome, strict=False))


def labelled_set(
    index: ImageIndex, name: str, folders: Sequence[bytes], labels: Path | None
) -> ImageSet:
    """Return the images of a set with their labels; raise ImgdupError if it has no image."""
    selected = images(index.rows, folders)
    if not len(selected):
        raise ImgdupError(
            f"{name} contains no readable image: name another folder, or list what failed with: "
            "imgdup index FOLDER --index NEW --errors FILE"
        )
    if labels is None:
        return ImageSet(index.rows, selected, folder_labels(index.rows, selected, folders))
    found = table_labels(read_labels(labels), index.rows, selected, folders)
    _note_unlabelled(found, name, labels)
    return ImageSet(index.rows, selected, found)


def _note_unlabelled(found: Sequence[str | None], name: str, labels: Path) -> None:
    """Print how many images have no label in a table; raise UsageError if none has one."""
    n_missing = found.count(None)
    if n_missing == len(found):
        raise UsageError(
            f"--labels {labels} names none of the {len(found):,} images of {name}: it must name "
            "paths below that folder, or absolute ones"
        )
    if n_missing:
        note(f"{n_missing:,} of {len(found):,} images of {name} have no label in {labels}")

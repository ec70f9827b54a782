"""Commands about two sets: compare finds leaks, split makes lists that have none."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgdup.cli.build import index_on_the_way, place_of
from imgdup.cli.common import (
    Distance,
    OutputFile,
    find_index,
    from_here,
    index_option,
    json_option,
    note,
    removals_option,
    write_bytes,
    write_text,
)
from imgdup.errors import ImgdupError, UsageError

if TYPE_CHECKING:
    from imgdup.api import ImageIndex
    from imgdup.dedupe.candidates import MatchRule
    from imgdup.dedupe.compare import ImageSet, Leaks

PATH = click.Path(path_type=Path)
GATE = 4  # exit code: more leaks than --max-leaks

labels_option = click.option(
    "--labels", type=PATH, metavar="FILE.csv", help="Path and label; default: the first folder."
)
distance_option = click.option(
    "--max-dist", type=Distance(), default=31, show_default=True, help="PDQ distance, in bits."
)


@click.command()
@click.argument("a")
@click.argument("b")
@index_option
@click.option("--index-a", type=PATH, metavar="FOLDER", help="Where the index of A is kept.")
@click.option("--index-b", type=PATH, metavar="FOLDER", help="Where the index of B is kept.")
@distance_option
@click.option("--max-leaks", type=click.IntRange(min=0), help="Exit with 4 if there are more.")
@labels_option
@click.option(
    "--report", type=OutputFile(), metavar="FILE.html", help="Write a page to look through."
)
@removals_option
@json_option
def compare(a: str, b: str, index_folder: Path | None, **options: Any) -> int:
    """List every image of B that has a duplicate in A: leaks of a training set into a test set.

    A and B are folders, indexed on the way, or index folders; with --index, two parts of that
    index. Labels that disagree are told.

    \b
    imgdup compare train test --max-leaks 0
    """
    from imgdup.dedupe.compare import compare as find_leaks

    if index_folder is not None:
        code = 0
        parts = _parts_of_one(index_folder, (a, b), options["labels"])
    else:
        parts, code = _two_parts((a, b), (options["index_a"], options["index_b"]), options)
    rule = _rule(options["max_dist"])
    leaks = find_leaks(parts[0], parts[1], rule)
    _print_leaks(leaks, options)
    if options["report"]:
        from imgdup.output.gallery import save_leaks

        save_leaks(options["report"], leaks, rule)
    limit = options["max_leaks"]
    if limit is not None and len(leaks.places_b) > limit:
        note(f"imgdup: more leaks than --max-leaks {limit}")
        return GATE
    return code


def _rule(max_distance: int) -> "MatchRule":
    from imgdup.dedupe.candidates import MatchRule

    try:
        return MatchRule(max_distance)
    except ValueError as error:
        raise UsageError(f"--max-dist {max_distance}: {error}") from error


def _parts_of_one(place: Path, folders: Sequence[str], labels: Path | None) -> "list[ImageSet]":
    from imgdup.api import ImageIndex
    from imgdup.index.rows import folder_of_index

    index = ImageIndex.open(place)
    return [
        _part(index, folder, [folder_of_index(index, folder, name)], labels)
        for folder, name in zip(folders, "AB", strict=True)
    ]


def _two_parts(
    sets: Sequence[str], places: Sequence[Path | None], options: dict[str, Any]
) -> "tuple[list[ImageSet], int]":
    """Open each set, indexing it if it is a folder of images; and the exit code of that."""
    from imgdup.api import ImageIndex
    from imgdup.index.folder import CURRENT

    parts, code = [], 0
    opened: dict[Path, ImageIndex] = {}  # so that a set compared with itself is found out
    for name, place in zip(sets, places, strict=True):
        if (Path(name) / CURRENT).is_file():
            place = Path(name)
        else:
            place = place or _own_place(name)
            code = max(code, index_on_the_way([name], place, options))
        index = opened.setdefault(place.resolve(), ImageIndex.open(place))
        parts.append(_part(index, name, [], options["labels"]))
    return parts, code


def _own_place(name: str) -> Path:
    """Return where the index of a set is kept: beside the others, named after its folder."""
    import hashlib

    from imgdup.index.folder import SETS
    from imgdup.system.paths import absolute, check_exists

    check_exists(name)
    path = absolute(name)
    digest = hashlib.blake2b(path, digest_size=4).hexdigest()
    return place_of(None, True) / SETS / f"{os.path.basename(os.fsdecode(path))}-{digest}"


def _part(index: "ImageIndex", name: str, folders: list[bytes], labels: Path | None) -> "ImageSet":
    """Return the images of a set with their labels; a set without images proves nothing."""
    from imgdup.dedupe.compare import ImageSet
    from imgdup.dedupe.labels import folder_labels, read_labels, table_labels
    from imgdup.index.rows import images

    selected = images(index, folders)
    if not len(selected):
        raise ImgdupError(
            f"{name} holds no image that could be read: name a folder that does, or see what "
            "failed with: imgdup index --errors FILE"
        )
    if labels is None:
        return ImageSet(index, selected, folder_labels(index, selected, folders))
    found = table_labels(read_labels(labels), index, selected, folders)
    _tell_unlabelled(found, name, labels)
    return ImageSet(index, selected, found)


def _tell_unlabelled(found: "Sequence[str | None]", name: str, labels: Path) -> None:
    """Say how many images a table leaves without a label; raise if it leaves all."""
    n_missing = found.count(None)
    if n_missing == len(found):
        raise UsageError(
            f"--labels {labels} names none of the {len(found):,} images of {name}: it must name "
            "paths below that folder, or absolute ones"
        )
    if n_missing:
        note(f"{n_missing:,} of {len(found):,} images of {name} have no label in {labels}")


def _print_leaks(leaks: "Leaks", options: dict[str, Any]) -> None:
    from imgdup.output import results

    if options["as_json"]:
        write_text(results.leak_json(leaks.each()))
    elif sys.stdout.isatty():
        near = (
            leak._replace(path=from_here(leak.path), duplicate_of=from_here(leak.duplicate_of))
            for leak in leaks.each()
        )
        width = shutil.get_terminal_size().columns
        write_text(results.leak_table(near, width=width, encoding=sys.stdout.encoding))
    else:
        write_bytes(results.leak_lines(leaks.each()))
    note(results.leaks_summary(leaks))


@click.command()
@click.argument("folders", nargs=-1, metavar="[FOLDER]...")
@index_option
@click.option("--ratios", required=True, metavar="NAME=RATIO,...", help="As train=0.8,test=0.2.")
@click.option("--stratify", type=click.Choice(["label"]), help="Meet the ratios for each label.")
@labels_option
@click.option("--seed", type=int, default=0, show_default=True)
@removals_option
@distance_option
@click.option("--out", type=PATH, required=True, metavar="FOLDER", help="Where the lists go.")
@click.option("--null", is_flag=True, help="End the paths by NUL.")
def split(folders: tuple[str, ...], index_folder: Path | None, **options: Any) -> int:
    """Divide images into lists for training and testing; no chain of duplicates is divided.

    FOLDERs are indexed on the way; without one, the whole index is divided. The same images and
    seed give the same lists.

    \b
    imgdup split photos --ratios train=0.8,val=0.1,test=0.1 --out splits
    """
    from imgdup.api import ImageIndex
    from imgdup.dedupe.split import parse_ratios
    from imgdup.dedupe.split import split as divide
    from imgdup.output.cleaning import save_split
    from imgdup.output.codecs import cell_text
    from imgdup.system.paths import absolute

    ratios, rule = parse_ratios(options["ratios"]), _rule(options["max_dist"])
    place = place_of(index_folder, True) if folders else find_index(index_folder)
    code = index_on_the_way(folders, place, options) if folders else 0
    index = ImageIndex.open(place)
    named = ", ".join(folders) or str(place)
    part = _part(index, named, [absolute(folder) for folder in folders], options["labels"])
    labels = part.labels if options["stratify"] else None
    division = divide(index, part.images, ratios, labels, seed=options["seed"], rule=rule)
    save_split(options["out"], index, division, b"\0" if options["null"] else b"\n")
    for share in division.shares:
        label = "" if share.label is None else f"  {cell_text(share.label, sys.stdout.encoding)}"
        line = (
            f"{share.name:<8} {share.n_images:>9,} images  {share.share:7.2%} of {share.asked:.2%}"
        )
        write_text([f"{line}{label}\n"])
    note(f"{division.n_chained:,} images in {division.n_chains:,} chains, none divided")
    return code

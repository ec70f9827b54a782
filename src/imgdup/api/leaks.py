"""Compare two sets of images, and refuse leaks in a test; the result is an object."""

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, overload

from imgdup import __version__
from imgdup.api.groups import match_rule
from imgdup.api.notebook import leaks_html
from imgdup.api.sets import Images, Labels, OpenedSet, image_set, open_sets
from imgdup.dedupe.compare import compare as compare_sets
from imgdup.dedupe.leaks import Gate, verified
from imgdup.dedupe.verify import Verifier
from imgdup.output import counted
from imgdup.output.export import DataFrameLibrary, data_frame
from imgdup.output.gallery import save_leaks
from imgdup.output.leaks import Evidence
from imgdup.output.progress import showing
from imgdup.system.paths import as_path

N_NAMED = 10  # leaks that an error names
LEAK_COLUMNS = {
    "path": "path",
    "duplicate_of": "path",
    "distance": "int64",
    "relation": "text",
    "label": "text",
    "label_of": "text",
}


class Leak(NamedTuple):
    """An image of the second set that has a duplicate in the first.

    Attributes
    ----------
    path, duplicate_of : Path
        In the second set, and its nearest duplicate in the first; absolute.
    relation : str
        As in `Removal`, or ``"same-file"`` if both are names of one file.
    distance : int
        Between their match hashes, in bits of 256; 0 where the bytes are equal.
    label, label_of : str or None
        The labels of the two.
    conflict : Path or None
        The nearest duplicate in the first set that has another label, if there is one.
    """

    path: Path
    duplicate_of: Path
    relation: str
    distance: int
    label: str | None
    label_of: str | None
    conflict: Path | None


class Leaks(Sequence[Leak]):
    """The images of a second set that have a duplicate in a first one, from `compare`.

    Attributes
    ----------
    arrays : imgdup.dedupe.compare.Leaks
        The same as arrays.
    unread : list of Path
        Files of either set that were not compared, because they could not be read or are pictures
        of a format that is not decoded.
    unscanned : list of Path
        Folders of either set that could not be scanned.
    """

    def __init__(self, evidence: Evidence, sets: Sequence[OpenedSet]) -> None:
        self.arrays = evidence.gate.leaks
        self.unread = [path for each in sets for path in each.unread]
        self.unscanned = [folder for each in sets for folder in each.unscanned]
        self._evidence = evidence
        self._leaks = list(map(_leak, self.arrays.each()))

    def __len__(self) -> int:
        return len(self._leaks)

    @overload
    def __getitem__(self, number: int) -> Leak: ...

    @overload
    def __getitem__(self, number: slice) -> list[Leak]: ...

    def __getitem__(self, number: int | slice) -> Leak | list[Leak]:
        return self._leaks[number]

    def __repr__(self) -> str:
        n_images = counted(len(self.arrays.b.images), "image")
        unread = f", {counted(len(self.unread), 'file')} not read" if self.unread else ""
        return f"<imgdup.Leaks: {len(self):,} of {n_images} have a duplicate{unread}>"

    def _repr_html_(self) -> str:
        """Show the first leaks with thumbnails, in a notebook."""
        return leaks_html(self.arrays, len(self.unread))

    def save_report(self, file: str | os.PathLike[str]) -> None:
        """Write a page of HTML with the pictures of every leak; it needs no network.

        It also says how much of both sets was compared and how, and what can be missed.

        Raises
        ------
        ImgdupError
            If it cannot be written.
        """
        save_leaks(Path(file), self._evidence)

    def to_dataframe(self, library: DataFrameLibrary | None = None) -> Any:
        """Return a table with one row per leak; see `Groups.to_dataframe`.

        Its columns are ``path duplicate_of distance relation label label_of``.
        """
        records = ({name: getattr(leak, name) for name in LEAK_COLUMNS} for leak in self)
        return data_frame(records, LEAK_COLUMNS, library)


def compare(
    a: Images,
    b: Images,
    *,
    max_distance: int | None = None,
    orientations: bool = True,
    labels: Labels | None = None,
    verify: bool = True,
    progress: bool = True,
) -> Leaks:
    """Find the images of one set that have a duplicate in another, such as train and test.

    A folder is indexed first. Its index is kept in ``.imgdup/sets`` of the current folder, or of
    the nearest folder above it that has ``.imgdup``, and is only brought up to date the next time.
    Files that another index has already, such as that ``.imgdup``, are not hashed again.

    Parameters
    ----------
    a, b : ImageIndex or path
        The images that are known, and those that should be new. A path is that of a folder of
        images, or of an index.
    max_distance : int, optional
        Largest match distance of duplicates, in bits of 256, inclusive. Default: as in
        `ImageIndex.groups`, for the images of both sets together.
    orientations : bool
        Whether to find rotated and mirrored copies, too.
    labels : mapping or path, optional
        The label of each path (absolute, or relative to the indexed folder), or a CSV file of
        these. By default, the label of an image is its first folder below the set.
    verify : bool
        Whether to compare the pictures, and to leave out pairs that are different. If not, all
        images with near hashes are given, as ``"unverified"``. The pictures of a hash pack cannot
        be compared.
    progress : bool
        Whether to show a progress bar, on a terminal or in a notebook.

    Returns
    -------
    Leaks
        Nearest first.

    Raises
    ------
    ImgdupError
        If a set has no readable image.
    UsageError
        A ValueError: a path does not exist, the sets have images in common, or `max_distance` is
        not from 0 to 256.
    """
    sets = open_sets([a, b], progress=progress)
    verify = verify and not any(each.images.generation.is_pack for each in sets)
    in_a, in_b = (image_set(each.images, labels) for each in sets)
    sides = [(each.rows, each.images) for each in (in_a, in_b)]
    rule = match_rule(max_distance, sides, orientations=orientations, wide=verify)
    leaks = compare_sets(in_a, in_b, rule)
    if verify:
        with showing(progress) as bar, Verifier(sets[1].images.folder) as verifier:
            judge = verifier.judge(in_a.rows, in_b.rows)
            leaks = verified(leaks, rule, judge, progress=bar.compared)
    gate = Gate(leaks, [False] * len(leaks.places_b), [each.coverage for each in sets])
    options = {"max_distance": max_distance, "orientations": orientations, "verify": verify}
    date = datetime.now(UTC).isoformat(timespec="seconds")
    evidence = Evidence(gate, rule, verify, _call(sets, options), date, __version__)
    return Leaks(evidence, sets)


def _call(sets: Sequence[OpenedSet], options: Mapping[str, object]) -> str:
    """Write how `compare` was called, for the report."""
    arguments = [repr(each.name) for each in sets]
    arguments += [f"{name}={value}" for name, value in options.items()]
    return f"imgdup.compare({', '.join(arguments)})"


def assert_no_leak(
    train: Images,
    test: Images,
    *,
    max_leaks: int = 0,
    max_unread: int = 0,
    max_distance: int | None = None,
    orientations: bool = True,
    progress: bool = False,
) -> None:
    """Fail if a test set shares pictures with a training set; for pytest.

    Parameters
    ----------
    train, test : ImageIndex or path
        As in `compare`.
    max_leaks : int
        How many images of the test set may have a duplicate in the training set.
    max_unread : int
        How many pictures of both sets may be without a hash, since they could not be read or are
        of a format that is not decoded: nothing is known about those.
    max_distance, orientations
        As in `compare`.
    progress : bool
        Whether to show a progress bar.

    Raises
    ------
    AssertionError
        It names the first leaks, with paths and distances, or the first files that were not
        compared, or folders that could not be scanned.
    ImgdupError, UsageError
        As in `compare`.
    """
    __tracebackhide__ = True
    leaks = compare(
        train, test, max_distance=max_distance, orientations=orientations, progress=progress
    )
    for paths, most, noun, problem in (
        (leaks.unscanned, 0, "folder", "scanned"),
        (leaks.unread, max_unread, "file", "read"),
    ):
        if len(paths) > most:
            raise AssertionError(
                f"{counted(len(paths), noun)} could not be {problem}, so nothing is known about "
                f"them:{_listed(map(str, paths), len(paths))}"
            )
    if len(leaks) > max_leaks:
        lines = (
            f"{leak.path} is in the training set as {leak.duplicate_of} "
            f"({leak.relation}, {counted(leak.distance, 'bit')})"
            for leak in leaks
        )
        raise AssertionError(
            f"{len(leaks):,} of {counted(len(leaks.arrays.b.images), 'test image')} leaked from "
            f"the training set:{_listed(lines, len(leaks))}"
        )


def _listed(lines: Iterable[str], n_lines: int) -> str:
    """Write the first lines, indented, and how many more there are."""
    text = "".join(f"\n  {line}" for line in islice(lines, N_NAMED))
    return text + (f"\n  and {n_lines - N_NAMED:,} more" if n_lines > N_NAMED else "")


def _leak(leak: Any) -> Leak:
    path, duplicate_of = (as_path(each) for each in (leak.path, leak.duplicate_of))
    conflict = None if leak.conflict is None else as_path(leak.conflict)
    facts = leak.relation, leak.distance, leak.label, leak.label_of
    return Leak(path, duplicate_of, *facts, conflict)

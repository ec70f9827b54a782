"""Groups: duplicates as objects that a person can read.

Oracle: the pictures are painted, so it is known which files show the same. `kept_by_names` decides
by their names alone.
"""

import random
import sys
from pathlib import Path

import pytest
from make_sample import encode, photo

from imgdup import Group, ImageIndex, ImgdupError, Removal, Settings, cli
from imgdup.api.index import DEFAULT_KEEP
from imgdup.dedupe.keep import DEFAULT_RULES


def kept_by_names(paths):
    """Of each photo the largest file stays: the JPEG file, and of two equal ones the oldest."""
    return sorted(path for path in paths if path.name.startswith("p"))


def test_the_copies_of_each_photo_are_a_group(collection, groups):
    folder = collection.roots[0]
    by_photo = {group.keeper.name: {each.path.name for each in group.removed} for group in groups}

    assert len(groups) == 5
    assert by_photo.pop("p0.jpg") == {"copy.jpg", "q0.png"}
    assert by_photo == {f"p{i}.jpg": {f"q{i}.png"} for i in range(1, 5)}
    assert all(group.keeper.parent == folder for group in groups)


def test_kept_and_removed_paths_are_all_images(collection, groups):
    assert groups.kept == kept_by_names(collection.paths)
    assert sorted([*groups.kept, *groups.removed]) == collection.paths


def test_the_objects_agree_with_the_arrays(collection, groups):
    arrays = groups.duplicates.groups
    assert [group.row for group in groups] == arrays.keepers.tolist()
    removals = [each for group in groups for each in group.removed]
    assert [each.row for each in removals] == arrays.removed.tolist()
    assert [each.distance for each in removals] == arrays.distances.tolist()
    assert [each.relation for each in removals] == groups.duplicates.relations
    assert all(collection.path(each.row) == each.path for each in removals)
    assert {each.relation for each in removals} == {"same-bytes", "same-picture"}


def test_groups_are_a_sequence(groups):
    assert isinstance(groups[0], Group)
    assert isinstance(groups[0].removed[0], Removal)
    assert groups[-1] == list(groups)[-1]
    assert groups[1:3] == list(groups)[1:3]
    with pytest.raises(IndexError):
        groups[len(groups)]


def test_the_text_of_the_object_counts(groups):
    assert repr(groups).startswith("<imgdup.Groups: 5 groups, 6 duplicates of 11 images, ")


def written_by_the_command(folder, tmp_path, *options):
    """The plan that the command writes, and the paths that it lists to keep."""
    plan, kept = tmp_path / "command.jsonl", tmp_path / "kept.txt"
    arguments = ["dedupe", "--index", str(folder), "--plan", str(plan), "--keep-list", str(kept)]
    assert cli.main([*arguments, *options]) == 0
    return plan.read_bytes(), [folder.parent / "photos" / name for name in kept.read_text().split()]


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({}, []),
        (
            {"keep": "smallest,first", "max_distance": 20, "orientations": True},
            ["--keep", "smallest,first", "--max-dist", "20", "--orientations"],
        ),
        (
            {"remove": "edited,turned", "orientations": True},
            ["--remove", "edited,turned", "--orientations"],
        ),
        ({"verify": False, "max_distance": 31}, ["--no-verify", "--max-dist", "31"]),
    ],
    ids=["default", "options", "more relations", "not verified"],
)
def test_the_plan_is_that_of_the_command(collection, tmp_path, options, arguments):
    found = collection.groups(**options, progress=False)
    found.plan().save(tmp_path / "plan.jsonl")

    plan, kept = written_by_the_command(collection.folder, tmp_path, *arguments)

    assert len(found) > 0
    assert (tmp_path / "plan.jsonl").read_bytes() == plan
    assert found.kept == sorted(kept)


def test_kept_indices_are_those_of_the_list_of_the_command(collection, tmp_path):
    """Oracle: each path of the data set is looked for in the list that the command wrote."""
    paths = random.Random(4).choices(collection.paths, k=60)
    _, listed = written_by_the_command(collection.folder, tmp_path)

    kept = collection.groups(progress=False).kept_indices(paths)

    assert kept == [i for i, path in enumerate(paths) if path in listed]
    assert 0 < len(kept) < len(paths)


@pytest.mark.parametrize("form", [str, bytes, Path], ids=["text", "bytes", "path"])
def test_kept_indices_are_the_positions_of_the_kept_files(collection, groups, form):
    paths = [*collection.paths[::-1]]
    given = [str(path).encode() if form is bytes else form(path) for path in paths]

    kept = groups.kept_indices(given)

    assert sorted(paths[i] for i in kept) == kept_by_names(paths)
    assert kept == sorted(kept)


def test_paths_may_be_relative_to_the_current_folder(collection, groups, monkeypatch):
    monkeypatch.chdir(collection.roots[0])

    assert groups.kept_indices(["q1.png", "./p1.jpg", "../photos/p2.jpg"]) == [1, 2]


def test_a_path_that_the_index_does_not_have_is_an_error_that_names_it(collection, groups):
    """A find: paths relative to the wrong folder passed the filter without a word."""
    given = ["p1.jpg", *collection.paths]

    with pytest.raises(
        ValueError, match=r"does not have 1 of 12 paths, such as 'p1\.jpg'"
    ) as error:
        groups.kept_indices(given)
    assert str(Path("p1.jpg").absolute()) in str(error.value)
    assert str(collection.roots[0]) in str(error.value)
    with pytest.raises(ValueError, match="does not have 1 of 1 paths"):
        groups.kept_indices(["p1.jpg"])  # found by bisection


def test_unknown_paths_can_be_kept_or_dropped(collection, groups):
    removed = groups.removed[0]
    given = ["nowhere.jpg", groups.kept[0], removed]

    assert groups.kept_indices(given, unknown="keep") == [0, 1]
    assert groups.kept_indices(given, unknown="drop") == [1]
    with pytest.raises(ValueError, match="raise, keep, drop, got 'ignore'"):
        groups.kept_indices(given, unknown="ignore")


def test_a_file_that_could_not_be_read_is_known_and_kept(own_collection):
    folder = own_collection.roots[0]
    (folder / "bad.jpg").write_bytes((folder / "p0.jpg").read_bytes()[:2000])
    index = type(own_collection).build(folder, ".imgdup", progress=False)

    found = index.groups(verify=False, progress=False)

    assert found.kept_indices([folder / "bad.jpg", folder / "copy.jpg"]) == [0]


def test_a_single_path_is_no_list_of_paths(collection, groups):
    """Otherwise each letter would be a path."""
    for path in (collection.paths[0], str(collection.paths[0])):
        with pytest.raises(TypeError, match="must be a list of paths, got one"):
            groups.kept_indices(path)


def test_a_single_folder_may_be_protected(collection):
    for folder in (collection.roots[0], str(collection.roots[0])):
        assert len(collection.groups(protect=folder, verify=False, progress=False)) == 0


def test_keep_rules_and_protected_folders_decide(collection):
    smallest = collection.groups(keep="smallest,first", verify=False, progress=False)
    protected = collection.groups(protect=collection.roots, verify=False, progress=False)

    assert {group.keeper.suffix for group in smallest} == {".png"}
    assert len(protected) == 0


def test_without_a_comparison_duplicates_are_unverified(collection):
    found = collection.groups(verify=False, progress=False)

    relations = {each.relation for group in found for each in group.removed}
    assert relations == {"same-bytes", "unverified"}


def test_edited_copies_are_listed_and_removed_on_request(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    picture = photo(1, 320, 240)
    (folder / "photo.png").write_bytes(encode(picture, ".png"))
    picture[100:112, 200:212] = (0, 0, 255)
    (folder / "stamped.png").write_bytes(encode(picture, ".png"))
    index = ImageIndex.build(folder, tmp_path / "index", Settings(workers=1), progress=False)

    found = index.groups(keep="first", progress=False)
    wider = index.groups(keep="first", remove="edited", progress=False)

    (similar,) = found.similar
    assert (len(found), similar.path.name, similar.better.name) == (0, "stamped.png", "photo.png")
    assert similar.relation == "edited"
    assert [path.name for path in wider.removed] == ["stamped.png"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"keep": "lagest"}, "there is no keep rule 'lagest': did you mean 'largest'?"),
        ({"protect": ["nowhere"]}, "protected folder nowhere has no indexed file"),
        ({"remove": "all"}, "'all' is not a relation of files to remove"),
        ({"max_distance": 300}, "max_distance must be 0 to 256, got 300"),
    ],
)
def test_a_wrong_argument_is_a_value_error_without_options_of_the_command_line(
    collection, options, words
):
    with pytest.raises(ValueError) as error:
        collection.groups(**options, progress=False)

    assert words in str(error.value)
    assert "--" not in str(error.value)


def test_the_default_rules_are_those_of_the_command_line():
    assert DEFAULT_KEEP == ",".join(DEFAULT_RULES)


def test_the_report_has_every_group(groups, tmp_path):
    groups.save_report(tmp_path / "report.html")

    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(group.keeper.name in page for group in groups)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_data_frame_has_one_row_per_file(groups, library):
    pytest.importorskip(library, reason=f"{library} is not installed")

    frame = groups.to_dataframe(library)

    rows = frame.to_dicts() if library == "polars" else frame.to_dict("records")
    assert [(row["group"], row["path"], row["role"]) for row in rows] == [
        (number, str(path), role)
        for number, group in enumerate(groups, start=1)
        for path, role in [
            (group.keeper, "keep"),
            *((each.path, "remove") for each in group.removed),
        ]
    ]


class Frames:
    """A module that looks like one of data frames."""

    @staticmethod
    def DataFrame(table):
        return table


def test_the_imported_library_is_preferred(groups, monkeypatch):
    for name in ("pandas", "polars"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(
        "imgdup.output.export.find_spec", lambda name: True if name == "polars" else None
    )
    monkeypatch.setitem(sys.modules, "polars", Frames)

    table = groups.to_dataframe()

    assert table["group"] == sorted(table["group"])
    assert len(table["path"]) == 11
    assert all(isinstance(path, str) for path in table["path"])


def test_without_a_library_the_error_names_the_package(groups, monkeypatch):
    for name in ("pandas", "polars"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr("imgdup.output.export.find_spec", lambda name: None)

    with pytest.raises(ImgdupError, match="pandas or polars is not installed: pip install pandas"):
        groups.to_dataframe()
    with pytest.raises(ImgdupError, match="polars is not installed: pip install polars"):
        groups.to_dataframe("polars")
    with pytest.raises(ValueError, match="must be one of pandas, polars, got 'excel'"):
        groups.to_dataframe("excel")


def test_a_word_for_unknown_paths_that_does_not_exist_is_refused(groups):
    with pytest.raises(ValueError, match="unknown must be one of raise, keep, drop, got 'ignore'"):
        groups.kept_indices([], unknown="ignore")

"""Files that commands write about pictures: readable for those who may read all the pictures."""

import os
import stat
import tarfile
from dataclasses import replace

import pytest
from make_sample import encode, photo

from array_rows import File, rows_of, same_picture
from imgdup import ImageIndex, cli
from imgdup.build import update
from imgdup.build.roots import OptionChanges
from imgdup.build.settings import Settings
from imgdup.dedupe import find_duplicates
from imgdup.dedupe.candidates import MatchRule
from imgdup.dedupe.compare import compare
from imgdup.dedupe.labels import ImageSet
from imgdup.dedupe.leaks import Gate, coverage
from imgdup.dedupe.plan import write_plan
from imgdup.dedupe.split import split
from imgdup.index.columns import images
from imgdup.index.folder import VERDICTS, prepare
from imgdup.index.pack import save_pack
from imgdup.output.cleaning import save_groups, save_lists, save_split
from imgdup.output.export import export
from imgdup.output.gallery import save_duplicates, save_leaks
from imgdup.output.leaks import Evidence
from imgdup.output.montage import save_montage
from imgdup.output.results import MatchRow
from imgdup.system.files import common_mode, replacing
from imgdup.workers.pool import inline

SETTINGS = Settings(workers=1, engine=inline)

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="needs permissions"),
    pytest.mark.usefixtures("in_process"),
]


@pytest.fixture(autouse=True)
def usual_umask():
    old = os.umask(0o022)
    yield
    os.umask(old)


@pytest.fixture
def pictures(tmp_path):
    """Three copies of one picture, readable for all."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a/1.jpg", "b/2.jpg", "b/3.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(encode(photo(1, 64, 48), ".jpg"))
        (folder / name).chmod(0o644)
    return folder


def rows_of_pictures(folder):
    paths = sorted(bytes(path) for path in folder.rglob("*.jpg"))
    return rows_of([File(path, content=b"same") for path in paths], roots=(bytes(folder),))


def sets_of(rows, folder):
    for name in (b"/a", b"/b"):
        selected = images(rows, [bytes(folder) + name])
        yield ImageSet(rows, selected, [None] * len(selected))


def all_files(folder, out):
    """Write everything that commands write about these pictures; yield the paths."""
    rows = rows_of_pictures(folder)
    duplicates = find_duplicates(rows, judge=same_picture)
    write_plan(out / "plan.jsonl", duplicates.plan())
    save_duplicates(out / "report.html", duplicates)
    leaks = compare(*sets_of(rows, folder))
    coverages = [coverage("set", each.rows, [], None) for each in (leaks.a, leaks.b)]
    gate = Gate(leaks, [False] * len(leaks.verdicts), coverages)
    save_leaks(out / "leaks.html", Evidence(gate, MatchRule(), True, "imgdup", "today", "1"))
    save_lists(duplicates, keep_list=out / "kept", remove_list=out / "removed")
    save_lists(duplicates, remove_list=out / "removed.jsonl")
    for name in ("groups.csv", "groups.png"):
        save_groups(out / name, duplicates)
    save_split(out / "splits", rows, split(ImageSet(rows, images(rows), []), {"x": 1.0}))
    paths = [rows.path(row) for row in range(len(rows))]
    matches = [MatchRow(paths[0], path, 0, 0, True, 64, 48, False) for path in paths]
    save_montage(out / "montage.png", matches)
    return sorted(path for path in out.rglob("*") if path.is_file())


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_files_about_private_pictures_are_private(pictures, tmp_path):
    (tmp_path / "out").mkdir()
    for path in pictures.rglob("*.jpg"):
        path.chmod(0o600)

    written = all_files(pictures, tmp_path / "out")

    assert len(written) == 10
    assert {path.name: mode_of(path) for path in written} == {path.name: 0o600 for path in written}


def test_files_about_public_pictures_are_public(pictures, tmp_path):
    (tmp_path / "out").mkdir()

    written = all_files(pictures, tmp_path / "out")

    assert {mode_of(path) for path in written} == {0o644}


def test_one_private_picture_makes_private_what_shows_it_and_nothing_else(pictures, tmp_path):
    (tmp_path / "out").mkdir()
    (pictures / "b" / "3.jpg").chmod(0o600)

    written = all_files(pictures, tmp_path / "out")

    public = {path.name for path in written if mode_of(path) == 0o644}
    assert public == {"kept"}  # the list of a/1.jpg


@pytest.mark.parametrize(("mode", "expected"), [(0o600, 0o600), (0o644, 0o644)])
def test_an_index_and_its_export_are_as_private_as_the_pictures(pictures, tmp_path, mode, expected):
    (pictures / "b" / "2.jpg").chmod(mode)
    index = ImageIndex.build(pictures, path=tmp_path / "index", settings=SETTINGS)

    export(index.rows, "csv", tmp_path / "files.csv")

    assert mode_of(tmp_path / "files.csv") == expected
    assert mode_of(tmp_path / "index" / "index.1") == expected


def test_an_index_of_private_pictures_is_private_from_its_first_byte(
    pictures, tmp_path, monkeypatch
):
    (pictures / "b" / "2.jpg").chmod(0o600)
    monkeypatch.setattr(update, "keep_private", lambda file, mode: None)  # at the end of a run

    ImageIndex.build(pictures, path=tmp_path / "index", settings=SETTINGS)

    assert mode_of(tmp_path / "index" / "index.1") == 0o600


def test_a_pack_is_as_private_as_its_index(pictures, tmp_path):
    (pictures / "b" / "2.jpg").chmod(0o600)
    index = ImageIndex.build(pictures, path=tmp_path / "index", settings=SETTINGS)

    save_pack(index.generation, tmp_path / "pack")

    assert mode_of(tmp_path / "pack") == 0o600


@pytest.mark.parametrize("is_named", [False, True])
def test_an_index_is_as_private_as_a_container_of_pictures(pictures, tmp_path, is_named):
    with tarfile.open(tmp_path / "photos" / "c.tar", "w") as tar:
        tar.add(pictures / "a" / "1.jpg", "1.jpg")
    (pictures / "c.tar").chmod(0o600)

    update.update_index(
        tmp_path / "index",
        [str(pictures / "c.tar" if is_named else pictures)],
        replace(SETTINGS, changes=OptionChanges(containers=True)),
    )

    assert mode_of(tmp_path / "index" / "index.1") == 0o600


def test_verdicts_and_reports_of_a_comparison_are_private(pictures, tmp_path):
    (pictures / "b" / "2.jpg").write_bytes(encode(photo(1, 64, 48), ".png"))
    for path in pictures.rglob("*.jpg"):
        path.chmod(0o600)

    code = cli.main(
        ["compare", str(pictures / "a"), str(pictures / "b"), "--index", str(tmp_path / "index"),
         "--junit", str(tmp_path / "j.xml"), "--markdown", str(tmp_path / "m.md")]
    )  # fmt: skip

    assert code == 0
    assert b"2.jpg" in (tmp_path / "j.xml").read_bytes()
    written = [tmp_path / "j.xml", tmp_path / "m.md", tmp_path / "index" / VERDICTS]
    assert [mode_of(path) for path in written] == [0o600] * 3


@pytest.mark.parametrize(
    ("modes", "expected"),
    [
        ([], 0o666),
        ([0o644], 0o644),
        ([0o644, 0o600], 0o600),
        ([0o640, 0o644], 0o640),
        ([0o640, 0o604], 0o600),
        ([0o000], 0o600),
        ([0o755], 0o644),
    ],
)
def test_the_common_mode_allows_what_all_files_allow(tmp_path, modes, expected):
    paths = []
    for i, mode in enumerate(modes):
        (tmp_path / str(i)).touch()
        os.chown(tmp_path / str(i), -1, os.getegid())
        (tmp_path / str(i)).chmod(mode)
        paths.append(bytes(tmp_path / str(i)))

    assert common_mode([*paths, b"/there/is/none", b"a\0b"]) == expected


@pytest.mark.skipif(os.name != "nt" and os.geteuid() != 0, reason="needs root to change a group")
def test_the_group_counts_only_if_the_new_file_has_it(tmp_path):
    path = tmp_path / "a"
    path.touch()
    path.chmod(0o660)
    os.chown(path, -1, os.getegid() + 1)

    assert common_mode([bytes(path)]) == 0o600


def test_a_private_file_is_private_from_its_first_byte(tmp_path):
    (tmp_path / "old").write_bytes(b"")
    (tmp_path / "old").chmod(0o644)

    with replacing(tmp_path / "old", mode=0o600) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600

    assert mode_of(tmp_path / "old") == 0o600


def test_a_list_of_failures_is_as_private_as_the_files(pictures, tmp_path):
    (pictures / "b" / "2.jpg").write_bytes(b"nonsense")
    (pictures / "b" / "2.jpg").chmod(0o600)

    code = cli.main(
        ["index", str(pictures), "--index", str(tmp_path / "i"), "--errors", str(tmp_path / "e")]
    )

    assert code == 3
    assert b"2.jpg" in (tmp_path / "e").read_bytes()
    assert mode_of(tmp_path / "e") == 0o600


def test_what_an_interrupted_run_leaves_is_private(tmp_path):
    prepare(tmp_path / "index")

    assert mode_of(tmp_path / "index" / "parts") == 0o700

"""The settings file: where it is looked for, what it sets, what it refuses, and whom it trusts."""

import json
import os
import shlex

import pytest

from cli_runs import in_process
from imgdup import ImageIndex, cli
from imgdup.cli.config import UNDER
from imgdup.dedupe import keep

pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture
def below(photos, tmp_path, monkeypatch):
    """A folder in the one that holds the photos, as the current folder."""
    (tmp_path / "work" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work" / "deep")
    return tmp_path


def write(file, text):
    file.write_text(text, encoding="utf-8")


def names(place):
    index = ImageIndex.open(place)
    return sorted(os.path.basename(os.fsdecode(path)) for path in index.rows.generation.paths)


def test_the_index_and_the_excludes_are_read_from_a_file_above(below):
    write(below / "imgdup.toml", 'index = "here"\nexclude = ["small.*", "p2.jpg"]\n')

    assert in_process("index", str(below / "photos")).code == 0

    assert names(below / "here") == ["p0.jpg", "p1.jpg"]


def test_a_project_file_has_a_table_of_its_own(below):
    write(below / "pyproject.toml", '[project]\nname = "x"\n[tool.imgdup]\nindex = "here"\n')

    assert in_process("index", str(below / "photos")).code == 0

    assert len(names(below / "here")) == 4


def test_the_nearest_file_counts_and_project_files_without_settings_do_not(below):
    write(below / "imgdup.toml", 'index = "far"\n')
    write(below / "work" / "imgdup.toml", 'index = "near"\n')
    write(below / "work" / "deep" / "pyproject.toml", '[project]\nname = "imgdup-user"\n')

    assert in_process("index", str(below / "photos")).code == 0

    assert len(names(below / "work" / "near")) == 4


def test_a_file_of_its_own_counts_before_a_project_file_beside_it(below):
    write(below / "imgdup.toml", 'index = "own"\n')
    write(below / "pyproject.toml", '[tool.imgdup]\nindex = "project"\n')

    assert in_process("index", str(below / "photos")).code == 0

    assert (below / "own").is_dir()


@pytest.mark.parametrize("way", ["option", "variable"])
def test_index_and_its_variable_win(below, monkeypatch, way):
    write(below / "imgdup.toml", 'index = "configured"\n')
    options = ["--index", str(below / "named")] if way == "option" else []
    if way == "variable":
        monkeypatch.setenv("IMGDUP_INDEX", str(below / "named"))

    assert in_process("index", str(below / "photos"), *options).code == 0

    assert (below / "named").is_dir()
    assert not (below / "configured").exists()


def test_exclude_on_the_command_line_wins_and_an_empty_one_removes_all(below):
    write(below / "imgdup.toml", 'index = "here"\nexclude = ["p*"]\n')

    in_process("index", str(below / "photos"), "--exclude", "small.*")
    first = names(below / "here")
    in_process("index", str(below / "photos"), "--exclude", "")

    assert first == ["p0.jpg", "p1.jpg", "p2.jpg"]
    assert len(names(below / "here")) == 4


def test_the_excludes_also_hold_where_another_command_indexes_first(below):
    write(below / "imgdup.toml", 'index = "here"\nexclude = ["small.*"]\n')

    done = in_process("dedupe", str(below / "photos"), "--json")

    assert json.loads(done.out)["images"] == 3


def test_compare_keeps_an_index_for_each_folder(below):
    write(below / "imgdup.toml", 'index = "here"\n')
    (below / "others").mkdir()
    (below / "others" / "a.jpg").write_bytes((below / "photos" / "p0.jpg").read_bytes())

    done = in_process("compare", str(below / "photos"), str(below / "others"))

    assert done.code == 0
    assert len(list((below / "here" / "sets").iterdir())) == 2


def removed(*options):
    """The names of the files that dedupe would remove."""
    cli.main(["dedupe", "--remove-list", "out.txt", "--force", *options])
    with open("out.txt", encoding="utf-8") as file:
        return [os.path.basename(line.rstrip("\n")) for line in file]


def test_keep_rules_are_those_of_the_file_unless_the_command_line_has_some(below):
    write(below / "imgdup.toml", 'index = "here"\nkeep = ["smallest", "first"]\n')
    cli.main(["index", str(below / "photos"), "--quiet"])

    assert removed() == ["p0.jpg"]
    assert removed("--keep", "largest") == ["small.png"]


def test_a_folder_in_a_keep_rule_starts_at_the_file(below):
    (below / "photos" / "best").mkdir()
    os.rename(below / "photos" / "small.png", below / "photos" / "best" / "small.png")
    write(below / "imgdup.toml", 'index = "here"\nkeep = ["under:photos/best"]\n')
    cli.main(["index", str(below / "photos"), "--quiet"])

    assert removed() == ["p0.jpg"]
    assert keep.UNDER == UNDER


def test_folders_of_the_file_remain_protected_whatever_the_command_line_protects(below):
    for name in ("small.png", "p1.jpg"):
        folder = below / "photos" / name[:2]
        folder.mkdir()
        os.rename(below / "photos" / name, folder / name)
    write(below / "imgdup.toml", 'index = "here"\nprotect = ["photos/sm"]\n')
    cli.main(["index", str(below / "photos"), "--quiet"])

    assert removed() == ["p0.jpg"]
    assert removed("--protect", str(below / "photos" / "p1")) == ["p0.jpg"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('excludes = ["a"]', "unknown setting 'excludes': did you mean exclude?"),
        ("threads = 4", "unknown setting 'threads': the settings are index, exclude, keep"),
        ('exclude = "a"', "exclude must be a list of texts, got 'a'"),
        ("protect = [1]", r"protect must be a list of texts, got [1]"),
        ("index = 1", "index must be the name of a folder, got 1"),
        ('index = ""', "index must be the name of a folder"),
        ("index = ", "is not valid TOML"),
        ("\udcff", "is not valid TOML"),
    ],
)
def test_a_wrong_setting_is_one_line_with_the_file_and_the_key(below, text, complaint):
    (below / "imgdup.toml").write_bytes(os.fsencode(text))

    done = in_process("info")

    assert done.code in (1, 2)
    assert done.err.count(b"\n") == 1
    assert os.fsencode(below / "imgdup.toml") in done.err
    assert complaint in done.err.decode()


def test_a_table_that_is_no_table_is_refused(below):
    write(below / "pyproject.toml", "[tool]\nimgdup = 3\n")

    assert b"imgdup must be a table" in in_process("info").err


def test_help_needs_no_valid_settings(below):
    write(below / "imgdup.toml", "nonsense")

    assert in_process("info", "--help").code == 0


def test_verbose_prints_the_settings_and_the_index(below):
    write(below / "imgdup.toml", 'index = "here"\nexclude = ["a", "b"]\n')
    cli.main(["index", str(below / "photos"), "--quiet"])

    err = in_process("info", "-v").err.decode()

    assert f"file = {below / 'imgdup.toml'}" in err
    assert "exclude = a, b" in err
    assert f"using the index {below / 'here'}" in err
    assert b"exclude" not in in_process("info").err


def test_a_file_can_be_named_and_none_can_be_chosen(below):
    write(below / "imgdup.toml", "nonsense")
    write(below / "other.toml", 'index = "here"\n')

    assert (
        in_process("--config", str(below / "other.toml"), "index", str(below / "photos")).code == 0
    )
    assert in_process("--config", "", "info", "--index", str(below / "here")).code == 0
    assert in_process("--config", "nowhere.toml", "info").code == 2


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("name", ["imgdup.toml", "pyproject.toml"])
def test_a_file_of_another_user_is_refused_unless_it_is_named(below, monkeypatch, name):
    file = below / name
    write(file, ("[tool.imgdup]\n" if name == "pyproject.toml" else "") + 'index = "theirs"\n')
    os.chown(file, 4321, -1)

    refused = in_process("index", str(below / "photos"))
    named = in_process("--config", str(file), "index", str(below / "photos"))

    assert refused.code == 1
    assert b"belongs to another user (uid 4321)" in refused.err
    assert f"imgdup --config {shlex.quote(str(file))}".encode() in refused.err
    assert named.code == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_a_link_of_another_user_to_an_own_file_is_refused(below):
    write(below / "mine.toml", 'index = "here"\n')
    (below / "imgdup.toml").symlink_to(below / "mine.toml")
    os.lchown(below / "imgdup.toml", 4321, -1)

    assert b"belongs to another user" in in_process("info").err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_a_project_file_of_another_user_without_settings_does_no_harm(below):
    write(below / "pyproject.toml", "[project]\nname = 'imgdup'\n")
    os.chown(below / "pyproject.toml", 4321, -1)

    assert in_process("index", str(below / "photos"), "--index", str(below / "here")).code == 0


def test_an_option_index_may_name_the_folder_that_the_index_is_in(indexed, tmp_path):
    assert in_process("info", "--index", str(tmp_path)).out == in_process("info").out
    (tmp_path / "photos" / "new.jpg").write_bytes((tmp_path / "photos" / "p0.jpg").read_bytes())

    assert in_process("index", "--index", str(tmp_path)).code == 0

    assert len(names(tmp_path / ".imgdup")) == 5


def test_with_v_the_settings_are_printed_and_where_they_come_from(below):
    write(below / "imgdup.toml", 'index = "here"\nexclude = ["small.*", "p2.jpg"]\n')

    found = in_process("index", str(below / "photos"), "-v")
    without = in_process("--config", "", "index", str(below / "photos"), "-v")

    assert found.code == without.code == 0
    line = next(each for each in found.err.decode().splitlines() if each.startswith("settings: "))
    assert str(below / "imgdup.toml") in line
    assert "exclude = small.*, p2.jpg" in line
    assert b"no settings file\n" in without.err


@pytest.mark.parametrize(
    ("name", "reason"),
    [("photos", "Is a directory"), ("nowhere.toml", "No such file or directory")],
)
def test_settings_that_are_not_a_file_are_a_wrong_use_of_the_option(below, name, reason):
    run = in_process("--config", str(below / name), "index", str(below / "photos"))

    assert run.code == 2
    assert run.err.decode() == f"imgdup: --config {below / name}: {reason}; name a TOML file\n"

"""An index in a folder above: named whenever it is used, and refused if it is another user's."""

import os
import shlex

import pytest

from imgdup import cli
from imgdup.errors import ImgdupError
from imgdup.index.folder import find

pytestmark = pytest.mark.usefixtures("in_process")

posix = pytest.mark.skipif(os.name != "posix", reason="needs owners of files")

STRANGER = 54321  # a user who owns no file here

COMMANDS = [
    ["index"],
    ["index", "."],
    ["query", "p0.jpg"],
    ["pairs"],
    ["pairs", "."],
    ["dedupe"],
    ["dedupe", "."],
    ["compare", "p0.jpg", "p1.jpg"],
    ["split", "--ratios", "a=1", "--out", "lists"],
    ["info"],
    ["check"],
    ["export", "--format", "json"],
    ["forget", "."],
]


@pytest.fixture
def below(indexed, tmp_path, monkeypatch, capfd):
    """The indexed folder as the current one: the index is in the folder above it."""
    monkeypatch.chdir(indexed)
    capfd.readouterr()
    return tmp_path / ".imgdup"


@pytest.fixture
def another_user(monkeypatch):
    """This process seems to be of a user who owns none of the files."""
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)


def content(place):
    return {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_index_above_the_current_folder_is_named(below, capfd, command):
    cli.main(command)

    assert f"using the index {below}\n" in capfd.readouterr().err


@pytest.mark.parametrize(
    "command", [["info"], ["query", "photos/p0.jpg"], ["dedupe"]], ids=" ".join
)
def test_an_index_in_the_current_folder_is_not_named(indexed, capfd, command):
    cli.main(command)

    assert "using the index" not in capfd.readouterr().err


@pytest.mark.parametrize("by", ["option", "variable"])
def test_an_index_that_the_user_names_is_not_named_again(below, capfd, monkeypatch, by):
    monkeypatch.setenv("IMGDUP_INDEX", str(below) if by == "variable" else "")

    cli.main(["info", *(["--index", str(below)] if by == "option" else [])])

    assert capfd.readouterr().err == ""


@posix
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_index_of_another_user_is_neither_used_nor_written(below, another_user, capfd, command):
    before = content(below.parent)

    code = cli.main(command)

    out, err = capfd.readouterr()
    assert (code, out) == (1, "")
    assert f"{below} belongs to another user" in err
    assert f"--index {shlex.quote(str(below))}" in err
    assert content(below.parent) == before


@posix
def test_an_index_of_another_user_in_the_current_folder_is_refused(indexed, another_user, capsys):
    code = cli.main(["index", "photos"])

    assert code == 1
    assert "belongs to another user" in capsys.readouterr().err


@posix
def test_an_index_of_another_user_can_be_named(below, another_user, monkeypatch):
    by_option = cli.main(["info", "--index", str(below)])
    monkeypatch.setenv("IMGDUP_INDEX", str(below))
    by_variable = cli.main(["info"])

    assert (by_option, by_variable) == (0, 0)


@posix
def test_a_link_to_an_index_counts_by_the_owner_of_the_link(indexed, tmp_path, monkeypatch):
    """Otherwise a stranger could lead every command to the user's own index elsewhere."""
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / ".imgdup").symlink_to(tmp_path / ".imgdup")
    lstat = os.lstat

    def owned_by_a_stranger(path, **options):
        facts = list(lstat(path, **options))
        if os.fspath(path) == str(trap / ".imgdup"):
            facts[4] = STRANGER
        return os.stat_result(facts)

    monkeypatch.setattr(os, "lstat", owned_by_a_stranger)
    monkeypatch.chdir(trap)

    assert cli.main(["info"]) == 1
    monkeypatch.chdir(tmp_path)
    assert cli.main(["info"]) == 0


@pytest.fixture
def called_by_1000(tmp_path, monkeypatch):
    """Let the index in the folder, and the command before sudo, be of user 1000."""
    (tmp_path / ".imgdup").mkdir()
    monkeypatch.delenv("IMGDUP_INDEX", raising=False)
    real = os.stat

    def owned_by_1000(path, **options):
        facts = list(real(path, **options))
        facts[4] = 1000
        return os.stat_result(facts)

    monkeypatch.setattr(os, "stat", owned_by_1000)
    monkeypatch.setattr(os, "lstat", owned_by_1000)
    monkeypatch.setenv("SUDO_UID", "1000")


@posix
@pytest.mark.usefixtures("called_by_1000")
def test_under_sudo_the_index_of_the_caller_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    assert find(tmp_path) == tmp_path / ".imgdup"


@posix
@pytest.mark.usefixtures("called_by_1000")
def test_sudo_to_a_user_who_is_not_root_trusts_no_index_of_the_caller(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1001)

    with pytest.raises(ImgdupError, match="belongs to another user"):
        find(tmp_path)

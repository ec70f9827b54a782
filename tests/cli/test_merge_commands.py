"""The commands merge and subtract, and the recipe for a cluster that the documentation shows."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from encoded import painted
from imgdup import cli

SCALE = Path(__file__).parents[2] / "docs" / "scale.md"


def script(kind, words):
    """The block of the page that contains some words."""
    blocks = re.findall(rf"^```{kind}\n(.*?)^```$", SCALE.read_text(), re.MULTILINE | re.DOTALL)
    return next(block for block in blocks if words in block)


@pytest.fixture
def in_parts(photos, capfd, in_process):
    """The photos, indexed in two parts and as a whole."""
    for part in (1, 2):
        assert cli.main(["index", "photos", "--part", f"{part}/2", "--index", f"part{part}"]) == 0
    assert cli.main(["index", "photos", "--index", "whole"]) == 0
    capfd.readouterr()
    return photos


def test_merged_parts_are_the_index_of_the_whole(in_parts, capfd):
    code = cli.main(["merge", "part1", "part2", "-o", "merged"])

    printed = capfd.readouterr()
    assert (code, printed.err) == (0, "")
    assert printed.out == "4 files, merged from 2 indexes into merged\n"
    assert Path("merged/index.1").read_bytes() == Path("whole/index.1").read_bytes()


def test_a_missing_part_is_named_and_gives_code_3(in_parts, capfd):
    code = cli.main(["merge", "part2", "-o", "merged", "--json"])

    printed = capfd.readouterr()
    assert code == 3
    assert printed.err == f"{in_parts}: only part 2/2 of this folder was merged\n"
    assert json.loads(printed.out)["parts"] == {str(in_parts): "2/2"}


def test_info_names_the_part(in_parts, capfd):
    cli.main(["info", "--index", "part1", "--json"])

    assert json.loads(capfd.readouterr().out)["parts"] == ["1/2"]


def test_another_index_is_not_replaced(in_parts, capfd):
    code = cli.main(["merge", "part1", "-o", "whole"])

    assert code == 1
    assert capfd.readouterr().err == (
        "imgdup: whole already holds an index: give another folder, or replace it with --force\n"
    )


def test_a_part_that_was_never_finished_is_an_error_that_names_it(in_parts, capfd):
    os.makedirs("part3/parts")

    code = cli.main(["merge", "part1", "part2", "part3", "-o", "merged"])

    assert code == 1
    assert "no index in part3" in capfd.readouterr().err
    assert not os.path.exists("merged")


def test_checkpoints_of_an_interrupted_run_are_mentioned(in_parts, caplog):
    Path("part2/parts/0123456789abcdef").write_bytes(b"")

    code = cli.main(["merge", "part1", "part2", "-o", "merged"])

    assert code == 0
    assert "part2: its last run was interrupted" in caplog.text


@pytest.mark.parametrize("text", ["0/2", "3/2", "x", "1/0", "1/20000"])
def test_a_part_that_is_none_is_wrong_usage(photos, capfd, text):
    code = cli.main(["index", "photos", "--part", text])

    assert code == 2
    assert "part" in capfd.readouterr().err
    assert not os.path.exists(".imgdup")


def listed(place, capfd):
    assert cli.main(["export", "--format", "json", "--index", place]) == 0
    return {Path(json.loads(line)["path"]).name for line in capfd.readouterr().out.splitlines()}


def test_subtract_leaves_out_the_files_that_another_index_has(in_parts, capfd):
    os.makedirs("others")
    Path("others/again.jpg").write_bytes((in_parts / "p1.jpg").read_bytes())
    Path("others/small.jpg").write_bytes((in_parts / "small.png").read_bytes())
    assert cli.main(["index", "others", "--index", "seen", "--quiet"]) == 0

    codes = [
        cli.main(["subtract", "whole", "seen", "-o", "a"]),
        cli.main(["subtract", "whole", "seen", "-o", "b", "--max-dist", "31", "--json"]),
    ]

    printed = capfd.readouterr().out.splitlines()
    assert codes == [0, 0]
    assert printed == ["2 of 4 files written to a", '{"files": 1, "of": 4}']
    assert listed("a", capfd) == {"p0.jpg", "p2.jpg"}
    assert listed("b", capfd) == {"p2.jpg"}
    assert cli.main(["check", "--index", "a"]) == 0


def test_subtract_does_not_replace_an_index_unless_this_is_requested(in_parts, capfd):
    assert cli.main(["subtract", "whole", "part1", "-o", "part2"]) == 1
    assert "part2 already holds an index" in capfd.readouterr().err

    assert cli.main(["subtract", "whole", "part1", "-o", "part2", "--force"]) == 0
    assert cli.main(["subtract", "whole", "part1", "-o", "whole", "--max-dist", "300"]) == 2


@pytest.mark.skipif(os.name == "nt", reason="runs a shell script")
def test_the_recipe_for_slurm_works_as_a_shell_array(photos, capfd, in_process):
    for number in range(5):
        (photos / f"class{number}").mkdir()
        (photos / f"class{number}" / "a.jpg").write_bytes((photos / "p0.jpg").read_bytes())
    (photos / "class0" / "damaged.jpg").write_bytes(b"no picture")
    n_parts = 3
    task = script("bash", "#SBATCH").replace("=32", f"={n_parts}").replace("1-32", f"1-{n_parts}")
    Path("index.sbatch").write_text(task)
    loop = script("sh", "for i in").replace("32", str(n_parts))
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]),
        "PICTURES": str(photos), "INDEXES": str(photos.parent / "indexes"),
    }  # fmt: skip

    done = subprocess.run(["bash", "-e", "-c", loop], env=environment, timeout=120, check=False)

    assert done.returncode == 0
    assert cli.main(["index", "photos", "--index", "whole", "--quiet"]) == 3
    merged = Path("indexes/all/index.1").read_bytes()
    assert merged == Path("whole/index.1").read_bytes()


def test_pictures_that_a_part_compared_are_not_compared_again(
    photos, capfd, monkeypatch, in_process
):
    names = {"one": ["p0.jpg", "small.png"], "two": ["p1.jpg", "half.png"]}
    (photos / "half.png").write_bytes(painted(1, 320, 240, ".png", step=2))
    for part, files in names.items():
        Path(part).mkdir()
        for file in files:
            (photos / file).rename(Path(part, file))
        assert cli.main(["dedupe", part, "--index", f"index of {part}"]) == 0
    assert cli.main(["merge", "index of one", "index of two", "-o", "both"]) == 0
    assert cli.main(["subtract", "both", "index of two", "-o", "rest"]) == 0
    capfd.readouterr()
    monkeypatch.setattr("imgdup.dedupe.verify.decode_each", refuse_to_decode)

    for index, n_removed in (("both", 2), ("rest", 1)):
        assert cli.main(["dedupe", "--index", index, "--remove-list", f"{index}.txt"]) == 0
        assert len(Path(f"{index}.txt").read_text().splitlines()) == n_removed


def refuse_to_decode(function, items, pool, **options):
    assert not list(items)
    return iter(())

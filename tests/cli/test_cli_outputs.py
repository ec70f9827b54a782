"""Files that commands write: looked at before any work, so that no slip costs a picture."""

import pytest
from make_sample import encode, photo

from imgdup import cli
from imgdup.apply.journal import FIRST_BYTES
from imgdup.cli import options

pytestmark = pytest.mark.usefixtures("in_process")

WRITERS = {
    "index --errors": ["index", "photos", "--errors"],
    "query --montage": ["query", "photos/p0.jpg", "--montage"],
    "export": ["export", "--format", "json", "--output"],
    "dedupe --plan": ["dedupe", "--plan"],
    "dedupe --report": ["dedupe", "--report"],
    "dedupe --keep-list": ["dedupe", "--keep-list"],
    "dedupe --remove-list": ["dedupe", "--remove-list"],
    "dedupe --groups": ["dedupe", "--groups"],
    "compare --report": ["compare", "photos", "photos", "--report"],
}
every_writer = pytest.mark.parametrize("command", WRITERS.values(), ids=WRITERS)


@every_writer
def test_an_image_is_never_overwritten(indexed, capsys, command):
    picture = encode(photo(7, 60, 40), ".png")
    (indexed / "precious.png").write_bytes(picture)

    code = cli.main([*command, "photos/precious.png"])

    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert "photos/precious.png is an image and would be overwritten" in err
    assert (indexed / "precious.png").read_bytes() == picture


@every_writer
def test_a_place_that_is_not_there_is_found_out_before_the_work(indexed, capsys, command):
    code = cli.main([*command, "nowhere/output"])

    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert "there is no folder nowhere" in err


@every_writer
def test_a_folder_is_no_place_for_a_file(indexed, capsys, command):
    code = cli.main([*command, "photos"])

    assert code == 2
    assert "photos is a folder; name a file in it" in capsys.readouterr().err


def test_a_journal_is_never_overwritten(indexed, tmp_path, capsys):
    (tmp_path / "plan.journal-1.jsonl").write_bytes(FIRST_BYTES + b', "version": 1}\n')

    code = cli.main(["dedupe", "--plan", "plan.journal-1.jsonl"])

    assert code == 2
    assert (
        "is the journal of apply, which undo needs, and would be overwritten"
        in capsys.readouterr().err
    )


def test_nothing_is_written_into_an_index_folder(indexed, capsys):
    code = cli.main(["export", "--format", "csv", "-o", ".imgdup/current"])

    assert code == 2
    assert "is in an index folder" in capsys.readouterr().err
    assert cli.main(["info"]) == 0


def test_the_names_that_are_looked_for_are_those_that_are_written():
    assert FIRST_BYTES == options.JOURNAL_HEAD

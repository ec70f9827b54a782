"""The evaluation of edited copies and labelled pairs, on pictures of random patches."""

import os
import shutil
from collections import Counter

import cv2
import numpy as np
import pytest

from imgdup.dedupe.evaluate import NOT_FOUND, EvaluateOptions, evaluate
from imgdup.dedupe.labels import LabelledPair, read_pairs
from imgdup.errors import ImgdupError, UsageError
from imgdup.hashing import fingerprint, hash_pictures
from imgdup.images.decode import decode
from imgdup.images.edits import EDITS
from imgdup.system.limits import Limits
from imgdup.workers.pool import decoding_pool, inline
from patchworks import patchwork, save_patchworks

N = 40
OPTIONS = EvaluateOptions(n_compared=3, with_pdq=True)
BY = ("match", "search", "pdq")


def here():
    return decoding_pool(Limits(), 1, inline)


def files_in(folder):
    return sorted(os.fsencode(file) for file in folder.iterdir())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated") / "many"
    save_patchworks(folder, range(N))
    return folder


@pytest.fixture(scope="module")
def found(folder):
    return evaluate(files_in(folder), options=OPTIONS, pool=here())


@pytest.fixture
def few_compared(monkeypatch):
    """Let fewer pairs of different pictures be compared, in a test to which they do not matter."""
    monkeypatch.setattr("imgdup.dedupe.evaluate.N_NEAREST", 3)


def bits_between(first, second):
    return sum((int(a) ^ int(b)).bit_count() for a, b in zip(first, second, strict=True))


def slow_print(data):
    """The hashes of one picture, each computed alone."""
    gray = decode(data, Limits()).gray
    hashes, match, _ = fingerprint(gray, "dhash", 64)
    return {"search": hashes, "match": match, "pdq": hash_pictures([gray], "pdq", 256)[0]}


@pytest.fixture(scope="module")
def originals():
    """The pictures, and the hashes of each."""
    pictures = [patchwork(seed) for seed in range(N)]
    return [
        (each, slow_print(cv2.imencode(".png", each[..., ::-1])[1].tobytes())) for each in pictures
    ]


@pytest.mark.parametrize("edit", ["JPEG quality 20", "resized to 25 %", "mirrored"])
def test_distances_of_copies_are_those_of_files_that_are_hashed_one_by_one(found, originals, edit):
    expected = {by: [] for by in BY}
    for picture, original in originals:
        copy = slow_print(EDITS[edit](picture))
        for by, bits in expected.items():
            bits.append(bits_between(original[by], copy[by]))

    for by in BY:
        assert sorted(found.edits[edit].distances[by].tolist()) == sorted(expected[by])


def test_the_pictures_whose_copies_are_compared_are_not_the_first_ones(folder, monkeypatch):
    seen = []

    def looked_at(function, jobs, pool, **options):
        seen.extend(jobs)
        raise KeyboardInterrupt

    monkeypatch.setattr("imgdup.dedupe.evaluate.decode_each", looked_at)
    with pytest.raises(KeyboardInterrupt):
        evaluate(files_in(folder), options=OPTIONS, pool=here())

    compared = [file for file, is_compared in seen if is_compared]
    assert sorted(file for file, _ in seen) == files_in(folder)
    assert len(compared) == 3
    assert not set(compared) & set(files_in(folder)[:3])


def test_each_edit_has_a_distance_for_every_picture_and_a_relation_for_some(found):
    assert list(found.edits) == list(EDITS)
    for result in found.edits.values():
        assert {by: len(far) for by, far in result.distances.items()} == dict.fromkeys(BY, N)
        assert sum(result.relations.values()) == 3


def test_compared_copies_are_called_what_they_are(found):
    assert found.edits["JPEG quality 80"].relations == {"same-picture": 3}
    assert found.edits["resized to 50 %"].relations == {"same-picture": 3}
    assert found.edits["text"].relations == {"edited": 3}
    assert found.edits["mirrored"].relations == {"turned": 3}


def test_pairs_of_different_pictures_are_counted_by_distance(found):
    prints = [
        slow_print(cv2.imencode(".png", patchwork(seed)[..., ::-1])[1].tobytes())
        for seed in range(N)
    ]
    for by in BY:
        counts = Counter(
            bits_between(prints[i][by], prints[j][by]) for i in range(N) for j in range(i)
        )
        different = found.hashes[by].different
        assert len(different) == found.hashes[by].bits + 1
        assert {d: int(n) for d, n in enumerate(different) if n} == counts
        assert found.hashes[by].relations == {"different": 100}


def test_the_chosen_distance_keeps_false_pairs_below_the_number_that_is_accepted(
    found, folder, few_compared
):
    n_pairs = N * (N - 1) // 2
    for result in (found.hashes["match"], found.hashes["search"]):
        assert result.chance.upper[result.distance] * n_pairs <= 1
        assert result.chance.upper[result.distance + 1] * n_pairs > 1
        assert result.distance < np.flatnonzero(result.different)[0]

    more = evaluate(
        files_in(folder), options=OPTIONS._replace(max_false_pairs=50, n_compared=0), pool=here()
    )
    for by in ("match", "search"):
        assert more.hashes[by].distance > found.hashes[by].distance
    assert more.hashes["pdq"].distance is None  # nearly all distances are even: no law fits them


def test_a_small_sample_of_copies_changes_no_distance_between_different_pictures(
    found, folder, few_compared
):
    files = files_in(folder)
    small = evaluate(files, options=OPTIONS._replace(sample=3, n_compared=0), pool=here())

    assert small.n_sampled == 3
    for by in BY:
        assert small.hashes[by].distance == found.hashes[by].distance
        assert small.hashes[by].different.tolist() == found.hashes[by].different.tolist()


@pytest.mark.usefixtures("processes")
def test_the_same_files_give_the_same_evaluation_in_processes(folder, few_compared):
    options = EvaluateOptions(sample=3, n_compared=1)
    first, second = (
        evaluate(files_in(folder), options=options, pool=pool)
        for pool in (here(), decoding_pool(Limits(), 2))
    )

    assert repr(first) == repr(second)
    assert (first.n_images, first.n_sampled) == (N, 3)


def test_files_that_cannot_be_read_are_counted_and_copies_are_no_different_pictures(
    folder, tmp_path
):
    some = tmp_path / "some"
    some.mkdir()
    for seed in range(4):
        shutil.copy(folder / f"{seed:03}.png", some)
    (some / "bad.png").write_bytes(b"nonsense")
    shutil.copy(some / "000.png", some / "again.png")

    found = evaluate(files_in(some), options=EvaluateOptions(n_compared=0), pool=here())

    assert (found.n_images, found.n_sampled, found.n_failed) == (6, 5, 1)
    assert found.hashes["search"].different.sum() == 5 * 4 // 2 - 1
    assert found.hashes["search"].chance is None
    assert found.hashes["search"].distance is None


def test_no_readable_picture_is_an_error(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"nonsense")

    for files in ([], files_in(tmp_path)):
        with pytest.raises(ImgdupError, match="no picture could be read"):
            evaluate(files, pool=here())


def test_copies_of_pictures_without_structure_are_not_found_by_match_hash(tmp_path):
    cv2.imwrite(str(tmp_path / "blank.png"), np.full((60, 80, 3), 200, np.uint8))

    found = evaluate(files_in(tmp_path), options=EvaluateOptions(n_compared=0), pool=here())

    assert found.edits["WebP"].distances["match"].tolist() == [NOT_FOUND]
    assert found.edits["WebP"].distances["search"].tolist() == [0]
    assert found.hashes["match"].chance is None


def write_table(folder, *lines):
    table = folder / "truth.csv"
    table.write_text("\n".join(["label,a,b,note", *lines]) + "\n", encoding="utf-8")
    return table


def test_labelled_pairs_are_hashed_and_compared_by_label(folder, tmp_path):
    picture = patchwork(0)
    (tmp_path / "small.jpg").write_bytes(EDITS["resized to 50 %"](picture))
    shutil.copy(folder / "000.png", tmp_path / "a.png")
    shutil.copy(folder / "001.png", tmp_path / "b.png")
    (tmp_path / "bad.png").write_bytes(b"nonsense")
    table = write_table(
        tmp_path, "same,a.png,small.jpg,", "same,a.png,a.png,itself", "different,a.png,b.png,",
        "same,bad.png,a.png,",
    )  # fmt: skip

    found = evaluate([], read_pairs(table), pool=here())

    assert found.n_unread == 1
    assert found.labels["same"].relations == {"same-picture": 1, "same-bytes": 1}
    assert found.labels["different"].relations == {"different": 1}
    assert max(found.labels["same"].distances["match"]) <= 31
    assert found.labels["different"].distances["match"][0] > 60
    assert (found.n_sampled, found.hashes) == (0, {})


def test_a_table_names_files_relative_to_its_folder_or_one_above(tmp_path):
    (tmp_path / "data" / "set").mkdir(parents=True)
    for name in ("a.png", "set/b.png"):
        (tmp_path / "data" / name).write_bytes(b"")
    table = write_table(tmp_path / "data" / "set", "same,a.png,b.png,")

    assert read_pairs(table) == [
        LabelledPair(
            "same",
            os.fsencode(tmp_path / "data" / "a.png"),
            os.fsencode(tmp_path / "data" / "set" / "b.png"),
        )
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\nx,y\n", "line 2: expected the columns"),
        (b"label,a,b\nsame,only-one\n", "line 2: expected the columns"),
        (b"label,a,b\nsame,nowhere-1,nowhere-2\n", "no file nowhere-1"),
        (b'label,a,b\nsame,"x,y\n', "is not CSV"),
    ],
)
def test_a_table_that_is_wrong_is_refused(tmp_path, content, message):
    (tmp_path / "truth.csv").write_bytes(content)

    with pytest.raises(UsageError, match=message):
        read_pairs(tmp_path / "truth.csv")


def test_a_table_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"truth\.csv: No such file"):
        read_pairs(tmp_path / "truth.csv")

"""Probes of many files: the same answers, in the same order, in this process and in workers."""

import numpy as np
import pytest
from make_sample import encode, photo

from imgdup.errors import ImageError
from imgdup.query import probe as probes
from imgdup.query.probe import probe_files
from imgdup.system.limits import Limits
from imgdup.workers.pool import decoding_pool

PARAMETERS = {
    "hash": "dhash", "bits": 64, "parameters": 1, "digest_kind": "blake3", "with_pdq": 0,
    "with_trimmed": 1,
}  # fmt: skip


@pytest.fixture
def paths(tmp_path):
    for seed in range(7):
        (tmp_path / f"{seed}.jpg").write_bytes(encode(photo(seed, 120, 90), ".jpg"))
    (tmp_path / "3.jpg").write_bytes(b"nonsense")
    return [str(tmp_path / f"{seed}.jpg").encode() for seed in range(7)]


def values(answers):
    """The reason of each failure, or what each probe of a file is."""
    return [
        answer.reason
        if isinstance(answer, ImageError)
        else [(p.hashes.tolist(), p.match.tolist(), p.quality, p.orientation) for p in answer]
        for answer in answers
    ]


@pytest.mark.parametrize(("orientations", "n_probes"), [(False, 1), (True, 8)])
def test_workers_give_the_same_answers_in_the_same_order(paths, orientations, n_probes):
    here = list(probe_files(paths, PARAMETERS, orientations=orientations))

    with decoding_pool(Limits(), workers=2) as pool:
        there = list(probe_files(paths, PARAMETERS, orientations=orientations, pool=pool))

    assert values(there) == values(here)
    assert values(here)[3] == "not-an-image"
    assert len(here[0]) == n_probes


def test_many_files_are_hashed_by_workers_with_the_same_answers(paths, monkeypatch):
    here = values(probe_files(paths, PARAMETERS))
    monkeypatch.setattr(probes, "FEW_FILES", 2)

    assert values(probe_files(paths, PARAMETERS)) == here


def test_no_files_have_no_probes():
    assert list(probe_files([], PARAMETERS)) == []


def test_a_probe_has_the_shape_that_a_search_needs(paths):
    ((probe,),) = probe_files(paths[:1], PARAMETERS)

    assert probe.hashes.shape == (1, 1)
    assert probe.hashes.dtype == np.uint64
    assert probe.match.shape == (1, 4)


def test_an_unforeseen_fault_is_the_answer_for_its_file_alone(paths, monkeypatch):
    hash_image = probes.make_probe

    def faulty(image, parameters, limits):
        if image.endswith("1.jpg"):
            raise RuntimeError("what no decoder did before")
        return hash_image(image, parameters, limits)

    monkeypatch.setattr(probes, "make_probe", faulty)

    first, second, third = probe_files(paths[:3], PARAMETERS)

    assert str(second) == "crashed: RuntimeError: what no decoder did before"
    assert len(first) == len(third) == 1

"""Probes of many files: the same answers, in the same order, by workers and without."""

import numpy as np
import pytest
from make_sample import encode, photo

from imgdup.errors import ImageError
from imgdup.query import probe as probes
from imgdup.query import probing
from imgdup.workers.pool import Died

PARAMETERS = {"hash": "dhash", "bits": 64, "parameters": 1}


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
        else [(p.hashes.tolist(), p.pdq.tolist(), p.quality, p.orientation) for p in answer]
        for answer in answers
    ]


@pytest.mark.parametrize(("turned", "n_probes"), [(False, 1), (True, 8)])
def test_workers_give_the_same_answers_in_the_same_order(paths, monkeypatch, turned, n_probes):
    few = probing.make_probes(paths, PARAMETERS, turned=turned)
    monkeypatch.setattr(probing, "BATCH_FILES", 2)

    many = probing.make_probes(paths, PARAMETERS, workers=2, turned=turned, few=0)

    assert values(many) == values(few)
    assert values(few)[3] == "not-an-image"
    assert len(few[0]) == n_probes


def test_no_files_have_no_probes():
    assert probing.make_probes([], PARAMETERS) == []


def test_a_probe_has_the_shape_that_a_search_takes(paths):
    ((probe,),) = probing.make_probes(paths[:1], PARAMETERS)

    assert probe.hashes.shape == (1, 1)
    assert probe.hashes.dtype == np.uint64
    assert probe.pdq.shape == (1, 4)


def test_a_file_that_ends_its_worker_has_the_reason(paths, monkeypatch):
    def with_a_death(task, batches, limits, workers):
        for batch in batches:
            for item in batch:
                yield [item], Died("crashed", "SIGSEGV") if item[0] == 1 else task([item], print)

    monkeypatch.setattr(probing, "decode_batches", with_a_death)

    answers = probing.make_probes(paths, PARAMETERS, few=0)

    assert str(answers[1]) == "crashed: SIGSEGV"
    assert len(answers[2]) == 1


def test_a_fault_that_nobody_foresaw_is_the_answer_for_that_file(paths, monkeypatch):
    def faulty(image, name, bits, limits):
        raise RuntimeError("what no decoder did before")

    monkeypatch.setattr(probes, "make_probe", faulty)

    (answer,) = probing.make_probes(paths[:1], PARAMETERS)

    assert str(answer) == "crashed: RuntimeError: what no decoder did before"

"""The folder of a job's results: told step by step, cut to what the state has, read without trusting it."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from scedit_core import SCEditError
from scedit_core.training.job.results import Metric, Results, Status


def metric(step, loss=0.5):
    return Metric(step, loss, 0.1, 1e-4)


@pytest.fixture
def results(tmp_path):
    made = Results(tmp_path / "out")
    made.begin(0)
    return made


def test_steps_after_the_last_save_are_told_once(results):
    for step in range(1, 6):
        results.tell(metric(step))
    results.begin(3)  # killed after step 5, the state is of step 3
    results.tell(metric(4, loss=0.25))
    assert [(one.step, one.loss) for one in results.read_metrics()] == [
        (1, 0.5),
        (2, 0.5),
        (3, 0.5),
        (4, 0.25),
    ]


HOSTILE = {
    "cut off": b'{"step": 2, "loss": 0.',
    "no JSON": b"\xff\xfe\x00",
    "a list": b"[1, 2]",
    "no loss": b'{"step": 2, "seconds": 1, "learning_rate": 1}',
    "NaN": b'{"step": 2, "loss": NaN, "seconds": 1, "learning_rate": 1}',
    "too large": b'{"step": 2, "loss": 1' + b"0" * 400 + b', "seconds": 1, "learning_rate": 1}',
    "a text": b'{"step": "2", "loss": 1, "seconds": 1, "learning_rate": 1}',
    "a switch": b'{"step": true, "loss": 1, "seconds": 1, "learning_rate": 1}',
    "less than none": b'{"step": -1, "loss": 1, "seconds": 1, "learning_rate": 1}',
    "digits without end": b'{"step": ' + b"9" * 9000 + b"}",
    "nested without end": b"[" * 9000,
}


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE.keys())
def test_lines_that_are_no_steps_are_passed_over(results, line):
    results.tell(metric(1))
    with results.metrics.open("ab") as file:
        file.write(line + b"\n")
    results.tell(metric(3))
    assert [one.step for one in results.read_metrics()] == [1, 3]


def test_a_status_is_read_as_it_was_put(results):
    assert results.read_status() is None
    status = Status("stopped", "stopped at step 3 of 9, kept", 3, 9, processes=2)
    results.put(status)
    assert results.read_status() == status


@pytest.mark.parametrize(
    "change", [{"state": "odd"}, {"said": 3}, {"step": -1}, {"steps": 1.5}, {"more": 1}, {"processes": None}]
)
def test_what_is_no_status_is_none(results, change):
    entry = {"state": "done", "said": "", "step": 1, "steps": 1, "processes": 1} | change
    (results.folder / "status.json").write_text(json.dumps(entry))
    assert results.read_status() is None


def test_the_tuners_of_the_end_are_newer_than_those_on_the_way(results):
    assert results.newest_tuners("edges") == []
    for name in ("edges-step000002", "edges-step000010", "other-step000020", "state", "edges-stepx"):
        (results.folder / f"{name}.safetensors").touch()
    assert [path.name for path in results.newest_tuners("edges")] == ["edges-step000010.safetensors"]
    for name in ("edges-0", "edges-1"):
        (results.folder / f"{name}.safetensors").touch()
    newest = results.newest_tuners("edges")
    assert [path.name for path in newest] == ["edges-0.safetensors", "edges-1.safetensors"]


def test_pictures_are_whole_and_in_their_order(results):
    for step in (1000, 20):
        results.put_sheet(step, np.zeros((8, 16, 3), np.uint8))
    results.put_plot([0.5, 0.4])
    assert [sheet.name for sheet in results.sheets()] == ["step000020.jpg", "step001000.jpg"]
    assert Image.open(results.sheets()[0]).size == (16, 8)
    assert Image.open(results.folder / "loss.png").size == (768, 432)


def test_metrics_that_cannot_be_written_are_told_in_a_sentence(results):
    results.metrics.unlink()
    os.mkdir(results.metrics)
    with pytest.raises(SCEditError, match=r"'metrics.jsonl' could not be written to .*make room"):
        results.tell(metric(1))

"""The jobs that are there to be copied are ones, and say what the paper's table says."""

import pytest
from support import REPOSITORY

from scedit_core.training.job import read_job

FILES = sorted((REPOSITORY / "example_jobs").glob("*.toml"))


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_an_example_is_a_job_that_says_how_it_is_run(file):
    job = read_job(file)
    lines = file.read_text(encoding="utf-8").splitlines()
    assert any(line.endswith(f"train.py run {file.name}") for line in lines)
    assert any(f"train.py prepare {file.name}" in line for line in lines) == bool(job.data.dataset)
    assert job.run.sample_every


@pytest.mark.parametrize(
    ("name", "steps", "pictures", "rate", "decay"),
    [("style_30_pictures", 1500, 8, 1e-4, 0.01), ("control_paper", 100_000, 64, 5e-5, 0.01)],
)
def test_the_papers_numbers(name, steps, pictures, rate, decay):
    config = read_job(REPOSITORY / "example_jobs" / f"{name}.toml").training.config()
    assert (config.steps, config.batch_size * config.accumulation) == (steps, pictures)
    assert (config.learning_rate, config.weight_decay) == (rate, decay)

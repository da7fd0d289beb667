"""The newest tuners of a job measured on held-out pictures; train.py starts it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image

from ...scedit_core import SCEditError, read_tuners, save_checkpoint
from ...scedit_core.errors import shown
from ...scedit_core.evaluation.kept import check_replaceable, keep_pictures
from ...scedit_core.evaluation.kinds import KINDS, STYLE, kind_of
from ...scedit_core.files.durable import write_whole
from ...scedit_core.training import TrainingSet
from ...scedit_core.training.job import Job
from ...scedit_core.training.job.results import Results
from ..files.hosted import host_tuners
from ..training.jobs.material import Models, checkpoint_path, load_models, read_held_out
from .measuring import Judges, Measured, Subject, measure
from .painting import Settings
from .sheet import lines_of, sheet_of

_NAME = "evaluation"

Say = Callable[[str], None]


def evaluate_job(job: Job, say: Say) -> None:
    """Measure the newest tuners of a job, and write what came of it beside them and into their files.

    For each `evaluation.json` and a sheet, `evaluation.jpg`; if the job says so, the pictures in folders of
    `evaluation`. Raises SCEditError if there is no tuner yet, or something else in the place of those.
    """
    tuners = Results(job.output).newest_tuners(job.run.name)
    if not tuners:
        raise SCEditError(
            f"there is no tuner of '{job.run.name}' in {shown(job.output, 400)} yet; run the job to its end, "
            "or to its first save"
        )
    targets = [job.output / _NAME]
    if len(tuners) > 1:
        targets = [job.output / f"{_NAME}-{number}" for number in range(len(tuners))]
    if job.evaluate.keep_pictures:
        for target in targets:
            check_replaceable(target)
    say(f"loads {job.model.checkpoint}")
    models = load_models(job, checkpoint_path(job))
    data = read_held_out(job, models, say)
    for number, (path, target) in enumerate(zip(tuners, targets, strict=True)):
        with torch.inference_mode():  # as nodes run
            _evaluate(job, models, data, (path, number), target, say)


def _evaluate(
    job: Job, models: Models, data: TrainingSet, tuner: tuple[Path, int], target: Path, say: Say
) -> None:
    """One of a job's tuners."""
    path, number = tuner
    say(f"measures {path.name}")
    checkpoint, tuners = read_tuners(path)
    hosted = host_tuners(path.stem, tuners.spec, tuners.state_dict(), checkpoint.metadata)
    subject = Subject(models.model, hosted, _kind(job, number), number)
    found = measure(subject, data, job.evaluate.pictures, Judges(models.vae), _settings(job), say)
    _write(found, target)
    if job.evaluate.keep_pictures:
        keep_pictures(target, found.painted, found.originals)
        say(f"kept the pictures in {target}, in folders with, without and real")
    save_checkpoint(tuners, path, found.labelled(hosted).metadata)
    for line in lines_of(found):
        say(line)
    say(f"wrote {target}.json and .jpg, and the figures into {path.name}")


def _kind(job: Job, number: int) -> str:
    """What is measured of a job's tuner: the kind of its hints."""
    if job.tuner.kind == "sc":
        return STYLE
    drawn = job.data.hints[number] if number < len(job.data.hints) else ""
    return drawn if drawn in KINDS else kind_of(job.run.name, {})


def _settings(job: Job) -> Settings:
    asked = job.evaluate
    seeds = tuple((asked.seed + number) % 2**64 for number in range(asked.seeds))
    return Settings(seeds=seeds, steps=asked.steps, cfg=asked.cfg)


def _write(found: Measured, target: Path) -> None:
    write_whole(target.with_suffix(".json"), found.record.to_json(found.verdict).encode())
    pixels = (sheet_of(found) * 255).round().to(torch.uint8).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=92)
    write_whole(target.with_suffix(".jpg"), buffer.getvalue())

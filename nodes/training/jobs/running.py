"""A job from its file to its tuners."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ....scedit_core import SCEditError, TunerSpec, save_checkpoint
from ....scedit_core.files.durable import write_whole
from ....scedit_core.training import Trainer, TrainingSet, describe
from ....scedit_core.training.job import Job, job_text
from ....scedit_core.training.job.results import Metric, Results, Status
from ....scedit_core.training.job.writing import with_whole_paths
from ...files.hosted import read_hosted
from ...patching.conditions import skip_layout
from ..base_model import describe_model, differentiable
from ..course import Course, Keeping, Pace, starts
from ..encode import encode_texts
from .asked import Asked
from .material import Models, checkpoint_path, load_models, read_folder
from .samples import Sheets, samples_of, vae_on_cpu

_BETWEEN = 60.0  # seconds between two plots of the losses
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

Say = Callable[[str], None]


class _Stopped(Exception):
    """Somebody asked for the end, and this step was the last."""


def run_job(job: Job, job_file: Path, asked: Asked, say: Say) -> bool:
    """Train what a job says; whether it came to its last step. Raises SCEditError if it cannot.

    Whatever ends it leaves a state, from which the next run of the same job goes on.
    """
    results = Results(job.output)
    _put_job(job, job_file, results)
    said: str | None = "an error ended it; the terminal shows it"
    try:
        is_done = _run(job, results, asked, say)
        said = None
    except SCEditError as error:
        said = str(error)
        raise
    except (KeyboardInterrupt, SystemExit):
        said = None  # how far it came is told already
        raise
    finally:
        if said is not None:
            before = results.read_status()
            results.put(Status("failed", said, before.step if before else 0, job.training.steps))
    return is_done


def _run(job: Job, results: Results, asked: Asked, say: Say) -> bool:
    say(f"loads {job.model.checkpoint}")
    models = load_models(job, checkpoint_path(job))
    data = read_folder(job, models, say)
    config = job.training.config()
    begun = [read_hosted(path, job.path(path))[1] for path in job.tuner.start]
    fresh = starts(_specs(job, models.model, data), begun, config.seed)
    for tuners in fresh if begun else ():
        tuners.spec.check_fits(skip_layout(models.model), "[tuner] start")
    prompts = _encoded(models, job.run.prompts) if job.run.sample_every else []
    facts = _facts(job, models.model)
    with differentiable(models.model, config.recompute) as base, asked.listening():
        dtype = _DTYPES[config.precision]
        trainer = Trainer([tuners.to(base.device, dtype) for tuners in fresh], base, data, config)
        sheets = None
        if job.run.sample_every:
            sheets = Sheets(samples_of(trainer, job.run, prompts), job.run, vae_on_cpu(models.vae))
        view = JobView(trainer, results, job, sheets, asked, say)

        def save_tuners(trainer: Trainer) -> None:
            _save(trainer, results, job.run.name, {**facts, **describe(trainer)}, trainer.step)

        try:
            Course(trainer, Keeping(results.state, job.run.save_every, save_tuners), view).run(base.make_room)
        except _Stopped:
            asked.forget()
            return False
    _save(trainer, results, job.run.name, {**facts, **describe(trainer)}, None)
    return True


class JobView:
    """What a job tells: its results' folder all, and the terminal a line now and then."""

    def __init__(
        self, trainer: Trainer, results: Results, job: Job, sheets: Sheets | None, asked: Asked, say: Say
    ) -> None:
        self._trainer = trainer
        self._results = results
        self._run = job.run
        self._sheets = sheets
        self._asked = asked
        self._say = say
        self._pace = Pace(trainer)
        self._plotted = self._told = self._stepped = 0.0

    def note(self, line: str) -> None:
        """Say a line."""
        self._say(line)

    def begin(self) -> None:
        """Count this run's steps and time from here."""
        self._results.begin(self._trainer.step)
        self._put("running", "trains")
        self._pace.begin()
        self._plotted = self._told = self._stepped = time.monotonic()

    def step(self) -> None:
        """Write the step down, and whatever it is time for."""
        trainer, now = self._trainer, time.monotonic()
        metric = Metric(trainer.step, trainer.losses[-1], now - self._stepped, trainer.config.learning_rate)
        self._stepped = now
        self._results.tell(metric)
        if now - self._told > 10 or trainer.step == trainer.config.steps:
            self._told = now
            self._say(self._pace.progress())
        if now - self._plotted > _BETWEEN:
            self._show()
        if self._sheets is not None and trainer.step % self._run.sample_every == 0:
            self._results.put_sheet(trainer.step, self._sheets.draw(trainer))
            self._stepped = time.monotonic()  # a step's time is without its sheet
        if trainer.step < trainer.config.steps and self._asked.to_stop():
            raise _Stopped

    def end(self) -> None:
        """Say how it ended."""
        said = self._pace.last()
        self._show()
        self._put("done" if self._trainer.step >= self._trainer.config.steps else "stopped", said)
        self._say(said)

    def _show(self) -> None:
        self._plotted = time.monotonic()
        self._results.put_plot(self._trainer.losses)

    def _put(self, state: Any, said: str) -> None:
        self._results.put(Status(state, said, self._trainer.step, self._trainer.config.steps))


def _put_job(job: Job, job_file: Path, results: Results) -> None:
    """The job as it is run, beside its results, unless they go where its file lies."""
    if results.job.absolute() != job_file.absolute():
        write_whole(results.job, job_text(with_whole_paths(job)).encode())


def _specs(job: Job, model: Any, data: TrainingSet) -> list[TunerSpec]:
    """Sizes of what is trained: of one style, or of a control for each hint."""
    layout, tuner = skip_layout(model), job.tuner
    shape = (tuner.ratio, tuner.chosen_blocks, tuner.tuner_op)
    if tuner.kind == "sc":
        return [TunerSpec.sc(layout, *shape)]
    spec = TunerSpec.csc(layout, *shape, encoder=tuner.encoder(layout))
    return [spec] * job.controls(len(data.examples[0].hints))


def _encoded(models: Models, prompts: Sequence[str]) -> list[Any]:
    with torch.inference_mode():
        encoded = encode_texts(models.clip, prompts)
    return [encoded[text][0] for text in prompts]


def _facts(job: Job, model: Any) -> Mapping[str, str]:
    """What the tuners' files say of themselves, beside their training."""
    date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    facts = {**describe_model(model), "modelspec.title": job.run.name, "modelspec.date": date}
    return {**facts, "modelspec.trigger_phrase": job.data.trigger} if job.data.trigger else facts


def _save(
    trainer: Trainer, results: Results, name: str, metadata: Mapping[str, str], step: int | None
) -> None:
    """Write what was trained so far, with the step in the names on the way."""
    for number, tuners in enumerate(trainer.trained()):
        place = number if len(trainer.tuners) > 1 else None
        save_checkpoint(tuners, results.tuner(name, place, step), metadata)

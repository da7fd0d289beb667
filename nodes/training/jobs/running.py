"""A job from its file to its tuners, in one process or in one of many."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ....scedit_core import CSCTunerSet, SCEditError, SCTunerSet, TunerSpec, save_checkpoint
from ....scedit_core.files.durable import write_whole
from ....scedit_core.training import Trainer, TrainingSet, describe
from ....scedit_core.training.job import Job, job_text
from ....scedit_core.training.job.results import Results, Status
from ....scedit_core.training.job.writing import with_whole_paths
from ....scedit_core.training.ranks import Ranks, joined, together
from ...files.hosted import read_hosted
from ...patching.conditions import skip_layout
from ..base_model import describe_model, differentiable
from ..course import Course, Keeping, starts
from ..encode import encode_texts
from ..teaching.asked import teaching
from .asked import Asked
from .material import Models, checkpoint_path, load_models, load_teacher, read_data
from .samples import Sheets, samples_of, vae_on_cpu
from .view import JobView, NoView, Say

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def run_job(job: Job, job_file: Path, asked: Asked, say: Say) -> bool:
    """Train what a job says; whether it came to its last step. Raises SCEditError if it cannot.

    Whatever ends it leaves a state, from which the next run of the same job goes on.
    """
    with joined(half=job.training.half_gradients) as ranks:
        results, is_first = Results(job.output), ranks.rank == 0
        with together(ranks):
            if is_first:
                _put_job(job, job_file, results)
        if not is_first:
            return _run(job, results, asked, lambda _: None, ranks)
        said: str | None = "an error ended it; the terminal shows it"
        try:
            is_done = _run(job, results, asked, say, ranks)
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


def _run(job: Job, results: Results, asked: Asked, say: Say, ranks: Ranks) -> bool:
    is_first, config = ranks.rank == 0, job.training.config()
    with together(ranks):
        say(f"loads {job.model.checkpoint}")
        models = load_models(job, checkpoint_path(job))
        teacher = load_teacher(job, models)
        data = read_data(job, models, say)
        tuners = _tuners(job, models.model, data, config.seed)
        prompts = _encoded(models, job.run.prompts) if job.run.sample_every else []
    # captions of a data set are encoded on the way
    beside = [models.clip.patcher] if job.data.dataset else []
    beside += teacher.models(models.model) if teacher else []
    hints = data.examples.hints
    with (
        differentiable(models.model, config.recompute, beside) as base,
        teaching(teacher, models.model, base, hints) as taught,
        asked.listening(),
    ):
        with together(ranks):
            moved = [one.to(base.device, _DTYPES[config.precision]) for one in tuners]
            trainer = Trainer(moved, base, data, config, ranks, taught)
            sheets = _sheets(job, trainer, prompts, models.vae) if is_first else None
        view = JobView(trainer, results, job, sheets, say) if is_first else NoView()
        facts = _facts(job, models.model)
        keeping = Keeping(
            results.state, job.run.save_every, lambda one: _save(one, results, job, facts, one.step)
        )
        Course(trainer, keeping, view).run(base.make_room, asked.to_stop)
    is_done = trainer.step >= config.steps
    if is_first and is_done:
        _save(trainer, results, job, facts, None)
    if is_first and not is_done:
        asked.forget()
    return is_done


def _put_job(job: Job, job_file: Path, results: Results) -> None:
    """The job as it is run, beside its results, unless they go where its file lies."""
    if results.job.absolute() != job_file.absolute():
        write_whole(results.job, job_text(with_whole_paths(job)).encode())


def _tuners(job: Job, model: Any, data: TrainingSet, seed: int) -> list[SCTunerSet | CSCTunerSet]:
    """What is trained, fresh or from files: one style, or a control for each hint."""
    layout, tuner = skip_layout(model), job.tuner
    shape = (tuner.ratio, tuner.chosen_blocks, tuner.tuner_op)
    if tuner.kind == "sc":
        specs = [TunerSpec.sc(layout, *shape)]
    else:
        specs = [TunerSpec.csc(layout, *shape, encoder=tuner.encoder(layout))] * data.examples.hints
    begun = [read_hosted(path, job.path(path))[1] for path in tuner.start]
    tuners = starts(specs, begun, seed)
    for one, hosted in zip(tuners[: len(begun)], begun, strict=True):
        one.spec.check_fits(layout, hosted.name)
    return tuners


def _encoded(models: Models, prompts: Sequence[str]) -> list[Any]:
    """Prompts as entries of a CONDITIONING."""
    with torch.inference_mode(False), torch.no_grad():
        encoded = encode_texts(models.clip, prompts)
    return [encoded[text][0] for text in prompts]


def _sheets(job: Job, trainer: Trainer, prompts: Sequence[Any], vae: Any) -> Sheets | None:
    if not job.run.sample_every:
        return None
    return Sheets(samples_of(trainer, job.run, prompts), job.run, vae_on_cpu(vae))


def _facts(job: Job, model: Any) -> Mapping[str, str]:
    """What the tuners' files say of themselves, beside their training."""
    date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    facts = {**describe_model(model), "modelspec.title": job.run.name, "modelspec.date": date}
    return {**facts, "modelspec.trigger_phrase": job.data.trigger} if job.data.trigger else facts


def _save(trainer: Trainer, results: Results, job: Job, facts: Mapping[str, str], step: int | None) -> None:
    """Write what was trained so far, with the step in the names on the way."""
    metadata = {**facts, **describe(trainer)}
    for number, tuners in enumerate(trainer.trained()):
        place = number if len(trainer.tuners) > 1 else None
        save_checkpoint(tuners, results.tuner(job.run.name, place, step), metadata)

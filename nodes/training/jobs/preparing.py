"""The data set of a job, made from its pictures or brought up to date."""

from __future__ import annotations

import time
from dataclasses import fields

import torch

from ....scedit_core import SCEditError
from ....scedit_core.training.dataset.shards import Prepared
from ....scedit_core.training.dataset.shards.drawing import Drawn, PrepareSettings
from ....scedit_core.training.dataset.shards.prepare import Watch
from ....scedit_core.training.job import Job
from ....scedit_core.training.spans import minutes
from ..preparing import prepare_dataset
from .material import checkpoint_path, load_vae
from .view import Say

_BETWEEN = 10.0  # seconds between two lines


def prepare_job(job: Job, say: Say) -> None:
    """Have the data set of a job hold the pictures of its folder, and only those.

    Raises SCEditError if the job does not name both, and for what cannot be prepared; what is done is kept.
    """
    if not job.data.folder or not job.data.dataset:
        raise SCEditError(
            "[data] has to name both, the pictures by folder and the data set to be made of them by dataset; "
            'write for instance folder = "pictures" and dataset = "dataset"'
        )
    settings = PrepareSettings(**{one.name: getattr(job.data, one.name) for one in fields(PrepareSettings)})
    say(f"loads the VAE of {job.model.checkpoint}")
    vae = load_vae(job, checkpoint_path(job))
    target = job.path(job.data.dataset)
    say(f"prepares {target}")
    with torch.inference_mode():  # as nodes run
        report = prepare_dataset(vae, job.path(job.data.folder), target, settings, _Lines(say))
    say(report.text())


class _Lines(Watch):
    """Says now and then how far it is."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._said = time.monotonic()
        self._began: float | None = None

    def found(self, pictures: int) -> None:
        """Say how many pictures were counted."""
        if self._is_due():
            self._say(f"{pictures:,} pictures found so far")

    def done(self, number: int, total: int, last: tuple[Drawn, Prepared]) -> None:
        """Say how many are written."""
        self._began = self._began or time.monotonic()
        if self._is_due():
            pace = (time.monotonic() - self._began) / number
            self._say(f"{number:,} of {total:,} pictures, {minutes(pace * (total - number))} left")

    def _is_due(self) -> bool:
        is_due = time.monotonic() - self._said > _BETWEEN
        self._said = time.monotonic() if is_due else self._said
        return is_due

"""What a job has learnt so far, as tuners that ComfyUI lists or others load."""

from __future__ import annotations

from pathlib import Path

import torch

from ....scedit_core import SCEditError, read_tuners, save_checkpoint
from ....scedit_core.convert import OWN, PUBLISHED, check_range
from ....scedit_core.errors import shown
from ....scedit_core.files.published import write_published
from ....scedit_core.training.job import Job
from ....scedit_core.training.job.results import Results
from ...files.folders import new_tuner

DTYPES = {"as trained": None, "fp16": torch.float16, "bf16": torch.bfloat16}


def export_job(job: Job, to: Path | None, layout: str = OWN, dtype: str = "as trained") -> list[Path]:
    """Write the newest tuners of a job to a folder, by default models/scedit; where they are.

    Nothing is written over in models/scedit. Raises SCEditError if there are none yet.
    """
    sources = Results(job.output).newest_tuners(job.run.name)
    if not sources:
        raise SCEditError(
            f"there is no tuner of '{job.run.name}' in {shown(job.output, 400)} yet; run the job to its end, "
            "or to its first save"
        )
    suffix = "" if layout == PUBLISHED else ".safetensors"
    targets = []
    for number, source in enumerate(sources):
        name = f"{job.run.name}-{number}" if len(sources) > 1 else job.run.name
        target = new_tuner(name, replace=False, suffix=suffix) if to is None else to / f"{name}{suffix}"
        _write(source, target, layout, DTYPES[dtype])
        targets.append(target)
    return targets


def _write(source: Path, target: Path, layout: str, dtype: torch.dtype | None) -> None:
    checkpoint, tuners = read_tuners(source)
    if dtype is not None:
        check_range(tuners.state_dict(), dtype)
        tuners = tuners.to(dtype)
    if layout == PUBLISHED:
        write_published(tuners, target)
    else:
        save_checkpoint(tuners, target, checkpoint.metadata)

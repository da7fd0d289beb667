"""What a job is trained on, loaded: the model of its checkpoint, and its pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import comfy.sd
import folder_paths
import torch
from safetensors import SafetensorError

from ....scedit_core import SCEditError
from ....scedit_core.errors import shown
from ....scedit_core.files.describe import sha256
from ....scedit_core.training import TrainingSet
from ....scedit_core.training.dataset.folder import (
    NO_HINT,
    READY_HINT,
    FolderSettings,
    caption_texts,
    describe_folder,
    plan_crops,
    scan,
)
from ....scedit_core.training.dataset.shards import open_dataset
from ....scedit_core.training.dataset.stored import check_dataset
from ....scedit_core.training.job.parts import DataPart, Job
from ..encode import encode_pictures, encode_texts, with_sizes
from ..examples import to_training_set
from ..stored import stored_training_set
from ..teaching.asked import AskedTeacher
from ..vaes import vae_fingerprint
from .teachers import asked_teacher, file_of, with_loras

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, eq=False)
class Models:
    """The parts of a checkpoint, as ComfyUI loads them."""

    model: Any
    clip: Any
    vae: Any


def checkpoint_path(job: Job) -> Path:
    """The file of a job's checkpoint. Raises SCEditError if it is not there, or another than was meant."""
    path = file_of(job, job.model.checkpoint, "checkpoints", "checkpoint")
    if job.model.sha256:
        _check_hash(path, job.model.sha256.lower())
    return path


def load_models(job: Job, path: Path) -> Models:
    """Model, text encoder and VAE of a checkpoint. Raises SCEditError if it lacks one of them."""
    model, clip, vae = _loaded(job, path, ("U-Net", "text encoder", "VAE"))
    return Models(with_loras(job, model, job.model.loras), clip, vae)


def load_teacher(job: Job, models: Models) -> AskedTeacher | None:
    """The teacher of a job, if it has one. Raises SCEditError for files that are not what they are to be."""

    def load(path: Path) -> Any:
        return _loaded(job, path, ("U-Net",), output_clip=False, output_vae=False)[0]

    return asked_teacher(job, models.model, load)


def load_vae(job: Job, path: Path) -> Any:
    """The VAE of a checkpoint alone. Raises SCEditError if it has none."""
    return _loaded(job, path, ("VAE",), output_model=False, output_clip=False)[2]


def _loaded(job: Job, path: Path, needed: Sequence[str], **outputs: bool) -> tuple[Any, Any, Any]:
    options = {} if job.model.dtype == "auto" else {"dtype": _DTYPES[job.model.dtype]}
    embeddings = folder_paths.get_folder_paths("embeddings")
    try:
        parts = comfy.sd.load_checkpoint_guess_config(
            str(path), embedding_directory=embeddings, model_options=options, **outputs
        )
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise SCEditError(
            f"ComfyUI cannot load the checkpoint '{shown(path.name)}' ({shown(str(error), 300)}); give a "
            "whole checkpoint of SD 1.5, SD 2.x or SDXL"
        ) from error
    for what, part in zip(("U-Net", "text encoder", "VAE"), parts, strict=False):
        if part is None and what in needed:
            raise SCEditError(
                f"the checkpoint '{shown(path.name)}' has no {what}; give a whole checkpoint, as the ones in "
                "models/checkpoints are"
            )
    return parts[0], parts[1], parts[2]


def read_data(job: Job, models: Models, say: Callable[[str], None]) -> TrainingSet:
    """What a job learns from: its data set if it has one, else its folder, read into memory."""
    return read_dataset(job, models, say) if job.data.dataset else read_folder(job, models, say)


def read_dataset(job: Job, models: Models, say: Callable[[str], None]) -> TrainingSet:
    """The prepared data set of a job. Raises SCEditError if it is none, or was made for something else."""
    place = job.path(job.data.dataset)
    if not place.is_dir():
        raise SCEditError(
            f"there is no data set in {shown(place, 400)} yet; make it by 'train.py prepare' and this job's "
            "file, which reads the pictures of [data] folder"
        )
    stored = open_dataset(place)
    wanted = tuple(job.data.hints)
    if wanted and wanted != stored.hints:
        raise SCEditError(
            f"the data set '{shown(place.name)}' has the hints {', '.join(stored.hints) or 'none'}, and the "
            f"job says {', '.join(wanted)}; prepare it again under another name, or change [data] hints"
        )
    made = {"resolution": job.data.resolution} if job.data.folder else {}
    check_dataset(stored, {**made, "vae": vae_fingerprint(models.vae)})
    say(f"{len(stored):,} pictures in {place}")
    is_control = job.tuner.kind == "csc"
    return stored_training_set(models.model, stored, models.clip, has_hints=is_control, buckets=True)


def read_held_out(job: Job, models: Models, say: Callable[[str], None]) -> TrainingSet:
    """What a job is measured on: the pictures that [evaluate] names, or the first ones of [data]."""
    own = job.evaluate
    if not own.folder and not own.dataset:
        say("these are pictures it has learnt from; name others in [evaluate] folder or dataset")
        return (
            read_dataset(job, models, say)
            if job.data.dataset
            else read_folder(job, models, say, own.pictures)
        )
    held_out = replace(job, data=replace(job.data, folder=own.folder, dataset=own.dataset))
    if own.dataset:
        return read_dataset(held_out, models, say)
    return read_folder(held_out, models, say, own.pictures)


def read_folder(job: Job, models: Models, say: Callable[[str], None], most: int | None = None) -> TrainingSet:
    """Pictures, captions and hints of a job's folder, as 'Training Folder' hands them to a training node.

    The first `most` of them, if that is not None.
    """
    kinds = job.data.hints[: job.controls(len(job.data.hints))]
    settings = [_settings(job.data, kind) for kind in kinds or (NO_HINT,)]
    found = scan(job.path(job.data.folder), job.data.hint_folder if READY_HINT in kinds else None)
    found = replace(found, triplets=found.triplets[:most])
    captions = caption_texts(found, settings[0])
    crops = plan_crops(found, settings[0])
    say(describe_folder(found, crops, captions, settings[0]))
    with torch.inference_mode():
        encoded = encode_texts(models.clip, ["", *captions])
        latents, hints = zip(*encode_pictures(models.vae, found, crops, settings), strict=True)
        positive = [with_sizes(encoded[text], crop) for text, crop in zip(captions, crops, strict=True)]
        rows = [[drawn[number] for drawn in hints] for number in range(len(kinds))]
        return to_training_set(models.model, (latents, positive), rows, [encoded[""]], buckets=True)


def _settings(data: DataPart, kind: str) -> FolderSettings:
    names = (one.name for one in fields(FolderSettings) if one.name != "hint")
    return FolderSettings(kind, **{name: getattr(data, name) for name in names})


def _check_hash(path: Path, wanted: str) -> None:
    found = sha256(path)
    if found != wanted:
        raise SCEditError(
            f"the checkpoint '{shown(path.name)}' has the SHA-256 {found}, the job was made for {wanted}; "
            "bring that file, or empty [model] sha256 to train on this one"
        )

"""The LoRAs of a job, and its teacher: read from files as the nodes of a graph would load them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import comfy.controlnet
import comfy.sd
import comfy.utils
import folder_paths
import torch
from safetensors import SafetensorError

from ....scedit_core import SCEditError
from ....scedit_core.errors import shown
from ....scedit_core.training.job import Job
from ....scedit_core.training.job.parts import with_strength
from ...files.folders import tuner_path
from ...files.hosted import HostedTuners, read_hosted
from ...patching.conditions import Condition
from ...patching.patch import install
from ...patching.prompts import apply_to_prompt
from ..teaching.asked import AskedTeacher
from ..teaching.controls import Controls

_BLANK = torch.zeros(1, 64, 64, 3)  # in whose place the hints of each batch come


def file_of(job: Job, name: str, kind: str, what: str) -> Path:
    """A file of a job: beside it, or in ComfyUI's folders of this kind. SCEditError if it is in none."""
    beside, listed = job.path(name), folder_paths.get_full_path(kind, name)
    path = beside if beside.is_file() else Path(listed) if listed else None
    if path is None:
        places = " or ".join([str(job.folder), *folder_paths.get_folder_paths(kind)])
        raise SCEditError(
            f"no {what} '{shown(name, 400)}' in {shown(places, 500)}; put it there, or write its whole path "
            "into the job"
        )
    if path.suffix.lower() not in folder_paths.supported_pt_extensions:
        raise SCEditError(f"'{shown(path.name)}' is no {what} by its name; give a .safetensors file")
    return path


def with_loras(job: Job, model: Any, loras: Sequence[str]) -> Any:
    """The MODEL with LoRAs by name and strength. SCEditError for one that is none or fits no layer of it."""
    for name, strength in map(with_strength, loras):
        path = file_of(job, name, "loras", "LoRA")
        weights = _weights(path, "LoRA")
        changed, _ = comfy.sd.load_lora_for_models(model, None, weights, strength, 0.0)
        if changed.patches == model.patches:
            raise SCEditError(
                f"the LoRA '{shown(path.name)}' fits no layer of this model; it was made for another family, "
                "or for the text encoder alone"
            )
        model = changed
    return model


def asked_teacher(job: Job, model: Any, load: Any) -> AskedTeacher | None:
    """The teacher of a job whose model is `model`; `load` gives the MODEL of a checkpoint's path."""
    part = job.teacher
    is_asked = part.checkpoint or part.loras or part.tuners or part.controlnet
    if not is_asked or not part.share:
        return None
    teacher = load(file_of(job, part.checkpoint, "checkpoints", "checkpoint")) if part.checkpoint else model
    teacher = with_loras(job, teacher, part.loras)
    tuners = list(_tuners(job, part.tuners))
    styles = [(hosted, strength) for hosted, strength in tuners if hosted.patcher.model.spec.kind == "sc"]
    for hosted, strength in styles:
        teacher = install(teacher, [Condition(hosted)], strength)
    prompt: list[Any] = [[torch.zeros(1, 1, 1), {}]]  # its text is not used
    for name, strength in map(with_strength, part.controlnet):
        net = _controlnet(file_of(job, name, "controlnet", "ControlNet"))
        net = net.copy().set_cond_hint(_BLANK.movedim(-1, 1), strength)
        prompt[0][1]["control"] = net.set_previous_controlnet(prompt[0][1].get("control"))
    for hosted, strength in tuners:
        if hosted.patcher.model.spec.kind == "csc":
            prompt = apply_to_prompt(prompt, [Condition(hosted, _BLANK)], strength)
    controls = Controls(prompt) if "control" in prompt[0][1] else None
    return AskedTeacher(teacher, controls, part.share, part.hint)


def _tuners(job: Job, names: Sequence[str]) -> Iterator[tuple[HostedTuners, float]]:
    for name, strength in map(with_strength, names):
        beside = job.path(name)
        yield read_hosted(name, beside if beside.exists() else tuner_path(name))[1], strength


def _controlnet(path: Path) -> Any:
    net = None
    try:
        net = comfy.controlnet.load_controlnet(str(path))
    except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
        raise SCEditError(
            f"ComfyUI cannot load the ControlNet '{shown(path.name)}' ({shown(str(error), 300)}); give one "
            "for the base that is trained on"
        ) from error
    if net is None:
        raise SCEditError(f"'{shown(path.name)}' is no ControlNet and no T2I-Adapter; give another file")
    return net


def _weights(path: Path, what: str) -> Any:
    try:
        return comfy.utils.load_torch_file(str(path), safe_load=True)
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise SCEditError(
            f"ComfyUI cannot load the {what} '{shown(path.name)}' ({shown(str(error), 300)}); bring the file "
            "again"
        ) from error

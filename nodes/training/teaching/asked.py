"""A teacher as it was asked for, and how it comes to stand beside the model that is trained on."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from ....scedit_core import SCEditError
from ....scedit_core.training import Teaching
from ...patching.patch import skip_patch
from ..base_model import HostModel
from ..captions import Captions
from .controls import Controls
from .shared import SharedNetwork, share_network
from .teacher import HostTeacher, at_work

INPUTS = ("teacher", "teacher_positive", "teacher_share", "teacher_hint")
SAME, INVERTED = "same", "inverted"
_FITS = ("context_dim", "adm_in_channels")  # of a U-Net: what its captions are made of


@dataclass(frozen=True)
class AskedTeacher:
    """A MODEL, controls for it or for the model that is trained on, its share, and how it reads hints."""

    model: Any
    controls: Controls | None
    share: float
    hint: str

    @classmethod
    def taken(cls, inputs: MutableMapping[str, list[Any]], model: Any) -> AskedTeacher | None:
        """The teacher, taken out of the inputs of a node that trains on `model`; None without one."""
        given = {name: inputs.pop(name, None) or [None] for name in INPUTS}
        for name in ("teacher", "teacher_positive"):
            if len(given[name]) > 1:
                raise SCEditError(f"{len(given[name])} of {name} came in a list; connect one")
        teacher, positive, share, hint = (each[0] for each in given.values())
        share = 1.0 if share is None else share
        if (teacher is None and positive is None) or not share:
            return None
        controls = None if positive is None else Controls(positive)
        return cls(model if teacher is None else teacher, controls, share, hint or SAME)

    def models(self, student: Any) -> list[Any]:
        """What has to be loaded with the `student`, whose network it may be in."""
        own = [] if self.model.is_clone(student) else [self.model]
        beside = [*self.model.model_patches_models(), *self.model.get_nested_additional_models()]
        return [*own, *beside, *([] if self.controls is None else self.controls.models)]

    def check(self, student: Any, hints: int) -> None:
        """SCEditError unless it makes pictures of the student's latents, captions and hints."""
        mine, theirs = student.model, self.model.model
        one, other = ([model.model_config.unet_config.get(key) for key in _FITS] for model in (mine, theirs))
        if one != other or not _is_same_space(mine, theirs):
            raise SCEditError(
                "the teacher is a model of another kind, which reads other captions or other latents than "
                "the model that is trained on; connect one of the same family, such as two of SD 1.5"
            )
        edits = skip_patch(self.model.model_options["transformer_options"])
        if (
            self.model is not student
            and edits is not None
            and any(edit.hint is not None for edit in edits.edits)
        ):
            raise SCEditError(
                "the teacher's MODEL has a control with a picture of its own; apply it to a prompt by 'Apply "
                "to Prompt (SCEdit)' and connect that to teacher_positive: then it follows each hint"
            )
        if self.controls is not None:
            self.controls.check(hints)


@contextmanager
def teaching(
    asked: AskedTeacher | None, student: Any, base: HostModel, hints: int
) -> Iterator[Teaching | None]:
    """Within, the teacher is there, beside the loaded `base` of the `student`; None if none was asked for."""
    if asked is None:
        yield None
        return
    asked.check(student, hints)
    shared = None
    patcher, captions = asked.model, base.captions
    if patcher.is_clone(student):
        patcher = share_network(base.patcher, patcher)
        shared = SharedNetwork(base.patcher, patcher)
        _make_room(base, shared.nbytes)
        with torch.inference_mode():
            shared.fill()
            patcher.model_patches_to(patcher.load_device)
            patcher.model_patches_to(patcher.model_dtype())
    else:
        captions = Captions(patcher.model, patcher.load_device)
    with at_work(HostTeacher(patcher, captions, asked.controls, shared), asked.hint, base) as teacher:
        yield Teaching(teacher, asked.share)


def _make_room(base: HostModel, needed: int) -> None:
    free = base.make_room(needed) if needed else 0
    if needed > free:
        raise SCEditError(
            f"the teacher's own weights need {needed / 1e9:.1f} GB beside the model, but {free / 1e9:.1f} GB "
            "are free; free some memory, or use a teacher that changes fewer layers"
        )


def _is_same_space(one: Any, other: Any) -> bool:
    """Whether two models mean the same by latents and by noise of a level."""
    formats = [
        (model.latent_format.latent_channels, model.latent_format.scale_factor) for model in (one, other)
    ]
    if formats[0] != formats[1]:
        return False
    level, picture, noise = (torch.tensor([value]).view(1, 1, 1, 1) for value in (2.0, 3.0, 5.0))
    noised = [model.model_sampling.noise_scaling(level.flatten(), noise, picture) for model in (one, other)]
    return bool(torch.allclose(*noised))

"""The controls of a teacher: ControlNets and prompt-scoped tuners, which follow the hints of each batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ....scedit_core import SCEditError
from ....scedit_core.errors import some
from ....scedit_core.training.sketch import Sketch, Sketcher
from ...patching.prompts import PromptControl
from ..model_sketch import tell_controlnet, tell_edit

# what a CONDITIONING may hold besides a text that would change pictures, and no training heeds
_UNHEEDED = ("hooks", "gligen", "area", "mask", "concat_latent_image", "reference_latents")


class Controls:
    """Copies of the controls that a CONDITIONING has, the first applied first; its text is not used."""

    def __init__(self, positive: Sequence[list[Any]]) -> None:
        self._links = [_alone(link) for link in _links(_control_of(positive))]
        for before, link in pairwise(self._links):
            link.set_previous_controlnet(before)
        self._hinted = [link for link in self._links if _has_hint(link)]

    @property
    def models(self) -> list[Any]:
        """What the host has to load for them."""
        return [model for link in self._links for model in link.get_models_only_self()]

    @property
    def is_steady(self) -> bool:
        """Whether all act the same at all noise levels."""
        return all(map(_is_steady, self._links))

    def check(self, hints: int) -> None:
        """SCEditError unless there is a hint for each that follows one."""
        if len(self._hinted) != hints:
            raise SCEditError(
                f"teacher_positive has {len(self._hinted)} controls that follow a hint, and the pictures "
                f"bring {hints}; each takes the hint of its number: apply as many as there are hints"
            )

    def begin(self, model: Any) -> None:
        """Make ready for the model, whose network holds the teacher's weights now."""
        self._links[-1].pre_run(model, model.model_sampling.percent_to_sigma)

    def follow(self, hints: Sequence[Tensor], model: Any) -> None:
        """Put hints `(B, 3, H, W)`, values 0..1, in the place of theirs."""
        for link, hint in zip(self._hinted, hints, strict=True):
            if isinstance(link, PromptControl):
                link.follow(hint, model)
            else:
                link.cond_hint_original, link.cond_hint = hint, None

    def residuals(self, noisy: Tensor, sigma: Tensor, inputs: dict[str, Any], options: dict[str, Any]) -> Any:
        """What ControlNets add in a call; tuners put themselves among its `options`."""
        return self._links[-1].get_control(noisy, sigma, inputs, 1, options)

    def memory(self, dtype: torch.dtype) -> int:
        """Bytes that they say they work in."""
        return int(self._links[-1].inference_memory_requirements(dtype))

    def cleanup(self) -> None:
        """Let go of what was kept for the run."""
        self._links[-1].cleanup()

    def sketch(self, hint: str) -> Sketch:
        """What a training state remembers of them, and of how they read a `hint`."""
        sketcher = Sketcher()
        sketcher.tell(hint)
        for link in self._links:
            if not isinstance(link, PromptControl):
                tell_controlnet(sketcher, link)
            elif link.applied is not None:
                tell_edit(sketcher, link.applied.at(), with_hint=False)
        return sketcher.sketch()


def _control_of(positive: Sequence[list[Any]]) -> Any:
    """The last link of the one chain of controls that a CONDITIONING has."""
    unheeded = {key for _, facts in positive for key in _UNHEEDED if facts.get(key) is not None}
    if unheeded:
        raise SCEditError(
            f"teacher_positive has {some(unheeded)}, which no training heeds; connect a plain prompt with "
            "controls applied to it, and put LoRAs on the teacher's MODEL"
        )
    chains = {id(facts.get("control")): facts.get("control") for _, facts in positive}
    (last, *others) = chains.values() if chains else (None,)
    if others or last is None:
        found = "several prompts with controls of their own" if others else "no control"
        raise SCEditError(
            f"teacher_positive has {found}; connect a prompt that 'Apply ControlNet' or 'Apply to Prompt "
            "(SCEdit)' added one to, or only teacher"
        )
    return last


def _links(last: Any) -> list[Any]:
    """The links of a chain, the first that was applied first."""

    def backwards(link: Any) -> Iterator[Any]:
        while link is not None:
            yield link
            link = link.previous_controlnet

    return list(backwards(last))[::-1]


def _alone(link: Any) -> Any:
    """A copy, which nobody else gives hints to."""
    return link.copy().set_previous_controlnet(None)


def _has_hint(link: Any) -> bool:
    return not isinstance(link, PromptControl) or link.has_hint


def _is_steady(link: Any) -> bool:
    if isinstance(link, PromptControl):
        return link.is_steady
    return tuple(link.timestep_percent_range) == (0.0, 1.0)

"""Small trainings through the training nodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_management
import pytest
import torch
from host_tools import picture

SC = {
    "name": "style",
    "steps": 3,
    "batch_size": 2,
    "accumulation": 1,
    "learning_rate": 1e-3,
    "seed": 0,
    "tuner_op": "adapter",
    "ratio": 1.0,
}
SAVE = {"if_exists": "add a number", "dtype": "as trained"}
CSC = SC | {"name": "control", "kernel": 1, "stem_ratio": 0.5, "hint_channels": 16}


def lists(model: Any, sizes: tuple[tuple[int, int], ...] = ((16, 16),) * 4) -> dict[str, list[Any]]:
    """Latents and captions as ComfyUI's dataset nodes make them: made in inference mode, in lists."""
    context_dim = model.model.model_config.unet_config["context_dim"]
    draw = torch.Generator().manual_seed(3)
    with torch.inference_mode():
        latents = [{"samples": torch.randn(1, 4, *size, generator=draw)} for size in sizes]
        captions = [[[torch.randn(1, 7, context_dim, generator=draw), {}]] for _ in sizes]
    return {"model": [model], "latents": latents, "positive": captions}


def hints(count: int = 4, drawings: int = 1) -> list[torch.Tensor]:
    """A hint for each picture."""
    with torch.inference_mode():
        return [picture(batch=drawings, seed=seed) for seed in range(count)]


def train(node: Any, data: dict[str, Any], settings: dict[str, Any] = SC, **changes: Any) -> Any:
    """Outputs of a training node, executed as ComfyUI does: every input a list."""
    widgets = {name: [value] for name, value in (settings | changes).items()}
    with torch.inference_mode():
        return node.execute(**data, **widgets).args


def weights(hosted: Any) -> dict[str, torch.Tensor]:
    """Weights of a tuner as it comes out of a node."""
    return hosted.patcher.model.state_dict()


def equal(first: Any, second: Any) -> bool:
    """True if two tuners have the same weights, bit for bit."""
    a, b = weights(first), weights(second)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@contextmanager
def cancelling(step: int) -> Iterator[None]:
    """The user cancels while this step is taken."""
    from scedit_pack.scedit_core.training import Trainer

    real = Trainer.advance

    def advance(trainer: Any) -> float:
        if trainer.step == step - 1:
            comfy.model_management.interrupt_current_processing()
        return real(trainer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "advance", advance)
        yield


def cancelled_at(
    step: int, node: Any, data: dict[str, Any], settings: dict[str, Any], **changes: Any
) -> None:
    """A training that the user cancels during this step."""
    with cancelling(step), pytest.raises(comfy.model_management.InterruptProcessingException):
        train(node, data, settings, **changes)

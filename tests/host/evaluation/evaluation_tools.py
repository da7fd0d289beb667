"""Held-out scenes for evaluations, and tuners with planted faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
import torch
from server_tools import world
from torch import Tensor

SIZE = 128  # pixels: half of what the sandbox's model learnt at, and enough to follow edges
QUICK = {"steps": 3, "cfg": 1.0, "pictures": 2, "seeds": 1}

Draw = Callable[[np.ndarray], np.ndarray]
State = dict[str, Tensor]


def image(pixels: np.ndarray) -> Tensor:
    """IMAGE of one picture."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).float()[None] / 255


def lists(checkpoint: tuple[Any, Any, Any], draw: Draw | None = None, count: int = 2) -> dict[str, list[Any]]:
    """Scenes as 'Training Folder' would hand them on, with hints if something draws them."""
    _, clip, vae = checkpoint
    made: dict[str, list[Any]] = {"latents": [], "positive": [], "hints": []}
    with torch.inference_mode():
        for scene in map(world.scene, world.HELD_OUT[:count]):
            photo = cv2.resize(scene.picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
            made["latents"].append({"samples": vae.encode(image(photo))})
            made["positive"].append(clip.encode_from_tokens_scheduled(clip.tokenize(scene.caption)))
            made["hints"] += [image(draw(photo))] if draw else []
        made["empty"] = [clip.encode_from_tokens_scheduled(clip.tokenize(""))]
    return {name: values for name, values in made.items() if values}


def evaluated(
    node: Any, checkpoint: tuple[Any, Any, Any], data: Mapping[str, list[Any]], **inputs: Any
) -> Any:
    """What the node puts out, executed as ComfyUI does: every input a list."""
    model, _, vae = checkpoint
    widgets = {name: [value] for name, value in {**QUICK, **inputs}.items()}
    with torch.inference_mode():
        return node.execute(model=[model], vae=[vae], **data, **widgets)


def changed(pack: Any, control: Any, change: Callable[[State], None], **metadata: str) -> Any:
    """A control with other weights, and with more said of it."""
    state = {key: value.clone() for key, value in control.patcher.model.state_dict().items()}
    change(state)
    said = {**control.metadata, **metadata}
    return pack.nodes.files.hosted.host_tuners(control.name, control.patcher.model.spec, state, said)


def zeroed(state: State) -> None:
    """Weights of a control that has learnt nothing."""
    for value in state.values():
        value.zero_()


def shuffled(state: State) -> None:
    """Each weight somewhere else in its own tensor."""
    draw = torch.Generator().manual_seed(0)
    for key, value in state.items():
        state[key] = value.flatten()[torch.randperm(value.numel(), generator=draw)].view(value.shape)


def of_a_twin(state: State) -> None:
    """The control as a twin of the base would have it whose skips have their channels in another order.

    Such a twin paints the same pictures; a tuner that was trained on it does the same there, and not here.
    """
    draw = torch.Generator().manual_seed(0)
    for key in [key for key in state if key.endswith(".down.weight")]:
        block = key.split(".")[1]
        order = torch.randperm(state[key].shape[1], generator=draw)
        state[key] = state[key][:, order]
        rows = (f"tuners.{block}.up.weight", f"tuners.{block}.up.bias")
        for name in (*rows, f"hint_encoder.dense.{block}.weight", f"hint_encoder.dense.{block}.bias"):
            state[name] = state[name][order]

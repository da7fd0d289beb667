"""A configuration made by nodes of a real ComfyUI and of the pack, and sampled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import comfy.sample
import torch
from comfy.context_windows import ContextFuseMethods, ContextSchedules
from comfy_extras.nodes_context_windows import ContextWindowsManualNode
from configurations import (
    CONTROLS,
    STYLES,
    WINDOW,
    Applied,
    Bundle,
    Configuration,
    Edit,
    Prompt,
    Scene,
    Windows,
)
from host_tools import picture, run, tiny_model
from support import GOLDEN

import nodes as comfy_nodes

SIDE = 64  # of hint pictures and masks, whatever the size of the latents
Nodes = Mapping[str, Any]


def loader_name(name: str) -> str:
    """How the loaders call a golden tuner."""
    return GOLDEN.tuner(name).name if name in GOLDEN.index["tuners"] else name


def mask(count: int) -> torch.Tensor:
    """Masks (count, 64, 64), each white in other columns."""
    white = torch.zeros(count, SIDE, SIDE)
    for number in range(count):
        white[number, :, 24 * number : 24 * number + 40] = 1
    return white


def _placed(conditioning: list[Any], place: str, size: tuple[int, int]) -> list[Any]:
    """A CONDITIONING for a part of the picture, by the host's nodes."""
    height, width = (8 * side for side in size)
    if place == "left":
        return comfy_nodes.ConditioningSetArea().append(conditioning, width // 2, height, 0, 0, 1.0)[0]
    if place == "right half":
        by_percentage = comfy_nodes.ConditioningSetAreaPercentage()
        return by_percentage.append(conditioning, 0.5, 1.0, 0.5, 0.0, 1.0)[0]
    if place in ("mask bounds", "masked"):
        kind = "mask bounds" if place == "mask bounds" else "default"
        white = torch.zeros(1, height, width)
        white[:, height // 2 :] = 1
        return comfy_nodes.ConditioningSetMask().append(conditioning, white, kind, 1.0)[0]
    return conditioning


class Graphs:
    """A MODEL and tuners, as a process of ComfyUI has them loaded, and what nodes make of them."""

    def __init__(self, nodes: Nodes, controlnet: Any) -> None:
        self._nodes, self._controlnet = nodes, controlnet
        self.base = tiny_model()
        self.tuners: dict[str, Any] = {}
        self.reload()

    def reload(self) -> None:
        """Load all tuners anew."""
        for name in STYLES + CONTROLS:
            kind = "SCEditLoadCSCTuner" if name in CONTROLS else "SCEditLoadSCTuner"
            self.tuners[name] = run(self._nodes[kind], tuner_name=loader_name(name))

    def applied(self, model: Any, step: Edit | Bundle | Windows) -> Any:
        """The MODEL that a node makes of a MODEL."""
        if isinstance(step, Windows):
            return run(
                ContextWindowsManualNode, model=model, context_length=WINDOW, context_overlap=1,
                context_schedule=ContextSchedules.STATIC_STANDARD, context_stride=1, closed_loop=False,
                fuse_method=ContextFuseMethods.PYRAMID, dim=0, freenoise=False, cond_retain_index_list="",
                latent_retain_index_list="", causal_window_fix=step.has_anchor,
            )  # fmt: skip
        if isinstance(step, Bundle):
            conditions = self._conditions(step)
            node = self._nodes["SCEditApplyConditions"]
            return run(node, model=model, conditions=conditions, strength=step.strength)
        how = {**self._how(step), "strength": step.strength}
        if step.is_control:
            return run(self._nodes["SCEditApplyCSCTuner"], model=model, **how)
        return run(self._nodes["SCEditApplySCTuner"], model=model, **how)

    def model(self, applied: Applied) -> Any:
        """The MODEL with all of this applied."""
        model = self.base
        for step in applied:
            model = self.applied(model, step)
        return model

    def conditioning(self, prompts: tuple[Prompt, ...], size: tuple[int, int]) -> list[Any]:
        """The prompts, combined."""
        entries: list[Any] = []
        for prompt in prompts:
            text = torch.randn(1, 7, 32, generator=torch.Generator().manual_seed(prompt.seed))
            made = _placed([[text, {}]], prompt.place, size)
            if prompt.times != (0.0, 1.0):
                made = comfy_nodes.ConditioningSetTimestepRange().set_range(made, *prompt.times)[0]
            if prompt.has_controlnet:
                apply = comfy_nodes.ControlNetApplyAdvanced()
                hint = picture(SIDE, SIDE, seed=8)
                made = apply.apply_controlnet(made, [], self._controlnet, hint, 0.7, 0.0, 1.0)[0]
            if prompt.bundle is not None:
                conditions, node = self._conditions(prompt.bundle), self._nodes["SCEditApplyToPrompt"]
                made = run(node, conditioning=made, conditions=conditions, strength=prompt.bundle.strength)
            entries += made
        return entries

    def prompts(self, scene: Scene) -> tuple[list[Any], list[Any]]:
        """Positive and negative CONDITIONING of a scene."""
        return (
            self.conditioning(scene.positive, scene.size),
            self.conditioning(scene.negative, scene.size),
        )

    def picture(self, configuration: Configuration) -> bytes:
        """The picture of a configuration, from the base MODEL on."""
        scene = configuration.scene
        return sampled(self.model(configuration.applied), scene, self.prompts(scene))

    def _how(self, edit: Edit) -> dict[str, Any]:
        how: dict[str, Any] = {"start_percent": edit.times[0], "end_percent": edit.times[1]}
        how |= {"mask": mask(edit.masks) if edit.masks else None, "schedule": edit.schedule}
        how |= {"skip_weights": edit.skip_weights, "latent_weights": edit.latent_weights}
        if not edit.is_control:
            return {**how, "tuner": self.tuners[edit.tuner]}
        hints = picture(SIDE, SIDE, batch=edit.pictures, seed=edit.picture)
        how["priority"] = edit.priority
        return {**how, "control": self.tuners[edit.tuner], "image": hints}

    def _conditions(self, bundle: Bundle) -> Any:
        node = self._nodes["SCEditCondition"]
        rows = {
            f"condition{number}": run(node, weight=edit.strength, **self._how(edit))
            for number, edit in enumerate(bundle.edits)
        }
        return run(self._nodes["SCEditComposeConditions"], conditions=rows)


def sampled(
    model: Any,
    scene: Scene,
    prompts: tuple[list[Any], list[Any]],
    callback: Callable[..., None] | None = None,
) -> bytes:
    """The latents that ComfyUI samples, with fixed noise; as bytes, which no count of tensors sees."""
    noise = torch.randn(scene.latents, 4, *scene.size, generator=torch.Generator().manual_seed(7))
    with torch.inference_mode():
        made = comfy.sample.sample(
            model, noise, scene.steps, scene.cfg, scene.sampler, "normal", *prompts, noise * 0,
            callback=callback, disable_pbar=True, seed=1,
        )  # fmt: skip
    return made.numpy().tobytes()

"""Graphs for the sandbox's model as ComfyUI's API takes them: a caption, controls, a style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from measure import RATIO

__all__ = [
    "AREA",
    "CFG",
    "CHECKPOINT",
    "SAVE",
    "STEPS",
    "Control",
    "Graph",
    "Painting",
    "Strip",
    "graph",
    "halves_graph",
    "strip_graph",
]

CHECKPOINT = "scedit_sandbox.safetensors"
SIDE = 256
AREA = 160  # width of each of two areas, which overlap: where they end, the host averages them
STEPS = 20
CFG = 1.5  # more makes colours overshoot
SAVE = "save"
HINTS: dict[str, tuple[str, dict[str, int]]] = {
    "canny": ("SCEditCanny", {"low_threshold": 100, "high_threshold": 200}),
    "color": ("SCEditColor", {"ratio": RATIO}),
}

Graph = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Control:
    """One control: its tuner, the picture in ComfyUI's input folder that it reads, and its weight.

    `hint` names what makes the hint of the picture: canny, color, masked (with `mask`, a picture that is
    white where something new is wanted), or ready if the picture is a hint already. `how` are further inputs
    of the condition by name, as ("schedule", "0:1, 0.6:0").
    """

    tuner: str
    picture: str
    hint: str = "ready"
    weight: float = 1.0
    mask: str = ""
    how: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Painting:
    """What one picture is made of. `style` is an SC-Tuner's name, applied before the controls."""

    caption: str
    controls: tuple[Control, ...] = ()
    style: str = ""
    style_strength: float = 1.0
    normalize: bool = False
    strength: float = 1.0
    seed: int = 1


def graph(painting: Painting) -> Graph:
    """The whole graph, from loaders to the node 'save'."""
    nodes: Graph = {
        "checkpoint": _node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
        "positive": _node("CLIPTextEncode", clip=["checkpoint", 1], text=painting.caption),
        "negative": _node("CLIPTextEncode", clip=["checkpoint", 1], text=""),
        "latent": _node("EmptyLatentImage", width=SIDE, height=SIDE, batch_size=1),
    }
    model: list[Any] = ["checkpoint", 0]
    if painting.style:
        nodes["load_style"] = _node("SCEditLoadSCTuner", tuner_name=painting.style)
        nodes["style"] = _node(
            "SCEditApplySCTuner", model=model, tuner=["load_style", 0], strength=painting.style_strength
        )
        model = ["style", 0]
    if painting.controls:
        nodes |= _controls(painting.controls, painting.normalize)
        nodes["apply"] = _node(
            "SCEditApplyConditions", model=model, conditions=["compose", 0], strength=painting.strength
        )
        model = ["apply", 0]
    return nodes | _sampling(model, painting.seed)


@dataclass(frozen=True)
class Strip:
    """The way from one control to another in so many pictures from the same noise; None is no control."""

    caption: str
    first: Control | None
    second: Control | None
    count: int
    seed: int = 1


def strip_graph(strip: Strip) -> Graph:
    """All pictures of a strip in one run."""
    nodes = graph(Painting(strip.caption, seed=strip.seed))
    ends = {"first": strip.first, "second": strip.second}
    there = {end: control for end, control in ends.items() if control is not None}
    nodes |= _conditions(list(there.values()))
    sockets = {end: [f"condition{number}", 0] for number, end in enumerate(there)}
    nodes["blend"] = _node("SCEditBlendConditions", **sockets, blend=0.5, across_batch=True)
    nodes["apply"] = _node(
        "SCEditApplyConditions", model=["checkpoint", 0], conditions=["blend", 0], strength=1.0
    )
    nodes["latent"]["inputs"]["batch_size"] = strip.count
    nodes["noise"] = _node("LatentBatchSeedBehavior", samples=["latent", 0], seed_behavior="fixed")
    nodes["sampler"]["inputs"] |= {"model": ["apply", 0], "latent_image": ["noise", 0]}
    return nodes


def halves_graph(captions: Sequence[str], controls: Sequence[Control], seed: int = 1) -> Graph:
    """A picture of two areas, left and right, each with a caption and a control that reads its picture."""
    nodes = graph(Painting("", seed=seed)) | _conditions(controls)
    for number, caption in enumerate(captions):
        nodes[f"text{number}"] = _node("CLIPTextEncode", clip=["checkpoint", 1], text=caption)
        nodes[f"area{number}"] = _node(
            "ConditioningSetArea", conditioning=[f"text{number}", 0], width=AREA, height=SIDE,
            x=number * (SIDE - AREA), y=0, strength=1.0,
        )  # fmt: skip
        nodes[f"steered{number}"] = _node(
            "SCEditApplyToPrompt",
            conditioning=[f"area{number}", 0],
            conditions=[f"condition{number}", 0],
            strength=1.0,
        )
    nodes["positive"] = _node(
        "ConditioningCombine", conditioning_1=["steered0", 0], conditioning_2=["steered1", 0]
    )
    return nodes


def _sampling(model: list[Any], seed: int) -> Graph:
    return {
        "sampler": _node(
            "KSampler",
            model=model,
            positive=["positive", 0],
            negative=["negative", 0],
            latent_image=["latent", 0],
            seed=seed,
            steps=STEPS,
            cfg=CFG,
            sampler_name="euler",
            scheduler="normal",
            denoise=1.0,
        ),
        "decode": _node("VAEDecode", samples=["sampler", 0], vae=["checkpoint", 2]),
        SAVE: _node("PreviewImage", images=["decode", 0]),
    }


def _controls(controls: Sequence[Control], normalize: bool) -> Graph:
    rows = {f"conditions.condition{number}": [f"condition{number}", 0] for number in range(len(controls))}
    compose = _node("SCEditComposeConditions", normalize=normalize, **rows)
    return {**_conditions(controls), "compose": compose}


def _conditions(controls: Sequence[Control]) -> Graph:
    """A condition for each control, with what it reads."""
    nodes: Graph = {}
    for number, control in enumerate(controls):
        nodes[f"picture{number}"] = _node("LoadImage", image=control.picture)
        image = [f"picture{number}", 0]
        if control.hint == "masked":
            nodes[f"mask{number}"] = _node("LoadImageMask", image=control.mask, channel="red")
            nodes[f"hint{number}"] = _node("SCEditMaskedImage", image=image, mask=[f"mask{number}", 0])
        elif control.hint in HINTS:
            kind, settings = HINTS[control.hint]
            nodes[f"hint{number}"] = _node(kind, image=image, **settings)
        if f"hint{number}" in nodes:
            image = [f"hint{number}", 0]
        nodes[f"load{number}"] = _node("SCEditLoadCSCTuner", tuner_name=control.tuner)
        nodes[f"condition{number}"] = _node(
            "SCEditCondition", control=[f"load{number}", 0], image=image, weight=control.weight,
            **dict(control.how),
        )  # fmt: skip
    return nodes


def _node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}

"""What both training nodes ask for, and how it becomes the training's own words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ...scedit_core import SCEditError
from ...scedit_core.errors import shown
from ...scedit_core.hint import to_hint
from ...scedit_core.training import Example, TrainConfig, TrainingSet
from ...scedit_core.training.memory.recompute import Recompute
from .base_model import recordable
from .captions import dropped
from .checks import check_captions, check_latents

RESUME, START_OVER = "resume", "start over"
# what the memory widget offers, in the training's own words
MEMORY: dict[str, Recompute] = {"full speed": "off", "less": "cheap", "least": "all"}
_CONFIG_INPUTS = (
    "steps",
    "batch_size",
    "accumulation",
    "learning_rate",
    "weight_decay",
    "clip_norm",
    "min_snr_gamma",
    "caption_dropout",
    "ema_decay",
    "seed",
    "precision",
)

LATENTS_TIP = (
    "The pictures as latents: a list, as 'Training Folder (SCEdit)' or ComfyUI's dataset nodes make it, or a "
    "batch."
)
POSITIVE_TIP = "One caption per picture, in the same order; a single one serves for all."


def data_inputs() -> list[io.Input]:
    """Model, pictures and captions."""
    return [
        io.Model.Input("model", tooltip="The model to train on. It is not changed itself."),
        io.Latent.Input("latents", tooltip=LATENTS_TIP),
        io.Conditioning.Input("positive", tooltip=POSITIVE_TIP),
    ]


def run_inputs(name: str, steps: int) -> list[io.Input]:
    """Name, length and speed of the training."""
    return [
        io.String.Input(
            "name",
            default=name,
            tooltip="Name of this training. Its state is kept under output/scedit_training, so that it can "
            "go on after a break; folders are allowed.",
        ),
        io.Int.Input(
            "steps", default=steps, min=1, max=10_000_000, tooltip="Changes of the weights, in all."
        ),
        io.Int.Input(
            "batch_size",
            default=1,
            min=1,
            max=4096,
            tooltip="Pictures looked at together. More is steadier and needs more memory.",
        ),
        io.Int.Input(
            "accumulation",
            default=4,
            min=1,
            max=4096,
            tooltip="Batches per step: as steady as a batch that many times larger, at the memory of a "
            "small one.",
        ),
        io.Float.Input(
            "learning_rate",
            default=1e-4,
            min=1e-9,
            max=1.0,
            step=1e-6,
            round=1e-9,
            tooltip="How far each step goes. The paper uses 5e-5, its released configs 1e-4.",
        ),
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=2**64 - 1,
            control_after_generate=False,
            tooltip="Same seed, same tuner: it draws the order, the noise and the first weights.",
        ),
    ]


def shape_inputs() -> list[io.Input]:
    """Form and size of the tuners."""
    return [
        io.Combo.Input(
            "tuner_op",
            options=["adapter", "conv", "lora"],
            default="adapter",
            tooltip="Form of each tuner. adapter: the paper's. conv: with 3x3 convs, which see neighbours "
            "(ratio 8 in the paper). lora: without activation.",
        ),
        io.Float.Input(
            "ratio",
            display_name="rank ratio",
            default=1.0,
            min=0.1,
            max=1280.0,
            step=0.1,
            tooltip="Channels of a skip divided by the tuner's rank: 1 is the paper's, 10 a tenth of the "
            "size.",
        ),
        io.String.Input(
            "blocks",
            default="",
            optional=True,
            advanced=True,
            tooltip="Which skips get a tuner: output blocks, 0 the deepest, such as 0, 3, 6, 9, 11. Empty: "
            "all.",
        ),
    ]


def fine_inputs() -> list[io.Input]:
    """How it learns, for those who know what they want."""
    return [
        io.Conditioning.Input(
            "empty",
            optional=True,
            tooltip="An empty prompt, for caption_dropout.",
        ),
        _fine_float(
            "caption_dropout", 0.0, 1.0, 0.01, "Share of pictures learnt without caption; 0.1 is usual."
        ),
        _fine_float("min_snr_gamma", 0.0, 1e4, 0.1, "Weighs easy noise levels less; 5 is usual, 0 is off."),
        _fine_float("ema_decay", 0.0, 0.999999, 0.0001, "Averages the weights over the steps; 0 is off."),
        _fine_float("weight_decay", 0.01, 1.0, 0.001, "AdamW's pull towards 0."),
        _fine_float("clip_norm", 1.0, 1e6, 0.1, "Longest gradient; 0 is off."),
        io.Combo.Input(
            "precision",
            options=["fp32", "bf16"],
            default="fp32",
            optional=True,
            advanced=True,
            tooltip="Numbers the tuner is kept in while it learns.",
        ),
        io.Combo.Input(
            "memory",
            options=list(MEMORY),
            default="less",
            optional=True,
            tooltip="less: a quarter of the memory at nearly the same speed. least: still less, and slower. "
            "The tuner comes out the same.",
        ),
    ]


def keeping_inputs(save_every: int) -> list[io.Input]:
    """What is saved and shown on the way, by default a tuner after every `save_every` steps."""
    return [
        io.Boolean.Input(
            "buckets",
            default=True,
            optional=True,
            advanced=True,
            tooltip="Batches of one picture size each. Off: pictures of different sizes are refused.",
        ),
        io.Int.Input(
            "save_every",
            default=save_every,
            min=0,
            max=10_000_000,
            optional=True,
            tooltip="Steps between saves: of the state, and of a tuner that can be tried. 0: only at the "
            "end.",
        ),
        io.Int.Input(
            "preview_every",
            default=0,
            min=0,
            max=10_000_000,
            optional=True,
            tooltip="Steps between preview pictures of the first caption. Each takes 20 sampling steps. 0: "
            "none.",
        ),
        io.Combo.Input(
            "when_state_exists",
            options=[RESUME, START_OVER],
            default=RESUME,
            optional=True,
            tooltip="What to do if a training of this name was begun: go on with it, or begin again (the old "
            "state is kept as '.previous', '.previous-2' and so on).",
        ),
    ]


def _fine_float(name: str, default: float, most: float, step: float, tooltip: str) -> io.Float.Input:
    return io.Float.Input(
        name,
        default=default,
        min=0.0,
        max=most,
        step=step,
        round=step / 10,
        optional=True,
        advanced=True,
        tooltip=tooltip,
    )


def scalars(inputs: Mapping[str, list[Any]]) -> dict[str, Any]:
    """The one value of each widget: a node that takes lists gets lists of one."""
    return {name: values[0] for name, values in inputs.items() if values}


def to_config(settings: Mapping[str, Any]) -> TrainConfig:
    """Settings of the training. Raises SCEditError for a value out of range."""
    given = {name: settings[name] for name in _CONFIG_INPUTS if name in settings}
    return TrainConfig(**given, recompute=MEMORY[settings.get("memory", "full speed")])


def to_blocks(text: str) -> tuple[int, ...] | None:
    """Block numbers from text such as '0, 3, 6'; None for all."""
    parts = [part for part in re.split(r"[\s,;]+", text.strip()) if part]
    if not all(re.fullmatch(r"\d{1,3}", part) for part in parts):
        raise SCEditError(f"blocks are numbers such as 0, 3, 6, got '{shown(text)}'; leave it empty for all")
    return tuple(map(int, parts)) or None


def to_training_set(
    model: Any,
    pictures: tuple[Sequence[dict[str, Any]], Sequence[list[Any]]],
    hints: Sequence[Sequence[Tensor]],
    empty: Sequence[list[Any]] | None,
    buckets: bool,
) -> TrainingSet:
    """Examples from lists of LATENT and CONDITIONING, and for each control a list of IMAGE."""
    check_latents(model, pictures[0])
    check_captions(model, [*pictures[1], *(empty or [])[:1]])
    with torch.inference_mode(False):
        latents = _latents(model, pictures[0])
        captions = _captions(pictures[1], len(latents))
        rows = [_hints(images, len(latents), number) for number, images in enumerate(hints)]
        no_caption = recordable(empty[0][0]) if empty else None
        empties = dropped(no_caption, captions) if empty else [None] * len(captions)
        examples = [
            Example(latent, caption, tuple(row[i] for row in rows), without)
            for i, (latent, caption, without) in enumerate(zip(latents, captions, empties, strict=True))
        ]
        return TrainingSet(examples, no_caption, buckets=buckets)


def _latents(model: Any, latents: Sequence[dict[str, Any]]) -> list[Tensor]:
    """Latents (C, h, w) at the model's scale."""
    if not latents:
        raise SCEditError("there is nothing to train on: no pictures came in; connect a list of latents")
    single = []
    for latent in latents:
        samples = latent["samples"]
        if samples.ndim != 4:
            raise SCEditError(
                f"a latent has shape {tuple(samples.shape)}, expected (pictures, channels, height, width); "
                "a video or audio latent cannot be trained on: encode single pictures"
            )
        single += model.model.process_latent_in(samples.clone().float()).unbind(0)
    return single


def _captions(positive: Sequence[list[Any]], count: int) -> list[Any]:
    flat = [entry for conditioning in positive for entry in conditioning]
    if not flat:
        raise SCEditError(
            "there are no captions: connect one CONDITIONING per picture, or a single one for all"
        )
    if len(flat) not in (1, count):
        raise SCEditError(
            f"there are {len(flat)} captions for {count} pictures; give one per picture in the same order, "
            "or a single one for all"
        )
    entries = recordable(flat)
    return entries * count if len(entries) == 1 else entries


def _hints(images: Sequence[Tensor], count: int, number: int) -> list[Tensor]:
    """Per picture its drawings (V, 3, H, W); a single batch of as many hints as pictures is taken apart."""
    hints = [to_hint(image.clone()) for image in images if image is not None]
    if len(hints) == 1 and count > 1:
        hints = list(hints[0].unsqueeze(1))
    if len(hints) != count:
        raise SCEditError(
            f"hint{number} has {len(hints)} images for {count} pictures; give one per picture in the same "
            "order"
        )
    return hints

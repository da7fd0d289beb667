"""What both training nodes ask for, and how it becomes the training's own words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from comfy_api.latest import io

from ...scedit_core import EncoderSize, SCEditError, SkipLayout
from ...scedit_core.errors import shown
from ...scedit_core.spec import StemSize, TunerOp, published_stem
from ...scedit_core.training import TrainConfig
from ...scedit_core.training.config import PRECISIONS, RANGES
from ...scedit_core.training.memory.recompute import Recompute
from ..sockets import DATASET
from ..widgets import ADVANCED, OPTIONAL, choice, number, switch, text, whole

RESUME, START_OVER = "resume", "start over"
# what the memory widget offers, in the training's own words
MEMORY: dict[str, Recompute] = {"full speed": "off", "less": "cheap", "least": "all"}
_DEFAULTS = asdict(TrainConfig())
# of all numbers that are asked for, the least and the most, and what is said of them
_RANGES = {
    **RANGES,
    "ratio": (0.1, 1280.0),
    "kernel": (1, 3),
    "hint_channels": (0, 4096),
    "stem_ratio": (0.0, 8.0),
    "save_every": (0, RANGES["steps"][1]),
    "preview_every": (0, RANGES["steps"][1]),
}
_TIPS = {
    "steps": "Changes of the weights, in all.",
    "batch_size": "Pictures looked at together. More is steadier and needs more memory.",
    "accumulation": "Batches per step: as steady as a batch that many times larger, at the memory of a "
    "small one.",
    "learning_rate": "How far each step goes. The paper uses 5e-5, its released configs 1e-4.",
    "seed": "Same seed, same tuner: it draws the order, the noise and the first weights.",
    "caption_dropout": "Share of pictures learnt without caption; 0.1 is usual.",
    "min_snr_gamma": "Weighs easy noise levels less; 5 is usual, 0 is off.",
    "ema_decay": "Averages the weights over the steps; 0 is off.",
    "weight_decay": "AdamW's pull towards 0.",
    "clip_norm": "Longest gradient; 0 is off.",
    "ratio": "Channels of a skip divided by the tuner's rank: 1 is the paper's, 10 a tenth of the size.",
    "kernel": "Size of the dense hint convs: 1 is small (29M weights on SD 1.5), 3 finer (99M), as "
    "published.",
    "hint_channels": "Channels that the hint is brought to. 0: as published (256 for SD, 320 for SDXL).",
    "stem_ratio": "Width of the convs before that. 0: as published (1 for SD, 2 for SDXL).",
    "save_every": "Steps between saves: of the state, and of a tuner that can be tried. 0: only at the end.",
    "preview_every": "Steps between preview pictures of the first caption. Each takes 20 sampling steps. 0: "
    "none.",
}


def data_inputs() -> list[io.Input]:
    """Model, and pictures with captions: in lists, or as a data set."""
    return [
        io.Model.Input("model", tooltip="The model to train on. It is not changed itself."),
        io.Latent.Input(
            "latents",
            optional=True,
            tooltip="The pictures as latents: a list, as 'Training Folder (SCEdit)' or ComfyUI's dataset "
            "nodes make it, or a batch.",
        ),
        io.Conditioning.Input(
            "positive",
            optional=True,
            tooltip="One caption per picture, in the same order; a single one serves for all.",
        ),
        DATASET.Input(
            "dataset",
            optional=True,
            tooltip="A data set on disk in place of the lists, of any size: read while it is trained on.",
        ),
    ]


def run_inputs(name: str, steps: int) -> list[io.Input]:
    """Name, length and speed of the training."""
    return [
        text(
            "name",
            name,
            "Name of this training. Its state is kept under output/scedit_training, so that it can go on "
            "after a break; folders are allowed.",
        ),
        _asked(whole, "steps", steps),
        _asked(whole, "batch_size"),
        _asked(whole, "accumulation", 4),
        _asked(number, "learning_rate", 1e-4, step=1e-6, round=1e-9),
        _asked(whole, "seed", control_after_generate=False),
    ]


def shape_inputs() -> list[io.Input]:
    """Form and size of the tuners."""
    return [
        choice(
            "tuner_op",
            ("adapter", "conv", "lora"),
            "Form of each tuner. adapter: the paper's. conv: with 3x3 convs, which see neighbours (ratio 8 "
            "in the paper). lora: without activation.",
        ),
        _asked(number, "ratio", 1.0, step=0.1, display_name="rank ratio"),
        text(
            "blocks",
            "",
            "Which skips get a tuner: output blocks, 0 the deepest, such as 0, 3, 6, 9, 11. Empty: all.",
            **ADVANCED,
        ),
    ]


def encoder_inputs() -> list[io.Input]:
    """Size of the hint encoder."""
    return [
        _asked(whole, "kernel", 1, step=2),
        switch(
            "dual_conv",
            False,
            "A pair of convs for each dense hint conv: 3x3 to a fifth of the width, then 1x1.",
            **ADVANCED,
        ),
        _asked(whole, "hint_channels", 0, **ADVANCED),
        _asked(number, "stem_ratio", 0.0, step=0.125, **ADVANCED),
    ]


def fine_inputs() -> list[io.Input]:
    """How it learns, for those who know what they want."""
    return [
        io.Conditioning.Input("empty", optional=True, tooltip="An empty prompt, for caption_dropout."),
        _fine("caption_dropout", 0.01),
        _fine("min_snr_gamma", 0.1),
        _fine("ema_decay", 0.0001),
        _fine("weight_decay", 0.001),
        _fine("clip_norm", 0.1),
        choice("precision", PRECISIONS, "Numbers the tuner is kept in while it learns.", **ADVANCED),
        choice(
            "memory",
            MEMORY,
            "less: a quarter of the memory at nearly the same speed. least: still less, and slower. The "
            "tuner comes out the same.",
            "less",
            **OPTIONAL,
        ),
    ]


def keeping_inputs(save_every: int) -> list[io.Input]:
    """What is saved and shown on the way, by default a tuner after every `save_every` steps."""
    return [
        switch(
            "buckets",
            True,
            "Batches of one picture size each. Off: pictures of different sizes are refused.",
            **ADVANCED,
        ),
        _asked(whole, "save_every", save_every, **OPTIONAL),
        _asked(whole, "preview_every", 0, **OPTIONAL),
        choice(
            "when_state_exists",
            (RESUME, START_OVER),
            "What to do if a training of this name was begun: go on with it, or begin again (the old state "
            "is kept as '.previous', '.previous-2' and so on).",
            **OPTIONAL,
        ),
    ]


def _asked(kind: Callable[..., io.Input], name: str, default: float | None = None, **more: Any) -> io.Input:
    """The widget of a number; its default is TrainConfig's if no other is given."""
    return kind(name, _DEFAULTS[name] if default is None else default, _RANGES[name], _TIPS[name], **more)


def _fine(name: str, step: float) -> io.Input:
    return _asked(number, name, step=step, round=step / 10, **ADVANCED)


def scalars(inputs: Mapping[str, list[Any]]) -> dict[str, Any]:
    """The one value of each widget: a node that takes lists gets lists of one."""
    return {name: values[0] for name, values in inputs.items() if values}


def to_config(settings: Mapping[str, Any]) -> TrainConfig:
    """Settings of the training. Raises SCEditError for a value out of range."""
    given = {name: settings[name] for name in _DEFAULTS if name in settings}
    return TrainConfig(**given, recompute=MEMORY[settings.get("memory", "full speed")])


def to_shape(settings: Mapping[str, Any]) -> tuple[float, tuple[int, ...] | None, TunerOp]:
    """Form and size of the tuners: rank ratio, tuned blocks and op."""
    return settings["ratio"], _blocks(settings.get("blocks", "")), settings["tuner_op"]


def _blocks(given: str) -> tuple[int, ...] | None:
    """Block numbers from text such as '0, 3, 6'; None for all."""
    parts = [part for part in re.split(r"[\s,;]+", given.strip()) if part]
    if not all(re.fullmatch(r"\d{1,3}", part) for part in parts):
        raise SCEditError(f"blocks are numbers such as 0, 3, 6, got '{shown(given)}'; leave it empty for all")
    return tuple(map(int, parts)) or None


def to_encoder(settings: Mapping[str, Any], layout: SkipLayout) -> EncoderSize:
    """Size of the hint encoder; what is left at 0 is as published for U-Nets of this layout."""
    usual = published_stem(layout)
    stem = StemSize(
        settings.get("stem_ratio", 0) or usual.ratio, settings.get("hint_channels", 0) or usual.out
    )
    return EncoderSize(settings["kernel"], stem, settings.get("dual_conv", False))

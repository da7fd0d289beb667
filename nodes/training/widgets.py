"""What both training nodes ask for, and how it becomes the training's own words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from comfy_api.latest import io

from ...scedit_core import EncoderSize, SkipLayout
from ...scedit_core.spec import TunerOp
from ...scedit_core.training.config import RANGES
from ...scedit_core.training.job.keys import keys_of
from ...scedit_core.training.job.parts import RunPart, TeacherPart, TrainingPart, TunerPart
from ..sockets import DATASET
from ..widgets import ADVANCED, OPTIONAL, choice, number, switch, text, whole

RESUME, START_OVER = "resume", "start over"
# of all that is asked for here as in a job file: default, limits, choices, and what is said of it
_KEYS = {name: key for part in (TunerPart, TrainingPart, RunPart) for name, key in keys_of(part)}
_PREVIEW = "Steps between preview pictures of the first caption. Each takes 20 sampling steps. 0: none."


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
        *learning_inputs(steps),
    ]


def learning_inputs(steps: int) -> list[io.Input]:
    """Length and speed of the training."""
    return [
        _asked(whole, "steps", steps),
        _asked(whole, "batch_size"),
        _asked(whole, "accumulation"),
        _asked(number, "learning_rate", step=1e-6, round=1e-9),
        _asked(whole, "seed", control_after_generate=False),
    ]


def shape_inputs() -> list[io.Input]:
    """Form and size of the tuners."""
    return [
        _chosen("tuner_op"),
        _asked(number, "ratio", step=0.1, display_name="rank ratio"),
        text("blocks", "", _KEYS["blocks"].says, **ADVANCED),
    ]


def encoder_inputs() -> list[io.Input]:
    """Size of the hint encoder."""
    return [
        _asked(whole, "kernel", step=2),
        switch("dual_conv", False, _KEYS["dual_conv"].says, **ADVANCED),
        _asked(whole, "hint_channels", **ADVANCED),
        _asked(number, "stem_ratio", step=0.125, **ADVANCED),
    ]


def fine_inputs() -> list[io.Input]:
    """How it learns, for those who know what they want."""
    return [
        io.Conditioning.Input("empty", optional=True, tooltip="An empty prompt, for caption_dropout."),
        *tuning_inputs(),
    ]


def tuning_inputs() -> list[io.Input]:
    """How it learns, by numbers."""
    return [
        _fine("caption_dropout", 0.01),
        _fine("min_snr_gamma", 0.1),
        _fine("ema_decay", 0.0001),
        _fine("weight_decay", 0.001),
        _fine("clip_norm", 0.1),
        _chosen("precision", **ADVANCED),
        _chosen("memory", **OPTIONAL),
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
        whole("preview_every", 0, (0, RANGES["steps"][1]), _PREVIEW, **OPTIONAL),
        choice(
            "when_state_exists",
            (RESUME, START_OVER),
            "What to do if a training of this name was begun: go on with it, or begin again (the old state "
            "is kept as '.previous', '.previous-2' and so on).",
            **OPTIONAL,
        ),
    ]


def last_inputs(save_every: int) -> list[io.Input]:
    """What both nodes end with; what comes new goes to its end, as graphs keep widgets in their order."""
    return [*keeping_inputs(save_every), *teacher_inputs()]


def teacher_inputs() -> list[io.Input]:
    """A model to learn from in place of the pictures, or beside them."""
    keys = dict(keys_of(TeacherPart))
    share, hint = keys["share"], keys["hint"]
    return [
        io.Model.Input(
            "teacher",
            tooltip="A model whose predictions are learnt in place of the true noise: with LoRAs, SCEdit "
            "tuners or other patches, or another checkpoint of the same family. It is not changed itself.",
            **OPTIONAL,
        ),
        io.Conditioning.Input(
            "teacher_positive",
            tooltip="A prompt with the teacher's controls: ControlNets, or tuners of 'Apply to Prompt'. Each "
            "follows the hint of its number of every picture; the text is not used, both read the captions.",
            **OPTIONAL,
        ),
        number("teacher_share", 1.0, (0.0, 1.0), share.says, step=0.05, **ADVANCED),
        choice("teacher_hint", hint.choices, hint.says, hint.default, **ADVANCED),
    ]


def job_inputs() -> list[io.Input]:
    """What a job saves and draws on the way."""
    return [
        _asked(whole, "save_every", 1000, **OPTIONAL),
        _asked(whole, "sample_every", **OPTIONAL),
        _asked(whole, "samples", **ADVANCED),
        text(
            "prompts",
            "",
            "What the samples show, one line for each, in their order. Empty: their own captions.",
            multiline=True,
            **ADVANCED,
        ),
    ]


def _asked(kind: Callable[..., io.Input], name: str, default: float | None = None, **more: Any) -> io.Input:
    """The widget of a number; its default is a job's if no other is given."""
    key = _KEYS[name]
    return kind(name, key.default if default is None else default, key.limits, key.says, **more)


def _chosen(name: str, **more: Any) -> io.Input:
    key = _KEYS[name]
    return choice(name, key.choices, key.says, key.default, **more)


def _fine(name: str, step: float) -> io.Input:
    return _asked(number, name, step=step, round=step / 10, **ADVANCED)


def scalars(inputs: Mapping[str, list[Any]]) -> dict[str, Any]:
    """The one value of each widget: a node that takes lists gets lists of one."""
    return {name: values[0] for name, values in inputs.items() if values}


def to_shape(settings: Mapping[str, Any]) -> tuple[float, tuple[int, ...] | None, TunerOp]:
    """Form and size of the tuners: rank ratio, tuned blocks and op."""
    tuner = _tuner(settings)
    return tuner.ratio, tuner.chosen_blocks, tuner.tuner_op


def to_encoder(settings: Mapping[str, Any], layout: SkipLayout) -> EncoderSize:
    """Size of the hint encoder; what is left at 0 is as published for U-Nets of this layout."""
    return _tuner(settings).encoder(layout)


def _tuner(settings: Mapping[str, Any]) -> TunerPart:
    return TunerPart(
        kind="csc", **{name: settings[name] for name, _ in keys_of(TunerPart) if name in settings}
    )

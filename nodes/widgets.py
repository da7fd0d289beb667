"""Kinds of widgets, and inputs that nodes of several rooms share, worded once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from comfy_api.latest import io

from ..scedit_core.curve import FACTORS, Curve, read_curve
from ..scedit_core.schedule import read_schedule
from ..scedit_core.strength import Factors
from .search_words import WORDS

# Shows the preview again when ComfyUI takes the picture from its cache; a schema field since ComfyUI 0.19.
KEEPS_PREVIEW = {"has_intermediate_output": True} if hasattr(io.Schema, "has_intermediate_output") else {}

# A seed that the frontend offers to change after each run, and keeps unless it is asked.
KEPT = io.ControlAfterGenerate.fixed if hasattr(io, "ControlAfterGenerate") else False


def about(node: type[io.ComfyNode], title: str, room: str) -> dict[str, Any]:
    """How a schema begins: what the node is called, where it is listed, and the words that find it.

    What it does, for people, is the docstring of its class.
    """
    return {
        "node_id": node.__name__,
        "display_name": f"{title} (SCEdit)",
        "category": f"SCEdit/{room}" if room else "SCEdit",
        "description": " ".join((node.__doc__ or "").split()),
        "search_aliases": ["scedit", *WORDS[node.__name__].split(", ")],
    }


PRIORITIES = ("balanced", "prompt", "control")
_MOST_LATENTS = 100_000
# of an input that may be left out, and of one that the frontend folds away besides
OPTIONAL: dict[str, Any] = {"optional": True}
ADVANCED: dict[str, Any] = {"optional": True, "advanced": True}


def whole(
    name: str, default: int, limits: tuple[int, int], tooltip: str, *, step: int | None = None, **more: Any
) -> io.Int.Input:
    """A whole number between two limits."""
    low, high = limits
    return io.Int.Input(name, default=default, min=low, max=high, step=step, tooltip=tooltip, **more)


def number(
    name: str, default: float, limits: tuple[float, float], tooltip: str, *, step: float, **more: Any
) -> io.Float.Input:
    """A number between two limits."""
    low, high = limits
    return io.Float.Input(name, default=default, min=low, max=high, step=step, tooltip=tooltip, **more)


def choice(
    name: str, options: Iterable[str], tooltip: str, default: str | None = None, **more: Any
) -> io.Combo.Input:
    """One of several words, by default the first."""
    words = list(options)
    return io.Combo.Input(name, options=words, default=default or words[0], tooltip=tooltip, **more)


def switch(name: str, default: bool, tooltip: str, **more: Any) -> io.Boolean.Input:
    """On or off."""
    return io.Boolean.Input(name, default=default, tooltip=tooltip, **more)


def text(name: str, default: str, tooltip: str, **more: Any) -> io.String.Input:
    """A line of text."""
    return io.String.Input(name, default=default, tooltip=tooltip, **more)


def model() -> io.Model.Input:
    """The MODEL that gets an edit."""
    return io.Model.Input("model", tooltip="An SD 1.5, SD 2.x or SDXL model; it is not changed itself.")


def hint_image() -> io.Image.Input:
    """What a control follows."""
    return io.Image.Input(
        "image",
        tooltip="The hint image, made the way the control was trained (canny: white edges on black, and so "
        "on). Any size: it is scaled to cover the latent and its centre is used. A batch gives each latent "
        "its own hint; fewer hints than latents repeat, extra ones are ignored.",
    )


def strength(name: str, tooltip: str) -> io.Float.Input:
    """A strength or weight, 1 by default."""
    return number(name, 1.0, FACTORS, tooltip, step=0.01)


def when_and_where() -> list[io.Input]:
    """In which part of the denoising an edit acts, and where in the picture."""
    return [
        _percent("start_percent", 0.0, "begins to act", "0 means from the first step"),
        _percent("end_percent", 1.0, "stops acting", "1 means to the last step"),
        io.Mask.Input(
            "mask",
            optional=True,
            tooltip="Where it acts: white where it should, black where the model is left alone. Scaled to "
            "cover the latent, its centre is used; a batch gives each latent its own mask, fewer repeat.",
        ),
    ]


def schedule() -> io.String.Input:
    """How a strength changes over the denoising."""
    return io.String.Input(
        "schedule",
        default="",
        tooltip="Strength over the denoising, as part : factor, linear between: 0:0.2, 0.4:1, 0.8:0. "
        "Empty: the same throughout. 'Schedule' makes such a text and shows it.",
        **ADVANCED,
    )


def schedules(text: str) -> tuple[Curve, ...]:
    """What the text of a `schedule` input says, for a Condition. Raises SCEditError for a misspelt one."""
    curve = read_schedule(text)
    return () if curve is None else (curve,)


def by_skip_and_latent(presets: list[str]) -> list[io.Input]:
    """How a strength differs from skip to skip, and from latent to latent.

    Names of presets are for web/js/scedit_presets.js, which lists them.
    """
    return [
        text(
            "skip_weights",
            "",
            "Weight of each skip, the deepest first: 1, 1, 0.5, 0 and so on, one for each; or of some by "
            "their number: 9-11:0.5, 0 is the deepest; or the name of a preset: structure, detail, colour, "
            "deep, shallow, or one of models/scedit/presets.txt. Empty: 1 for all.",
            extra_dict={"scedit_presets": presets},
            **ADVANCED,
        ),
        text(
            "latent_weights",
            "",
            "Weight of each latent of a batch, or frame of a video, as number : factor, linear between: "
            "0:0, 15:1. The first is 0. Empty: 1 for all.",
            **ADVANCED,
        ),
    ]


def by_latent(text: str) -> Factors:
    """What the text of a `latent_weights` input says. Raises SCEditError for a misspelt one."""
    curve = read_curve(text, "latent_weights", _MOST_LATENTS, "0:0, 15:1")
    return Factors() if curve is None else Factors(latents=(curve,))


def priority() -> io.Combo.Input:
    """Whether the prompt or the control matters more."""
    return choice(
        "priority",
        PRIORITIES,
        "What matters more where prompt and control disagree. balanced: as trained. prompt: shallow skips "
        "are steered less. control: likewise, and the negative prompt not at all, so that cfg strengthens "
        "the control.",
        **ADVANCED,
    )


def seed(tooltip: str, *, changes: bool | str = False, **more: Any) -> io.Int.Input:
    """A seed; with `changes` the frontend draws another one after each run, or does what KEPT says."""
    return whole("seed", 0, (0, 2**64 - 1), tooltip, control_after_generate=changes, **more)


def _percent(name: str, default: float, what: str, extreme: str) -> io.Float.Input:
    tooltip = f"Part of the denoising after which it {what}, by noise level as in ControlNet: {extreme}."
    return number(name, default, (0.0, 1.0), tooltip, step=0.001, optional=True)

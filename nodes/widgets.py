"""Inputs that several nodes share, worded once, and what is done with them."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from .files.folders import missing_tuner, tuner_fingerprint, tuner_names
from .files.kinds import NONE_YET

IMAGE_TIP = (
    "The hint image, made the way the control was trained (canny: white edges on black, and so on). Any "
    "size: it is scaled to cover the latent and its centre is used. A batch gives each latent its own hint; "
    "fewer hints than latents repeat, extra ones are ignored."
)
MASK_TIP = (
    "Where it acts: white where it should, black where the model is left alone. Scaled to cover the latent, "
    "its centre is used; a batch gives each latent its own mask, fewer repeat."
)


def strength(name: str, tooltip: str) -> io.Float.Input:
    """A strength or weight, 1 by default."""
    return io.Float.Input(name, default=1.0, min=-10.0, max=10.0, step=0.01, tooltip=tooltip)


def start_percent() -> io.Float.Input:
    """Where in the schedule an edit begins to act."""
    return io.Float.Input(
        "start_percent",
        default=0.0,
        min=0.0,
        max=1.0,
        step=0.001,
        optional=True,
        tooltip="Part of the denoising after which it begins to act, by noise level as in ControlNet: 0 "
        "means from the first step.",
    )


def end_percent() -> io.Float.Input:
    """Where in the schedule an edit stops acting."""
    return io.Float.Input(
        "end_percent",
        default=1.0,
        min=0.0,
        max=1.0,
        step=0.001,
        optional=True,
        tooltip="Part of the denoising after which it stops acting, by noise level as in ControlNet: 1 means "
        "to the last step.",
    )


def tuner_name(names: list[str] | None = None) -> io.Combo.Input:
    """The choice of a tuner among these, or all that were found."""
    return io.Combo.Input(
        "tuner_name",
        options=(tuner_names() if names is None else names) or [NONE_YET],
        tooltip="A tuner file or published folder in models/scedit (or a path given for 'scedit' in "
        "extra_model_paths.yaml). Kind and sizes are read from the file.",
    )


def resolution(default: int = 0) -> io.Int.Input:
    """At which size a net looks at a picture."""
    return io.Int.Input(
        "resolution",
        default=default,
        min=0,
        max=4096,
        step=64,
        optional=True,
        tooltip="Short side in pixels at which the net looks at the picture; 0 means the picture's own. The "
        "hint keeps the picture's size. Lower finds coarser things and takes less memory.",
    )


def download() -> io.Boolean.Input:
    """Whether the node may fetch weights that are missing."""
    return io.Boolean.Input(
        "download",
        default=False,
        optional=True,
        tooltip="Fetch the weights once from Hugging Face if they are not on this computer. Off, the node "
        "never goes online.",
    )


class ReadsTuner(io.ComfyNode):
    """A node with the one widget `tuner_name`, which runs again when that file changes."""

    @classmethod
    def validate_inputs(cls, tuner_name: str | None = None) -> bool | str:
        """Refuse a missing file before anything runs; accepts either slash in saved graphs."""
        return missing_tuner(tuner_name)

    @classmethod
    def fingerprint_inputs(cls, tuner_name: str) -> Any:
        """Read again when the file changed."""
        return tuner_fingerprint(tuner_name)

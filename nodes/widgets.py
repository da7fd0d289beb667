"""Inputs that nodes of several rooms share, worded once."""

from __future__ import annotations

from comfy_api.latest import io

# Shows the preview again when ComfyUI takes the picture from its cache; a schema field since ComfyUI 0.19.
KEEPS_PREVIEW = {"has_intermediate_output": True} if hasattr(io.Schema, "has_intermediate_output") else {}


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
    return io.Float.Input(name, default=1.0, min=-10.0, max=10.0, step=0.01, tooltip=tooltip)


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


def seed(tooltip: str, *, changes: bool = False, **more: bool) -> io.Int.Input:
    """A seed; with `changes` the frontend draws another one after each run."""
    return io.Int.Input(
        "seed", default=0, min=0, max=2**64 - 1, control_after_generate=changes, tooltip=tooltip, **more
    )


def _percent(name: str, default: float, what: str, extreme: str) -> io.Float.Input:
    return io.Float.Input(
        name,
        default=default,
        min=0.0,
        max=1.0,
        step=0.001,
        optional=True,
        tooltip=f"Part of the denoising after which it {what}, by noise level as in ControlNet: {extreme}.",
    )

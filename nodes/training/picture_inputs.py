"""How pictures, captions and hints are used, and how they come out: of all nodes that make them."""

from __future__ import annotations

from comfy_api.latest import io

from ...scedit_core.training.dataset.buckets import STEP
from ..widgets import ADVANCED, OPTIONAL, seed, switch, text, whole


def picture_inputs() -> list[io.Input]:
    """How pictures and captions are used."""
    return [
        whole(
            "resolution",
            512,
            (STEP, 4096),
            "Size to train at, in pixels, as the side of a square: 512 for SD 1.5, 768 for SD 2.1, 1024 for "
            "SDXL.",
            step=STEP,
        ),
        switch(
            "buckets",
            True,
            "Wide and tall pictures stay so, at sizes of about the same area, in steps of 64. Off: the "
            "centre square of each.",
        ),
        text(
            "trigger",
            "",
            "Put in front of each caption, such as <sce>; written in a prompt, it calls the style up.",
        ),
        text(
            "caption_when_missing",
            "",
            "Caption of pictures without a .txt file. Empty: an error names these pictures.",
            multiline=True,
            **OPTIONAL,
        ),
    ]


def hint_inputs() -> list[io.Input]:
    """Which hints are read, or how they are drawn."""
    return [
        text(
            "hint_folder",
            "hints",
            "For 'from folder': name of the folder, inside the other one, that holds a hint per picture, of "
            "the same name.",
            **OPTIONAL,
        ),
        variants_input(),
        seed("Draws the random settings and masks of the hints.", **ADVANCED),
    ]


def variants_input() -> io.Int.Input:
    """How many hints are drawn of each picture."""
    return whole(
        "hint_variants",
        1,
        (1, 64),
        "Hints drawn per picture, each with other random settings or another mask. They take memory in "
        "proportion.",
        **ADVANCED,
    )


def example_outputs(report: str) -> list[io.Output]:
    """Pictures, captions and hints in lists, as training nodes take them; `report` says what is in that."""
    each = {"is_output_list": True}
    return [
        io.Latent.Output(display_name="latents", tooltip="One per picture, for a training node.", **each),
        io.Conditioning.Output(display_name="positive", tooltip="The captions, in the same order.", **each),
        io.Conditioning.Output(display_name="empty prompt", tooltip="An empty caption, for caption_dropout."),
        io.Image.Output(
            display_name="hints",
            tooltip="A batch of hints per picture, in the same order; nothing if hint is none.",
            **each,
        ),
        io.String.Output(display_name="report", tooltip=report),
    ]

"""The node that has a model draw what is trained on."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import numpy as np
import torch
from comfy_api.latest import io, ui
from comfy_execution.graph_utils import ExecutionBlocker

from ...scedit_core import SCEditError
from ...scedit_core.hint import PIXELS_PER_LATENT
from ...scedit_core.training.dataset.folder import ANNOTATORS, NO_HINT
from ...scedit_core.training.dataset.prompted import SMALLEST, PromptedSettings
from ..patching.conditions import skip_layout
from ..sampling import Sampling, sampling_inputs
from ..telling import told
from ..widgets import KEEPS_PREVIEW, KEPT, OPTIONAL, about, choice, seed, text, whole
from .drawing import Prompts, draw_latents, show_latents
from .picture_inputs import example_outputs, variants_input

_MOST, _LARGEST = 1000, 4096  # pictures to a prompt, and pixels
_SHOWN = 8  # pictures on the node
_BLANK = np.zeros((SMALLEST, SMALLEST, 3), np.uint8)


def _prompt_inputs() -> list[io.Input]:
    """The model, and what it is to draw."""
    return [
        io.Model.Input("model", tooltip="The model that is to be trained. It draws what it is trained on."),
        io.Clip.Input("clip", tooltip="Text encoder of the model that is to be trained."),
        text(
            "prompts",
            "",
            "What to draw: a prompt on each line. Blank lines and lines that begin with # are left out.",
            multiline=True,
        ),
        text("negative", "", "What no picture is to show.", multiline=True, **OPTIONAL),
        whole(
            "count",
            4,
            (1, _MOST),
            "Pictures to each prompt. A higher count leaves the first ones as they are.",
        ),
    ]


def _size_inputs() -> list[io.Input]:
    """How large the pictures are."""
    tooltip = "{} of the pictures in pixels: those that the model draws best, such as 512 for SD 1.5."
    return [
        whole(name, 512, (SMALLEST, _LARGEST), tooltip.format(name.title()), step=PIXELS_PER_LATENT)
        for name in ("width", "height")
    ]


def _hint_inputs() -> list[io.Input]:
    """Which hints are drawn of the pictures."""
    return [
        choice(
            "hint",
            [NO_HINT, *ANNOTATORS],
            "What a control learns to follow: edges, colours, cut-outs or lines, drawn of each picture with "
            "random settings. none: for a style.",
        ),
        io.Vae.Input("vae", tooltip="The model's VAE, for hints and to see the pictures.", **OPTIONAL),
        variants_input(),
    ]


class SCEditDrawPictures(io.ComfyNode):
    """Has a model draw pictures to prompts, to be trained on under a teacher where there are none."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **about(cls, "Draw Training Pictures", "training"),
            is_experimental=True,
            is_output_node=True,  # so that it runs without a training behind it
            inputs=[
                *_prompt_inputs(),
                *_size_inputs(),
                *sampling_inputs(),
                seed(
                    "The first picture's; the others count on from it. It draws their hints too.",
                    changes=KEPT,
                ),
                *_hint_inputs(),
            ],
            outputs=[
                *example_outputs("What was drawn."),
                io.Image.Output(
                    display_name="pictures",
                    tooltip="The pictures themselves, in the same order; nothing without a vae.",
                    is_output_list=True,
                ),
            ],
            **KEEPS_PREVIEW,
        )

    @classmethod
    def execute(
        cls, model: Any, clip: Any, prompts: str, vae: Any = None, negative: str = "", **widgets: Any
    ) -> io.NodeOutput:
        how, asked = Sampling.taken(widgets), PromptedSettings(prompts, **widgets)
        _check(model, vae, asked)
        texts = Prompts(model, clip, negative, asked)
        latents = draw_latents(model, texts, asked, how)
        pictures, hints = ([], []) if vae is None else show_latents(vae, latents, asked)
        report, shown = asked.describe(), {}
        if pictures:
            shown = ui.PreviewImage(torch.cat(pictures[:_SHOWN]), cls=cls).as_dict()
        return io.NodeOutput(
            latents, texts.positive, texts.empty, hints, report, pictures or ExecutionBlocker(None),
            ui={**shown, **told(report).as_dict()},
        )  # fmt: skip


def _check(model: Any, vae: Any, asked: PromptedSettings) -> None:
    """Refuse what would end in an error, or in none that is understood, after all is drawn."""
    skip_layout(model)
    if asked.has_hints and vae is None:
        raise SCEditError(
            f"hint is '{asked.hint}', which is drawn of a picture, and there is no VAE to see it by; connect "
            "vae, or set hint to none"
        )
    if asked.has_hints:
        asked.hints(0, _BLANK)  # if OpenCV is missing, it is missed now
    free = comfy.model_management.get_free_memory(torch.device("cpu"))
    asked.check_room(free, has_pictures=vae is not None)

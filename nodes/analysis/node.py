"""The node that shows what a MODEL's skips do: to its decoder, and each of them to the picture."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io, ui

from ...scedit_core.pictures.skip_sheet import draw_skip_sheet
from ...scedit_core.skip_figures import variance
from .. import widgets
from ..patching.conditions import skip_layout
from ..patching.probe import edits_of
from ..telling import told
from .looking import Scene, look
from .plan import HALVES, MOST_SCALE, ONE_OFF, ONE_ON, Findings, findings, plan_of


class SCEditSkipAnalysis(io.ComfyNode):
    """Shows what skip connections do: the decoder with all, half and none of them, and each one's share."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **widgets.about(cls, "Skip Analysis", ""),
            is_output_node=True,
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="An SD 1.5, SD 2.x or SDXL model, also one with styles and controls: then the "
                    "blocks of each are looked at too.",
                ),
                io.Conditioning.Input("positive", tooltip="The prompt, with controls of its own if it has."),
                io.Latent.Input(
                    "latent_image",
                    tooltip="A picture as a latent, to which noise is added: an encoded photo, or what a "
                    "sampler made.",
                ),
                widgets.seed("Draws the noise."),
                widgets.number(
                    "percent",
                    0.5,
                    (0.0, 1.0),
                    "Part of the denoising at which the model looks, by noise level: 0 is the first step, 1 "
                    "the last.",
                    step=0.01,
                ),
                widgets.number(
                    "scale",
                    0.0,
                    (0.0, MOST_SCALE),
                    "What skips are multiplied by: 0 removes them, 0.5 halves them, 1 changes nothing.",
                    step=0.05,
                ),
                widgets.choice("half", HALVES, "Which half of the skips is scaled where half of them is."),
                widgets.choice(
                    "tuners",
                    (ONE_OFF, ONE_ON),
                    "How the blocks of styles and controls are looked at: one is off and the others stay, or "
                    "one acts alone. Used if the model has any.",
                    **widgets.OPTIONAL,
                ),
            ],
            outputs=[
                io.Image.Output(display_name="sheet", tooltip="Distribution, feature maps and bars."),
                io.String.Output(display_name="figures", tooltip="All figures of the sheet, a line each."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: list[Any],
        latent_image: dict[str, Any],
        seed: int,
        percent: float,
        scale: float,
        half: str,
        tuners: str = ONE_OFF,
    ) -> io.NodeOutput:
        skips = len(skip_layout(model).channels)
        plan = plan_of(skips, scale, half, edits_of(model), tuners)
        scene = Scene(model, positive, latent_image, seed, percent)
        found = findings(plan, look(scene, plan.variants))
        title = f"{skips} skips, at {percent:g} of the denoising (noise level {scene.level:.4g})"
        figures = "\n".join([title, *_figures(found), *_notes(scene)])
        sheet = torch.from_numpy(draw_skip_sheet(title, found.ways, found.bars).copy())[None] / 255
        shown = {**ui.PreviewImage(sheet, cls=cls).as_dict(), **told(figures).as_dict()}
        return io.NodeOutput(sheet, figures, ui=shown)


def _figures(found: Findings) -> list[str]:
    """Each way's variance and how far it moves the picture, then the bars, a line for each."""
    lines = []
    for way, share in zip(found.ways, found.moved, strict=True):
        *_, last = way.outputs.values()
        said = f"{way.name}: variance of the last decoder output {variance(last):.4g}"
        lines.append(said if way is found.ways[0] else f"{said}, picture moved by {share:.2%}")
    for bars in found.bars:
        shares = zip(bars.blocks, bars.shares, strict=True)
        lines.append(f"{bars.title}, by {bars.place}, picture moved by")
        lines += [f"  {block}: {share:.2%}" for block, share in shares]
    return lines


def _notes(scene: Scene) -> list[str]:
    if scene.percent > 0 and not scene.latent["samples"].any():
        return [
            "note: latent_image is empty, and a sampler at this part of the denoising has a picture there; "
            "encode one, or set percent to 0"
        ]
    return []

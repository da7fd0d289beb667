"""The conditions that controls follow, a row each: how hints of that kind are made, and all that is asked.

Their own nodes and 'Any Hint' are made from these rows; a further condition is a further row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from comfy_api.latest import io
from einops import rearrange
from torch import Tensor

from ...scedit_core.annotators.drawn.canny import canny
from ...scedit_core.annotators.drawn.color import color
from ...scedit_core.annotators.drawn.masked_image import masked_image
from ...scedit_core.annotators.drawn.sketch import AUTO, LINES, sketch
from ...scedit_core.annotators.nets.depth import DEPTH_LOOK, build_depth, depth
from ...scedit_core.annotators.nets.hed import HED_LOOK, build_hed, hed
from ...scedit_core.annotators.nets.pose import HANDS_LOOK, POSE_LOOK, build_pose, pose
from ...scedit_core.annotators.nets.segmentation import SEGMENTATION_LOOK, build_segmentation, segmentation
from ...scedit_core.annotators.nets.weights import (
    BODY_WEIGHTS,
    DEPTH_WEIGHTS,
    FACE_WEIGHTS,
    HAND_WEIGHTS,
    HED_WEIGHTS,
    SEGMENTATION_WEIGHTS,
)
from ...scedit_core.annotators.photo import to_drawing, to_photo
from ...scedit_core.hint import to_mask
from .drawing import Settings, annotate
from .nets import Net, detect

_DARK, _WHITE = "dark on white", "white on black"


@dataclass(frozen=True)
class HintKind:
    """A condition: its name, what its node says, its settings, and how photos become hints of the same size.

    `draw` takes images (N, H, W, C), 0..1, and the values of `inputs` by name; it gives hints (N, H, W, 3).
    A kind that a net finds has a `net_resolution`, the short side at which the net looks if the user asks for
    none (0: the image's own). Its `draw` is told that side as "resolution" and scales there and back itself.
    """

    name: str
    title: str
    description: str
    aliases: list[str]
    image: str
    control: str
    inputs: Callable[[], list[io.Input]]
    draw: Callable[[Tensor, Settings], Tensor]
    net_resolution: int | None = None


def _threshold(name: str, default: int, tooltip: str) -> io.Int.Input:
    return io.Int.Input(name, default=default, min=0, max=2000, tooltip=tooltip)


def _canny_inputs() -> list[io.Input]:
    return [
        _threshold(
            "low_threshold",
            100,
            "Edges weaker than this are dropped. Lower finds more. Published controls: 100.",
        ),
        _threshold(
            "high_threshold",
            200,
            "Edges stronger than this are kept; those between only where they join one. Published "
            "controls: 200.",
        ),
    ]


def _color_inputs() -> list[io.Input]:
    return [
        io.Int.Input(
            "ratio",
            display_name="block size",
            default=64,
            min=1,
            max=1024,
            tooltip="Side of a colour block in pixels of the image. Published controls: 64 (48 to 96).",
        )
    ]


def _masked_image_inputs() -> list[io.Input]:
    return [
        io.Mask.Input(
            "mask",
            tooltip="White where something new is to be made. Scaled to cover the picture if its "
            "size differs; a batch gives each picture its own, fewer repeat.",
        )
    ]


def _sketch_inputs() -> list[io.Input]:
    return [
        io.Float.Input(
            "threshold",
            default=0.3,
            min=0.01,
            max=1.0,
            step=0.01,
            tooltip="How strong a line must be beside the strongest of the drawing. Lower finds fainter "
            "ones, and more of the paper.",
        ),
        io.Combo.Input(
            "lines",
            options=list(LINES),
            default=AUTO,
            tooltip="Whether the lines are darker or lighter than the paper. auto: what there is less of.",
        ),
        io.Boolean.Input(
            "thin",
            default=True,
            tooltip="Draw each line one pixel wide, as canny edges are. Off: as wide as in the drawing.",
        ),
        io.Mask.Input(
            "transparent",
            optional=True,
            tooltip="For drawings on a transparent ground: the mask of 'Load Image'. Black parts are the "
            "drawing, white ones are filled like paper.",
        ),
    ]


def _hed_inputs() -> list[io.Input]:
    return [
        io.Combo.Input(
            "polarity",
            options=[_DARK, _WHITE],
            default=_DARK,
            tooltip="Published SCEdit controls learned dark edges on white. ControlNets want white on black.",
        )
    ]


def _pose_inputs() -> list[io.Input]:
    learned = "Published controls learned bodies only."
    return [
        io.Boolean.Input("hands", default=False, tooltip=f"Draw fingers too. {learned}"),
        io.Boolean.Input("face", default=False, tooltip=f"Draw faces too. {learned}"),
    ]


def _draw_canny(image: Tensor, settings: Settings) -> Tensor:
    low, high = settings["low_threshold"], settings["high_threshold"]
    return annotate(to_photo(image), lambda photo: canny(photo, low, high))


def _draw_color(image: Tensor, settings: Settings) -> Tensor:
    return annotate(to_photo(image), lambda photo: color(photo, settings["ratio"]))


def _draw_masked_image(image: Tensor, settings: Settings) -> Tensor:
    hint = masked_image(to_photo(image), to_mask(settings["mask"]))
    return rearrange(hint, "n c h w -> n h w c")


def _draw_sketch(image: Tensor, settings: Settings) -> Tensor:
    transparent = settings.get("transparent")
    drawing = to_drawing(image, None if transparent is None else to_mask(transparent))
    threshold, lines, thin = settings["threshold"], settings["lines"], settings["thin"]
    return annotate(drawing, lambda page: sketch(page, threshold, lines, thin=thin))


HED = Net((HED_WEIGHTS,), build_hed, HED_LOOK, hed)
DEPTH = Net((DEPTH_WEIGHTS,), build_depth, DEPTH_LOOK, depth)
SEGMENTATION = Net((SEGMENTATION_WEIGHTS,), build_segmentation, SEGMENTATION_LOOK, segmentation)


def _draw_hed(image: Tensor, settings: Settings) -> Tensor:
    return detect(HED, image, settings, white_on_black=settings["polarity"] == _WHITE)


def _draw_depth(image: Tensor, settings: Settings) -> Tensor:
    return detect(DEPTH, image, settings)


def _draw_pose(image: Tensor, settings: Settings) -> Tensor:
    hands, face = settings["hands"], settings["face"]
    files = (BODY_WEIGHTS, HAND_WEIGHTS if hands else None, FACE_WEIGHTS if face else None)
    return detect(Net(files, build_pose, HANDS_LOOK if hands else POSE_LOOK, pose), image, settings)


def _draw_segmentation(image: Tensor, settings: Settings) -> Tensor:
    return detect(SEGMENTATION, image, settings)


_ROWS = (
    HintKind(
        "canny",
        "Canny Hint",
        "White edges on black, for canny controls. Same size as the image.",
        ["scedit", "canny edge", "preprocessor", "线稿", "边缘检测", "線画", "エッジ"],
        image="The picture whose edges should be followed.",
        control="a canny control",
        inputs=_canny_inputs,
        draw=_draw_canny,
    ),
    HintKind(
        "color",
        "Color Hint",
        "Coarse colour blocks, for color controls. Same size as the image.",
        ["scedit", "color palette", "colour", "preprocessor", "颜色", "色块", "色"],
        image="The picture whose colours should be followed.",
        control="a color control",
        inputs=_color_inputs,
        draw=_draw_color,
    ),
    HintKind(
        "masked image",
        "Masked Image Hint",
        "Blackens the masked part of a picture, for inpainting controls. Same size.",
        ["scedit", "inpaint", "cut out", "mask", "preprocessor", "局部重绘", "遮罩", "マスク"],
        image="The picture to keep outside the mask.",
        control="an inpainting control",
        inputs=_masked_image_inputs,
        draw=_draw_masked_image,
    ),
    HintKind(
        "sketch",
        "Sketch Hint",
        "Clean white lines on black from a drawing or scan, for canny controls. Same size.",
        [
            "scedit",
            "scribble",
            "drawing",
            "lineart",
            "line art",
            "preprocessor",
            "草图",
            "手绘",
            "线稿",
            "線画",
        ],
        image="A drawing or a scan of one, on paper of any brightness.",
        control="a canny control",
        inputs=_sketch_inputs,
        draw=_draw_sketch,
    ),
    HintKind(
        "hed",
        "HED Hint",
        "Soft edges, dark on white, for HED controls. Same size as the image.",
        ["scedit", "soft edge", "hed", "scribble", "preprocessor", "软边缘", "边缘检测"],
        image="The picture whose edges should be followed.",
        control="a HED control",
        inputs=_hed_inputs,
        draw=_draw_hed,
        net_resolution=0,
    ),
    HintKind(
        "depth",
        "Depth Hint",
        "How near everything is, near is bright, for depth controls. Same size as the image.",
        ["scedit", "midas", "depth map", "preprocessor", "深度", "深度图"],
        image="The picture whose depth should be followed.",
        control="a depth control",
        inputs=list,
        draw=_draw_depth,
        net_resolution=0,
    ),
    HintKind(
        "pose",
        "Pose Hint",
        "Joints and limbs of people, coloured on black, for pose controls. Same size.",
        ["scedit", "openpose", "skeleton", "preprocessor", "姿态", "骨架", "ポーズ"],
        image="The picture whose people should be followed.",
        control="a pose control",
        inputs=_pose_inputs,
        draw=_draw_pose,
        net_resolution=0,
    ),
    HintKind(
        "segmentation",
        "Segmentation Hint",
        "What is where, in the 150 colours of ADE20K, for segmentation controls. Same size.",
        ["scedit", "ade20k", "uniformer", "upernet", "preprocessor", "语义分割"],
        image="The picture whose layout should be followed.",
        control="a segmentation control",
        inputs=list,
        draw=_draw_segmentation,
        net_resolution=512,
    ),
)
KINDS: Mapping[str, HintKind] = {row.name: row for row in _ROWS}

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
from ...scedit_core.annotators.nets.depth import DEPTH_LOOK, build_depth, depth, depth_all
from ...scedit_core.annotators.nets.hed import HED_LOOK, build_hed, hed, hed_all
from ...scedit_core.annotators.nets.pose import HANDS_LOOK, POSE_LOOK, build_pose, pose
from ...scedit_core.annotators.nets.segmentation import (
    SEGMENTATION_LOOK,
    build_segmentation,
    segmentation,
    segmentation_all,
)
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
from ..widgets import choice, number, switch, whole
from .drawing import Settings, annotate
from .nets import Net, detect

_DARK, _WHITE = "dark on white", "white on black"


@dataclass(frozen=True)
class HintKind:
    """A condition: its name, what its node says, its settings, and how photos become hints of the same size.

    Its node has the id `node_id`; `image` and `control` say what comes in and who wants what comes out.
    `draw` takes images (N, H, W, C), 0..1, and the values of `inputs` by name; it gives hints (N, H, W, 3).
    A kind that a net finds has a `net_resolution`, the short side at which the net looks if the user asks for
    none (0: the image's own). Its `draw` is told that side as "resolution" and scales there and back itself.
    """

    name: str
    node_id: str
    title: str
    control: str
    inputs: Callable[[], list[io.Input]]
    draw: Callable[[Tensor, Settings], Tensor]
    net_resolution: int | None
    description: str
    image: str


def _canny_inputs() -> list[io.Input]:
    limits = (0, 2000)
    weak = "Edges weaker than this are dropped. Lower finds more. Published controls: 100."
    strong = (
        "Edges stronger than this are kept; those between only where they join one. Published controls: 200."
    )
    return [whole("low_threshold", 100, limits, weak), whole("high_threshold", 200, limits, strong)]


def _color_inputs() -> list[io.Input]:
    tooltip = "Side of a colour block in pixels of the image. Published controls: 64 (48 to 96)."
    return [whole("ratio", 64, (1, 1024), tooltip, display_name="block size")]


def _masked_image_inputs() -> list[io.Input]:
    tooltip = (
        "White where something new is to be made. Scaled to cover the picture if its size differs; a batch "
        "gives each picture its own, fewer repeat."
    )
    return [io.Mask.Input("mask", tooltip=tooltip)]


def _sketch_inputs() -> list[io.Input]:
    weak = (
        "How strong a line must be beside the strongest of the drawing. Lower finds fainter ones, and more "
        "of the paper."
    )
    side = "Whether the lines are darker or lighter than the paper. auto: what there is less of."
    thin = "Draw each line one pixel wide, as canny edges are. Off: as wide as in the drawing."
    clear = (
        "For drawings on a transparent ground: the mask of 'Load Image'. Black parts are the drawing, white "
        "ones are filled like paper."
    )
    return [
        number("threshold", 0.3, (0.01, 1.0), weak, step=0.01),
        choice("lines", LINES, side, default=AUTO),
        switch("thin", True, thin),
        io.Mask.Input("transparent", optional=True, tooltip=clear),
    ]


def _hed_inputs() -> list[io.Input]:
    tooltip = "Published SCEdit controls learned dark edges on white. ControlNets want white on black."
    return [choice("polarity", [_DARK, _WHITE], tooltip)]


def _pose_inputs() -> list[io.Input]:
    learned = "Published controls learned bodies only."
    return [
        switch("hands", False, f"Draw fingers too. {learned}"),
        switch("face", False, f"Draw faces too. {learned}"),
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


HED = Net((HED_WEIGHTS,), build_hed, HED_LOOK, hed, hed_all)
DEPTH = Net((DEPTH_WEIGHTS,), build_depth, DEPTH_LOOK, depth, depth_all)
SEGMENTATION = Net(
    (SEGMENTATION_WEIGHTS,), build_segmentation, SEGMENTATION_LOOK, segmentation, segmentation_all
)
BODIES = Net((BODY_WEIGHTS, None, None), build_pose, POSE_LOOK, pose)


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


# fmt: off
_ROWS = (
    HintKind("canny", "SCEditCanny", "Canny Hint", "a canny control", _canny_inputs, _draw_canny, None,
             "White edges on black, for canny controls. Same size as the image.",
             "The picture whose edges should be followed."),
    HintKind("color", "SCEditColor", "Color Hint", "a color control", _color_inputs, _draw_color, None,
             "Coarse colour blocks, for color controls. Same size as the image.",
             "The picture whose colours should be followed."),
    HintKind("masked image", "SCEditMaskedImage", "Masked Image Hint", "an inpainting control",
             _masked_image_inputs, _draw_masked_image, None,
             "Blackens the masked part of a picture, for inpainting controls. Same size.",
             "The picture to keep outside the mask."),
    HintKind("sketch", "SCEditSketch", "Sketch Hint", "a canny control", _sketch_inputs, _draw_sketch, None,
             "Clean white lines on black from a drawing or scan, for canny controls. Same size.",
             "A drawing or a scan of one, on paper of any brightness."),
    HintKind("hed", "SCEditHED", "HED Hint", "a HED control", _hed_inputs, _draw_hed, 0,
             "Soft edges, dark on white, for HED controls. Same size as the image.",
             "The picture whose edges should be followed."),
    HintKind("depth", "SCEditDepth", "Depth Hint", "a depth control", list, _draw_depth, 0,
             "How near everything is, near is bright, for depth controls. Same size as the image.",
             "The picture whose depth should be followed."),
    HintKind("pose", "SCEditPose", "Pose Hint", "a pose control", _pose_inputs, _draw_pose, 0,
             "Joints and limbs of people, coloured on black, for pose controls. Same size.",
             "The picture whose people should be followed."),
    HintKind("segmentation", "SCEditSegmentation", "Segmentation Hint", "a segmentation control",
             list, _draw_segmentation, 512,
             "What is where, in the 150 colours of ADE20K, for segmentation controls. Same size.",
             "The picture whose layout should be followed."),
)
# fmt: on
KINDS: Mapping[str, HintKind] = {row.name: row for row in _ROWS}
# as published controls learned them: the settings that the nodes have by default
NETS: Mapping[str, Net] = {"hed": HED, "depth": DEPTH, "pose": BODIES, "segmentation": SEGMENTATION}

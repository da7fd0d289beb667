"""Nodes whose hints a net finds in pictures: edges, depth, poses, classes."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ..widgets import download, resolution
from .drawing import KEEPS_PREVIEW, show
from .nets import (
    POLARITIES,
    detect_depth,
    detect_hed,
    detect_pose,
    detect_segmentation,
    hed_inputs,
    pose_inputs,
)


class SCEditHED(io.ComfyNode):
    """Soft edges as the HED controllers expect them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="SCEditHED",
            display_name="HED Hint (SCEdit)",
            category="SCEdit/hints",
            description="Soft edges, dark on white, for HED controls. Same size as the image.",
            search_aliases=["scedit", "soft edge", "hed", "scribble", "preprocessor", "软边缘", "边缘检测"],
            inputs=[
                io.Image.Input("image", tooltip="The picture whose edges should be followed."),
                *hed_inputs(),
                resolution(),
                download(),
            ],
            outputs=[io.Image.Output(display_name="hint", tooltip="For a HED control.")],
            **KEEPS_PREVIEW,
        )

    @classmethod
    def execute(
        cls, image: Tensor, polarity: str = POLARITIES[0], resolution: int = 0, download: bool = False
    ) -> io.NodeOutput:
        """Make and show the hint."""
        hint = detect_hed(image, resolution, download, white_on_black=polarity == POLARITIES[1])
        return show(cls, hint)


class SCEditDepth(io.ComfyNode):
    """Depth as the depth controllers expect it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="SCEditDepth",
            display_name="Depth Hint (SCEdit)",
            category="SCEdit/hints",
            description="How near everything is, near is bright, for depth controls. Same size as the image.",
            search_aliases=["scedit", "midas", "depth map", "preprocessor", "深度", "深度图"],
            inputs=[
                io.Image.Input("image", tooltip="The picture whose depth should be followed."),
                resolution(),
                download(),
            ],
            outputs=[io.Image.Output(display_name="hint", tooltip="For a depth control.")],
            **KEEPS_PREVIEW,
        )

    @classmethod
    def execute(cls, image: Tensor, resolution: int = 0, download: bool = False) -> io.NodeOutput:
        """Make and show the hint."""
        return show(cls, detect_depth(image, resolution, download))


class SCEditPose(io.ComfyNode):
    """Poses as the pose controllers expect them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="SCEditPose",
            display_name="Pose Hint (SCEdit)",
            category="SCEdit/hints",
            description="Joints and limbs of people, coloured on black, for pose controls. Same size.",
            search_aliases=["scedit", "openpose", "skeleton", "preprocessor", "姿态", "骨架", "ポーズ"],
            inputs=[
                io.Image.Input("image", tooltip="The picture whose people should be followed."),
                *pose_inputs(),
                resolution(),
                download(),
            ],
            outputs=[io.Image.Output(display_name="hint", tooltip="For a pose control.")],
            **KEEPS_PREVIEW,
        )

    @classmethod
    def execute(
        cls,
        image: Tensor,
        hands: bool = False,
        face: bool = False,
        resolution: int = 0,
        download: bool = False,
    ) -> io.NodeOutput:
        """Make and show the hint."""
        return show(cls, detect_pose(image, resolution, download, hands=hands, face=face))


class SCEditSegmentation(io.ComfyNode):
    """Classes as segmentation controllers expect them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="SCEditSegmentation",
            display_name="Segmentation Hint (SCEdit)",
            category="SCEdit/hints",
            description="What is where, in the 150 colours of ADE20K, for segmentation controls. Same size.",
            search_aliases=["scedit", "ade20k", "uniformer", "upernet", "preprocessor", "语义分割"],
            inputs=[
                io.Image.Input("image", tooltip="The picture whose layout should be followed."),
                resolution(default=512),
                download(),
            ],
            outputs=[io.Image.Output(display_name="hint", tooltip="For a segmentation control.")],
            **KEEPS_PREVIEW,
        )

    @classmethod
    def execute(cls, image: Tensor, resolution: int = 512, download: bool = False) -> io.NodeOutput:
        """Make and show the hint."""
        return show(cls, detect_segmentation(image, resolution, download))

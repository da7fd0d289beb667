"""Weight files in the layouts of the published ones, small photos, and a measure of where a map lies."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from controlnet_aux.hed import ControlNetHED_Apache2
    from controlnet_aux.midas.midas.dpt_depth import DPTDepthModel
    from controlnet_aux.open_pose.face import FaceNet
    from controlnet_aux.open_pose.model import bodypose_model, handpose_model
    from transformers import ConvNextConfig, UperNetConfig, UperNetForSemanticSegmentation

from scedit_core.annotators.nets import weights as w

SIZES = [(512, 512), (768, 513), (333, 1001)]  # of photos: square, and those that no net takes as they are


def upernet() -> nn.Module:
    """The published segmentation net's architecture."""
    stages = ["stage1", "stage2", "stage3", "stage4"]
    backbone = ConvNextConfig(depths=[3, 3, 27, 3], hidden_sizes=[96, 192, 384, 768], out_features=stages)
    return UperNetForSemanticSegmentation(
        UperNetConfig(backbone_config=backbone, num_labels=150, auxiliary_in_channels=384)
    )


def midas() -> nn.Module:
    """The published depth net's architecture."""
    return DPTDepthModel(backbone="vitb_rn50_384", non_negative=True)


NETS: dict[str, Callable[[], nn.Module]] = {
    w.HED_WEIGHTS.name: ControlNetHED_Apache2,
    w.DEPTH_WEIGHTS.name: midas,
    w.BODY_WEIGHTS.name: bodypose_model,
    w.HAND_WEIGHTS.name: handpose_model,
    w.FACE_WEIGHTS.name: FaceNet,
    w.SEGMENTATION_WEIGHTS.name: upernet,
}


def random_weights(build: Callable[[], nn.Module]) -> dict[str, Tensor]:
    """Seeded weights under which signals neither die nor explode, in half precision to keep files small."""
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shapes = build().state_dict()
    generator = torch.Generator().manual_seed(0)
    return {key: _weight(key, value, generator) for key, value in shapes.items()}


def _weight(key: str, like: Tensor, generator: torch.Generator) -> Tensor:
    if not like.is_floating_point():
        return torch.zeros(like.shape, dtype=like.dtype)
    if like.ndim < 2:
        return torch.ones(like.shape).half() * (key.endswith(("weight", "var", "parameter")))
    deviation = (2 / like[0].numel()) ** 0.5
    return (torch.randn(like.shape, generator=generator) * deviation).half()


def hed_weights() -> dict[str, Tensor]:
    """Random ones, for photos from 0 to 255; symmetric, so that left and right are the same to them."""
    weights = random_weights(ControlNetHED_Apache2)
    weights = {key: (v + v.flip(-1)) / 2 if v.ndim == 4 else v for key, v in weights.items()}
    weights["norm"] = torch.full((1, 3, 1, 1), 127.0).half()
    weights["block1.convs.0.weight"] /= 64
    return weights


def depth_weights() -> dict[str, Tensor]:
    """Random ones with an output that is not cut at 0."""
    weights = random_weights(midas)
    weights["scratch.output_conv.4.bias"] += 5
    return weights


class GlassHED(nn.Module):
    """In the place of HED's net: side maps of its sizes that show the photo's brightness, edges at none."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.Parameter(torch.zeros(1))

    def forward(self, photo: Tensor) -> list[Tensor]:
        """Five maps, each half as large as the one before."""
        grey = photo.mean(dim=1, keepdim=True) / 32 - 4
        return [nn.functional.avg_pool2d(grey, 2**level) for level in range(5)]


class GlassDepth(nn.Module):
    """In the place of MiDaS: what is bright is near."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.Parameter(torch.zeros(1))
        self.pretrained = nn.Module()
        self.pretrained.activations = {}

    def forward(self, photo: Tensor) -> Tensor:
        """Brightness."""
        return photo.mean(dim=1)


class GlassSegmentation(nn.Module):
    """In the place of UperNet: class 100 where the photo is brighter than grey, class 7 elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.Parameter(torch.zeros(1))

    def forward(self, photo: Tensor) -> SimpleNamespace:
        """Logits of 150 classes."""
        logits = torch.full((len(photo), 150, *photo.shape[-2:]), -9.0)
        logits[:, 100] = photo.mean(dim=1)
        logits[:, 7] = -logits[:, 100]
        return SimpleNamespace(logits=logits)


class GlassHand(nn.Module):
    """In the place of OpenPose's hand net: the joints lie on the diagonal of any crop, from wrist to tips."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.Parameter(torch.zeros(1))

    def forward(self, photo: Tensor) -> Tensor:
        """22 maps at an eighth of the size, one of each joint and one of none."""
        height, width = (side // 8 for side in photo.shape[-2:])
        down, right = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
        places = torch.linspace(0.2, 0.8, 22)[:, None, None]
        return torch.exp(-((down - places) ** 2 + (right - places) ** 2) * 200)[None]


# Joints of a figure from 0 to 1, (x, y), in OpenPose's order; every limb goes up or down.
FIGURE = [
    (0.50, 0.30), (0.50, 0.38), (0.40, 0.46), (0.34, 0.56), (0.30, 0.67), (0.60, 0.46), (0.66, 0.56),
    (0.70, 0.67), (0.45, 0.65), (0.44, 0.77), (0.43, 0.90), (0.55, 0.65), (0.56, 0.77), (0.57, 0.90),
    (0.46, 0.22), (0.54, 0.22), (0.38, 0.13), (0.62, 0.13),
]  # fmt: skip
_LEVELS = (0, 128, 255)
COLORS = [(r, g, b) for r in _LEVELS for g in _LEVELS for b in _LEVELS if max(r, g, b) == 255][:18]
_LIMBS = [
    (2, 3), (2, 6), (3, 4), (4, 5), (6, 7), (7, 8), (2, 9), (9, 10), (10, 11), (2, 12), (12, 13), (13, 14),
    (2, 1), (1, 15), (15, 17), (1, 16), (16, 18), (3, 17), (6, 18),
]  # fmt: skip
_FIELDS = [12, 20, 14, 16, 22, 24, 0, 2, 4, 6, 8, 10, 28, 30, 34, 32, 36, 18, 26]  # of each limb, x before y


def figure(height: int, width: int) -> np.ndarray:
    """A photo of that figure: a disc of its own colour for each joint."""
    y, x = np.mgrid[:height, :width]
    photo = np.zeros((height, width, 3), np.uint8)
    for (right, down), color in zip(FIGURE, COLORS, strict=True):
        photo[np.hypot(x - right * width, y - down * height) < 0.032 * height] = color
    return photo


def joint_offsets(hint: np.ndarray, is_mirrored: bool = False) -> list[float]:
    """How far from each joint of `figure` a pose hint of it has something, in pixels of the net's maps."""
    height, width = hint.shape[:2]
    drawn = np.argwhere(hint.any(axis=-1)) / (height, width)  # (y, x) from 0 to 1
    cell = np.array([8 / 184, 8 / 184 * height / width])
    places = [(y, 1 - x if is_mirrored else x) for x, y in FIGURE]
    return [float((np.abs(drawn - place) / cell).max(axis=1).min()) for place in places]


def body_weights() -> dict[str, Tensor]:
    """Weights with which OpenPose's body net sees the discs of `figure`, laid out as published."""
    with torch.device("meta"):
        shapes = bodypose_model().state_dict()
    weights = {key.split(".", 1)[1]: torch.zeros(value.shape) for key, value in shapes.items()}

    def join(layer: str, out: int, into: int, factor: float = 1.0) -> None:
        kernel = weights[f"{layer}.weight"]
        kernel[out, into, kernel.shape[2] // 2, kernel.shape[3] // 2] = factor

    trunk = ["1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "3_4", "4_1", "4_2", "4_3_CPM", "4_4_CPM"]
    for layer in trunk:
        for channel in range(3):
            join(f"conv{layer}", channel, channel)
    weights["conv1_1.bias"][:3] = 0.5  # photos come as -0.5 to 0.5
    last = "Mconv{}_stage6_L2"
    for joint, color in enumerate(COLORS):
        for channel, level in enumerate(reversed(color)):  # the net sees blue first
            for half, sign in enumerate((1, -1)):
                unit = 6 * joint + 2 * channel + half
                join(
                    last.format(1), unit, 57 + channel, sign
                )  # behind the 38 and 19 maps of the stage before
                weights[last.format(1) + ".bias"][unit] = -sign * level / 256
                join(last.format(2), joint, unit, -8)
        weights[last.format(2) + ".bias"][joint] = 1
        for number in range(3, 8):
            join(last.format(number), joint, joint)
    for (start, end), field in zip(_LIMBS, _FIELDS, strict=True):
        goes_down = FIGURE[end - 1][1] > FIGURE[start - 1][1]
        weights["Mconv7_stage6_L1.bias"][field + 1] = 1 if goes_down else -1
    return weights


def hand_weights() -> dict[str, Tensor]:
    """Random ones, in the layout of the published file."""
    return {key.split(".", 1)[1]: value for key, value in random_weights(handpose_model).items()}


FILES: dict[str, Callable[[], dict[str, Tensor]]] = {
    w.HED_WEIGHTS.name: hed_weights,
    w.DEPTH_WEIGHTS.name: depth_weights,
    w.BODY_WEIGHTS.name: body_weights,
    w.HAND_WEIGHTS.name: hand_weights,
    w.FACE_WEIGHTS.name: lambda: random_weights(FaceNet),
    w.SEGMENTATION_WEIGHTS.name: lambda: random_weights(upernet),
}


def weight_file(folder: Path, name: str) -> Path:
    """A file of that name with such weights, written if it is not there."""
    path = folder / name
    if not path.exists():
        torch.save(FILES[name](), path)
    return path


@contextmanager
def linked_weights(source: Path, folder: Path) -> Iterator[None]:
    """Weights for one net of each hint in a folder meanwhile; `source` is where they are kept."""
    nets = (w.HED_WEIGHTS, w.DEPTH_WEIGHTS, w.BODY_WEIGHTS, w.SEGMENTATION_WEIGHTS)
    files = [folder / net.name for net in nets]
    for file in files:
        file.hardlink_to(weight_file(source, file.name))
    yield
    for file in files:
        file.unlink()


def scene(height: int, width: int) -> np.ndarray:
    """A seeded photo with soft shapes of every size."""
    rng = np.random.default_rng(0)
    layers = []
    for cells in (3, 9, 27):
        coarse = torch.from_numpy(rng.random((1, 3, cells, cells), dtype=np.float32))
        layers.append(nn.functional.interpolate(coarse, (height, width), mode="bilinear"))
    mixed = torch.stack(layers).mean(dim=0)[0]
    mixed = (mixed - mixed.min()) / (mixed.max() - mixed.min())
    return (mixed * 255).byte().movedim(0, -1).numpy().copy()


def offset(one: np.ndarray, other: np.ndarray, reach: int = 24) -> int:
    """By how many pixels `other` lies to the right of `one`: where the two agree best."""

    def agreement(shift: int) -> float:
        width = one.shape[1]
        left = one[:, max(0, -shift) : width - max(0, shift)].astype(float)
        right = other[:, max(0, shift) : width - max(0, -shift)].astype(float)
        return float(np.corrcoef(left.ravel(), right.ravel())[0, 1])

    return max(range(-reach, reach + 1), key=agreement)

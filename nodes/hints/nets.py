"""Hints that a net finds: its weights looked up, kept in ComfyUI's care, and run over pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import numpy as np
import torch
from comfy.patcher_extension import CallbacksMP
from comfy_api.latest import io
from torch import Tensor

from ...scedit_core import SCEditError
from ...scedit_core.annotators.nets.depth import DEPTH_LOOK, build_depth, depth
from ...scedit_core.annotators.nets.download import download_weights
from ...scedit_core.annotators.nets.hed import HED_LOOK, build_hed, hed
from ...scedit_core.annotators.nets.pose import HANDS_LOOK, POSE_LOOK, build_pose, pose
from ...scedit_core.annotators.nets.segmentation import SEGMENTATION_LOOK, build_segmentation, segmentation
from ...scedit_core.annotators.nets.sizing import Look
from ...scedit_core.annotators.nets.weights import (
    BODY_WEIGHTS,
    DEPTH_WEIGHTS,
    FACE_WEIGHTS,
    HAND_WEIGHTS,
    HED_WEIGHTS,
    SEGMENTATION_WEIGHTS,
    WeightFile,
    find_weights,
    missing_weights,
)
from ...scedit_core.annotators.photo import to_photo
from ..files.folders import annotator_folder, annotator_folders, preprocessor_packs
from .drawing import Settings, annotate

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

# The nets that ComfyUI holds at this moment. It unloads them when it needs their memory or is asked to free
# it; they leave this table then, and the next use reads their files again.
_held: dict[tuple[Any, ...], ModelPatcher] = {}


@dataclass(frozen=True)
class Detector:
    """A net: the files that it comes from, how it is built from them, and how it looks at photos."""

    files: tuple[WeightFile | None, ...]
    build: Callable[..., torch.nn.Module]
    look: Look


POLARITIES = ["dark on white", "white on black"]

_HED = Detector((HED_WEIGHTS,), build_hed, HED_LOOK)
_DEPTH = Detector((DEPTH_WEIGHTS,), build_depth, DEPTH_LOOK)
_SEGMENTATION = Detector((SEGMENTATION_WEIGHTS,), build_segmentation, SEGMENTATION_LOOK)


def hed_inputs() -> list[io.Input]:
    """Settings of soft edges."""
    return [
        io.Combo.Input(
            "polarity",
            options=POLARITIES,
            default=POLARITIES[0],
            tooltip="Published SCEdit controls learned dark edges on white. ControlNets want white on black.",
        )
    ]


def pose_inputs() -> list[io.Input]:
    """Settings of poses."""
    return [
        io.Boolean.Input(
            "hands", default=False, tooltip="Draw fingers too. Published controls learned bodies only."
        ),
        io.Boolean.Input(
            "face", default=False, tooltip="Draw faces too. Published controls learned bodies only."
        ),
    ]


def draw_hed(image: Tensor, settings: Settings) -> Tensor:
    """Soft edges of images."""
    return detect_hed(image, **_look(settings), white_on_black=settings["polarity"] == POLARITIES[1])


def draw_depth(image: Tensor, settings: Settings) -> Tensor:
    """Depth of images."""
    return detect_depth(image, **_look(settings))


def draw_pose(image: Tensor, settings: Settings) -> Tensor:
    """Poses of the people in images."""
    return detect_pose(image, **_look(settings), hands=settings["hands"], face=settings["face"])


def draw_segmentation(image: Tensor, settings: Settings) -> Tensor:
    """Classes of images."""
    return detect_segmentation(image, **_look(settings))


def _look(settings: Settings) -> dict[str, Any]:
    return {"resolution": settings["resolution"], "download": settings.get("download", False)}


def detect_hed(
    image: Tensor, resolution: int = 0, download: bool = False, *, white_on_black: bool = False
) -> Tensor:
    """Soft edges of images (N, H, W, C) as hints (N, H, W, 3)."""

    def look(photo: np.ndarray, net: Any) -> np.ndarray:
        return hed(photo, net, resolution=resolution, white_on_black=white_on_black)

    return _detect(_HED, image, look, resolution=resolution, download=download)


def detect_depth(image: Tensor, resolution: int = 0, download: bool = False) -> Tensor:
    """Depth of images (N, H, W, C) as hints (N, H, W, 3)."""

    def look(photo: np.ndarray, net: Any) -> np.ndarray:
        return depth(photo, net, resolution=resolution)

    return _detect(_DEPTH, image, look, resolution=resolution, download=download)


def detect_pose(
    image: Tensor, resolution: int = 0, download: bool = False, *, hands: bool = False, face: bool = False
) -> Tensor:
    """Poses of the people in images (N, H, W, C) as hints (N, H, W, 3)."""

    def look(photo: np.ndarray, net: Any) -> np.ndarray:
        return pose(photo, net, resolution=resolution)

    files = (BODY_WEIGHTS, HAND_WEIGHTS if hands else None, FACE_WEIGHTS if face else None)
    detector = Detector(files, build_pose, HANDS_LOOK if hands else POSE_LOOK)
    return _detect(detector, image, look, resolution=resolution, download=download)


def detect_segmentation(image: Tensor, resolution: int = 512, download: bool = False) -> Tensor:
    """Classes of images (N, H, W, C) as hints (N, H, W, 3)."""

    def look(photo: np.ndarray, net: Any) -> np.ndarray:
        return segmentation(photo, net, resolution=resolution)

    return _detect(_SEGMENTATION, image, look, resolution=resolution, download=download)


def _detect(
    detector: Detector,
    image: Tensor,
    look: Callable[[np.ndarray, Any], np.ndarray],
    *,
    resolution: int,
    download: bool,
) -> Tensor:
    photos = to_photo(image)
    memory = detector.look.memory(*photos.shape[-2:], resolution)
    place = torch.device("cpu") if detector.look.on_host else comfy.model_management.get_torch_device()
    _check_room(memory, _free_at_most(place))  # before anything is downloaded or unloaded for it
    net = _loaded(detector, _paths(detector.files, download), 0 if detector.look.on_host else memory)
    _check_room(memory, comfy.model_management.get_free_memory(place))
    return annotate(photos, lambda photo: look(photo, net))


def _free_at_most(place: torch.device) -> int:
    """Bytes that would be free there without the models that ComfyUI can unload."""
    loaded = comfy.model_management.current_loaded_models
    held = sum(one.model_loaded_memory() for one in loaded if one.device == place)
    return comfy.model_management.get_free_memory(place) + held


def _check_room(memory: int, free: int) -> None:
    if memory > free:
        raise SCEditError(
            f"a picture of this size needs about {memory / 1e9:.1f} GB here and {free / 1e9:.1f} GB are "
            "free; set resolution to 1024 or less, or make the picture smaller"
        )


def _paths(files: Sequence[WeightFile | None], download: bool) -> tuple[Path | None, ...]:
    """Where the files lie. Those that lie nowhere are fetched if that is allowed."""
    return tuple(None if file is None else _path(file, download) for file in files)


def _path(file: WeightFile, download: bool) -> Path:
    found = find_weights(file, annotator_folders(), preprocessor_packs())
    if found is not None:
        return found
    if not download:
        raise missing_weights(file, annotator_folders())
    bar = comfy.utils.ProgressBar(file.size or file.megabytes * 1_000_000)

    def progress(done: int, total: int) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        bar.update_absolute(done, total)

    return download_weights(file, annotator_folder(), progress)


def _loaded(detector: Detector, paths: tuple[Path | None, ...], memory: int) -> torch.nn.Module:
    """The net on the device where it runs, with `memory` bytes of room beside it."""
    key = (detector.build, *((path, path.stat().st_mtime_ns) for path in paths if path))
    patcher = _held.get(key)
    if patcher is None:
        patcher = _held[key] = _hosted(detector.build(*paths))
        # ComfyUI still needs it while it unloads it: held by itself, it goes with the next garbage collection
        patcher.attachments["scedit"] = patcher

        def leave(_patcher: ModelPatcher, is_unloaded: bool) -> None:
            if is_unloaded:  # else it is only about to be loaded again
                _held.pop(key, None)

        patcher.add_callback(CallbacksMP.ON_DETACH, leave)
    comfy.model_management.load_models_gpu([patcher], memory_required=memory, force_full_load=True)
    return patcher.model[0]


def _hosted(net: torch.nn.Module) -> ModelPatcher:
    # not the patcher that loads weights piece by piece: that needs layers of ComfyUI's own. In a shell, on
    # which it can set what it likes: `device`, which it sets, is read-only in nets of transformers
    return comfy.model_patcher.ModelPatcher(
        torch.nn.ModuleList([net]),
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )

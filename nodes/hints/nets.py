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
from torch import Tensor

from ...scedit_core import SCEditError
from ...scedit_core.annotators.nets.download import download_weights
from ...scedit_core.annotators.nets.sizing import Look
from ...scedit_core.annotators.nets.weights import WeightFile, find_weights, missing_weights
from ...scedit_core.annotators.photo import to_photo
from ..files.folders import annotator_folder, annotator_folders, preprocessor_packs
from .drawing import Settings, annotate

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

# The nets that ComfyUI holds at this moment. It unloads them when it needs their memory or is asked to free
# it; they leave this table then, and the next use reads their files again.
_held: dict[tuple[Any, ...], ModelPatcher] = {}


@dataclass(frozen=True)
class Net:
    """A net: the files that it comes from, how it is built from them, and how it looks at photos.

    `draw(photo, net, resolution=..., **more)` makes a hint of a photo, both RGB uint8 (H, W, 3); `draw_all`,
    where there is one, hints of photos (N, H, W, 3) that the net sees together.
    """

    files: tuple[WeightFile | None, ...]
    build: Callable[..., torch.nn.Module]
    look: Look
    draw: Callable[..., np.ndarray]
    draw_all: Callable[..., np.ndarray] | None = None


def detect(net: Net, image: Tensor, settings: Settings, **more: Any) -> Tensor:
    """Hints (N, H, W, 3) that a net finds in images (N, H, W, C).

    `settings` has the "resolution" at which it looks, and whether it may "download" its weights.
    """
    photos, resolution = to_photo(image), settings["resolution"]
    height, width = photos.shape[-2:]
    memory = net.look.memory(height, width, resolution)
    place = torch.device("cpu") if net.look.on_host else comfy.model_management.get_torch_device()
    _check_room(memory, _free_at_most(place))  # before anything is downloaded or unloaded for it
    paths = _paths(net.files, settings.get("download", False))
    loaded = _loaded(net, paths, 0 if net.look.on_host else memory)
    _check_room(memory, comfy.model_management.get_free_memory(place))
    return annotate(photos, lambda photo: net.draw(photo, loaded, resolution=resolution, **more))


def drawer(net: Net, resolution: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function of photos to their hints, both RGB uint8 (N, H, W, 3), at which the net looks together.

    Raises SCEditError if its weights are not on this computer; nothing is fetched.
    """
    try:
        paths = _paths(net.files, False)
    except SCEditError as error:
        raise SCEditError(f"{error}; 'download' is on the node that draws this hint alone") from error

    def draw(photos: np.ndarray) -> np.ndarray:
        height, width = photos.shape[1:3]
        memory = net.look.memory(height, width, resolution)
        place = torch.device("cpu") if net.look.on_host else comfy.model_management.get_torch_device()
        loaded = _loaded(net, paths, 0 if net.look.on_host else memory * len(photos))
        free = comfy.model_management.get_free_memory(place)
        _check_room(memory, free)
        if net.draw_all is None:
            return np.stack([net.draw(photo, loaded, resolution=resolution) for photo in photos])
        at_once = max(1, int(free // memory))
        parts = [photos[first : first + at_once] for first in range(0, len(photos), at_once)]
        return np.concatenate([net.draw_all(part, loaded, resolution=resolution) for part in parts])

    return draw


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


def _loaded(net: Net, paths: tuple[Path | None, ...], memory: int) -> torch.nn.Module:
    """The net on the device where it runs, with `memory` bytes of room beside it."""
    key = (net.build, *((path, path.stat().st_mtime_ns) for path in paths if path))
    patcher = _held.get(key)
    if patcher is None:
        patcher = _held[key] = _hosted(net.build(*paths))
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

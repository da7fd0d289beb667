"""The host's part of preparing a data set: its VAE, its nets, and what is told meanwhile."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import comfy.model_management
import folder_paths
import numpy as np
import torch

from ...scedit_core.training.dataset.folder import READY_HINT
from ...scedit_core.training.dataset.shards.drawing import NET_HINTS, PrepareSettings
from ...scedit_core.training.dataset.shards.places import open_sources
from ...scedit_core.training.dataset.shards.prepare import Device, Watch, prepare
from ...scedit_core.training.dataset.shards.report import Report
from ..files.folders import new_file
from ..hints.kinds import KINDS, NETS
from ..hints.nets import drawer
from .vaes import vae_fingerprint

_ON_CARD = 8  # pictures encoded at once; the host takes fewer if they do not fit
_log = logging.getLogger(__name__)


def dataset_path(name: str) -> Path:
    """The folder of the data set of this name. Raises SCEditError for a name that leads elsewhere."""
    return new_file(Path(folder_paths.get_output_directory(), "scedit_datasets"), name, "")


def prepare_dataset(vae: Any, place: Path, target: Path, settings: PrepareSettings, watch: Watch) -> Report:
    """Have the data set in `target` hold the pictures of `place`, encoded by the VAE; what was done."""
    nets = {
        kind: drawer(NETS[kind], KINDS[kind].net_resolution or 0)
        for kind in settings.hints
        if kind in NET_HINTS
    }
    is_cpu = comfy.model_management.is_device_cpu(vae.device)
    device = Device(
        _encoder(vae), vae_fingerprint(vae), vae.latent_channels, nets, batch=1 if is_cpu else _ON_CARD
    )
    sources = open_sources(place, settings.hint_folder if READY_HINT in settings.hints else None)
    began = time.monotonic()
    report = prepare(target, sources, settings, device, watch)
    _log.info("SCEdit: '%s', %.0f s: %s", target.name, time.monotonic() - began, report.text())
    return report


def _encoder(vae: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Pictures, RGB uint8 (N, H, W, 3), to latents in float32."""

    def encode(pictures: np.ndarray) -> np.ndarray:
        return vae.encode(torch.from_numpy(pictures).float() / 255).float().cpu().numpy()

    return encode

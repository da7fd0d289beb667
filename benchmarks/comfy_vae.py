"""The sandbox's VAE in a real ComfyUI, as preparing a data set uses it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from workbench import REPOSITORY, load_pack


def load() -> tuple[Callable[[np.ndarray], np.ndarray], Any]:
    """A function of RGB uint8 pictures (N, H, W, 3) to latents, and the `Device` that holds it.

    `scedit_core` is importable by its name from then on: it is that of the pack.
    """
    import comfy.sd

    pack = load_pack()
    names = [name for name in sys.modules if name.startswith("scedit_pack.scedit_core")]
    sys.modules.update({name.removeprefix("scedit_pack."): sys.modules[name] for name in names})
    sys.path.append(str(REPOSITORY / "sandbox"))
    import model

    model.register()
    checkpoint = REPOSITORY / "sandbox" / "models" / "checkpoints" / "scedit_sandbox.safetensors"
    _, _, vae, _ = comfy.sd.load_checkpoint_guess_config(str(checkpoint))
    preparing = pack.nodes.training.preparing
    encode = preparing._encoder(vae)
    from scedit_core.training.dataset.shards.prepare import Device

    return encode, Device(encode, preparing.vae_fingerprint(vae), vae.latent_channels, batch=1)

"""Latents that a MODEL paints from prompts, to be learnt from as encoded pictures are."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import comfy.model_management
import comfy.utils
import latent_preview
import torch
from torch import Tensor

from ...scedit_core.hint import PIXELS_PER_LATENT
from ...scedit_core.training.dataset.prompted import PromptedSettings
from ...scedit_core.training.spans import minutes
from ..patching.captions import check_captions
from ..sampling import Sampling, decoded, painted
from ..telling import say
from .encode import encode_texts, to_image, with_sizes

_FORMAT = "JPEG"  # of previews, as KSampler sends them


class Prompts:
    """The CONDITIONINGs of what is drawn, with the sizes that SDXL reads: of each picture and the negative.

    `empty` is an empty prompt as 'Training Folder' gives it. SCEditError if the CLIP is not the model's.
    """

    def __init__(self, model: Any, clip: Any, negative: str, asked: PromptedSettings) -> None:
        texts = encode_texts(clip, ["", negative, *asked.lines], has_weights=True)
        check_captions(model, list(texts.values()))
        sized = {text: with_sizes(encoded, asked.crop) for text, encoded in texts.items()}
        self.positive = [sized[caption] for caption in asked.captions]
        self.negative, self.empty = sized[negative], texts[""]


class View:
    """Shows on the node how far the drawing is."""

    def __init__(self, model: Any, pictures: int, steps: int) -> None:
        self._pictures, self._steps = pictures, steps
        self._bar = comfy.utils.ProgressBar(pictures * steps)
        self._previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)
        self._began = time.monotonic()

    def stepped(self, number: int, step: int, seen: Tensor) -> None:
        """Move the bar, and show the picture that is drawn as ComfyUI's samplers do."""
        picture = self._previewer and self._previewer.decode_latent_to_preview_image(_FORMAT, seen)
        done = number * self._steps + min(step + 1, self._steps)  # some samplers choose their steps
        self._bar.update_absolute(done, preview=picture)

    def drawn(self, number: int) -> None:
        """Say how many are drawn."""
        left = (time.monotonic() - self._began) / number * (self._pictures - number)
        say(f"{number:,} of {self._pictures:,} pictures, {minutes(left)} left")


def draw_latents(
    model: Any, prompts: Prompts, asked: PromptedSettings, how: Sampling
) -> list[dict[str, Tensor]]:
    """A LATENT for each picture; drawn alone, so that it is the same whatever is drawn beside it."""
    sides = (asked.height // PIXELS_PER_LATENT, asked.width // PIXELS_PER_LATENT)
    empty = torch.zeros(1, model.model.latent_format.latent_channels, *sides)
    view, latents = View(model, len(prompts.positive), how.steps), []
    for number, positive in enumerate(prompts.positive):
        both, stepped = (positive, prompts.negative), partial(view.stepped, number)
        latents.append({"samples": painted(model, both, empty, how, asked.seed_of(number), stepped)})
        view.drawn(number + 1)
    return latents


def show_latents(
    vae: Any, latents: list[dict[str, Tensor]], asked: PromptedSettings
) -> tuple[list[Tensor], list[Tensor]]:
    """The pictures of latents, IMAGEs (1, H, W, 3), and their hints (V, H, W, 3) if any are asked for.

    After all are drawn, as a small card holds the model or the VAE.
    """
    pictures, hints = [], []
    for number, latent in enumerate(latents):
        picture = decoded(vae, latent["samples"])
        pictures.append(to_image(picture[None]))
        if asked.has_hints:
            hints.append(to_image(asked.hints(number, picture)))
    return pictures, hints

"""A data set on disk as what a training learns from; its captions are encoded batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from ...scedit_core import SCEditError
from ...scedit_core.training import TrainingSet
from ...scedit_core.training.dataset.shards import StoredDataset
from ...scedit_core.training.dataset.stored import StoredExamples, Told, check_dataset
from ...scedit_core.training.recent import Recent
from ..patching.captions import check_captions

_MOST_TEXTS = 512  # encoded ones that are kept: each takes 0.2 MB for SD 1.5, 0.6 MB for SDXL


class TextEncoder:
    """Captions as a base model takes them, made by a CLIP when they are needed; those used last are kept."""

    def __init__(self, clip: Any, model: Any) -> None:
        self._clip = clip
        self._model = model
        self._texts: Recent[str, list[Any]] = Recent(_MOST_TEXTS)
        self._captions: Recent[Told, list[Any]] = Recent(_MOST_TEXTS)

    def __call__(self, captions: Sequence[Told]) -> list[Any]:
        """An entry of a CONDITIONING for each caption."""
        return [self._captions.get(told, partial(self._caption, told)) for told in captions]

    def _caption(self, told: Told) -> list[Any]:
        embedding, known = self._texts.get(told.text, partial(self._encoded, told.text))
        return [embedding, {**known, **dict(told.sizes)}]

    def _encoded(self, text: str) -> list[Any]:
        """As 'Training Folder' encodes captions: brackets are words, not weights."""
        # nodes run in inference mode, and what is made there cannot be differentiated
        with torch.inference_mode(False), torch.no_grad():
            tokens = self._clip.tokenize(text, disable_weights=True)
            conditioning = self._clip.encode_from_tokens_scheduled(tokens)
        check_captions(self._model, [conditioning])
        return conditioning[0]


def stored_training_set(
    model: Any, stored: StoredDataset, clip: Any, *, has_hints: bool, buckets: bool
) -> TrainingSet:
    """What a training of this MODEL learns from a data set, with its hints or without.

    SCEditError if the set was prepared for another model, or brings no CLIP or no hints.
    """
    name = stored.folder.name
    check_dataset(stored, {"latent_channels": model.model.latent_format.latent_channels})
    if clip is None:
        raise SCEditError(
            f"the data set '{name}' comes without a CLIP, which encodes its captions; connect clip to the "
            "node that gives the data set"
        )
    if has_hints and not stored.hints:
        raise SCEditError(
            f"the data set '{name}' holds no hints, which a control learns to follow; prepare it again with "
            "a kind of hint"
        )
    encode = TextEncoder(clip, model)
    encode([Told("", ())])  # a CLIP of another model is refused now
    examples = StoredExamples(stored, model.model.process_latent_in, encode, has_hints=has_hints)
    return TrainingSet(examples, Told("", ()), buckets=buckets)

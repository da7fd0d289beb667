"""CLIP score of pictures with their prompts, by the two halves of a CLIP that the user has loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import comfy.model_management
import numpy as np
import torch
from comfy.clip_model import CLIPTextModel, CLIPVisionModelProjection
from comfy.sd1_clip import SDClipModel
from torch import Tensor

from ...scedit_core import SCEditError
from ...scedit_core.evaluation.figures import Rows
from ...scedit_core.evaluation.measures import clip_score
from ...scedit_core.evaluation.record import Spread
from ...scedit_core.training import TrainingSet
from ...scedit_core.training.dataset.listed import WORDS
from ...scedit_core.training.dataset.stored import Told

_PREFIX = "clip_"  # of the host's towers: clip_l reads the tokens that its tokenizer lists under l
_LARGEST = (1e-3, 100.0)  # between these lies the largest weight of a projection: of published CLIPs below 1
_LEAST = 8.0  # what pictures reach at least with their own prompts, by a CLIP whose halves belong together


@dataclass(frozen=True, eq=False)
class Clip:
    """A CLIP_VISION, a CLIP, and the one of its text encoders that belongs to the same CLIP."""

    vision: Any
    text: Any
    tower: str

    @classmethod
    def of(cls, vision: Any, text: Any) -> Clip | None:
        """What came in; None if nothing did. Raises SCEditError for what are no two halves of one CLIP."""
        if vision is None and text is None:
            return None
        if vision is None or text is None:
            missing = "clip_vision" if vision is None else "clip_text"
            raise SCEditError(
                "clip_vision and clip_text are the two halves of one CLIP, which the CLIP score needs, and "
                f"{missing} is not connected; connect both, or neither"
            )
        width = _vision_width(vision)
        towers = _towers(text)
        fitting = [name for name, tower in towers.items() if _width(tower) == width]
        if not fitting:
            had = " and ".join(str(_width(tower)) for tower in towers.values()) or "none of a CLIP"
            raise SCEditError(
                f"clip_vision gives pictures {width} numbers, and clip_text gives texts {had}; connect the "
                "two halves of one CLIP, such as ViT-L/14 and clip_l.safetensors"
            )
        if not _is_from_a_file(towers[fitting[0]].transformer.text_projection):
            raise SCEditError(
                "clip_text lacks the text_projection that brings texts to pictures, as checkpoints of SD 1.5 "
                "do; load its whole text encoder by 'Load CLIP', such as clip_l.safetensors"
            )
        return cls(vision, text, fitting[0])

    def of_prompt(self, prompt: str) -> np.ndarray:
        """The embedding `(D,)` of a prompt's first 77 tokens, which are all that a CLIP reads."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        tower = _towers(self.text)[self.tower]
        tokens = self.text.tokenize(prompt, disable_weights=True)[self.tower.removeprefix(_PREFIX)][:1]
        self.text.load_model()
        tower.reset_clip_options()
        tower.set_clip_options({"projected_pooled": True, "execution_device": self.text.patcher.load_device})
        pooled = tower.encode_token_weights(tokens)[1]
        tower.reset_clip_options()
        return _values(pooled)

    def of_picture(self, pixels: np.ndarray) -> np.ndarray:
        """The embedding `(D,)` of a picture uint8 `(H, W, 3)`: of its centre, as a CLIP sees it."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        image = torch.from_numpy(pixels[None]).float() / 255
        return _values(self.vision.encode_image(image)["image_embeds"])


class PromptScores:
    """Scores of held-out pictures, and of what is painted in their place, with their prompts."""

    def __init__(self, clip: Clip, data: TrainingSet, count: int) -> None:
        prompts = [_words(data.read_alone(number).captions[0]) for number in range(count)]
        if None in prompts:
            raise SCEditError(
                f"prompt {prompts.index(None) + 1} came without its words, which a CLIP score is of; connect "
                "positive of 'Training Folder' or a dataset, or take clip_vision and clip_text away"
            )
        self._clip = clip
        self._texts = [clip.of_prompt(prompt) for prompt in prompts if prompt is not None]

    def of(self, rows: Rows) -> Spread:
        """The score of pictures by seed and then by number."""
        return Spread.of(np.array([list(map(self._score, row, self._texts)) for row in rows]))

    def _score(self, picture: np.ndarray, text: np.ndarray) -> float:
        return clip_score(self._clip.of_picture(picture), text)


def lack(score: Spread) -> str:
    """What to say of a CLIP by which the held-out pictures themselves have this score; empty if it is one."""
    if score.mean >= _LEAST:
        return ""
    return (
        f"CLIP score: the held-out pictures themselves reach {score.mean:.1f} with their prompts, and 15 or "
        "more with a CLIP whose two halves belong together"
    )


def _words(caption: Any) -> str | None:
    """The text of a picture's caption; None if only what it was encoded to came in."""
    words = caption.text if isinstance(caption, Told) else caption[1].get(WORDS)
    return words if isinstance(words, str) else None


def _vision_width(vision: Any) -> int:
    model = vision.model
    projection = model.visual_projection if isinstance(model, CLIPVisionModelProjection) else None
    if not isinstance(projection, torch.nn.Linear) or not _is_from_a_file(projection):
        raise SCEditError(
            "clip_vision does not bring pictures to texts, as a CLIP's own does; load a CLIP by 'Load CLIP "
            "Vision', such as ViT-L/14, and no SigLIP or DINO"
        )
    return projection.out_features


def _towers(clip: Any) -> dict[str, SDClipModel]:
    """The text encoders in a CLIP that are of CLIPs, by name."""
    return {
        name: module
        for name, module in clip.cond_stage_model.named_children()
        if isinstance(module, SDClipModel) and isinstance(module.transformer, CLIPTextModel)
    }


def _width(tower: Any) -> int:
    return tower.transformer.text_projection.out_features


def _is_from_a_file(projection: torch.nn.Linear) -> bool:
    """Whether a projection was in its file; hosts have zeros, the identity or old memory in place of one."""
    if projection.weight is None:
        return False
    weight = projection.weight.detach().float().cpu()
    size, diagonal = weight.abs(), torch.eye(*weight.shape)
    is_sound = bool(torch.isfinite(weight).all()) and _LARGEST[0] < float(size.max()) < _LARGEST[1]
    return is_sound and bool(size.amax(0).all() and size.amax(1).all()) and not torch.equal(weight, diagonal)


def _values(embeddings: Tensor) -> np.ndarray:
    """The first of some embeddings."""
    return embeddings[0].float().cpu().numpy()

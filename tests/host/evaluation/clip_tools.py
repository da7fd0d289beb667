"""A small CLIP of random weights: as transformers has it, and its two halves as ComfyUI loads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import comfy.sd
import torch
from comfy.clip_vision import ClipVisionModel
from comfy.sd1_clip import SDClipModel
from comfy.sdxl_clip import SDXLTokenizer
from comfy.supported_models_base import ClipTarget
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

SIZE = 32  # pixels of the picture that it sees
_LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_LAYERS |= {"hidden_act": "quick_gelu"}
_VISION = {**_LAYERS, "hidden_size": 48, "image_size": SIZE, "patch_size": 8, "num_channels": 3}
_TEXT = {**_LAYERS, "vocab_size": 49408, "max_position_embeddings": 77, "eos_token_id": 49407}


def small_clip(width: int = 32, lean: float = 1.0) -> Any:
    """A CLIPModel of transformers, whose weights half precision holds exactly.

    All its pictures lean towards all its texts, as if they belonged together, or, by -1, away from them.
    """
    torch.manual_seed(0)
    text = {**_TEXT, "hidden_size": width}
    config = CLIPConfig(text_config=text, vision_config=_VISION, projection_dim=width)
    model = CLIPModel(config).eval()
    bias = torch.randn(width)
    towards = model.text_projection.weight.detach() @ bias
    model.text_model.final_layer_norm.bias.data = bias
    model.vision_model.post_layernorm.bias.data = (
        lean * torch.linalg.pinv(model.visual_projection.weight.detach()) @ towards
    )
    return model.half().float()


def vision_of(model: Any, projects: bool = True) -> Any:
    """Its half for pictures, a CLIP_VISION; or what sees pictures and has no projection."""
    more = {"projection_dim": model.config.projection_dim} if projects else {}
    vision = ClipVisionModel({**_VISION, "model_type": "clip_vision_model", **more})
    vision.load_sd(_part(model, "vision_model.", "visual_projection."))
    return vision


class Tower(SDClipModel):
    """A text encoder as SD 1.5 has it, whose pooled output is not projected unless it is asked for."""

    def __init__(self, width: int, device: Any, dtype: Any) -> None:
        config = {**_TEXT, "hidden_size": width}
        super().__init__(device, dtype=dtype, textmodel_json_config=config, return_projected_pooled=False)


def text_of(projection: Tensor | None = None, **models: Any) -> Any:
    """A CLIP with the halves for texts of such models, by name; with another projection if one is given."""
    state = {}
    for name, model in models.items():
        state |= {f"{name}.transformer.{key}": value for key, value in _part(model, "text_").items()}
        if projection is not None:
            state[f"{name}.transformer.text_projection.weight"] = projection

    class Encoder(torch.nn.Module):
        def __init__(self, device: Any, dtype: Any, model_options: Any) -> None:
            super().__init__()
            self.dtypes = {dtype}
            for name, model in models.items():
                setattr(self, name, Tower(model.config.projection_dim, device, dtype))

    return comfy.sd.CLIP(ClipTarget(SDXLTokenizer, Encoder), state_dict=state)


def _part(model: Any, *beginnings: str) -> Mapping[str, Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items() if key.startswith(beginnings)}

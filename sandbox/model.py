"""A miniature Stable Diffusion family model, so that ComfyUI's own nodes load and run a 23 MB checkpoint.

For trying and testing only. U-Net in LDM layout, a one-layer text encoder on ComfyUI's CLIP tokenizer, and
ComfyUI's TAESD as the VAE.
"""

from typing import Any, ClassVar

import comfy.latent_formats
import comfy.model_base
import comfy.supported_models
import comfy.supported_models_base
import torch
from comfy import sd1_clip

UNET: dict[str, Any] = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 64,  # normalised in groups of two, so that a level of colour survives
    "channel_mult": [1, 2, 2],
    "num_res_blocks": [2, 2, 2],
    # attention at downsample 2 and 4 and in the middle; none at full resolution, where it costs most on a CPU
    "transformer_depth": [0, 0, 0, 1, 1, 1],
    "transformer_depth_output": [0, 0, 0, 0, 1, 1, 1, 1, 1],
    "transformer_depth_middle": 1,
    "context_dim": 64,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": False,
    "use_temporal_attention": False,
    "adm_in_channels": None,
    "legacy": False,
}
# not readable from the keys of a checkpoint
HEADS = {"num_heads": -1, "num_head_channels": 32}
# what ComfyUI's detector is asked to compare, as for SD 1.5
_DETECTED = (
    "context_dim",
    "model_channels",
    "use_linear_in_transformer",
    "adm_in_channels",
    "use_temporal_attention",
)

TEXT_CONFIG: dict[str, Any] = {
    "architectures": ["CLIPTextModel"],
    "model_type": "clip_text_model",
    "vocab_size": 49408,
    "max_position_embeddings": 77,
    "eos_token_id": 49407,
    "hidden_size": UNET["context_dim"],
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 256,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-05,
}


class TextModel(sd1_clip.SDClipModel):
    def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: dict | None = None):
        super().__init__(
            device=device,
            dtype=dtype,
            model_options=model_options or {},
            textmodel_json_config=dict(TEXT_CONFIG),
        )


class TextEncoder(sd1_clip.SD1ClipModel):
    def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: dict | None = None):
        super().__init__(device=device, dtype=dtype, model_options=model_options or {}, clip_model=TextModel)


class _WordTokenizer(sd1_clip.SDTokenizer):
    def __init__(self, embedding_directory: Any = None, tokenizer_data: dict | None = None):
        super().__init__(
            embedding_directory=embedding_directory,
            embedding_size=TEXT_CONFIG["hidden_size"],
            tokenizer_data=tokenizer_data or {},
        )


class Tokenizer(sd1_clip.SD1Tokenizer):
    def __init__(self, embedding_directory: Any = None, tokenizer_data: dict | None = None):
        super().__init__(
            embedding_directory=embedding_directory,
            tokenizer_data=tokenizer_data or {},
            tokenizer=_WordTokenizer,
        )


class SCEditSandbox(comfy.supported_models_base.BASE):
    """Velocity prediction on SD 1.5 latents, with a last noise level of 138 instead of 14.6.

    A small model says a flat colour more easily as velocity than as noise; and in pictures of large flat
    areas the colours shine through the noise of SD 1.5's last level, which sampling does not start from.
    """

    unet_config: ClassVar[dict[str, Any]] = {key: UNET[key] for key in _DETECTED}
    unet_extra_config = HEADS
    latent_format = comfy.latent_formats.SD15
    sampling_settings: ClassVar[dict[str, Any]] = {"linear_end": 0.024}
    memory_usage_factor = 1.0
    memory_format: ClassVar[torch.memory_format] = torch.contiguous_format

    def get_model(self, state_dict: dict, prefix: str = "", device: Any = None) -> comfy.model_base.BaseModel:
        model = super().get_model(state_dict, prefix, device)
        model.diffusion_model.to(memory_format=self.memory_format)
        return model

    def model_type(self, state_dict: dict, prefix: str = "") -> comfy.model_base.ModelType:
        return comfy.model_base.ModelType.V_PREDICTION

    def clip_target(self, state_dict: dict | None = None) -> comfy.supported_models_base.ClipTarget:
        return comfy.supported_models_base.ClipTarget(Tokenizer, TextEncoder)


def register() -> None:
    """Add the model class to the host's list: last, so that it never answers for another model, and once."""
    models = comfy.supported_models.models
    if not any(known.__name__ == SCEditSandbox.__name__ for known in models):
        models.append(SCEditSandbox)

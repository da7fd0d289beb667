"""A ComfyUI MODEL as the frozen base model of a training."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import comfy.model_management
import comfy.samplers
import torch
from comfy.ldm.modules.attention import attention_pytorch
from torch import Tensor, nn

from ...scedit_core import PreparedEdit, SCEditError
from ...scedit_core.training.memory.recompute import Recompute
from ...scedit_core.training.sketch import Sketch
from .captions import Captions
from .model_sketch import sketch_model
from .patch import hold_in_place, training_options

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


# names of the modelspec standard, by the names of ComfyUI's classes
_ARCHITECTURES = {
    "SD15": "stable-diffusion-v1",
    "SD20": "stable-diffusion-v2",
    "SDXL": "stable-diffusion-xl-v1-base",
}


class HostModel:
    """A loaded MODEL that gradients can pass through; a `scedit_core.training.BaseModel`.

    A caption is one entry of a CONDITIONING: `[tensor, dictionary]`.
    """

    def __init__(
        self, patcher: ModelPatcher, recompute: Recompute, beside: Sequence[ModelPatcher] = ()
    ) -> None:
        self.device = patcher.load_device
        self.patcher = patcher
        self._beside = tuple(beside)
        self._model = patcher.model
        self.sampling = self._model.model_sampling
        self.latent_format = self._model.latent_format
        self.dtype: torch.dtype = self._model.get_dtype_inference()
        self.sigmas: Tensor = self.sampling.sigmas.detach().float().cpu().clone()
        self._options = dict(patcher.model_options["transformer_options"])
        self._recompute: Recompute = recompute
        self.captions = Captions(self._model, self.device)

    def noised(self, latents: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        """Latents `(B, C, h, w)` with noise of levels `(B,)`, as the model's schedule mixes them."""
        return self.sampling.noise_scaling(sigma, noise, latents)

    def denoised(
        self, noisy: Tensor, sigma: Tensor, captions: Sequence[Any], edits: Sequence[PreparedEdit]
    ) -> Tensor:
        """The model's picture `(B, C, h, w)` of noised latents under these edits, float32."""
        conds = [self.captions.prepared(caption, tuple(noisy.shape[1:])) for caption in captions]
        options = training_options(self._options, edits, self._recompute)
        options |= call_options(sigma)
        inputs = comfy.samplers.cond_cat(conds)
        return self._model.apply_model(noisy, sigma, **inputs, transformer_options=options)

    def output_scale(self, sigma: Tensor) -> Tensor:
        """How far the picture moves when the network's output moves by 1, `(B,)`."""
        one = torch.ones(len(sigma), 1, 1, 1, device=sigma.device)
        return self.sampling.calculate_denoised(sigma, one, torch.zeros_like(one)).abs().flatten()

    def weights(self) -> Iterable[Tensor]:
        """Weights of the U-Net."""
        return self._model.diffusion_model.parameters()

    def make_room(self, needed: int) -> int:
        """Free bytes where the model computes, after others were moved away if `needed` are not free."""
        mine = [self.patcher, *self.patcher.model_patches_models(), *self._beside]
        loaded = comfy.model_management.current_loaded_models
        keep = [one for one in loaded if any(one.model is patcher for patcher in mine)]
        comfy.model_management.free_memory(needed, self.device, keep_loaded=keep)
        return comfy.model_management.get_free_memory(self.device)

    def sketches(self) -> dict[str, Sketch]:
        """What a training state remembers of the model, its LoRAs, its SCEdit tuners and other patches."""
        return sketch_model(self.patcher)

    def fingerprint(self) -> str:
        """Hash of the first and last weights and of the kind of model, for states of version 1."""
        unet = self._model.diffusion_model
        digest = hashlib.sha256(repr(self._model.model_type).encode())
        for weights in (*unet.input_blocks[0].parameters(), *unet.out.parameters()):
            digest.update(weights.detach().float().cpu().numpy().tobytes())
        return digest.hexdigest()


def describe_model(model: ModelPatcher) -> dict[str, str]:
    """What a tuner's metadata says of the model it was trained on."""
    config = type(model.model.model_config).__name__
    return {
        "scedit.base": config,
        "scedit.prediction": model.model.model_type.name.lower(),
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{_ARCHITECTURES.get(config, config.lower())}/scedit",
    }


@contextmanager
def differentiable(
    model: ModelPatcher, recompute: Recompute = "off", beside: Sequence[ModelPatcher] = ()
) -> Iterator[HostModel]:
    """Load a MODEL and let gradients pass through it; `recompute` says what is remembered for backward.

    The MODEL itself stays as it is: frozen parameters on the same memory take the place of its weights, which
    are put back at the end, after an error too. What is needed during the training, such as a text encoder,
    goes `beside` it: loaded with it, so that it does not push it out later.
    """
    clone = _static_clone(model)
    hold_in_place(clone)
    all_models = [clone, *clone.model_patches_models(), *beside]
    comfy.model_management.load_models_gpu(all_models, force_full_load=True)
    # nodes run in inference mode, and what is made there cannot be differentiated
    with torch.inference_mode(False), torch.enable_grad(), _recordable(clone.model.diffusion_model):
        clone.pre_run()
        comfy.model_management.in_training = True
        try:
            yield HostModel(clone, recompute, beside)
        finally:
            comfy.model_management.in_training = False
            clone.cleanup()


def _static_clone(model: ModelPatcher) -> ModelPatcher:
    """A clone whose weights stay in place between forward and backward; newer hosts can page them out."""
    if not model.is_dynamic():
        return model.clone()
    try:
        clone = model.clone(disable_dynamic=True)
    except RuntimeError as error:
        raise SCEditError(
            f"this model cannot be loaded in full for training ({error}); load it with 'Load Checkpoint' or "
            "'Load Diffusion Model'"
        ) from error
    _cast_to_layers(clone.model)
    return clone


def _cast_to_layers(network: nn.Module) -> None:
    """Bring weights to the dtype that their layers were made for.

    Layers that are filled late keep the file's dtype, which a dynamic patcher casts at each use. The plain
    one takes them as they are, and a file in fp32 would not fit a model that computes in fp16.
    """
    for layer in network.modules():
        if getattr(layer, "comfy_cast_weights", False):  # a layer that casts at each use
            continue
        for name, weights in list(layer.named_parameters(recurse=False)):
            wanted = getattr(layer, f"{name}_comfy_model_dtype", None)
            if wanted is not None and weights.dtype != wanted and type(weights.data) is Tensor:
                setattr(layer, name, nn.Parameter(weights.detach().to(wanted), requires_grad=False))


@contextmanager
def _recordable(module: nn.Module) -> Iterator[None]:
    """Let autograd save the weights: new, frozen parameters on the same memory, no inference tensors."""
    originals = [
        (part, name, weights)
        for part in module.modules()
        for name, weights in part.named_parameters(recurse=False)
        if type(weights.data) is Tensor
    ]
    try:
        for part, name, weights in originals:
            alias = torch.empty(0, dtype=weights.dtype, device=weights.device).set_(
                weights.untyped_storage(), weights.storage_offset(), weights.shape, weights.stride()
            )
            setattr(part, name, nn.Parameter(alias, requires_grad=False))
        yield
    finally:
        for part, name, weights in originals:
            setattr(part, name, weights)


def call_options(sigma: Tensor) -> dict[str, Any]:
    """What a call at these noise levels `(B,)` says of itself, among the transformer_options."""
    return {"sigmas": sigma, "cond_or_uncond": [0], "optimized_attention_override": _attention}


def _attention(_chosen: Any, *args: Any, **kwargs: Any) -> Tensor:
    """PyTorch's own attention: its backward needs little memory; other kernels may have no backward."""
    return attention_pytorch(*args, **kwargs)

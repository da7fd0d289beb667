"""Text model and U-Net of the sandbox as one trainable module."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from graphs import CFG
from torch import Tensor, nn

Tokens = list[int]


class BaseNet(nn.Module):
    """The host's own modules, initialised as networks of their kind are."""

    def __init__(self, model: ModuleType) -> None:
        super().__init__()
        import comfy.model_sampling
        import comfy.ops
        from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

        self.unet = UNetModel(
            **model.UNET,
            **model.HEADS,
            dtype=torch.float32,
            device="cpu",
            operations=comfy.ops.disable_weight_init,
        )
        self.text = model.TextModel(dtype=torch.float32)
        self.text.transformer.requires_grad_(True)
        for module in self.text.modules():
            if isinstance(module, nn.LayerNorm):
                # the host then adds to what went in, which the gradient needs unchanged
                module.register_forward_pre_hook(lambda _, given: (given[0].clone(),))
        self.tokenizer = model.Tokenizer()
        sampling = comfy.model_sampling.ModelSamplingDiscrete(model.SCEditSandbox({**model.UNET}))
        self.sigmas: Tensor = sampling.sigmas.clone()
        self.apply(_initialise)
        _silence_last_layers(self.unet)
        self.unet.to(memory_format=torch.channels_last)  # a third faster on a CPU

    def know(self, words: Sequence[str]) -> None:
        """Give the words of these captions random embeddings; those of all others stay zero."""
        used = sorted({token for caption in words for token in self.tokens(caption)})
        embedding = self.text.transformer.get_input_embeddings().weight
        with torch.no_grad():
            embedding.zero_()
            embedding[used] = 0.5 * torch.randn(len(used), embedding.shape[1])

    def tokens(self, caption: str) -> Tokens:
        """The 77 tokens that CLIPTextEncode makes of a caption."""
        (chunk,) = self.tokenizer.tokenize_with_weights(caption)["l"]
        return [token for token, _ in chunk]

    def matrices(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """The U-Net's weights that turn features into features, and all other parameters."""
        inner, other = [], []
        for name, weight in self.named_parameters():
            ends = name.startswith(("text.", "unet.input_blocks.0.", "unet.out."))
            if weight.requires_grad:
                (other if ends or weight.ndim < 2 else inner).append(weight)
        return inner, other

    def context(self, tokens: list[Tokens]) -> Tensor:
        """`(B, 77, 64)`."""
        return self.text(tokens)[0]

    def velocity_loss(self, latents: Tensor, tokens: list[Tokens], draw: torch.Generator) -> Tensor:
        """Error of the velocity at random noise levels, one from each of B equal parts of the schedule."""
        count = len(latents)
        places = (torch.arange(count) + torch.rand(count, generator=draw)) / count
        steps = (places * len(self.sigmas)).long()
        sigma = self.sigmas[steps].view(-1, 1, 1, 1)
        noise = torch.randn(latents.shape, generator=draw)
        alpha = (1 + sigma**2).rsqrt()
        noisy = (alpha * (latents + sigma * noise)).contiguous(memory_format=torch.channels_last)
        wanted = alpha * (noise - sigma * latents)
        made = self.unet(noisy, steps.float(), self.context(tokens))
        return (made - wanted).square().mean()

    @torch.no_grad()
    def sample(self, captions: Sequence[str], size: int, *, steps: int = 20, cfg: float = CFG) -> Tensor:
        """Latents `(B, 4, size, size)` by Euler's method, as KSampler makes them."""
        count = len(captions)
        context = self.context([self.tokens(text) for text in [*captions, *[""] * count]])
        places = torch.linspace(len(self.sigmas) - 1, 0, steps).round().long()
        sigmas = torch.cat([self.sigmas[places], torch.zeros(1)])
        x = torch.randn(count, 4, size, size, generator=torch.Generator().manual_seed(1)) * sigmas[0]
        for place, sigma, following in zip(places, sigmas[:-1], sigmas[1:], strict=True):
            alpha = (1 + sigma**2).rsqrt()
            given = (alpha * x).repeat(2, 1, 1, 1)
            velocity = self.unet(given, place.float().repeat(2 * count), context)
            picture = alpha**2 * x.repeat(2, 1, 1, 1) - alpha * sigma * velocity
            positive, negative = picture.chunk(2)
            picture = negative + cfg * (positive - negative)
            x = picture + (following / sigma) * (x - picture)
        return x


def _initialise(module: nn.Module) -> None:
    """PyTorch's own start, which the host's layers skip."""
    if isinstance(module, (nn.Linear, nn.Conv2d)):
        kind: Any = nn.Linear if isinstance(module, nn.Linear) else nn.Conv2d
        kind.reset_parameters(module)
    elif isinstance(module, (nn.LayerNorm, nn.GroupNorm)):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.1)


def _silence_last_layers(unet: nn.Module) -> None:
    """Every residual starts as nothing added."""
    for name, module in unet.named_modules():
        if name.endswith(("out_layers.3", "proj_out")) or name == "out.2":
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)


class Average:
    """Moving average of all weights."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in net.state_dict().items():
            self.weights[name].lerp_(value, 1 - decay)

"""A TAESD that is quick to train on a CPU: fewer channels and blocks, padded with zeros for the host.

A block of TAESD whose weights are zero hands on what it gets, and channels of zeros stay zero, so the padded
weights compute the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

LATENT = 4
_ENCODER = (16, 32, 48, 64)  # channels at 256, 128, 64 and 32 pixels
_DECODER = (64, 64, 32, 16)  # channels at 32, 64, 128 and 256 pixels
_ENCODER_BLOCKS = (1, 1, 1, 2)
_DECODER_BLOCKS = (3, 2, 1, 1)
_PLACES = (1, 3, 3, 3)  # blocks that TAESD has at each size of the encoder; the decoder's are reversed


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        convs = [nn.Conv2d(width, width, 3, padding=1) for _ in range(3)]
        self.conv = nn.Sequential(convs[0], nn.ReLU(), convs[1], nn.ReLU(), convs[2])

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x) + x)


class _Clamp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


class SlimVAE(nn.Module):
    """Pictures `(B, 3, H, W)`, 0..1, to latents `(B, 4, H/8, W/8)` and back."""

    def __init__(self) -> None:
        super().__init__()
        self.taesd_encoder = nn.Sequential(*_encoder_layers())
        self.taesd_decoder = nn.Sequential(*_decoder_layers())
        self.apply(_initialise)

    def encode(self, pictures: Tensor) -> Tensor:
        """Latents `(B, 4, h, w)` of about unit variance."""
        return self.taesd_encoder(pictures)

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures, not clamped."""
        return self.taesd_decoder(latents)


def _initialise(module: nn.Module) -> None:
    """Signals of constant size: PyTorch's own start makes them vanish in a net of this depth."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, _Block):
        nn.init.normal_(module.conv[4].weight, std=1e-2)


def _encoder_layers() -> list[nn.Module]:
    layers: list[nn.Module] = [_conv(3, _ENCODER[0])]
    for level, width in enumerate(_ENCODER):
        if level:
            layers.append(_conv(_ENCODER[level - 1], width, stride=2, bias=False))
        layers += _blocks(width, _ENCODER_BLOCKS[level], _PLACES[level])
    return [*layers, _conv(_ENCODER[-1], LATENT)]


def _decoder_layers() -> list[nn.Module]:
    layers: list[nn.Module] = [_Clamp(), _conv(LATENT, _DECODER[0]), nn.ReLU()]
    for level, width in enumerate(_DECODER):
        if level:
            layers += [nn.Upsample(scale_factor=2), _conv(_DECODER[level - 1], width, bias=False)]
        layers += _blocks(width, _DECODER_BLOCKS[level], _PLACES[-1 - level])
    return [*layers, _conv(_DECODER[-1], 3)]


def _blocks(width: int, count: int, places: int) -> list[nn.Module]:
    return [_Block(width) for _ in range(count)] + [nn.Identity()] * (places - count)


def _conv(before: int, after: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1, stride=stride, bias=bias)


def padded(slim: Mapping[str, Tensor], host: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The slim weights inside zeros of the host's shapes; keys of the host that slim lacks become zeros."""
    unknown = sorted(slim.keys() - host.keys())
    if unknown:
        raise ValueError(f"the host's TAESD has no {unknown[0]}")
    made = {}
    for key, like in host.items():
        made[key] = torch.zeros(like.shape)
        if key in slim:
            made[key][tuple(slice(side) for side in slim[key].shape)] = slim[key]
    return made

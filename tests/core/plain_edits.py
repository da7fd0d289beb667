"""Random edits of a small U-Net's skips, and a second, plain writing of what they add."""

import math

import torch
import torch.nn.functional as F

from scedit_core import (
    CSCTunerSet,
    EncoderSize,
    SCTunerSet,
    SkipEdit,
    SkipLayout,
    TunerSpec,
    build_tuners,
    edit_skip,
    prepare_edit,
)
from scedit_core.spec import StemSize

LAYOUT = SkipLayout((16, 12, 12, 8, 8, 8), (1, 2, 1, 2, 1, 1))
STEM = StemSize(0.25, 12)
# Tensors are float64 and of order 1: sums in another order agree to this, another formula does not.
CLOSE = 1e-10


def made(spec: TunerSpec, seed: int) -> SCTunerSet | CSCTunerSet:
    """Tuners with random weights that keep values of order 1."""
    tuners = build_tuners(spec, dtype=torch.float64).requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for weights in tuners.parameters():
        weights.normal_(std=weights[0].numel() ** -0.5, generator=generator)
    return tuners


def style(seed: int = 1, strength: float = 1.0, **where) -> SkipEdit:
    """A random SC-Tuner's edit; it leaves block 4 alone."""
    return SkipEdit(made(TunerSpec.sc(LAYOUT, ratio=2, blocks=(0, 1, 2, 3, 5)), seed), strength, **where)


def control(seed: int = 2, strength: float = 1.0, hints: int = 1, **where) -> SkipEdit:
    """A random CSC-Tuner's edit, with random hints for a latent of 8 x 8."""
    tuners = made(TunerSpec.csc(LAYOUT, encoder=EncoderSize(3, STEM)), seed)
    return SkipEdit(tuners, strength, hint=random(hints, 3, 64, 64, seed=seed), **where)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    """Seeded uniform noise."""
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def skip_of(block: int, batch: int = 1, latent: int = 8) -> torch.Tensor:
    """A random skip as the U-Net would give it to this block."""
    size = latent // math.prod(LAYOUT.strides[block:])
    return random(batch, LAYOUT.channels[block], size, size, seed=9) * 2 - 1


def edited(skip: torch.Tensor, block: int, *edits: SkipEdit, latents=None, latent: int = 8) -> torch.Tensor:
    """The skip after these edits, for a latent of latent x latent."""
    prepared = [prepare_edit(edit, latent, latent, skip) for edit in edits]
    return edit_skip(skip, block, prepared, latents)


def adapter(edit: SkipEdit, block: int, x: torch.Tensor) -> torch.Tensor:
    """T(x), written out."""
    w = dict(edit.tuners.tuners[str(block)].named_parameters())
    y = torch.einsum("rc,bchw->brhw", w["down.weight"], x) + w["down.bias"][:, None, None]
    y = y * (1 + torch.erf(y / math.sqrt(2))) / 2
    return torch.einsum("cr,brhw->bchw", w["up.weight"], y) + w["up.bias"][:, None, None]


def feature(edit: SkipEdit, block: int) -> torch.Tensor:
    """The hint feature of a block, by walking the encoder's convs in the order of the paper's figure."""
    encoder = edit.tuners.hint_encoder
    x = edit.hint
    for index, stride in enumerate((1, 1, 2, 1, 2, 1, 2)):
        conv = encoder.pre[index]
        x = F.conv2d(x if index == 0 else F.silu(x), conv.weight, conv.bias, stride=stride, padding=1)
    for deeper in reversed(range(block, len(LAYOUT.channels))):
        conv = encoder.dense[str(deeper)]
        x = F.conv2d(F.silu(x), conv.weight, conv.bias, stride=LAYOUT.strides[deeper], padding=1)
    return x


def control_delta(edit: SkipEdit, block: int, x: torch.Tensor) -> torch.Tensor:
    """hint + T(x + hint), written out."""
    hint = feature(edit, block)
    return hint + adapter(edit, block, x + hint)

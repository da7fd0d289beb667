"""Whole small tuners in the layout of scepter, and the sentence that a damaged one is refused with."""

from pathlib import Path

import pytest
import torch

from scedit_core import SCEditError, load_checkpoint

# Their U-Net is one with 4 skips: conv_in, a block, a halving, a block.
INPUT_WIDTHS = (8, 8, 8, 16)
STEM = (3, 4, 4, 4, 4, 4, 4, 6)


def layer(name: str, *shape: int) -> dict:
    """Weight and bias of one layer."""
    generator = torch.Generator().manual_seed(len(name))
    weight = torch.randn(*shape, generator=generator)
    return {f"{name}.weight": weight, f"{name}.bias": torch.zeros(shape[0])}


def sc_weights(prefix: str = "lsc_identity") -> dict:
    """An SC-Tuner in the layout of scepter."""
    weights = {}
    for block, width in enumerate(reversed(INPUT_WIDTHS)):
        weights |= layer(f"{prefix}.{block}.tuner_op.ln1", 4, width)
        weights |= layer(f"{prefix}.{block}.tuner_op.ln2", width, 4)
    return weights


def csc_weights() -> dict:
    """A CSC-Tuner in the layout of scepter."""
    weights = sc_weights("lsc_tuner_blocks")
    for conv in range(7):
        weights |= layer(f"pre_hint_blocks.{2 * conv}", STEM[conv + 1], STEM[conv], 3, 3)
    for block, width in enumerate(INPUT_WIDTHS):
        before = INPUT_WIDTHS[block - 1] if block else STEM[-1]
        weights |= layer(f"dense_hint_blocks.{block}.1", width, before, 1, 1)
    return weights


def without(weights: dict, *parts: str) -> dict:
    """Weights less those whose key holds one of these parts."""
    return {key: value for key, value in weights.items() if not any(part in key for part in parts)}


SC, CSC = sc_weights(), csc_weights()


def refusal(path: Path, named: str | None = None) -> str:
    """What loading this file is refused with: one sentence that names the file."""
    with pytest.raises(SCEditError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert type(caught.value) is SCEditError
    assert "\n" not in message
    assert (named or path.name) in message
    return message


def message_of(path: Path) -> str:
    """What loading this file is refused with; empty if it loads."""
    try:
        load_checkpoint(path)
    except SCEditError as error:
        return str(error)
    return ""

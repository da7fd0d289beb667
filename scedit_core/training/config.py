"""Settings of a training run, with the paper's values (arXiv 2312.11392, Table 4) as defaults."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from ..errors import SCEditError
from .memory.recompute import MODES, Recompute

Precision = Literal["fp32", "bf16"]

PRECISIONS: tuple[Precision, ...] = get_args(Precision)

# least and most of each number, both included
RANGES = {
    "steps": (1, 10_000_000),
    "batch_size": (1, 4096),
    "accumulation": (1, 4096),
    "learning_rate": (1e-9, 1.0),
    "weight_decay": (0.0, 1.0),
    "clip_norm": (0.0, 1e6),
    "min_snr_gamma": (0.0, 1e4),
    "caption_dropout": (0.0, 1.0),
    "ema_decay": (0.0, 0.999999),
    "seed": (0, 2**64 - 1),
}


@dataclass(frozen=True)
class TrainConfig:
    """How tuners are trained. AdamW at a constant learning rate; one step is one change of the weights.

    A step sees `batch_size * accumulation` pictures. `clip_norm` bounds the length of the gradient,
    `min_snr_gamma` the weight of low noise levels (min-SNR, arXiv 2303.09556), `ema_decay` averages the
    weights over the steps; 0 switches each of the three off. `caption_dropout` is the share of pictures that
    are learnt without their caption. `precision` is that of the tuners' own weights. `recompute` trades time
    for memory and changes no number.
    """

    steps: int = 1500
    batch_size: int = 1
    accumulation: int = 1
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    min_snr_gamma: float = 0.0
    caption_dropout: float = 0.0
    ema_decay: float = 0.0
    seed: int = 0
    precision: Precision = "fp32"
    recompute: Recompute = "off"

    def __post_init__(self) -> None:
        for name, limits in RANGES.items():
            check_range(name, getattr(self, name), limits)
        if self.precision not in PRECISIONS:
            raise SCEditError(f"precision is fp32 or bf16, got '{self.precision}'; choose one of them")
        if self.recompute not in MODES:
            raise SCEditError(
                f"recompute is one of {', '.join(MODES)}, got '{self.recompute}'; choose one of them"
            )

    def differences(self, other: TrainConfig) -> list[str]:
        """What keeps a run of `other` from being continued with these settings.

        More steps, another learning rate (the way out of a loss that became NaN) and another use of memory
        do not.
        """
        names = (field.name for field in fields(self) if field.name not in _FREE)
        return [
            f"{name} {getattr(other, name)} is now {getattr(self, name)}"
            for name in names
            if getattr(self, name) != getattr(other, name)
        ]


def check_range(name: str, value: float, limits: tuple[float, float]) -> None:
    """SCEditError unless a number lies between two limits, both included; its last word is the setting's."""
    low, high = limits
    if not low <= value <= high:  # so neither is NaN
        advice = _ADVICE.get(name.rsplit(" ", 1)[-1], "change it")
        raise SCEditError(f"{name} must lie between {low:g} and {high:g}, got {value}; {advice}")


_FREE = ("steps", "learning_rate", "recompute")
_ADVICE = {
    "learning_rate": "the paper trains at 5e-05, its released configs at 1e-04",
    "steps": "a style takes about 1500, a control 10000 and more",
    "batch_size": "1 fits the smallest cards, with accumulation for larger steps",
    "ema_decay": "0.999 is usual, 0 is off",
}

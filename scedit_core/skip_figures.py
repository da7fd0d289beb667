"""What skips do to the decoder of a U-Net, in figures and maps (paper, Fig. 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

_BINS = 160
_OUTLIERS = 0.005  # share of the values left out of a plot's range at each end
_MOST_SORTED = 1_000_000


def variance(values: Tensor) -> float:
    """Variance of all finite values; NaN if there are none."""
    finite = values[torch.isfinite(values)].double()
    return float(finite.var(correction=0)) if len(finite) else float("nan")


def moved(picture: Tensor, plain: Tensor) -> float:
    """How far a picture is from another, in parts of that one: ‖p' - p‖ / ‖p‖; NaN where either holds one."""
    size = torch.linalg.vector_norm(plain.double())
    distance = torch.linalg.vector_norm(picture.double() - plain.double())
    return float(distance / size) if distance else 0.0


def densities(several: Sequence[Tensor]) -> tuple[float, float, list[np.ndarray]]:
    """The range that holds nearly all finite values of these tensors, and for each its density over it."""
    finite = [values[torch.isfinite(values)].float() for values in several]
    spans = [_span(values) for values in finite if len(values)]
    low = min((span[0] for span in spans), default=0.0)
    high = max((span[1] for span in spans), default=1.0)
    if not low < high:
        half = max(0.5, abs(low))  # a range that float32 can tell from one number
        low, high = low - half, high + half
    width = (high - low) / _BINS
    counts = [torch.histc(values, _BINS, low, high) for values in finite]
    shares = [
        (count / max(1, len(values)) / width).numpy() for count, values in zip(counts, finite, strict=True)
    ]
    return low, high, shares


def energy(features: Tensor) -> np.ndarray:
    """A map `(H, W)` of features `(C, H, W)`: the root of the mean square over channels."""
    return features.float().square().mean(0).sqrt().numpy()


def _span(values: Tensor) -> tuple[float, float]:
    some = values[:: len(values) // _MOST_SORTED + 1]
    low, high = torch.quantile(some, torch.tensor([_OUTLIERS, 1 - _OUTLIERS])).tolist()
    return low, high

"""What tells a model from another: facts about it, and a few points of its tensors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

# Values rounded to bf16 and to fp16 differ by less; the host chooses in which dtype a file is loaded.
_ROUNDING, _LEAST = 2**-7, 1e-6
_GOLDEN = 0.6180339887498949  # its multiples modulo 1 are spread evenly, and in no step with rows or columns


@dataclass(frozen=True, eq=False)
class Sketch:
    """Facts, as their hash, and points of tensors, float32 `(N,)` on the CPU."""

    facts: str
    points: Tensor

    def fits(self, other: Sketch) -> bool:
        """True if the facts are the same, and the points but for the rounding of half precision."""
        if self.facts != other.facts or self.points.shape != other.points.shape:
            return False
        alike = torch.isclose(self.points, other.points, rtol=_ROUNDING, atol=_LEAST, equal_nan=True)
        return bool(alike.all())


class Sketcher:
    """Collects what a sketch is made of. The same in every process, on every device, in every float dtype."""

    def __init__(self) -> None:
        self._facts = hashlib.sha256()
        self._points: list[Tensor] = []

    def tell(self, *facts: object) -> None:
        """Add numbers and texts, of which each has to be the same."""
        self._facts.update(repr(facts).encode(errors="backslashreplace"))

    def sample(self, tensor: Tensor, points: int = 8) -> None:
        """Add the shape of a tensor and its values at some points, the same for each tensor of its size."""
        self.tell(tuple(tensor.shape))
        if tensor.numel():
            values = tensor.detach().reshape(-1)[_places(tensor.numel(), points, tensor.device)]
            self._points.append(values.float())

    def sketch(self) -> Sketch:
        """A sketch of all that was told and sampled."""
        devices = {points.device for points in self._points}
        moved = self._points if len(devices) == 1 else [points.cpu() for points in self._points]
        return Sketch(self._facts.hexdigest(), torch.cat(moved).cpu() if moved else torch.zeros(0))


def sketch(*facts: object) -> Sketch:
    """A sketch of facts alone."""
    sketcher = Sketcher()
    sketcher.tell(*facts)
    return sketcher.sketch()


def _places(size: int, points: int, device: torch.device) -> Tensor:
    """Places `(points,)` in a tensor of this size, spread over it."""
    return torch.tensor([int(size * (place * _GOLDEN % 1)) for place in range(points)], device=device)

"""When, where and how strongly an edit acts: the inputs that all nodes have which apply a tuner."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from . import widgets
from .files.presets import names, read_weights
from .patching.conditions import Condition


def inputs() -> list[io.Input]:
    """Those of styles; controls have `widgets.priority` besides."""
    return [*widgets.when_and_where(), widgets.schedule(), *widgets.by_skip_and_latent(names())]


def condition(
    hosted: Any,
    image: Tensor | None,
    weight: float,
    *,
    start_percent: float = 0.0,
    end_percent: float = 1.0,
    mask: Tensor | None = None,
    schedule: str = "",
    skip_weights: str = "",
    latent_weights: str = "",
    priority: str = "balanced",
) -> Condition:
    """What these inputs come to with a tuner. Raises SCEditError for texts that cannot be read."""
    return Condition(
        hosted,
        image,
        weight,
        start_percent,
        end_percent,
        mask,
        widgets.schedules(schedule),
        widgets.by_latent(latent_weights),
        read_weights(skip_weights),
        priority,
    )

"""The sections of the GPU check in the order in which they run: checks first, then what takes long."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """A part of the check: `run` is 'module:function', called with the bench, the report and `base`.

    `least` is how many seconds have to be left for it to be worth beginning on a card, `most` after how many
    it is taken to hang.
    """

    name: str
    run: str
    base: str
    least: float
    is_check: bool = False
    most: float = 60


CHECKS = (
    Section("first run", "gpu_checks:first_run", "", 5, is_check=True),
    Section("parity", "gpu_parity:parity", "", 5, is_check=True),
    Section("exactness", "gpu_checks:exactness", "", 5, is_check=True),
    Section("training", "gpu_checks:training", "", 5, is_check=True),
    Section("load sd15", "gpu_checks:loading", "sd15", 5, is_check=True),
    Section("load sd21", "gpu_checks:loading", "sd21", 5, is_check=True),
    Section("load sdxl", "gpu_checks:loading", "sdxl", 8, is_check=True),
)
COSTS = (
    Section("step sd15", "gpu_costs:steps", "sd15", 5),
    Section("train sd15", "gpu_training:costs", "sd15", 8),
    Section("step sdxl", "gpu_costs:steps", "sdxl", 10),
    Section("compiled sd15", "gpu_costs:compiled", "sd15", 20, most=150),
    Section("train sdxl", "gpu_training:costs", "sdxl", 20),
    Section("compiled sdxl", "gpu_costs:compiled", "sdxl", 30, most=200),
)

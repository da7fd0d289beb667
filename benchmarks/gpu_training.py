"""Costs of the GPU check: time and memory of a training step, beside LoRA, a ControlNet and full tuning."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable
from functools import partial

import torch
from gpu_bench import Bench
from gpu_rows import Report
from training_cost import Cost, Method, step
from workbench import comfy

STEPS = 6
TINY_STEPS = 1
FULL = "full tuning"


def costs(bench: Bench, report: Report, base: str) -> None:
    """A step (forward, backward, AdamW, batch 1, bf16 autocast) of each method.

    Full tuning has weights in float32, the others a frozen U-Net in bf16 and what they train in float32.
    Memory is all there is: weights, gradients, AdamW's moments and what is kept for backward.
    """
    for dtype in (torch.bfloat16, torch.float32):
        cost = Cost(bench.pack, bench.unet(base), bench.size(base), bench.device, dtype)
        for name, make in cost.methods().items():
            if (name == FULL) == (dtype == torch.float32):
                report.measure(name, partial(_measure, bench, make))
                gc.collect()
        del cost
        gc.collect()
        comfy.model_management.soft_empty_cache()


def _measure(bench: Bench, make: Callable[[], Method]) -> tuple[dict[str, float], str]:
    meter = bench.meter
    meter.forget_peak()
    method = make()
    optimizer = torch.optim.AdamW(method.trained.parameters(), lr=0.0)
    count = TINY_STEPS if bench.tiny else STEPS
    seconds = [meter.seconds(partial(step, method, optimizer)) for _ in range(count + 1)][1:]
    trained = sum(weights.numel() for weights in method.trained.parameters()) / 1e6
    numbers = {"ms": 1000 * statistics.median(seconds), "peak_mb": meter.peak() / 1e6}
    return numbers, f"{trained:,.1f}M weights trained"

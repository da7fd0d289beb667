"""Costs of the GPU check: time and memory of a denoising step, beside the U-Net alone and a ControlNet."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch._dynamo
import workbench
from comfy_api.torch_helpers import set_torch_compile_wrapper
from gpu_bench import Bench, picture, sample
from gpu_rows import Report

STEPS = 12  # of a measured run; the first one, which encodes hints, is not counted
TINY_STEPS = 2
ALONE = "U-Net alone"
RATIOS = {"ratio": "ms", "gpu_ratio": "gpu_ms"}
PROFILED = (2, 6)  # steps of two runs, whose difference is free of what is done once a run


def steps(bench: Bench, report: Report, base: str) -> None:
    """A step of ComfyUI's sampler (cond and uncond, fp16) with each kind of edit, eager."""
    _measure_all(bench, report, _variants(bench, base), bench.size(base), compiled=False)


def compiled(bench: Bench, report: Report, base: str) -> None:
    """The same through ComfyUI's Torch Compile; on the CPU its backend only traces."""
    found = _variants(bench, base)
    # by what is asked first, for compiling may use up the time; to a CPU tracing one is enough
    names = ("CSC-Tuner",) if bench.tiny else (ALONE, "CSC-Tuner", "SC-Tuner", "ControlNet")
    _measure_all(bench, report, {name: found[name] for name in names}, bench.size(base), compiled=True)


def _variants(bench: Bench, base: str) -> dict[str, tuple[Any, Any]]:
    """MODEL and ControlNet (or None) of each variant."""
    core, patch = bench.pack.scedit_core, bench.pack.nodes.patching.patch
    unet, image = bench.unet(base), picture(bench.size(base))
    model = workbench.unet_model(unet, torch.float16)
    layout = patch.skip_layout(model)
    published = core.spec.published_stem(layout)
    control = core.TunerSpec.csc(layout, encoder=core.EncoderSize(3, published))
    style = patch.Condition(workbench.hosted(bench.pack, core.TunerSpec.sc(layout)))
    first, second = (
        patch.Condition(workbench.hosted(bench.pack, control, seed=seed), image) for seed in (1, 2)
    )
    return {
        ALONE: (model, None),
        "SC-Tuner": (patch.install(model, [style]), None),
        "CSC-Tuner": (patch.install(model, [first]), None),
        "SC-Tuner and 2 CSC-Tuners": (patch.install(model, [style, first, second]), None),
        "ControlNet": (model, workbench.controlnet(image, unet, torch.float16)),
    }


def _measure_all(
    bench: Bench, report: Report, variants: Mapping[str, tuple[Any, Any]], size: int, *, compiled: bool
) -> None:
    alone: Mapping[str, float] = {}
    for name, (model, control) in variants.items():
        run = partial(_measure, bench, (model, control), size, alone, compiled=compiled)
        numbers = report.measure(name, run)
        alone = numbers if name == ALONE else alone


def _measure(
    bench: Bench, variant: tuple[Any, Any], size: int, alone: Mapping[str, float], *, compiled: bool
) -> tuple[dict[str, float], str]:
    """Numbers of one variant, after a run that warms up, and what is to be told of it."""
    meter, (model, control) = bench.meter, variant
    bench.keep_only(model)
    if compiled:
        model = _compile(bench, model)
    warm = meter.seconds(lambda: sample(model, size, 2, control))
    numbers = _step(bench, model, size, control)
    numbers |= _on_card(bench, model, size, control)
    numbers |= {ratio: numbers[ms] / alone[ms] for ratio, ms in RATIOS.items() if alone.get(ms)}
    return numbers, f"{_graphs()}, first run {warm:.1f} s" if compiled else ""


def _compile(bench: Bench, model: Any) -> Any:
    """The MODEL with ComfyUI's Torch Compile; with the backend that only traces, if models are tiny."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model = model.clone()
    set_torch_compile_wrapper(model, backend="eager" if bench.tiny else "inductor")
    return model


def _graphs() -> str:
    """What the compiler says of its work."""
    counters = torch._dynamo.utils.counters
    return f"{counters['stats']['unique_graphs']} graphs, {sum(counters['graph_break'].values())} breaks"


def _step(bench: Bench, model: Any, size: int, control: Any) -> dict[str, float]:
    """Milliseconds of a step and megabytes at most."""
    meter, count = bench.meter, TINY_STEPS if bench.tiny else STEPS
    times: list[float] = []
    peaks: list[int] = []

    def after_step(*_: Any) -> None:
        times.append(meter.now())
        if len(times) == count:  # before the host tidies up
            peaks.append(meter.peak())

    meter.forget_peak()
    sample(model, size, count, control, after_step)
    between = [later - earlier for earlier, later in pairwise(times)]
    return {"ms": 1000 * statistics.median(between), "peak_mb": max(peaks) / 1e6}


def _on_card(bench: Bench, model: Any, size: int, control: Any) -> dict[str, float]:
    """Milliseconds that a card's kernels take in a step, and how many there are; nothing of a CPU.

    A fast card waits for Python between kernels: a step's time is then that of launching them, which varies
    with whatever else the processor does; this does not.
    """
    if bench.device.type != "cuda":
        return {}
    few, many = (_kernels(lambda count=count: sample(model, size, count, control)) for count in PROFILED)
    steps = PROFILED[1] - PROFILED[0]
    return {"gpu_ms": (many[0] - few[0]) / 1000 / steps, "kernels": (many[1] - few[1]) / steps}


def _kernels(run: Callable[[], Any]) -> tuple[float, int]:
    """Microseconds of all kernels of a call, and their number."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        run()
        torch.cuda.synchronize()
    ours = [
        event
        for event in profiler.events()
        if event.device_type == torch.autograd.DeviceType.CUDA and not event.name.startswith("Mem")
    ]
    return sum(event.time_range.elapsed_us() for event in ours), len(ours)

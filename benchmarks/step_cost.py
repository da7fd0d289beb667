"""Cost of one denoising step with SCEdit and with a ControlNet, against the same U-Net alone, in one run.

    python dev.py bench step_cost [--size 256] [--rounds 5] [--device cuda]

SD 1.5-size U-Net (860M parameters) and stock ControlNet, random weights, fp32, batch 2 (cond and uncond).
FLOPs are exact; times are medians of rounds that alternate between the variants: a busy machine drifts.
A convolution may do more FLOPs a second than a matrix product of the same library; so the products of one
tuner are timed by themselves too.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from host_start import Meter, add_device_option
from torch.utils.flop_counter import FlopCounterMode
from workbench import SKIPS_SD15, comfy, controlnet, device, hosted, load_pack, sd15_model

STEPS_PER_RUN = 20
MATRICES = "matrices alone"


def variants(pack: Any, size: int) -> dict[str, tuple[Any, Any]]:
    """MODEL and ControlNet (or None) of each variant."""
    core, patch = pack.scedit_core, pack.nodes.patching.patch
    model = sd15_model()
    layout = core.SkipLayout.from_channels(SKIPS_SD15)
    image = torch.rand(1, size, size, 3)

    def condition(spec: Any, image: torch.Tensor | None) -> Any:
        return patch.Condition(hosted(pack, spec), image)

    style = condition(core.TunerSpec.sc(layout), None)
    canny, color = (
        condition(core.TunerSpec.csc(layout, encoder=core.EncoderSize(3)), image) for _ in range(2)
    )
    return {
        "U-Net alone": (model, None),
        "SC-Tuner": (patch.install(model, [style]), None),
        "CSC-Tuner": (patch.install(model, [canny]), None),
        "SC-Tuner + 2 CSC-Tuners": (patch.install(model, [style, canny, color]), None),
        "ControlNet": (model, controlnet(image)),
    }


def step(model: Any, control: Any, size: int) -> Callable[[], torch.Tensor]:
    """One evaluation of the model for cond and uncond, as a sampler asks for it."""
    place = device()
    latent = torch.randn(2, 4, size // 8, size // 8, device=place)
    context = torch.randn(2, 77, 768, device=place)
    sigma = torch.full((2,), 5.0, device=place)
    options = {
        **model.model_options["transformer_options"],
        "cond_or_uncond": [1, 0],
        "sigmas": sigma[:1],
    }

    def evaluate() -> torch.Tensor:
        residuals = None
        if control is not None:
            cond = {"c_crossattn": context}
            residuals = control.get_control(latent, sigma, cond, 2, dict(options))
        return model.model.apply_model(
            latent, sigma, c_crossattn=context, control=residuals, transformer_options=dict(options)
        )

    return evaluate


def matrices(core: Any, size: int) -> Callable[[], Any]:
    """The two matrices of one tuner for every skip and nothing else: the least that a tuner can take here."""
    layout, side, pairs = core.SkipLayout.from_channels(SKIPS_SD15), size // 8, []
    for channels, stride in zip(reversed(layout.channels), reversed(layout.strides), strict=True):
        side //= stride
        pixels = torch.randn(2, channels, side * side, device=device())
        weight = torch.randn(channels, channels, device=device()) / channels**0.5
        pairs.append((weight.expand(2, -1, -1), pixels))
    return lambda: [torch.bmm(weight, torch.bmm(weight, pixels)) for weight, pixels in pairs]


def flops(run: Callable[[], Any]) -> int:
    """Exact number of floating point operations of a call."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256, help="picture side in pixels")
    parser.add_argument("--rounds", type=int, default=5)
    add_device_option(parser)
    arguments = parser.parse_args()
    pack = load_pack()
    torch.manual_seed(0)
    with torch.inference_mode():
        runs = {}
        for name, (model, control) in variants(pack, arguments.size).items():
            if control is not None:
                control.pre_run(model.model, model.get_model_object("model_sampling").percent_to_sigma)
                comfy.model_management.load_models_gpu(control.get_models())
            comfy.model_management.load_models_gpu([model])
            runs[name] = step(model, control, arguments.size)
        once = {name: flops(run) for name, run in runs.items()}  # the first step encodes hints
        later = {name: flops(run) for name, run in runs.items()}
        alone = matrices(pack.scedit_core, arguments.size)
        inside = Inside(pack.nodes.patching.patch)
        seconds = measure({**runs, MATRICES: alone}, arguments.rounds, inside)
    report(arguments.size, once, later, seconds)


class Inside:
    """Seconds spent in edits of skips, which no drift hides; none on a card, where looking would wait."""

    def __init__(self, patch: Any) -> None:
        self.seconds, self._edit = 0.0, patch.edit_skip
        if device().type == "cpu":
            patch.edit_skip = self._timed

    def _timed(self, *args: Any) -> torch.Tensor:
        start = time.perf_counter()
        edited = self._edit(*args)
        self.seconds += time.perf_counter() - start
        return edited


def measure(runs: dict[str, Callable[[], Any]], rounds: int, inside: Inside) -> dict[str, list[float]]:
    """Seconds of each variant in each round, and under "in <variant>" those of them in edits."""
    seconds: dict[str, list[float]] = {name: [] for name in [*runs, *(f"in {name}" for name in runs)]}
    meter = Meter(device())
    for _ in range(rounds):
        for name, run in runs.items():
            inside.seconds = 0.0
            seconds[name].append(meter.seconds(run))
            seconds[f"in {name}"].append(inside.seconds)
    return seconds


def ratio_of(seconds: dict[str, list[float]], name: str, base: str) -> float:
    """Median of what one takes beside the other in each round."""
    return statistics.median(a / b for a, b in zip(seconds[name], seconds[base], strict=True))


def report(size: int, once: dict[str, int], later: dict[str, int], seconds: dict[str, list[float]]) -> None:
    """Print a table of ratios to the first variant."""
    base = next(iter(later))
    print(f"SD 1.5-size U-Net, {size} x {size}, cond + uncond, {device()}, {torch.get_num_threads()} threads")
    print(
        f"{'variant':26} {'GFLOP/step':>10} {'ratio':>7} {'hint GFLOP':>10} {'s/step':>8} {'ratio':>7}"
        f" {'in edits':>8}"
    )
    for name, count in later.items():
        ratio, edits = (ratio_of(seconds, one, base) for one in (name, f"in {name}"))
        print(
            f"{name:26} {count / 1e9:10.1f} {count / later[base]:7.4f} {(once[name] - count) / 1e9:10.1f}"
            f" {statistics.median(seconds[name]):8.3f} {ratio:7.3f} {edits:8.4f}"
        )
    alone = ratio_of(seconds, MATRICES, base)
    print(f"The two matrices of one tuner on every skip take {alone:.4f} of that alone: no tuner is faster")
    print(f"Hints are encoded once a run: over {STEPS_PER_RUN} steps, FLOPs with their share are")
    for name, count in later.items():
        share = (once[name] - count) / STEPS_PER_RUN
        print(f"  {name:26} {(count + share) / later[base]:7.4f}")


if __name__ == "__main__":
    main()

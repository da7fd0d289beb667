"""Checks of the GPU check: published files load and act, strength 0 is exact, training trains."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import published_files
import torch
import workbench
from gpu_bench import Bench, executing, picture, sample
from gpu_parity import golden_model, support, use_golden_tuners
from gpu_rows import Failure, Report
from torch import Tensor


def loading(bench: Bench, report: Report, base: str) -> None:
    """Every layout in which the authors' tools wrote files for this base: written, loaded, applied, run."""
    size = bench.size(base)
    model = workbench.unet_model(bench.unet(base, whole=True), torch.float16)
    plain = sample(model, size)
    report.check("U-Net alone, twice", lambda: _same(sample(model, size), plain))
    for layout in published_files.LAYOUTS[base]:
        report.check(layout, partial(_load, bench, base, layout, (model, plain)))


def _load(bench: Bench, base: str, layout: str, alone: tuple[Any, Tensor]) -> str:
    """Write, load, apply and run one file."""
    (model, plain), size = alone, bench.size(base)
    name = f"{base}/{layout.replace(' ', '_')}"
    file = published_files.write(bench.models / name, base, layout, shrink=bench.tiny)
    try:
        megabytes, start = file.stat().st_size / 1e6, time.perf_counter()
        image = picture(size) if published_files.is_control(layout) else None
        edited, silent = published_files.applied(bench.pack.nodes, model, name, image)
        seconds = time.perf_counter() - start
        made = sample(edited, size)
        change = _change(made, plain)
        if not torch.equal(sample(silent, size), plain):
            raise Failure("strength 0 is not the U-Net alone, bit for bit")
    finally:
        file.unlink()
    return f"{megabytes:.0f} MB, loaded in {seconds:.2f} s, changes the latents by {change:.3f}"


def first_run(_bench: Bench, report: Report, _base: str) -> None:
    """Whether what a process computes first is what it computes later; of the host alone, without an edit.

    Where it is not, nothing that runs first can be compared bit for bit with what runs later.
    """
    model = golden_model("sd15_6skip", torch.float16)
    first, second, third = (sample(model, 64, 2) for _ in range(3))
    gaps = [float((later - earlier).abs().max()) for earlier, later in ((first, second), (second, third))]
    report.row(
        "U-Net alone, three runs", "ok", "bit for bit" if not any(gaps) else
        f"first and second up to {gaps[0]:.1e} apart, second and third {gaps[1]:.1e}",
    )  # fmt: skip


def exactness(bench: Bench, report: Report, _base: str) -> None:
    """What has no effect gives the base model's latents bit for bit, and a run can be repeated."""
    use_golden_tuners()
    model = golden_model("sd15_6skip", torch.float16)
    plain = sample(model, 64, 2)
    report.check("U-Net alone, twice", lambda: _same(sample(model, 64, 2), plain))
    style = bench.run("SCEditLoadSCTuner", tuner_name=support.GOLDEN.tuner("sc_full").name)
    control = bench.run("SCEditLoadCSCTuner", tuner_name=support.GOLDEN.tuner("csc_k1").name)
    image, dark = picture(64), torch.zeros(1, 64, 64)

    def applied(strength: float, mask: Tensor | None = None) -> Any:
        one = bench.run("SCEditApplySCTuner", model=model, tuner=style, strength=strength, mask=mask)
        inputs = {"model": one, "control": control, "image": image, "strength": strength, "mask": mask}
        return bench.run("SCEditApplyCSCTuner", **inputs)

    report.check("strength 0", lambda: _same(sample(applied(0.0), 64, 2), plain))
    report.check("black mask", lambda: _same(sample(applied(1.0, dark), 64, 2), plain))
    edited = sample(applied(1.0), 64, 2)
    report.check("style and control act", lambda: f"change the latents by {_change(edited, plain):.3f}")
    report.check("style and control, twice", lambda: _same(sample(applied(1.0), 64, 2), edited))
    report.check("U-Net alone, after them", lambda: _same(sample(model, 64, 2), plain))


def training(bench: Bench, report: Report, _base: str) -> None:
    """The training nodes learn on this device, in half precision, alike with each memory setting."""
    model = golden_model("sd15_6skip", torch.float16)
    reference: dict[str, list[Tensor]] = {}
    for node in ("SCEditTrainSCTuner", "SCEditTrainCSCTuner"):
        for memory in ("full speed", "less", "least"):
            what = f"{node.removeprefix('SCEditTrain')}, memory {memory}"
            report.check(what, partial(_train, bench, model, (node, memory), reference))


def _train(bench: Bench, model: Any, kind: tuple[str, str], reference: dict[str, list[Tensor]]) -> str:
    node, memory = kind
    draw = torch.Generator().manual_seed(3)
    with executing():  # in it the nodes before make their outputs, too
        latents = [{"samples": torch.randn(1, 4, 8, 8, generator=draw)} for _ in range(2)]
        captions = [[[torch.randn(1, 7, 32, generator=draw), {}]] for _ in range(2)]
        widgets: dict[str, Any] = {
            "name": f"{node}_{memory}".replace(" ", "_"), "steps": 2, "batch_size": 2, "accumulation": 1,
            "learning_rate": 1e-3, "seed": 0, "tuner_op": "adapter", "ratio": 1.0, "memory": memory,
        }  # fmt: skip
        inputs = {"model": [model], "latents": latents, "positive": captions}
        if node == "SCEditTrainCSCTuner":
            widgets |= {"kernel": 1, "stem_ratio": 0.5, "hint_channels": 16}
            inputs["hints"] = {"hint0": [picture(64) for _ in latents]}
        start = bench.meter.now()
        made = bench.nodes[node].execute(**inputs, **{name: [value] for name, value in widgets.items()})
        seconds = bench.meter.now() - start
    state = made.args[0].patcher.model.state_dict()
    learnt = [weights.float().cpu() for name, weights in state.items() if name.endswith("up.weight")]
    if not learnt or not all(bool(torch.isfinite(weights).all()) for weights in learnt):
        raise Failure("the trained weights are not finite")
    if not any(bool(weights.any()) for weights in learnt):
        raise Failure("two steps have not moved the weights")
    first = reference.setdefault(node, learnt)
    apart = max(float((a - b).abs().max()) for a, b in zip(learnt, first, strict=True))
    if apart > 5e-4:  # of weights that have moved by up to twice the learning rate
        raise Failure(f"weights are {apart:.1e} apart from those learnt at full speed")
    return f"2 steps in {seconds:.1f} s, weights {apart:.1e} apart from those at full speed"


def _same(made: Tensor, wanted: Tensor) -> str:
    if not torch.equal(made, wanted):
        raise Failure(f"not bit for bit: up to {float((made - wanted).abs().max()):.1e} apart")
    return "bit for bit"


def _change(made: Tensor, plain: Tensor) -> float:
    """By how much an edit changes latents, relative to their size."""
    if not bool(torch.isfinite(made).all()):
        raise Failure("the latents are not finite")
    change = float((made - plain).norm() / plain.norm())
    if not change:
        raise Failure("the edit has no effect")
    return change

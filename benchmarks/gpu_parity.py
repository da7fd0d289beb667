"""The authors' values on a device: golden cases through ComfyUI's U-Net with the pack's nodes applied."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.supported_models_base
import torch
import workbench
from gpu_bench import Bench, executing
from gpu_rows import Failure, Report
from safetensors.torch import load_file
from torch import Tensor

sys.path.append(str(workbench.REPOSITORY / "tests"))
support = importlib.import_module("support")

# Largest error of a U-Net's output or of an edited skip, relative to its norm, against the authors' float32
# values from a CPU. fp32: other kernels sum in another order (3e-6 on a CPU, with another PyTorch). fp16
# keeps 10 bits behind the point, and so does TF32, which PyTorch lets convolutions use on cards; bf16 keeps
# 7. A rounding is 2^-11 or 2^-8 of a number, and those of some 40 layers add up, in part by chance: to 3e-3
# and 2e-2 on a CPU. Tolerances are three times these, since kernels differ; a wrong mask, row or formula is
# off by 1e-1 and more.
TOLERANCES = {"fp32": 1e-4, "fp32, TF32 convs": 8e-3, "fp16": 8e-3, "bf16": 6e-2}
_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


def use_golden_tuners() -> None:
    """Let the loaders find the golden tuners."""
    folder_paths = importlib.import_module("folder_paths")
    folder = str(support.GOLDEN.path("tuners"))
    if folder not in folder_paths.get_folder_paths("scedit"):
        folder_paths.add_model_folder_path("scedit", folder)


def golden_model(name: str, dtype: torch.dtype, *, disable_dynamic: bool = False) -> Any:
    """A MODEL around one of the golden U-Nets."""
    entry = support.GOLDEN.index["unets"][name]

    class Tiny(comfy.supported_models_base.BASE):
        unet_config = {}  # noqa: RUF012 - the host reads a plain class attribute
        unet_extra_config = {}  # noqa: RUF012
        latent_format = comfy.latent_formats.SD15

    config = Tiny({**entry["comfyui_unet_config"], "dtype": dtype})
    model = comfy.model_base.BaseModel(config)
    patcher = workbench.held(model, disable_dynamic=disable_dynamic)
    weights = load_file(support.GOLDEN.path(entry["file"]))
    model.diffusion_model.load_state_dict({key: value.to(dtype) for key, value in weights.items()})
    patcher.cached_patcher_init = (golden_model, (name, dtype))
    return patcher


def parity(bench: Bench, report: Report, _base: str) -> None:
    """All golden cases in each precision."""
    use_golden_tuners()
    for name, tolerance in TOLERANCES.items():
        torch.backends.cudnn.allow_tf32 = name != "fp32"
        report.check(name, partial(_compare, bench, _DTYPES.get(name, torch.float32), tolerance))
    torch.backends.cudnn.allow_tf32 = True


def _compare(bench: Bench, dtype: torch.dtype, tolerance: float) -> str:
    cases = support.GOLDEN.cases()[:: 4 if bench.tiny else 1]
    models = {name: golden_model(name, dtype) for name in {case["unet"] for case in cases}}
    errors = {case["name"]: _error(bench, models[case["unet"]], case, dtype) for case in cases}
    worst = max(errors, key=lambda name: errors[name] if errors[name] == errors[name] else torch.inf)
    wrong = sum(not error <= tolerance for error in errors.values())
    found = f"error at most {errors[worst]:.1e} ({worst}), tolerance {tolerance:.0e}"
    if wrong or not errors:
        raise Failure(f"{wrong} of {len(errors)} cases differ: {found}")
    return f"{len(errors)} cases, {found}"


def _error(bench: Bench, model: Any, case: Mapping[str, Any], dtype: torch.dtype) -> float:
    """Largest relative error of a case's output and edited skips."""
    golden = support.GOLDEN
    inputs = load_file(golden.path(f"inputs/{case['inputs']}.safetensors"))
    expected = load_file(golden.path(case["expected"]))
    made = _predict(bench, _applied(bench, model, case, inputs), inputs, dtype)
    # the authors scale a stack of styles as a whole, which changes the output in no simple way
    is_stack = len(support.case_tuners(case)) > 1 and case["formula"] == "SC_STACK"
    errors = []
    for name, value in made.items():
        wanted = expected.get(f"linear.{name}", expected[name])
        if is_stack and name == "out":
            continue
        if is_stack:
            plain = inputs[name.replace("edited", "skip")]
            wanted = plain + (wanted - plain) / case["sc"]["tuner_scale"]
        errors.append(float((value - wanted).norm() / wanted.norm()))
    return max(errors)


def _applied(bench: Bench, model: Any, case: Mapping[str, Any], inputs: Mapping[str, Tensor]) -> Any:
    """The case's tuners in a MODEL, through the nodes."""
    style = case.get("sc") or {"tuners": [], "tuner_scale": 1.0}
    strength = 1.0 if len(style["tuners"]) > 1 else style["tuner_scale"]
    for name in style["tuners"]:
        tuner = bench.run("SCEditLoadSCTuner", tuner_name=support.GOLDEN.tuner(name).name)
        model = bench.run("SCEditApplySCTuner", model=model, tuner=tuner, strength=strength)
    rows = {}
    for number, control in enumerate(case["controls"]):
        hint = inputs[control["hint"]][: case["hint_items"]].movedim(1, -1)
        loaded = bench.run("SCEditLoadCSCTuner", tuner_name=support.GOLDEN.tuner(control["tuner"]).name)
        rows[f"condition{number}"] = bench.run(
            "SCEditCondition", control=loaded, image=hint, weight=control["scale"]
        )
    if not rows:
        return model
    bundle = bench.run("SCEditComposeConditions", conditions=rows, normalize=False)
    return bench.run("SCEditApplyConditions", model=model, conditions=bundle, strength=case["control_scale"])


def _predict(bench: Bench, model: Any, inputs: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Output of ComfyUI's U-Net and the skips that its output blocks got, on the CPU in float32."""
    skips = {}

    def record(h: Tensor, skip: Tensor, options: dict[str, Any]) -> tuple[Tensor, Tensor]:
        skips[f"edited.{options['block'][1]}"] = skip
        return h, skip

    model = model.clone()
    model.set_model_output_block_patch(record)
    comfy.model_management.load_models_gpu([model])
    options = {**model.model_options["transformer_options"], "sigmas": torch.ones(1)}
    given = {name: inputs[name].to(bench.device) for name in ("x", "timesteps", "context")}
    given |= {name: given[name].to(dtype) for name in ("x", "context")}
    with executing():
        model.pre_run()
        try:
            out = model.model.diffusion_model(**given, transformer_options=options)
        finally:
            model.cleanup()
    return {name: value.float().cpu() for name, value in {"out": out, **skips}.items()}

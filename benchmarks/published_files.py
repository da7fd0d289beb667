"""The ten published controllers and the styles in their exact layouts, run on real-size U-Nets.

    python dev.py bench published_files [--size 256] [--base sd15|sd21|sdxl] [--device cuda]

Keys and shapes are those of the authors' files, weights are random. Each file is written as it is published,
loaded and applied by the nodes, and one step (cond and uncond) is run on a U-Net of full size with random
weights. A step has to be finite, to differ from the U-Net alone, and to be the U-Net alone at strength 0.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from host_start import add_device_option
from workbench import REPOSITORY, UNETS, comfy, device, load_pack, random_state, unet_model

MANIFESTS = json.loads((REPOSITORY / "tests" / "golden" / "manifests.json").read_text(encoding="utf-8"))
CONDITIONS = ("canny", "color", "depth", "hed", "pose")
CONTROLS = {"sd15": (), "sd21": CONDITIONS, "sdxl": CONDITIONS}

CONTROL = "control"  # all conditions of a base have the same layout
STYLES = {"style": "sc_swift_keys", "style without ms-swift": "sc_scepter_keys"}
LAYOUTS = {base: ((CONTROL,) if conditions else ()) + tuple(STYLES) for base, conditions in CONTROLS.items()}


def is_control(layout: str) -> bool:
    """True for a controller's layout."""
    return layout == CONTROL


def write(folder: Path, base: str, layout: str, seed: int = 0, *, shrink: bool = False) -> Path:
    """One published folder of random weights, its blocks a tenth as wide if shrunk; its weights' file."""
    manifest, inner = MANIFESTS[base], folder / "0_SwiftSCETuning"
    inner.mkdir(parents=True)
    shapes = manifest["csc_published_keys" if is_control(layout) else STYLES[layout]]
    if shrink:
        shapes = _shrunk(shapes)
    if is_control(layout):
        settings = {
            **manifest["csc_config"],
            "INPUT_BLOCK_CHANS": manifest["input_block_chans"],
            "INPUT_DOWN_FLAG": manifest["input_down_flag"],
        }
        (inner / "configuration.json").write_text(json.dumps({"CONTROL_MODEL": settings}))
        file = inner / "pytorch_model.bin"
    else:
        (inner / "adapter_config.json").write_text(json.dumps({"swift_type": "SCETuning"}))
        (folder / "configuration.json").write_text("{}")
        file = inner / "adapter_model.bin"
    torch.save(random_state(shapes, seed=seed), file)
    return file


def _shrunk(shapes: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    return {key: [n // 10 if n % 320 == 0 else n for n in shape] for key, shape in shapes.items()}


def step(model: Any, size: int) -> torch.Tensor:
    """One evaluation for cond and uncond, with the same input for all models."""
    generator, place = torch.Generator().manual_seed(7), device()
    comfy.model_management.load_models_gpu([model])
    config = model.model.model_config.unet_config
    latent = torch.randn(2, 4, size // 8, size // 8, generator=generator)
    context = torch.randn(2, 77, config["context_dim"], generator=generator)
    sigma = torch.full((2,), 5.0, device=place)
    options = {**model.model_options["transformer_options"], "cond_or_uncond": [1, 0], "sigmas": sigma[:1]}
    extra = {}
    if config.get("adm_in_channels"):
        extra["y"] = torch.randn(2, config["adm_in_channels"], generator=generator).to(place)
    inputs = {"c_crossattn": context.to(place), "transformer_options": options, **extra}
    return model.model.apply_model(latent.to(place), sigma, **inputs)


def applied(nodes: Any, model: Any, tuner: str, image: torch.Tensor | None) -> list[Any]:
    """The MODEL with a file loaded and applied by the nodes, at strengths 1 and 0."""
    if image is None:
        style = nodes.SCEditLoadSCTuner.execute(tuner_name=tuner).args[0]
        apply = nodes.SCEditApplySCTuner.execute
        return [apply(model=model, tuner=style, strength=s).args[0] for s in (1.0, 0.0)]
    control = nodes.SCEditLoadCSCTuner.execute(tuner_name=tuner).args[0]
    inputs = {"model": model, "control": control, "image": image}
    return [nodes.SCEditApplyCSCTuner.execute(**inputs, strength=s).args[0] for s in (1.0, 0.0)]


def run(nodes: Any, base: str, size: int, folder: Path) -> None:
    """Write, load, apply and run all files of one base model."""
    dtype = torch.float32 if device().type == "cpu" else torch.float16  # CPUs are slow in half precision
    model = unet_model(UNETS[base], dtype)
    count = sum(weights.numel() for weights in model.model.diffusion_model.parameters()) / 1e6
    plain, alone = timed(model, size)
    print(f"{base}: U-Net of {count:,.0f}M parameters, {dtype}, {size} x {size}, {alone:.1f} s per step")
    image = torch.rand(1, size, size, 3, generator=torch.Generator().manual_seed(1))
    for seed, name in enumerate((*CONTROLS[base], "dragon")):
        layout, tuner = CONTROL if name != "dragon" else "style", f"{base}/{name}"
        file = write(folder / tuner, base, layout, seed)
        megabytes, start = file.stat().st_size / 1e6, time.perf_counter()
        edited, silent = applied(nodes, model, tuner, image if is_control(layout) else None)
        load = time.perf_counter() - start
        out, took = timed(edited, size)
        change = float((out - plain).norm() / plain.norm())
        if (
            not bool(torch.isfinite(out).all())
            or not change
            or not torch.equal(timed(silent, size)[0], plain)
        ):
            raise SystemExit(f"{tuner}: not finite, without effect, or not silent at strength 0")
        print(f"  {tuner:12} {megabytes:4.0f} MB, load {load:.2f} s, step {took:.1f} s, change {change:.3f}")
        file.unlink()


def timed(model: Any, size: int) -> tuple[torch.Tensor, float]:
    """A step, on the CPU, and its seconds, weights' way to the device included."""
    start = time.perf_counter()
    out = step(model, size).float().cpu()
    return out, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256, help="picture side in pixels")
    parser.add_argument("--base", choices=list(UNETS), help="only this one")
    add_device_option(parser)
    arguments = parser.parse_args()
    pack = load_pack()
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        import folder_paths

        folder_paths.models_dir = folder
        pack.nodes.register_tuner_folder()
        for base in [arguments.base] if arguments.base else UNETS:
            run(pack.nodes, base, arguments.size, Path(folder, "scedit"))


if __name__ == "__main__":
    main()

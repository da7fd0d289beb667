"""The ten published controllers and the styles in their exact layouts, run on real-size U-Nets on the CPU.

    python dev.py bench published_files [--size 256] [--base sd15|sd21|sdxl]

Keys and shapes are those of the authors' files, weights are random. Each file is written as it is published,
loaded and applied by the nodes, and one step (cond and uncond) is run on a U-Net of full size with random
weights. A step has to be finite, to differ from the U-Net alone, and to be the U-Net alone at strength 0.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from workbench import REPOSITORY, UNET_SD15, UNET_SD21, UNET_SDXL, load_pack, unet_model

MANIFESTS = json.loads((REPOSITORY / "tests" / "golden" / "manifests.json").read_text(encoding="utf-8"))
BASES = {
    "sd15": (UNET_SD15, torch.float32),
    "sd21": (UNET_SD21, torch.float32),
    "sdxl": (UNET_SDXL, torch.float32),  # 10 GB; CPUs are slower in bfloat16
}
CONDITIONS = ("canny", "color", "depth", "hed", "pose")
CONTROLS = {"sd15": (), "sd21": CONDITIONS, "sdxl": CONDITIONS}


def random_weights(shapes: dict[str, list[int]], seed: int) -> dict[str, torch.Tensor]:
    """Weights that change a picture but do not blow it up."""
    generator = torch.Generator().manual_seed(seed)
    return {key: torch.randn(shape, generator=generator) * 0.02 for key, shape in shapes.items()}


def write(folder: Path, base: str, seed: int, *, is_control: bool) -> None:
    """One published folder of random weights."""
    manifest, inner = MANIFESTS[base], folder / "0_SwiftSCETuning"
    inner.mkdir(parents=True)
    if is_control:
        settings = {
            **manifest["csc_config"],
            "INPUT_BLOCK_CHANS": manifest["input_block_chans"],
            "INPUT_DOWN_FLAG": manifest["input_down_flag"],
        }
        (inner / "configuration.json").write_text(json.dumps({"CONTROL_MODEL": settings}))
        torch.save(random_weights(manifest["csc_published_keys"], seed), inner / "pytorch_model.bin")
    else:
        (inner / "adapter_config.json").write_text(json.dumps({"swift_type": "SCETuning"}))
        (folder / "configuration.json").write_text("{}")
        torch.save(random_weights(manifest["sc_swift_keys"], seed), inner / "adapter_model.bin")


def step(model: Any, size: int) -> torch.Tensor:
    """One evaluation for cond and uncond, with the same input for all models."""
    generator = torch.Generator().manual_seed(7)
    config = model.model.model_config.unet_config
    latent = torch.randn(2, 4, size // 8, size // 8, generator=generator)
    context = torch.randn(2, 77, config["context_dim"], generator=generator)
    sigma = torch.full((2,), 5.0)
    options = {**model.model_options["transformer_options"], "cond_or_uncond": [1, 0], "sigmas": sigma[:1]}
    extra = {}
    if config.get("adm_in_channels"):
        extra["y"] = torch.randn(2, config["adm_in_channels"], generator=generator)
    return model.model.apply_model(latent, sigma, c_crossattn=context, transformer_options=options, **extra)


def applied(nodes: Any, model: Any, tuner: str, image: torch.Tensor | None) -> list[Any]:
    """The MODEL with a file loaded and applied by the nodes, at strengths 1 and 0."""
    if image is None:
        style = nodes.SCEditLoadSCTuner.execute(tuner).args[0]
        return [nodes.SCEditApplySCTuner.execute(model, style, s).args[0] for s in (1.0, 0.0)]
    control = nodes.SCEditLoadCSCTuner.execute(tuner).args[0]
    return [nodes.SCEditApplyCSCTuner.execute(model, control, image, s).args[0] for s in (1.0, 0.0)]


def run(nodes: Any, base: str, size: int, folder: Path) -> None:
    """Write, load, apply and run all files of one base model."""
    unet, dtype = BASES[base]
    model = unet_model(unet, dtype)
    count = sum(weights.numel() for weights in model.model.diffusion_model.parameters()) / 1e6
    start = time.perf_counter()
    plain = step(model, size)
    alone = time.perf_counter() - start
    print(f"{base}: U-Net of {count:,.0f}M parameters, {dtype}, {size} x {size}, {alone:.1f} s per step")
    image = torch.rand(1, size, size, 3, generator=torch.Generator().manual_seed(1))
    for seed, name in enumerate((*CONTROLS[base], "dragon")):
        is_control, tuner = name != "dragon", f"{base}/{name}"
        write(folder / tuner, base, seed, is_control=is_control)
        file = next((folder / tuner).rglob("*.bin"))
        megabytes, start = file.stat().st_size / 1e6, time.perf_counter()
        edited, silent = applied(nodes, model, tuner, image if is_control else None)
        load, start = time.perf_counter() - start, time.perf_counter()
        out = step(edited, size)
        took = time.perf_counter() - start
        change = float((out - plain).norm() / plain.norm())
        if not bool(torch.isfinite(out).all()) or not change or not torch.equal(step(silent, size), plain):
            raise SystemExit(f"{tuner}: not finite, without effect, or not silent at strength 0")
        print(f"  {tuner:12} {megabytes:4.0f} MB, load {load:.2f} s, step {took:.1f} s, change {change:.3f}")
        file.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256, help="picture side in pixels")
    parser.add_argument("--base", choices=list(BASES), help="only this one")
    arguments = parser.parse_args()
    pack = load_pack()
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        import folder_paths

        folder_paths.models_dir = folder
        pack.nodes.register_tuner_folder()
        for base in [arguments.base] if arguments.base else BASES:
            run(pack.nodes, base, arguments.size, Path(folder, "scedit"))


if __name__ == "__main__":
    main()

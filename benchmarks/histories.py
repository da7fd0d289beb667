"""Random histories of what users do with graphs in one living ComfyUI, and whether all that must hold does.

    python dev.py bench histories [--count 1000] [--seed 0] [--first 0] [--mode static] [--device cuda]

A history applies tuners to a MODEL and to prompts, changes settings, clones, samples, cancels at any step and
inside of one, unloads, and samples again, on a tiny U-Net. The same configuration has to give the
same picture, bit for bit; the base model stays as it is; nothing that a run made ready outlives it; the bytes
of living tensors do not grow (tests/host/patching/histories.py says it in full). Half of the histories are
lived in each of the ways that ComfyUI holds weights. What does not hold is printed with what was done before:
`--seed N --first NUMBER --count 1` does it again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from host_start import add_device_option, chosen_device, find_comfyui, start

REPOSITORY = Path(__file__).resolve().parents[1]
find_comfyui()
sys.path[:0] = [str(REPOSITORY / place) for place in ("tests", "tests/host", "tests/host/patching")]

MODES = ("static", "dynamic")


def pack_of(base: str) -> Any:
    """The pack in a ComfyUI that is ready for dynamic VRAM, the golden tuners in its folder."""
    if chosen_device(sys.argv[1:]) == "cuda":
        start("cuda")
    elif find_spec("comfy_aimdo"):  # as main.py does, before anything of ComfyUI is imported
        import comfy_aimdo.control

        comfy_aimdo.control.init()
    import folder_paths
    from support import GOLDEN
    from workbench import load_pack

    folder_paths.models_dir = base
    pack = load_pack()
    pack.nodes.register_tuner_folder()
    for folder in ("tuners", "diffusers"):
        folder_paths.add_model_folder_path("scedit", str(GOLDEN.path(folder)))
    return pack


def start_as(mode: str) -> None:
    """Have ComfyUI hold weights in this way from now on."""
    from workbench import comfy

    patcher = comfy.model_patcher
    is_dynamic = mode == "dynamic"
    comfy.memory_management.aimdo_enabled = is_dynamic
    patcher.CoreModelPatcher = patcher.ModelPatcherDynamic if is_dynamic else patcher.ModelPatcher


def lived_in(mode: str, pack: Any, seed: int, numbers: range) -> Any:
    """Histories in a process that ComfyUI started in this way."""
    from histories import lived
    from test_neighbours import small_controlnet

    start_as(mode)
    return lived(pack, small_controlnet(), seed, numbers, again=max(1, len(numbers) // 10))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="how many histories")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first history")
    parser.add_argument("--mode", choices=("both", *MODES), default="both", help="how ComfyUI holds weights")
    add_device_option(parser)
    options = parser.parse_args()
    modes = MODES if options.mode == "both" else (options.mode,)
    middle = options.first + -(-options.count // len(modes))
    parts = [range(options.first, middle), range(middle, options.first + options.count)]
    findings = 0
    with tempfile.TemporaryDirectory() as base:
        pack = pack_of(base)
        for mode, numbers in zip(modes, parts, strict=False):
            began = time.perf_counter()
            process = lived_in(mode, pack, options.seed, numbers)
            report(mode, process, time.perf_counter() - began)
            findings += len(process.findings)
    raise SystemExit(1 if findings else 0)


def report(mode: str, process: Any, seconds: float) -> None:
    """Print what was done, and all that did not hold."""
    counts = process.counts
    print(
        f"{mode:8} {counts.histories} histories in {seconds:.0f} s: {len(process.pictures)} configurations, "
        f"{counts.runs} runs, {counts.cancelled} cancelled, {counts.compared} pictures compared, "
        f"{len(process.findings)} findings; bytes of tensors beside the models' "
        f"{process.bytes_begin} at the begin, {process.bytes_end} at the end",
        flush=True,
    )
    for finding in process.findings:
        print(f"  {finding}")


if __name__ == "__main__":
    main()

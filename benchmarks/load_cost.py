"""Time and memory of loading a controller of some 400 MB, against safetensors.torch.load_file.

    python dev.py bench load_cost [--rounds 15] [--device cuda]

load_file maps the file and reads nothing: so that the two can be compared, its weights are then looked
through once, as ours are when they are checked for NaN. A .bin is compared with torch.load in the same way.
Times are taken in turns in one process, as ratios within each round: a busy machine drifts. Peak memory is
what a process of its own gains by one load, mapped pages of the file included, which the system takes back
when it needs them.
On a card a further way brings the weights there as well.
"""

from __future__ import annotations

import argparse
import io
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from host_start import Meter, add_device_option
from process_memory import forget_peak, resident
from workbench import REPOSITORY, SKIPS_SD15, comfy, device, load_pack

BASES = ("load_file and a look", "torch.load and a look")
WAYS = (
    "load_file",
    *BASES,
    "walk of the pickle",
    "read_checkpoint",
    "load_checkpoint",
    "loader node",
    "loader node, on the card",
)


def write_control(folder: Path, core: Any) -> dict[str, Path]:
    """A CSC-Tuner of SD's size with k = 3, as safetensors and as the authors publish it."""
    spec = core.TunerSpec.csc(core.SkipLayout.from_channels(SKIPS_SD15), encoder=core.EncoderSize(3))
    tuners = core.build_tuners(spec)
    for weights in tuners.parameters():
        torch.nn.init.normal_(weights, std=0.02)
    core.save_checkpoint(tuners, folder / "control.safetensors")
    core.files.published.write_published(tuners, folder / "published")
    return {"safetensors": folder / "control.safetensors", "bin": folder / "published"}


def look(tensors: dict[str, torch.Tensor]) -> None:
    """Read every number once."""
    for tensor in tensors.values():
        tensor.sum()


def ways(pack: Any, path: Path) -> dict[str, Callable[[], Any]]:
    """The ways of loading; those of safetensors alone for a file of its own."""
    from safetensors.torch import load_file

    core = pack.scedit_core
    both = {
        "read_checkpoint": lambda: core.read_checkpoint(path),
        "loader node": lambda: pack.nodes.files.hosted.read_hosted("control", path),
    }
    if device().type != "cpu":
        both["loader node, on the card"] = lambda: placed(
            pack.nodes.files.hosted.read_hosted("control", path)[1]
        )
    both["load_checkpoint"] = lambda: core.load_checkpoint(path)
    if path.is_file():
        both["load_file"] = lambda: load_file(path)
        both["load_file and a look"] = lambda: look(load_file(path))
    else:
        file = next(path.rglob("*.bin"))
        both["torch.load and a look"] = lambda: look(torch.load(file, mmap=True, weights_only=True))
        both["walk of the pickle"] = lambda: walk(core, file)
    return both


def walk(core: Any, file: Path) -> Any:
    """What is read of a PyTorch file before its numbers: the directory and the pickle."""
    with zipfile.ZipFile(file) as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        return core.files.pickles.read_pickle(io.BytesIO(archive.read(name)))


def placed(hosted: Any) -> Any:
    """Tuners whose weights ComfyUI has loaded where it computes."""
    comfy.model_management.load_models_gpu([hosted.patcher])
    return hosted


def peak(load: Callable[[], Any]) -> int:
    """Bytes that this process gains at most by one load."""
    forget_peak()
    before = resident("VmRSS")
    kept = load()
    gained = resident("VmHWM") - before
    del kept
    return gained


def peak_in_own_process(way: str, path: Path) -> int:
    command = [sys.executable, __file__, "--way", way, "--path", str(path), "--device", device().type]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    return int(run.stdout.splitlines()[-1])


def seconds(loads: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in each round."""
    taken: dict[str, list[float]] = {way: [] for way in loads}
    meter = Meter(device())
    for _ in range(rounds):
        for way, load in loads.items():
            start = meter.now()
            kept = load()
            taken[way].append(meter.now() - start)
            del kept
    return taken


def report(pack: Any, kind: str, path: Path, rounds: int) -> None:
    """Print a table of all ways for one file."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    loads = ways(pack, path)
    taken = seconds(loads, rounds)
    print(f"{f'{kind}, {size / 1e6:.0f} MB':32} {'ms':>8} {'ratio':>7} {'peak MB':>9} {'of size':>8}")
    for way in (way for way in WAYS if way in loads):
        base = next((taken[base] for base in BASES if base in taken), None)
        ratio = statistics.median(a / b for a, b in zip(taken[way], base, strict=True)) if base else 0
        gained = peak_in_own_process(way, path)
        print(
            f"{way:32} {1000 * statistics.median(taken[way]):8.1f} {f'{ratio:7.2f}' if base else '':7}"
            f" {gained / 1e6:9.1f} {gained / size:8.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    add_device_option(parser)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    pack = load_pack()
    if arguments.way:
        print(peak(ways(pack, arguments.path)[arguments.way]))
        return
    with tempfile.TemporaryDirectory() as folder:
        for kind, path in write_control(Path(folder), pack.scedit_core).items():
            report(pack, kind, path, arguments.rounds)


if __name__ == "__main__":
    main()

"""A process of the GPU check: one ComfyUI, with dynamic VRAM or without, that runs sections on demand.

It reads names of sections from its input, a line each, and writes JSON, a line each: rows, and which section
is done. What ComfyUI and others print goes to the error stream.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from gpu_rows import Report, Row
from gpu_sections import CHECKS, COSTS
from host_start import DYNAMIC_LIKE, start

START = "start"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patcher", choices=("dynamic", "static"), required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(row: Row) -> None:
        send(channel, {"row": asdict(row)})

    report = Report(arguments.patcher, START, tell)
    bench = None
    with tempfile.TemporaryDirectory(prefix="scedit-gpu-") as models:
        with report.guarded("ComfyUI"):
            held = start(arguments.device, arguments.patcher)
            bench = importlib.import_module("gpu_bench").Bench(Path(models), tiny=arguments.tiny)
            send(channel, {"facts": facts(bench)})
            report.row("ComfyUI", *judged(held, arguments.patcher, arguments.device))
        send(channel, {"done": START, "alive": bench is not None})
        sections = {section.name: section for section in (*CHECKS, *COSTS)}
        for name in map(str.strip, sys.stdin):
            run(bench, sections[name], Report(arguments.patcher, name, tell))
            send(channel, {"done": name})


def run(bench: Any, section: Any, report: Report) -> None:
    """Run one section, whatever comes of it, and leave the device empty."""
    with report.guarded("the section"):
        module, function = section.run.split(":")
        getattr(importlib.import_module(module), function)(bench, report, section.base)
    with report.guarded("cleaning up"):
        bench.clean()


def judged(held: str, patcher: str, device: str) -> tuple[Any, str]:
    """Whether ComfyUI holds weights as this process is to test it, and in words."""
    wanted = "static patcher" if patcher == "static" else "dynamic VRAM" if device == "cuda" else DYNAMIC_LIKE
    if held != wanted:
        return "FAILED", f"started with {held}, expected {wanted}; see ComfyUI's own words on stderr"
    return "ok", held


def facts(bench: Any) -> dict[str, str]:
    """The machine and its versions."""
    torch = sys.modules["torch"]
    on_card = bench.device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(bench.device) if on_card else platform.processor() or "CPU",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "comfyui": importlib.import_module("comfyui_version").__version__,
        "models": "a tenth as wide" if bench.tiny else "full size",
    }


def send(channel: TextIO, message: dict[str, Any]) -> None:
    """One line to the parent."""
    channel.write(json.dumps(message) + "\n")
    channel.flush()


if __name__ == "__main__":
    main()

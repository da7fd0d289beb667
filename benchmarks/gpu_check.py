"""The pack on a card: does everything load, act and train there, exactly, and what does it cost?

    python benchmarks/gpu_check.py [--json FILE] [--budget 230] [--device cuda]

For any interpreter that has torch and ComfyUI's packages, with COMFYUI_PATH set; no network, nothing to
download: all weights are random, or the repository's golden ones. Two processes start ComfyUI as its main.py
does, one with dynamic VRAM, which is how it starts on NVIDIA, one with the static patcher, and run, in turns:

  first run   whether the U-Net alone gives the same in the first runs of a process
  parity      the authors' golden values in fp32 (with and without TF32 convolutions), fp16 and bf16; how far
              off each may be, and why, says gpu_parity.TOLERANCES
  exactness   strength 0 and a black mask are the base model bit for bit, a run can be repeated
  training    the training nodes learn, alike with each memory setting
  load        every layout in which authors published, at full size on a full-size U-Net in fp16, through the
              nodes: has an effect, and none at strength 0
  step        time and peak memory of a step of the sampler (cond and uncond, fp16) beside the U-Net alone
              and a stock ControlNet: SD 1.5 at 512, SDXL at 1024 pixels
  train       time and peak memory of a training step (batch 1, AdamW, bf16) beside full tuning, a ControlNet
              and a LoRA of rank 64; "cheap" and "all" are the node's memory settings "less" and "least"
  compiled    the steps again, through ComfyUI's Torch Compile, with the compiler's graphs and breaks

Checks come first. When `--budget` seconds are over, what is left is listed as not run. Prints its rows on the
error stream as they come, then one table, writes it as JSON, and ends with status 1 if something failed or a
check was not run.

Without a card the same path runs on the CPU with U-Nets a tenth as wide, small pictures and a backend that
compiles nothing; in place of dynamic VRAM, which a CPU does not have, there are its lazy layers
(`comfy.memory_management.aimdo_enabled`) with the static patcher.
"""

from __future__ import annotations

import argparse
import ctypes.util
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gpu_process import Process
from gpu_rows import HEADING, Row, has_failed, write_json
from gpu_sections import CHECKS, COSTS
from host_start import find_comfyui

PATCHERS = ("dynamic", "static")
BUDGET = 230.0  # seconds: under four minutes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="where to write the table")
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds that all may take")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default=None, help="default: a card if there is one"
    )
    parser.add_argument(
        "--sections", nargs="+", default=(), help="only those that begin so, as 'load' or 'static step sdxl'"
    )
    parser.add_argument("--patchers", nargs="+", choices=PATCHERS, default=PATCHERS)
    arguments = parser.parse_args()
    find_comfyui()
    device = arguments.device or ("cuda" if has_card() else "cpu")
    begin, rows, facts = time.monotonic(), [], {}

    def take(row: Row) -> None:
        rows.append(row)
        print(row.line(), file=sys.stderr, flush=True)

    print(HEADING, file=sys.stderr, flush=True)
    begun = [Process(patcher, device, take, facts) for patcher in arguments.patchers]
    try:
        work_through(begun, arguments.sections, lambda: begin + arguments.budget - time.monotonic())
    finally:
        for process in begun:
            process.end()
    return conclude(rows, {**facts, "seconds": round(time.monotonic() - begin, 1)}, arguments.json)


def has_card() -> bool:
    """True on a machine with an NVIDIA driver; torch is not asked, ComfyUI wants to start before it."""
    return bool(
        shutil.which("nvidia-smi") or ctypes.util.find_library("cuda") or os.path.exists("/dev/nvidia0")
    )


def work_through(processes: Sequence[Process], names: Sequence[str], left: Callable[[], float]) -> None:
    """Run the sections in each process, as long as there is time; only what is not timed at the same time."""
    for section in (*CHECKS, *COSTS):
        asked = [process for process in processes if is_asked_for(process.patcher, section.name, names)]
        with ThreadPoolExecutor(max(1, len(asked) if section.is_check else 1)) as pool:
            list(pool.map(lambda process, section=section: process.run(section, left()), asked))


def is_asked_for(patcher: str, section: str, names: Sequence[str]) -> bool:
    """True if a section begins with one of these names, with or without its patcher; or if there are none."""
    titles = (section, f"{patcher} {section}")
    return not names or any(title.startswith(name) for title in titles for name in names)


def conclude(rows: Sequence[Row], facts: Mapping[str, Any], path: Path | None) -> int:
    """Print and write the table; the exit status."""
    failed = has_failed(rows, {"start", *(section.name for section in CHECKS)})
    print(", ".join(f"{name} {value}" for name, value in facts.items() if name != "spent"))
    print(HEADING)
    for row in sorted(rows, key=lambda row: PATCHERS.index(row.patcher)):
        print(row.line())
    count = sum(row.state == "FAILED" for row in rows)
    print(f"{count} FAILED" if count else "some checks were not run" if failed else "all checks passed")
    if path:
        write_json(path, {**facts, "failed": failed}, rows)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

"""A small job on the sandbox's checkpoint, and train.py in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from support import REPOSITORY

if TYPE_CHECKING:  # processes without the pack read this file, too
    from scedit_core.training.job.results import Results


COMFYUI = os.environ.get("COMFYUI_PATH", "")
SANDBOX = REPOSITORY / "sandbox" / "models" / "checkpoints" / "scedit_sandbox.safetensors"
TRAIN = REPOSITORY / "sandbox" / "train_job.py"

JOB: dict[str, dict[str, Any]] = {
    "model": {"checkpoint": str(SANDBOX)},
    "teacher": {},
    "tuner": {"kind": "csc", "ratio": 4.0, "stem_ratio": 0.25, "hint_channels": 16},
    "data": {"folder": "pictures", "hints": ["canny"], "resolution": 128, "hint_variants": 2},
    "training": {"steps": 4, "batch_size": 2, "accumulation": 1, "learning_rate": 1e-3, "seed": 3},
    "run": {"name": "edges", "save_every": 2},
}


def write_job(folder: Path, **changes: dict[str, Any]) -> Path:
    """A job file with some keys changed, and five captioned pictures of two sizes beside it."""
    tables = {name: table | changes.get(name, {}) for name, table in JOB.items()}
    lines = []
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    path = folder / "job.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    pictures = folder / "pictures"
    if not pictures.exists():
        pictures.mkdir()
        for number in range(5):
            size = (192, 64) if number % 2 else (64, 64)
            pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize(size).save(pictures / f"{number}.png")
            (pictures / f"{number}.txt").write_text(f"a red thing {number}")
    return path


def train(*arguments: Any, expected: int = 0, start: tuple[str, ...] = (), **environment: str) -> str:
    """What train.py says, in a process with the number of threads that the tests have."""
    threads = str(torch.get_num_threads())
    settings = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "COMFYUI_PATH": COMFYUI}
    command = [*(start or (sys.executable,)), str(TRAIN), *map(str, arguments)]
    done = subprocess.run(
        command, env=os.environ | settings | environment, capture_output=True, text=True, timeout=300
    )
    said = done.stdout + done.stderr
    assert done.returncode == expected, said
    return said


def told_to_end(results: Results, command: Sequence[str], **environment: str) -> tuple[int, str]:
    """A command gets SIGTERM after the first step of its job; its status and what it said."""
    settings = os.environ | {"COMFYUI_PATH": COMFYUI} | environment
    running = subprocess.Popen(
        command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        deadline = time.monotonic() + 240
        while not results.read_metrics() and running.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        running.send_signal(signal.SIGTERM)
        said, _ = running.communicate(timeout=60)
    finally:
        running.kill()
    return running.returncode, said

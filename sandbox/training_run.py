"""What the sandbox's training scripts share: the host, files that survive a cut, logs."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import torch


def import_model(comfyui: Path) -> ModuleType:
    """model.py beside this file; imported late, because comfy exists only once --comfyui is on the path."""
    sys.path.insert(0, str(comfyui))
    import comfy.cli_args  # leaves our command line alone: parsing is off unless main.py turns it on

    comfy.cli_args.args.cpu = True
    comfy.cli_args.args.use_pytorch_cross_attention = True
    import model

    return model


def save_atomic(value: Any, path: Path) -> None:
    """torch.save that leaves the old file or the new one, whatever happens."""
    partial = path.with_suffix(".partial")
    torch.save(value, partial)
    os.replace(partial, path)


def warm_cosine(step: int, steps: int, warmup: int = 100) -> float:
    """Factor of the learning rate: up in `warmup` steps, then down to a fiftieth."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


def warm_hold_decay(step: int, steps: int, decay: float, warmup: int = 50) -> float:
    """Factor of the learning rate: up, held, and down to a fiftieth in the last share `decay`."""
    return min((step + 1) / warmup, 1.0, max(0.02, (steps - step) / (steps * decay)))


class Log:
    """Prints lines with the minutes since the start and keeps a summary as JSON, which runs may share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._began = time.monotonic()

    def say(self, line: str) -> None:
        print(f"{self.minutes():6.1f} min  {line}", flush=True)

    def minutes(self) -> float:
        return (time.monotonic() - self._began) / 60

    def note(self, part: str, **facts: Any) -> None:
        """Write facts of one part of the training down."""
        summary: dict[str, Any] = json.loads(self.path.read_text()) if self.path.is_file() else {}
        summary[part] = {**summary.get(part, {}), **facts}
        self.path.write_text(json.dumps(summary, indent=1, sort_keys=True) + "\n")

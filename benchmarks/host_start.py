"""Starts ComfyUI in this process as its main.py does, on the CPU or on a card, and measures there.

To be imported, and `start` called, before torch and any of ComfyUI's modules are.
"""

from __future__ import annotations

import argparse
import atexit
import importlib
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

from process_memory import forget_peak, resident

Device = Literal["cpu", "cuda"]
Patcher = Literal["dynamic", "static"]

DYNAMIC_LIKE = "lazy layers, static patcher"  # as near as a CPU comes to dynamic VRAM


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """`--device`, the same for all benchmarks."""
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="cuda: on a card, as ComfyUI starts there"
    )


def chosen_device(arguments: Sequence[str]) -> Device:
    """What `--device` says, read before ComfyUI is imported, as its start depends on it."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_device_option(parser)
    return parser.parse_known_args(arguments)[0].device


def find_comfyui() -> str:
    """ComfyUI's folder, for Python to import from."""
    folder = os.environ.get("COMFYUI_PATH")
    if not folder:
        raise SystemExit("COMFYUI_PATH is not set; run benchmarks with 'python dev.py bench NAME'")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return folder


def start(device: Device, patcher: Patcher = "dynamic") -> str:
    """Run ComfyUI's main.py up to where it would serve; how its patchers hold weights is returned.

    What it writes goes into a folder that is gone when this process ends. A CPU has no dynamic VRAM: there,
    "dynamic" means the lazy layers that come with it and the static patcher.
    """
    find_comfyui()
    base = tempfile.mkdtemp(prefix="scedit-bench-")
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    flags = ["--disable-all-custom-nodes", "--base-directory", base]
    if device == "cpu":
        flags += ["--cpu", "--use-pytorch-cross-attention"]  # which is what it uses on cards
    elif patcher == "static":
        flags.append("--disable-dynamic-vram")
    given, sys.argv = sys.argv, ["main.py", *flags]
    try:
        importlib.import_module("main")
    finally:
        sys.argv = given
    logging.getLogger().setLevel(logging.WARNING)
    return _held(device, patcher)


def _held(device: Device, patcher: Patcher) -> str:
    import comfy.memory_management
    import comfy.model_patcher

    dynamic = getattr(comfy.model_patcher, "ModelPatcherDynamic", None)
    if dynamic is not None and comfy.model_patcher.CoreModelPatcher is dynamic:
        return "dynamic VRAM"
    if patcher == "dynamic" and device == "cpu":
        comfy.memory_management.aimdo_enabled = True
        return DYNAMIC_LIKE
    return "static patcher"


class Meter:
    """Seconds and memory of a device, by the same calls for a card and for the CPU.

    To be made while no model is loaded: what is in use then is not counted.
    """

    def __init__(self, device: Any) -> None:
        import torch

        self.device = device
        self._card = torch.cuda if device.type == "cuda" else None
        self._before = 0
        self._foreign = self._beside_torch()

    def wait(self) -> None:
        """Until the device has done all that it was given."""
        if self._card:
            self._card.synchronize(self.device)

    def now(self) -> float:
        """Seconds, once the device is done."""
        self.wait()
        return time.perf_counter()

    def seconds(self, run: Callable[[], Any]) -> float:
        """Seconds that a call takes."""
        start = self.now()
        run()
        return self.now() - start

    def forget_peak(self) -> None:
        """Begin a new measurement of memory."""
        self.wait()
        if self._card:
            self._card.reset_peak_memory_stats(self.device)
        else:
            forget_peak()
            self._before = resident("VmRSS")

    def peak(self) -> int:
        """Most bytes in use since then: on a card PyTorch's and those of weights that ComfyUI keeps there
        beside PyTorch's, on the CPU what this process has gained."""
        self.wait()
        if not self._card:
            return max(0, resident("VmHWM") - self._before)
        beside = max(0, self._beside_torch() - self._foreign)
        return self._card.max_memory_allocated(self.device) + beside

    def _beside_torch(self) -> int:
        """Bytes in use on the card that PyTorch's allocator does not know of."""
        if not self._card:
            return 0
        free, total = self._card.mem_get_info(self.device)
        return total - free - self._card.memory_reserved(self.device)

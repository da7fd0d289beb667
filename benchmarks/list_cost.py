"""What long lists cost: a models folder of many tuners, an input folder of many pictures.

    python dev.py bench list_cost [--tuners 1000] [--pictures 100000]

Starts a server with few files and one with many, and asks each for its list of nodes, as the page does at its
start and whenever `R` is pressed, and for a prompt that reads a training folder and then is found unchanged.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
sys.path.append(str(REPO / "sandbox"))

from server import ComfyServer  # noqa: E402 - the sandbox's folder comes before

MODELS = REPO / "sandbox" / "models"
TUNERS = ("canny_control", "night")


def seconds(do: Callable[[], Any], times: int = 1) -> float:
    """The shortest of some tries."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        do()
        took.append(time.perf_counter() - began)
    return min(took)


def fill(base: Path, tuners: int, pictures: int) -> None:
    """Copies of the sandbox's tuners, and empty files with the names of pictures beside one real folder.

    They lie in folders: ComfyUI's own Load Image lists what lies in `input` itself, which takes time.
    """
    for number in range(tuners):
        source = MODELS / "scedit" / TUNERS[number % len(TUNERS)] / "adapter_model.safetensors"
        target = base / "models" / "scedit" / f"{number:05d}.safetensors"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    for number in range(pictures):
        place = base / "input" / f"set{number % 10}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:06d}.png").touch()
    few = base / "input" / "few"
    few.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(REPO / "sandbox" / "photo.jpg", few / "photo.jpg")
    (few / "photo.txt").write_text("a photo", encoding="utf-8")


def prompt() -> dict[str, Any]:
    """Read the folder of one picture."""
    folder = {"folder": "few", "vae": ["c", 2], "clip": ["c", 1], "hint": "none", "resolution": 64}
    folder |= {"buckets": True, "trigger": ""}
    return {
        "c": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "scedit_sandbox.safetensors"}},
        "f": {"class_type": "SCEditTrainingFolder", "inputs": folder},
    }


def measure(comfyui: Path, tuners: int, pictures: int) -> None:
    """Print one row."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        fill(base, tuners, pictures)
        with ComfyServer(comfyui, base=base, models=MODELS) as server:
            first, again = seconds(server.object_info), seconds(server.object_info, 5)
            server.execute(prompt())
            run = seconds(lambda: server.execute(prompt()), 5)
    print(
        f"{tuners:>7} {pictures:>9}   node list {first:6.2f} s, again {again:6.2f} s   "
        f"unchanged prompt {run:6.2f} s",
        flush=True,
    )


def main() -> None:
    """Print a row for few files and one for many of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tuners", type=int, default=1000)
    parser.add_argument("--pictures", type=int, default=100_000)
    options = parser.parse_args()
    comfyui = Path(os.environ["COMFYUI_PATH"])
    print(f"{'tuners':>7} {'pictures':>9}")
    for tuners, pictures in ((2, 2), (options.tuners, 2), (2, options.pictures)):
        measure(comfyui, tuners, pictures)


if __name__ == "__main__":
    main()

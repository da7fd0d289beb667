"""The same graphs on several versions of ComfyUI: whether their pictures are the same.

    python dev.py bench host_versions FOLDER [FOLDER ...] [--device cuda]

Each FOLDER is a ComfyUI of another version; they run on the packages of the one that dev.py uses, which
comes first. Every server is a process of its own with the same models, and runs, on the sandbox's miniature
model: a control, a control within a window and a mask, a style with two controls, and a control that it
trains itself. Prints each version and, for each graph, the largest difference of a pixel (of 255) from the
first version's picture.

The photo is given as a PNG: versions differ in how they decode a JPEG.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "tests" / "host")]

from host_start import add_device_option
from server_tools import PHOTO, base_prompt, changed, pixels, server_module, training_prompt

Prompt = dict[str, dict[str, Any]]


def graphs(photo: str) -> dict[str, Prompt]:
    """The graphs by what is special about them."""
    plain = base_prompt(photo, size=256)
    window = changed(plain, "apply", start_percent=0.0, end_percent=0.8, mask=["mask", 0], strength=0.7)
    window["mask"] = {"class_type": "ImageToMask", "inputs": {"image": ["photo", 0], "channel": "red"}}
    both = changed(plain, "sampler", model=["more", 0])
    both |= {
        "color": {"class_type": "SCEditColor", "inputs": {"image": ["photo", 0], "ratio": 64}},
        "load2": {"class_type": "SCEditLoadCSCTuner", "inputs": {"tuner_name": "color_control"}},
        "style": {"class_type": "SCEditLoadSCTuner", "inputs": {"tuner_name": "night"}},
        "styled": {
            "class_type": "SCEditApplySCTuner",
            "inputs": {"model": ["apply", 0], "tuner": ["style", 0], "strength": 0.8},
        },
        "more": {
            "class_type": "SCEditApplyCSCTuner",
            "inputs": {
                "model": ["styled", 0],
                "control": ["load2", 0],
                "image": ["color", 0],
                "strength": 0.6,
            },
        },
    }  # fmt: skip
    return {
        "without SCEdit": changed(plain, "sampler", model=["checkpoint", 0]),
        "one control": plain,
        "window and mask": window,
        "style and two controls": both,
        "a control trained here": training_prompt(photo, "trained", steps=5),
    }


def pictures(comfyui: Path, models: Path, device: str) -> dict[str, np.ndarray]:
    """What this ComfyUI makes of the graphs."""
    with tempfile.TemporaryDirectory() as base:
        place = Path(base) / "base"
        png = Path(base) / "photo.png"
        Image.open(PHOTO).convert("RGB").save(png)
        flags = ("--cpu",) if device == "cpu" else ()
        with server_module.ComfyServer(comfyui, base=place, models=models, flags=flags) as server:
            photo = server.upload_image(png)
            return {name: pixels(server, server.execute(graph)) for name, graph in graphs(photo).items()}


def version(comfyui: Path) -> str:
    found = re.search(r'"([\d.]+)"', (comfyui / "comfyui_version.py").read_text(encoding="utf-8"))
    return found[1] if found else "?"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", help="ComfyUI folders of other versions")
    add_device_option(parser)
    options = parser.parse_args()
    first = Path(os.environ["COMFYUI_PATH"])
    models = Path(os.environ.get("SCEDIT_SANDBOX_MODELS", REPOSITORY / ".comfyui" / "base" / "models"))
    wanted: dict[str, np.ndarray] = {}
    for comfyui in (first, *options.folders):
        made = pictures(comfyui, models, options.device)
        wanted = wanted or made
        gaps = {name: np.abs(made[name].astype(int) - wanted[name]).max() for name in wanted}
        print(f"ComfyUI {version(comfyui):8}", ", ".join(f"{name}: {gap}" for name, gap in gaps.items()))
    different = sum(not np.array_equal(wanted["without SCEdit"], wanted[name]) for name in wanted)
    print(f"{different} of {len(wanted)} graphs differ from the base model, as {len(wanted) - 1} should")


if __name__ == "__main__":
    main()

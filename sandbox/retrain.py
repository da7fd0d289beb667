"""A style of the sandbox trained anew by the bundled workflow, as a user would: no script but the server."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import workflow
import world
from figures import Figure, Gallery, style_figure
from graphs import CHECKPOINT
from PIL import Image
from train_styles import COMMON, STYLES, Style

STYLE = "night"
MADE = "retrained"  # name of the tuner that the workflow saves
WORKFLOW = Path(__file__).resolve().parent.parent / "example_workflows" / "scedit_train_style.json"
LONGEST = 1800.0  # seconds
TOLERANCE = 1.25  # by which its distance to the style may exceed the bundled tuner's


def retrain(server: Any, gallery: Gallery) -> list[Figure]:
    """Train, and compare with the style that the repository brings; the file is removed again."""
    job = STYLES[STYLE]
    write_pictures(server.base / "input" / MADE, job)
    began = time.monotonic()
    server.execute(training_prompt(server, job), LONGEST)
    minutes = (time.monotonic() - began) / 60
    try:
        ours, theirs = (
            style_figure(gallery, job.style, partial(gallery.paint, style=tuner))
            for tuner in (f"{MADE}.safetensors", STYLE)
        )
    finally:
        for file in (server.base / "models" / "scedit").glob(f"{MADE}*.safetensors"):
            file.unlink()
    aim = f"<= {TOLERANCE * theirs:.1f}"
    return [
        Figure("retrained in ComfyUI: minutes", f"{minutes:.1f}", "", True),
        Figure(f"retrained {STYLE}: distance", f"{ours:.1f}", aim, ours <= TOLERANCE * theirs),
    ]


def write_pictures(folder: Path, job: Style) -> None:
    """The style's pictures with their captions, as a user has them."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in job.pictures:
        scene = world.scene(seed)
        Image.fromarray(world.STYLES[job.style](scene.picture)).save(folder / f"{seed}.png")
        (folder / f"{seed}.txt").write_text(scene.caption, encoding="utf-8")


def training_prompt(server: Any, job: Style) -> Mapping[str, Any]:
    """The bundled workflow with the sandbox's files and settings."""
    graph = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    values: dict[tuple[str, str], Any] = {
        ("CheckpointLoaderSimple", "ckpt_name"): CHECKPOINT,
        ("SCEditTrainingFolder", "folder"): MADE,
        ("SCEditTrainingFolder", "resolution"): world.SIZE,
        ("SCEditTrainingFolder", "trigger"): "",
        ("SCEditSaveTuner", "name"): MADE,
        ("SCEditSaveTuner", "if_exists"): "replace it",
        ("EmptyLatentImage", "width"): world.SIZE,
        ("EmptyLatentImage", "height"): world.SIZE,
    }
    settings = COMMON | {"name": MADE, "steps": job.steps, "learning_rate": job.rate, "preview_every": 0}
    settings |= {"when_state_exists": "start over"}
    values |= {("SCEditTrainSCTuner", widget): value for widget, value in settings.items()}
    return workflow.replace_values(workflow.to_prompt(graph, server.object_info()), values)

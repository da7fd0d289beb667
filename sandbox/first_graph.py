"""The graph that a newcomer runs first: canny and colour of a drawn scene, painted by the sandbox's model.

    PYTHONPATH=sandbox python sandbox/first_graph.py

writes sandbox/example_workflows/scedit_sandbox.json out of the bundled scedit_canny_color.json, its picture
sandbox/scene.png, and the sandbox's settings.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import world
from graphs import CFG, CHECKPOINT, SIDE
from measure import RATIO
from PIL import Image

__all__ = ["first_graph"]

HERE = Path(__file__).resolve().parent
BUNDLED = HERE.parent / "example_workflows" / "scedit_canny_color.json"
GRAPH = HERE / "example_workflows" / "scedit_sandbox.json"
PICTURE = "scene.png"
SCENE = world.HELD_OUT[3]  # a large red tree under an evening sky
_CANNY_WEIGHT = 0.75  # beside colour; see docs/results.md

NOTE = f"""## Does it work?

Press **Run**. In some ten seconds on a CPU a small picture appears on the right: its shapes are those of the
picture on the left, its colours those of the blocks. If it does, ComfyUI, the nodes and their files are all
where they should be.

The model is a toy of 9 million weights for drawn scenes of {SIDE} x {SIDE} pixels. It knows no photos.

**Try**

- another **weight** in one of the two **Condition** nodes
- **Bypass** one **Condition** (Ctrl+B)
- another **seed**, or a prompt: **a large red star on a white background**

**Its settings**: checkpoint **{CHECKPOINT}**, {SIDE} x {SIDE}, CFG {CFG}, euler, colour blocks of {RATIO}.
They serve in every other template too."""


def first_graph(picture: str = PICTURE, scene: int = SCENE) -> dict[str, Any]:
    """The bundled workflow with the sandbox's files and settings, for a picture that shows this scene."""
    graph = json.loads(BUNDLED.read_text(encoding="utf-8"))
    graph["id"] = "5ced1700-5ced-4170-8170-5ced17000001"
    prompts, weights = iter((world.scene(scene).caption, "")), iter((_CANNY_WEIGHT, 1))
    for node in graph["nodes"]:
        _set(node, picture, prompts, weights)
    return graph


def _set(node: dict[str, Any], picture: str, prompts: Any, weights: Any) -> None:
    values = {
        "MarkdownNote": [NOTE],
        "CheckpointLoaderSimple": [CHECKPOINT],
        "LoadImage": [picture, "image"],
        "ImageScale": ["lanczos", SIDE, SIDE, "center"],
        "EmptyLatentImage": [SIDE, SIDE, 1],
        "KSampler": [1, "fixed", 20, CFG, "euler", "normal", 1],
        "SCEditColor": [RATIO],
        "SCEditComposeConditions": [False],
    }
    if node["type"] in values:
        node["widgets_values"] = values[node["type"]]
    elif node["type"] == "CLIPTextEncode":
        node["widgets_values"] = [next(prompts)]
    elif node["type"] == "SCEditCondition":
        node["widgets_values"][0] = next(weights)


def main() -> None:
    """Write graph and picture."""
    GRAPH.parent.mkdir(exist_ok=True)
    text = json.dumps(first_graph(), ensure_ascii=False, indent=2)
    GRAPH.write_text(text + "\n", encoding="utf-8")
    Image.fromarray(world.scene(SCENE).picture).save(HERE / PICTURE, optimize=True)


if __name__ == "__main__":
    main()

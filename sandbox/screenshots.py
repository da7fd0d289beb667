"""Screenshots of the pack in the real frontend: of the README, of templates after a run, fresh nodes, errors.

    python dev.py screenshots          into output/screenshots, in both renderers

Runs a ComfyUI with the sandbox. Needs Chromium (CHROMIUM_PATH, or on the PATH); a development tool.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import world
from first_graph import GRAPH, SCENE, first_graph
from graphs import CFG, CHECKPOINT
from measure import RATIO
from moving import write_video
from PIL import Image
from playwright.sync_api import sync_playwright
from server import ComfyServer, exit_on_terminate

HERE = Path(__file__).resolve().parent
REPO = HERE.parent
sys.path.append(str(REPO / "tests" / "browser"))

from screen_tools import BROWSER_FLAGS, Screen, prompt, wait_until_ready  # noqa: E402 - its folder comes before

TEMPLATES = sorted((REPO / "example_workflows").glob("*.json"))
_DRAWN = world.HELD_OUT[2]  # a house, a tree and a circle: the README's first picture is painted after it
_SIDE = 128  # of training pictures
_SHORT = {
    "steps": 20,
    "batch_size": 2,
    "accumulation": 1,
    "preview_every": 10,
    "when_state_exists": "start over",
}
# what a template asks for, and what the sandbox has in its place
_SWAPS: dict[str, dict[str, Any]] = {
    "CheckpointLoaderSimple": {"ckpt_name": CHECKPOINT},
    "LoadImage": {"image": "scene.png"},
    "ImageScale": {"width": world.SIZE, "height": world.SIZE},
    "EmptyLatentImage": {"width": world.SIZE, "height": world.SIZE},
    "KSampler": {"cfg": CFG, "sampler_name": "euler", "scheduler": "normal"},
    "SCEditColor": {"ratio": RATIO},
    "SCEditOutpaint": dict.fromkeys(("left", "top", "right", "bottom"), 64),
    "LoadVideo": {"file": "frames.mp4"},
    "SCEditLoadSCTuner": {"tuner_name": "night"},
    "SCEditTrainingFolder": {"folder": "scenes", "resolution": _SIDE},
    "SCEditTrainSCTuner": _SHORT,
    "SCEditTrainCSCTuner": _SHORT,
}
# and what single templates have: a hole to fill, a size to grow from, a control of lines in place of poses
_OWN: dict[str, dict[str, Any]] = {
    "scedit_inpaint": {"LoadImage": {"image": "hole.png"}},
    "scedit_outpaint": {"ImageScale": {"width": 128, "height": 128}},
    "scedit_pose": {"SCEditLoadCSCTuner": {"tuner_name": "canny_control"}},
}
_SET = """swaps => {
    for (const node of app.graph.nodes)
        for (const [name, value] of Object.entries(swaps[node.comfyClass] ?? {})) {
            const widget = node.widgets.find(widget => widget.name === name);
            widget.value = value;
            widget.callback?.(value);
        }
    const [prompt] = app.graph.nodes.filter(node => node.comfyClass === "CLIPTextEncode");
    if (prompt) prompt.widgets[0].value = swaps.prompt;
}"""


def readme(screen: Screen) -> Iterator[tuple[str, int | None]]:
    """The bundled graph of canny and colour after a run, without its note and wide enough to be read."""
    usual = screen.page.viewport_size
    screen.page.set_viewport_size({"width": 2560, "height": 1000})
    graph = first_graph("drawing.png", _DRAWN)
    graph["nodes"] = [node for node in graph["nodes"] if node["type"] != "MarkdownNote"]
    screen.open(graph)
    screen.run(240)
    screen.fit()
    yield "readme", None
    screen.page.set_viewport_size(usual)


def templates(screen: Screen) -> Iterator[tuple[str, int | None]]:
    """Each template after a run on the sandbox; those of nets without weights say which file is missing."""
    for file in [GRAPH, *TEMPLATES]:
        screen.open(json.loads(file.read_text(encoding="utf-8")))
        if file != GRAPH:
            swaps = {**_SWAPS, **_OWN.get(file.stem, {}), "prompt": world.scene(SCENE).caption}
            screen.page.evaluate(_SET, swaps)
            screen.open(screen.saved())  # again, so that no file is found missing
        screen.run(240)
        screen.fit()
        yield file.stem, None


def nodes(screen: Screen) -> Iterator[tuple[str, int | None]]:
    """Each node of the pack, fresh."""
    kinds = screen.page.evaluate(
        "Object.keys(LiteGraph.registered_node_types).filter(name => name.startsWith('SCEdit'))"
    )
    for number, kind in enumerate(
        sorted(kinds), 100
    ):  # the page keeps values of widgets by the node's number
        screen.open(prompt(**{f"n{number}": (kind, {})}))
        screen.page.evaluate("const [node] = app.graph.nodes; node.title = node.constructor.title")
        screen.look_at(number)
        yield f"node_{kind}", None


def errors(screen: Screen) -> Iterator[tuple[str, int | None]]:
    """What a user sees who has made a mistake."""
    for name, graph in _mistakes().items():
        screen.reload()  # the page keeps what it has shown by the number of a node
        screen.open(graph)
        screen.page.evaluate("for (const node of app.graph.nodes) node.title = node.constructor.title")
        screen.page.evaluate("app.queuePrompt(0)")
        screen.page.wait_for_timeout(4000)
        yield f"error_{name}", None


def _mistakes() -> dict[str, dict[str, Any]]:
    load = ("CheckpointLoaderSimple", {"ckpt_name": CHECKPOINT})
    read = {"vae": ["1", 2], "clip": ["1", 1]}
    save = {"name": "mine", "if_exists": "replace it", "dtype": "as trained"}
    return {
        "wrong_kind": prompt(
            n1=("SCEditLoadSCTuner", {"tuner_name": "canny_control"}),
            n2=("SCEditSaveTuner", {"tuner": ["1", 0], **save}),
        ),
        "no_such_tuner": prompt(n1=("SCEditTunerInfo", {"tuner_name": "absent.safetensors"})),
        "no_such_folder": prompt(n1=load, n2=("SCEditTrainingFolder", {"folder": "absent", **read})),
        "bad_name": prompt(
            n1=("SCEditLoadSCTuner", {"tuner_name": "night"}),
            n2=("SCEditSaveTuner", {"tuner": ["1", 0], **save, "name": "../mine"}),
        ),
        "no_weights": prompt(
            n1=("LoadImage", {"image": "photo.jpg"}),
            n2=("SCEditHED", {"image": ["1", 0]}),
            n3=("PreviewImage", {"images": ["2", 0]}),
        ),
    }


VIEWS: dict[str, Callable[[Screen], Iterator[tuple[str, int | None]]]] = {
    "readme": readme,
    "templates": templates,
    "nodes": nodes,
    "errors": errors,
}


def write_scenes(folder: Path) -> None:
    """Twelve captioned pictures to train on."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(12):
        scene = world.scene(seed)
        Image.fromarray(scene.picture).save(folder / f"{seed}.png")
        (folder / f"{seed}.txt").write_text(scene.caption, encoding="utf-8")


def write_inputs(folder: Path) -> None:
    """A drawing, the scene with a hole in its alpha, and a video of a circle that goes from left to right."""
    scene = world.scene(SCENE).picture
    alpha = np.full(scene.shape[:2], 255, np.uint8)
    alpha[64:192, 64:192] = 0
    Image.fromarray(np.dstack([scene, alpha])).save(folder / "hole.png")
    Image.fromarray(world.scene(_DRAWN).picture).save(folder / "drawing.png")
    write_video(folder / "frames.mp4")


def shoot(server: Any, out: Path, views: list[str]) -> None:
    """Write the pictures of these views, in both renderers."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(BROWSER_FLAGS))
        page = browser.new_page(viewport={"width": 1800, "height": 1000})
        page.goto(server.url)
        wait_until_ready(page)
        # words stay words on the canvas however small
        page.evaluate("app.extensionManager.setting.set('LiteGraph.Canvas.MinFontSizeForLOD', 0)")
        page.evaluate("app.extensionManager.setting.set('Comfy.Minimap.Visible', false)")
        for vue in (False, True):
            screen = Screen(page, server, vue=vue)
            for view in views:
                for name, node in VIEWS[view](screen):
                    file = out / f"{name}.{screen.name}.png"
                    screen.save_picture(file, node)
                    print(file.name, flush=True)
        browser.close()


def main() -> None:
    """Start a server and take all pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--comfyui", type=Path, required=True, help="ComfyUI's folder")
    parser.add_argument("--base", type=Path, required=True, help="where the server keeps its files")
    parser.add_argument("--out", type=Path, required=True, help="where the pictures go")
    parser.add_argument("--view", choices=VIEWS, action="append", help="which pictures; all by default")
    options = parser.parse_args()
    exit_on_terminate()
    options.out.mkdir(parents=True, exist_ok=True)
    settings = options.base / "user" / "default" / "comfy.settings.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps({"Comfy.TutorialCompleted": True}), encoding="utf-8")
    write_scenes(options.base / "input" / "scenes")
    write_inputs(options.base / "input")
    with ComfyServer(options.comfyui, base=options.base, models=HERE / "models") as server:
        shoot(server, options.out, options.view or list(VIEWS))


if __name__ == "__main__":
    main()

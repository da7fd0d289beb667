"""The bundled workflows as prompts for the sandbox: on its files, of its size, in fewer steps."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from detector_tools import figure
from PIL import Image
from server_tools import CHECKPOINT, Prompt, graphs, measure, moving, workflow_module, world
from teacher_files import CONTROLNET, LORA

SCENE = world.scene(world.HELD_OUT[1])
DRAWINGS = {shape: world.drawing(shape) for shape in ("circle", "star")}
HALF = world.SIZE // 2
HOLE = np.zeros((world.SIZE, world.SIZE), bool)  # in the scene, where inpainting makes something new
HOLE[64:192, 64:192] = True
LANDSCAPE = world.scene(world.HELD_OUT[3])
KEPT = slice(64, 192)  # rows and columns of the landscape that outpainting is given
FEATHER = 16  # how far it reaches into them
# a house, in lines as wide as a pen's
LINES = cv2.dilate(measure.edges(world.drawing("house")).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
SAVING = ("SaveImage", "SaveVideo")
TRAINING = ("SCEditTrainSCTuner", "SCEditTrainCSCTuner")
# The published names are kept where the sandbox has a tuner of that name.
_SWAPS = {
    ("CheckpointLoaderSimple", "ckpt_name"): CHECKPOINT,
    ("SCEditLoadSCTuner", "tuner_name"): "night",
    ("LoadImage", "image"): "workflow_scene.png",
    ("LoadVideo", "file"): "workflow_frames.mp4",
    ("ImageScale", "width"): world.SIZE,
    ("ImageScale", "height"): world.SIZE,
    ("EmptyLatentImage", "width"): world.SIZE,
    ("EmptyLatentImage", "height"): world.SIZE,
    ("SCEditColor", "ratio"): measure.RATIO,
    ("SCEditTrainingFolder", "resolution"): 128,
}
# what makes a training short enough for a test, and still learn
_SHORT = {"batch_size": 4, "accumulation": 1, "preview_every": 0, "ema_decay": 0.9}
_SWAPS |= {(node, widget): value for node in TRAINING for widget, value in _SHORT.items()}
_SWAPS |= {("LoraLoaderModelOnly", "lora_name"): LORA, ("ControlNetLoader", "control_net_name"): CONTROLNET}
_SWAPS |= {("SCEditTrainSCTuner", "steps"): 30, ("SCEditTrainSCTuner", "learning_rate"): 5e-3}
_SWAPS |= {("SCEditTrainCSCTuner", "steps"): 100, ("SCEditTrainCSCTuner", "learning_rate"): 3e-3}
_SCENE_TEXTS = {"Positive prompt": {"text": SCENE.caption}, "Negative prompt": {"text": ""}}
_OF_SCENE = {**_SCENE_TEXTS, "KSampler": {"steps": 8}}
# what a template is given in place of the scene and its caption, and how many steps, by titles of its nodes
_OWN = {
    "scedit_blend": {
        "First picture": {"image": "workflow_circle.png"},
        "Second picture": {"image": "workflow_star.png"},
        "Positive prompt": {"text": "a large red star on a white background"},
        "Negative prompt": {"text": ""},
        "KSampler": {"steps": 6},
    },
    "scedit_regions": {
        "Left photo": {"image": "workflow_small_circle.png"},
        "Right photo": {"image": "workflow_small_star.png"},
        "Fit left photo": {"width": HALF},
        "Fit right photo": {"width": HALF},
        "Left prompt": {"text": "a blue circle on a yellow background"},
        "Right prompt": {"text": "a red star on a white background"},
        "Negative prompt": {"text": ""},
        "KSampler": {"steps": 8},
    },
    "scedit_schedule": {
        **_SCENE_TEXTS,
        "Sample as trained": {"steps": 8},
        "Sample early only": {"steps": 8},
    },
    "scedit_inpaint": {
        **_SCENE_TEXTS,
        "Load Image": {"image": "workflow_hole.png"},
        "KSampler": {"steps": 6},
    },
    # what so short a training has learned is seen better in as many as it comes with
    "scedit_train_control": {**_SCENE_TEXTS, "KSampler": {"steps": 20}},
    # whether teachers teach is tested elsewhere: here they act at all
    "scedit_from_lora": {**_SCENE_TEXTS, "KSampler": {"steps": 6}, "Train SC-Tuner (SCEdit)": {"steps": 3}},
    "scedit_from_controlnet": {
        **_SCENE_TEXTS,
        "KSampler": {"steps": 6},
        "Train CSC-Tuner (SCEdit)": {"steps": 3},
    },
    "scedit_depth": {**_SCENE_TEXTS, "KSampler": {"steps": 6}},
    "scedit_evaluate": {
        "Training Folder (SCEdit)": {"folder": "held_out"},
        "Evaluate Tuner (SCEdit)": {"pictures": 2, "seeds": 1, "steps": 3, "cfg": 1.0},
    },
    "scedit_few_steps": {**_SCENE_TEXTS, "KSampler": {"steps": 6}},
    "scedit_sketch": {
        "Load Image": {"image": "workflow_lines.png"},
        "Positive prompt": {"text": "a large red house on snow under an evening sky"},
        "Negative prompt": {"text": ""},
        "KSampler": {"steps": 6},
    },
    "scedit_video": {
        "Positive prompt": {"text": "a large red circle on a white background"},
        "Negative prompt": {"text": ""},
        "Context Windows": {"context_length": 3, "context_overlap": 1},
        "KSampler": {"steps": 3},
    },
    "scedit_outpaint": {
        "Positive prompt": {"text": LANDSCAPE.caption},
        "Negative prompt": {"text": ""},
        "Load Image": {"image": "workflow_middle.png"},
        "Fit photo": {"width": 128, "height": 128},
        "Outpaint (SCEdit)": {"left": 64, "top": 64, "right": 64, "bottom": 64, "feather": FEATHER},
        "KSampler": {"steps": 6},
    },
    # the sandbox has no control for poses: its canny control follows the lines of the skeleton
    "scedit_pose": {
        **_SCENE_TEXTS,
        "Load Image": {"image": "workflow_figure.png"},
        "Load CSC-Tuner (SCEdit)": {"tuner_name": "canny_control"},
        "KSampler": {"steps": 6},
    },
}


def smaller(drawing: np.ndarray) -> np.ndarray:
    """The drawing with a wide white border: what is drawn fits into half of a picture."""
    shrunk, border = Image.fromarray(drawing).resize((160, 160)), (world.SIZE - 160) // 2
    sheet = Image.new("RGB", (world.SIZE, world.SIZE), "white")
    sheet.paste(shrunk, (border, border))
    return np.asarray(sheet)


def upload_pictures(studio: Any, server: Any) -> None:
    """Put what the prompts read into the server's input folder."""
    moving.write_video(server.base / "input" / "workflow_frames.mp4")
    studio.upload("workflow_lines", np.where(LINES, 40, 235).astype(np.uint8))
    studio.upload("workflow_middle", LANDSCAPE.picture[KEPT, KEPT])
    studio.upload("workflow_figure", figure(world.SIZE, world.SIZE))
    studio.upload("workflow_scene", SCENE.picture)
    studio.upload("workflow_depth", (255 * SCENE.nearness).astype(np.uint8))
    studio.upload("workflow_hole", np.dstack([SCENE.picture, np.where(HOLE, 0, 255).astype(np.uint8)]))
    for shape, drawing in DRAWINGS.items():
        studio.upload(f"workflow_{shape}", drawing)
        studio.upload(f"workflow_small_{shape}", smaller(drawing))


def frames_of(video: bytes) -> list[np.ndarray]:
    """The frames of a video, each uint8 (H, W, 3)."""
    with av.open(io.BytesIO(video)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def prompt_of(workflow: Path, server: Any, folders: dict[str, str] | None = None) -> Prompt:
    """The workflow as the editor would post it, on the sandbox; `folders` has what a training node reads."""
    prompt = workflow_module.to_prompt(json.loads(workflow.read_text(encoding="utf-8")), server.object_info())
    present = {entry["class_type"] for entry in prompt.values()}
    swaps = dict(_SWAPS)
    for node in present.intersection(TRAINING):
        # a LoRA teaches from pictures of any kind
        kind = "SCEditTrainCSCTuner" if of_class(prompt, "LoraLoaderModelOnly") else node
        swaps["SCEditTrainingFolder", "folder"] = (folders or {})[kind]
    prompt = workflow_module.replace_values(prompt, {k: v for k, v in swaps.items() if k[0] in present})
    for sampler in of_class(prompt, "KSampler"):
        prompt[sampler]["inputs"]["cfg"] = min(prompt[sampler]["inputs"]["cfg"], graphs.CFG)
    for title, values in _OWN.get(workflow.stem, _OF_SCENE).items():
        titled(prompt, title)["inputs"].update(values)
    # the net's weights are no part of the repository: the depth with which the scene was drawn is the hint
    for depth in of_class(prompt, "SCEditDepth"):
        prompt[depth] |= {"class_type": "LoadImage", "inputs": {"image": "workflow_depth.png"}}
    return prompt


def titled(prompt: Prompt, title: str) -> dict[str, Any]:
    """The only node of that title."""
    (found,) = (entry for entry in prompt.values() if entry["_meta"]["title"] == title)
    return found


def of_class(prompt: Prompt, *names: str) -> list[str]:
    """Ids of the nodes of some classes."""
    return [node for node, entry in prompt.items() if entry["class_type"] in names]


def without_scedit(prompt: Prompt) -> Prompt:
    """The same graph for one picture, with the sampler straight on the checkpoint."""
    (checkpoint,) = of_class(prompt, "CheckpointLoaderSimple")
    plain = json.loads(json.dumps(prompt))
    for sampler in of_class(plain, "KSampler"):
        plain[sampler]["inputs"]["model"] = [checkpoint, 0]
    for prompted in of_class(plain, "SCEditApplyToPrompt"):
        plain[prompted]["inputs"]["strength"] = 0.0
    for latent in of_class(plain, "EmptyLatentImage"):
        plain[latent]["inputs"]["batch_size"] = 1
    for node in of_class(plain, *TRAINING, "SCEditSaveTuner", "SCEditCompareSheet", *SAVING, "CreateVideo"):
        del plain[node]
    return plain


def results(prompt: Prompt) -> list[list[Any]]:
    """Where the pictures that are saved, or put on a sheet, come out: nodes with their outputs."""
    (save,) = of_class(prompt, *SAVING)
    for maker in (save, *of_class(prompt, "CreateVideo", "SCEditCompareSheet")):
        inputs = prompt[maker]["inputs"]
        sources = [value for name, value in inputs.items() if name.split(".")[0] == "images"]
    return sources


def painted(
    server: Any, prompt: Prompt, sources: Sequence[list[Any]]
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """What all nodes showed, and the pictures that come out of these, each uint8 (H, W, 3)."""
    looks = {
        f"look{number}": {"class_type": "PreviewImage", "inputs": {"images": source}}
        for number, source in enumerate(sources)
    }
    outputs = server.execute({**prompt, **looks})
    files = [server.fetch_image(image) for look in looks for image in outputs[look]["images"]]
    return outputs, [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]

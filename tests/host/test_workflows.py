"""The bundled workflows, run by a real server on the sandbox: each does to the picture what it is for."""

import io
import json
from itertools import combinations, pairwise

import numpy as np
import pytest
from PIL import Image
from server_tools import CHECKPOINT, measure, pixels, workflow_module, world
from support import REPOSITORY

WORKFLOWS = sorted((REPOSITORY / "example_workflows").glob("*.json"))
PAINTING = [path for path in WORKFLOWS if path.stem != "scedit_hints"]  # test_hint_workflow.py runs that one
MIXER = REPOSITORY / "example_workflows" / "scedit_mixer.json"
SCENE = world.scene(world.HELD_OUT[1])
DRAWINGS = {shape: world.drawing(shape) for shape in ("circle", "star")}
_HALF = world.SIZE // 2
_TITLE = 30  # height of a node's title, which stands above its place
_HINTS = ("SCEditCanny", "SCEditColor", "SCEditMaskedImage")
_TRAINING = ("SCEditTrainSCTuner", "SCEditTrainCSCTuner")
# The published names are kept where the sandbox has a tuner of that name.
_SWAPS = {
    ("CheckpointLoaderSimple", "ckpt_name"): CHECKPOINT,
    ("SCEditLoadSCTuner", "tuner_name"): "night",
    ("ImageScale", "width"): world.SIZE,
    ("ImageScale", "height"): world.SIZE,
    ("EmptyLatentImage", "width"): world.SIZE,
    ("EmptyLatentImage", "height"): world.SIZE,
    ("KSampler", "cfg"): 1.5,
    ("SCEditColor", "ratio"): measure.RATIO,
    ("SCEditTrainingFolder", "resolution"): 128,
}
# what makes a training short enough for a test, and still learn
_SHORT = {"batch_size": 4, "accumulation": 1, "preview_every": 0, "ema_decay": 0.9}
_SWAPS |= {(node, widget): value for node in _TRAINING for widget, value in _SHORT.items()}
_SWAPS |= {("SCEditTrainSCTuner", "steps"): 30, ("SCEditTrainSCTuner", "learning_rate"): 5e-3}
_SWAPS |= {("SCEditTrainCSCTuner", "steps"): 100, ("SCEditTrainCSCTuner", "learning_rate"): 3e-3}
_SCENE_TEXTS = {"Positive prompt": {"text": SCENE.caption}, "Negative prompt": {"text": ""}}
# what a template is given in place of the scene and its caption, and in fewer steps, by titles of its nodes
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
        "Fit left photo": {"width": _HALF},
        "Fit right photo": {"width": _HALF},
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
    "scedit_mixer": {**_SCENE_TEXTS, "KSampler": {"steps": 8}},
}


def smaller(drawing):
    """The drawing with a wide white border: what is drawn fits into half of a picture."""
    shrunk, border = Image.fromarray(drawing).resize((160, 160)), (world.SIZE - 160) // 2
    sheet = Image.new("RGB", (world.SIZE, world.SIZE), "white")
    sheet.paste(shrunk, (border, border))
    return np.asarray(sheet)


@pytest.fixture(scope="module")
def picture(studio):
    """The scene in the server's input folder, with the drawings beside it."""
    for shape, drawing in DRAWINGS.items():
        studio.upload(f"workflow_{shape}", drawing)
        studio.upload(f"workflow_small_{shape}", smaller(drawing))
    return studio.upload("workflow_scene", SCENE.picture)


@pytest.fixture(scope="module")
def folders(server):
    """Names of two folders of captioned training pictures: scenes as they are, and in the night style."""
    draw = {"scenes": lambda picture: picture, "nights": world.STYLES["night"]}
    for name in draw:
        folder = server.base / "input" / name
        folder.mkdir()
        for seed in range(12):
            scene = world.scene(seed)
            Image.fromarray(draw[name](scene.picture)).save(folder / f"{seed}.png")
            (folder / f"{seed}.txt").write_text(scene.caption, encoding="utf-8")
    return {"SCEditTrainCSCTuner": "scenes", "SCEditTrainSCTuner": "nights"}


def prompt_of(workflow, server, picture, folders):
    """The workflow as the editor would post it, on the scene and its caption, with files that are there."""
    prompt = workflow_module.to_prompt(json.loads(workflow.read_text(encoding="utf-8")), server.object_info())
    present = {entry["class_type"] for entry in prompt.values()}
    swaps = {**_SWAPS, ("LoadImage", "image"): picture}
    for node in present.intersection(_TRAINING):
        swaps["SCEditTrainingFolder", "folder"] = folders[node]
    prompt = workflow_module.replace_values(prompt, {k: v for k, v in swaps.items() if k[0] in present})
    for title, values in _OWN.get(workflow.stem, _SCENE_TEXTS).items():
        titled(prompt, title)["inputs"].update(values)
    return prompt


def titled(prompt, title):
    """The only node of that title."""
    (found,) = (entry for entry in prompt.values() if entry["_meta"]["title"] == title)
    return found


def of_class(prompt, *names):
    """Ids of the nodes of some classes."""
    return [node for node, entry in prompt.items() if entry["class_type"] in names]


def without_scedit(prompt):
    """The same graph for one picture, with the sampler straight on the checkpoint."""
    (checkpoint,) = of_class(prompt, "CheckpointLoaderSimple")
    plain = json.loads(json.dumps(prompt))
    for sampler in of_class(plain, "KSampler"):
        plain[sampler]["inputs"]["model"] = [checkpoint, 0]
    for prompted in of_class(plain, "SCEditApplyToPrompt"):
        plain[prompted]["inputs"]["strength"] = 0.0
    for latent in of_class(plain, "EmptyLatentImage"):
        plain[latent]["inputs"]["batch_size"] = 1
    for node in of_class(plain, *_TRAINING, "SCEditSaveTuner", "SCEditCompareSheet", "SaveImage"):
        del plain[node]
    return plain


def painted(server, prompt, decoders):
    """What all nodes showed, and the pictures that come out of these, each uint8 (H, W, 3)."""
    looks = {
        f"look{node}": {"class_type": "PreviewImage", "inputs": {"images": [node, 0]}} for node in decoders
    }
    outputs = server.execute({**prompt, **looks})
    files = [server.fetch_image(image) for look in looks for image in outputs[look]["images"]]
    return outputs, [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]


def follows_edges(edited, base):
    """Its edges are those of the scene, and were not without."""
    wanted = measure.edges(SCENE.picture)
    for picture in edited:
        assert measure.edge_f1(picture, wanted) > 1.5 * measure.edge_f1(base, wanted)


def follows_colors(edited, base):
    """Its colours are those of the scene, and were not without."""
    for picture in edited:
        assert measure.color_error(picture, SCENE.picture) < 0.75 * measure.color_error(base, SCENE.picture)


def is_night(edited, base):
    """Its colours and texture are nearer to the style's."""
    wanted = [world.STYLES["night"](world.scene(seed).picture) for seed in range(30)]
    assert measure.style_distance(edited, wanted) < 0.8 * measure.style_distance([base], wanted)


def travels(edited, base):
    """From the edges of one drawing to those of the other, a little with each picture."""
    first, second = (
        [measure.edge_f1(picture, measure.edges(drawing)) for picture in edited]
        for drawing in DRAWINGS.values()
    )
    assert len(edited) == 7
    assert min(first[0], second[-1]) > 0.7
    assert max(first[-1], second[0]) < 0.5
    for falling in (first, second[::-1]):
        assert all(later < earlier + 0.05 for earlier, later in pairwise(falling))


def is_of_two_halves(edited, base):
    """Each half has the edges of its own drawing, not there without, and the colour of its own prompt."""
    (picture,) = edited
    halves = [slice(0, _HALF), slice(_HALF, None)]
    for half, drawing, channel in zip(halves, DRAWINGS.values(), (2, 0), strict=True):  # blue left, red right
        wanted = measure.edges(smaller(drawing)[:, _HALF // 2 : -_HALF // 2])
        assert measure.edge_f1(picture[:, half], wanted) > 0.5
        assert measure.edge_f1(base[:, half], wanted) < 0.25
        assert picture[_HALF, half][_HALF // 2].argmax() == channel


def lets_go(edited, base):
    """With the control only early the edges are less exact than with it throughout, and still there."""
    wanted = measure.edges(SCENE.picture)
    throughout, early, without = (measure.edge_f1(picture, wanted) for picture in (*edited, base))
    assert throughout > early + 0.1
    assert early > without + 0.3


MEANINGS = {
    "scedit_blend": [travels],
    "scedit_regions": [is_of_two_halves],
    "scedit_schedule": [follows_edges, lets_go],
    "scedit_mixer": [follows_edges, follows_colors],
    "scedit_canny": [follows_edges],
    "scedit_color": [follows_colors],
    "scedit_canny_color": [follows_edges, follows_colors],
    "scedit_style_canny": [follows_edges, is_night],
    "scedit_train_control": [follows_edges],
    "scedit_train_style": [is_night],
}


@pytest.mark.parametrize("workflow", PAINTING, ids=[path.stem for path in PAINTING])
def test_a_bundled_workflow_does_what_it_is_for(workflow, server, picture, folders):
    prompt = prompt_of(workflow, server, picture, folders)
    (save,), decoders = of_class(prompt, "SaveImage"), of_class(prompt, "VAEDecode")
    outputs, edited = painted(server, prompt, decoders)
    _, (base,) = painted(server, without_scedit(prompt), decoders[:1])
    assert {picture.shape for picture in [*edited, base]} == {(world.SIZE, world.SIZE, 3)}
    saved = pixels(server, outputs, save)
    if of_class(prompt, "SCEditCompareSheet"):
        assert saved.shape[1] > len(edited) * world.SIZE, "the pictures do not stand side by side"
    else:
        assert np.array_equal(saved, *edited)
    for training in of_class(prompt, *_TRAINING):
        assert pixels(server, outputs, training).std() > 0, "no loss curve was shown"
    for hint in of_class(prompt, *_HINTS):
        assert pixels(server, outputs, hint).std() > 0, "a hint without content was shown"
    for meaning in MEANINGS[workflow.stem]:
        meaning(edited, base)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=[path.stem for path in WORKFLOWS])
def test_a_bundled_workflow_has_a_thumbnail_and_is_flat(workflow):
    assert workflow.with_suffix(".jpg").is_file()
    text = workflow.read_text(encoding="utf-8")
    assert "\\\\" not in text, "backslashes in a name work on one system only"
    assert not json.loads(text).get("definitions", {}).get("subgraphs")


def test_app_mode_shows_widgets_and_pictures_that_are_in_the_graph(server):
    known, apps = server.object_info(), {}
    for workflow in WORKFLOWS:
        graph = json.loads(workflow.read_text(encoding="utf-8"))
        nodes = {str(node["id"]): node for node in graph["nodes"]}
        app = graph["extra"].get("linearData")
        if app is None:
            continue
        apps[workflow.stem] = [tuple(entry) for entry in app["inputs"]]
        for node, widget in app["inputs"]:
            assert widget in [slot["widget"]["name"] for slot in nodes[node]["inputs"] if "widget" in slot]
            assert not any(slot["link"] for slot in nodes[node]["inputs"] if slot["name"] == widget)
        assert all(known[nodes[node]["type"]]["output_node"] for node in app["outputs"])
    assert [widget for _, widget in apps["scedit_canny"]] == ["image", "text", "strength", "seed"]


def test_the_mixer_takes_depth_once_its_nodes_are_switched_on(server, studio, picture, tmp_path):
    graph = json.loads(MIXER.read_text(encoding="utf-8"))
    muted = [node for node in graph["nodes"] if node["mode"] == workflow_module.MUTED]
    assert [node["type"] for node in muted] == ["SCEditDepth", "SCEditLoadCSCTuner", "SCEditCondition"]
    for node in muted:
        node["mode"] = 0
    switched_on = tmp_path / MIXER.name
    switched_on.write_text(json.dumps(graph), encoding="utf-8")
    prompt = prompt_of(switched_on, server, picture, {})
    (depth,), (mix,) = of_class(prompt, "SCEditDepth"), of_class(prompt, "SCEditMixConditions")
    # the net's weights are no part of the repository: the depth with which the scene was drawn, as the hint
    near = studio.upload("workflow_depth", (255 * SCENE.nearness).astype(np.uint8))
    prompt[depth] = {"class_type": "LoadImage", "inputs": {"image": near}}
    prompt[mix]["inputs"]["weights"] = "0, 0, 1"
    _, (at_its_corner,) = painted(server, prompt, of_class(prompt, "VAEDecode"))
    assert measure.edge_f1(at_its_corner, measure.edges(SCENE.picture)) > 0.3


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=[path.stem for path in WORKFLOWS])
def test_a_bundled_workflow_is_laid_out_from_left_to_right(workflow):
    graph = json.loads(workflow.read_text(encoding="utf-8"))
    boxes = {node["id"]: (*node["pos"], *node["size"]) for node in graph["nodes"]}
    for (x, y, width, height), (left, top, wide, high) in combinations(boxes.values(), 2):
        apart = x + width <= left or left + wide <= x
        assert apart or y + height + _TITLE <= top or top + high + _TITLE <= y, "two nodes overlap"
    for _, source, _, target, *_ in graph["links"]:
        (x, _, width, _), (left, *_) = boxes[source], boxes[target]
        assert x + width <= left or x == left, f"a wire runs back from {source} to {target}"

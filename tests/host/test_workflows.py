"""The bundled workflows, run by a real server on the sandbox: each does to the picture what it is for."""

import io
import json
from itertools import combinations

import numpy as np
import pytest
from detector_tools import weight_file
from PIL import Image
from server_tools import measure, pixels, workflow_module, world
from support import REPOSITORY
from teacher_files import CONTROLNET, LORA, write_controlnet, write_lora
from workflow_meanings import MEANINGS
from workflow_tools import (
    SAVING,
    SCENE,
    TRAINING,
    frames_of,
    of_class,
    painted,
    prompt_of,
    results,
    upload_pictures,
    without_scedit,
)

from scedit_core.annotators.nets.weights import BODY_WEIGHTS

WORKFLOWS = sorted((REPOSITORY / "example_workflows").glob("*.json"))
# those that paint; test_hint_workflow.py and test_evaluate_server.py run the others
PAINTING = [path for path in WORKFLOWS if path.stem not in ("scedit_hints", "scedit_evaluate")]
MIXER = REPOSITORY / "example_workflows" / "scedit_mixer.json"
_TITLE = 30  # height of a node's title, which stands above its place
_HINTS = ("SCEditCanny", "SCEditColor", "SCEditMaskedImage", "SCEditOutpaint", "SCEditPose", "SCEditSketch")


@pytest.fixture(scope="module")
def pictures(studio, server, net_weights):
    """What the workflows read, in the server's folders: pictures, a video, and the net that finds poses."""
    upload_pictures(studio, server)
    write_lora(server.base / "models")
    write_controlnet(server.base / "models")
    file = server.base / "models" / "scedit_annotators" / BODY_WEIGHTS.name
    file.hardlink_to(weight_file(net_weights, file.name))
    yield
    file.unlink()
    (server.base / "models" / "loras" / LORA).unlink()
    (server.base / "models" / "controlnet" / CONTROLNET).unlink()


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


def check_saved(server, files, edited, sheets):
    """What was saved: a sheet of the pictures, the picture itself, or a video, which is compressed."""
    (file,) = map(server.fetch_image, files)
    if files[0]["filename"].endswith(".mp4"):
        saved = frames_of(file)
        assert np.abs(np.subtract(saved, edited, dtype=float)).mean() < 3
        return
    saved = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
    if sheets:
        assert saved.shape[1] > len(edited) * world.SIZE, "the pictures do not stand side by side"
    else:
        assert np.array_equal(saved, *edited)


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("workflow", PAINTING, ids=[path.stem for path in PAINTING])
def test_a_bundled_workflow_does_what_it_is_for(workflow, server, folders):
    prompt = prompt_of(workflow, server, folders)
    sources, (save,) = results(prompt), of_class(prompt, *SAVING)
    outputs, edited = painted(server, prompt, sources)
    _, (base,) = painted(server, without_scedit(prompt), sources[:1])
    assert {picture.shape for picture in [*edited, base]} == {(world.SIZE, world.SIZE, 3)}
    check_saved(server, outputs[save]["images"], edited, of_class(prompt, "SCEditCompareSheet"))
    for training in of_class(prompt, *TRAINING):
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


@pytest.mark.usefixtures("pictures")
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


def test_the_mixer_takes_depth_once_its_nodes_are_switched_on(server, tmp_path):
    graph = json.loads(MIXER.read_text(encoding="utf-8"))
    muted = [node for node in graph["nodes"] if node["mode"] == workflow_module.MUTED]
    assert [node["type"] for node in muted] == ["SCEditDepth", "SCEditLoadCSCTuner", "SCEditCondition"]
    for node in muted:
        node["mode"] = 0
    switched_on = tmp_path / MIXER.name
    switched_on.write_text(json.dumps(graph), encoding="utf-8")
    prompt = prompt_of(switched_on, server)
    (mix,) = of_class(prompt, "SCEditMixConditions")
    prompt[mix]["inputs"]["weights"] = "0, 0, 1"
    _, (at_its_corner,) = painted(server, prompt, results(prompt))
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

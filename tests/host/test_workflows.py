"""The bundled workflows, executed by a real server at their own sizes, with files and steps for a test."""

import json
import shutil

import numpy as np
import pytest
from server_tools import CHECKPOINT, PHOTO, pixels, workflow_module
from support import REPOSITORY

WORKFLOWS = sorted((REPOSITORY / "example_workflows").glob("*.json"))
_TRAINING = ("SCEditTrainSCTuner", "SCEditTrainCSCTuner")
_HINTS = ("SCEditCanny", "SCEditColor", "SCEditMaskedImage")


# what makes a training short enough for a test, and its one step large enough to be seen
SHORT = {"steps": 1, "accumulation": 1, "learning_rate": 0.1, "preview_every": 0}


@pytest.fixture(scope="module")
def pictures(server):
    """Name of a folder of training pictures in the server's input folder."""
    folder = server.base / "input" / "pictures"
    folder.mkdir()
    for name in ("img1", "img2"):
        shutil.copy(PHOTO, folder / f"{name}.jpg")
        (folder / f"{name}.txt").write_text("a photo", encoding="utf-8")
    return folder.name


def prompt_of(workflow, server, photo, pictures):
    """The workflow as the editor would post it, with files that are there."""
    prompt = workflow_module.to_prompt(json.loads(workflow.read_text(encoding="utf-8")), server.object_info())
    swaps = {("CheckpointLoaderSimple", "ckpt_name"): CHECKPOINT, ("LoadImage", "image"): photo}
    swaps[("KSampler", "steps")] = 6  # at full size, which takes its time on a CPU
    swaps |= {("SCEditTrainingFolder", "folder"): pictures, ("SCEditTrainingFolder", "resolution"): 128}
    swaps |= {(node, widget): value for node in _TRAINING for widget, value in SHORT.items()}
    present = {node["class_type"] for node in prompt.values()}
    return workflow_module.replace_values(prompt, {k: v for k, v in swaps.items() if k[0] in present})


def of_class(prompt, *names):
    """Ids of the nodes of some classes."""
    return [node for node, entry in prompt.items() if entry["class_type"] in names]


def without_scedit(prompt):
    """The same graph with the sampler straight on the checkpoint."""
    (sampler,), (checkpoint,) = of_class(prompt, "KSampler"), of_class(prompt, "CheckpointLoaderSimple")
    plain = json.loads(json.dumps(prompt))
    plain[sampler]["inputs"]["model"] = [checkpoint, 0]
    return plain


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=[path.stem for path in WORKFLOWS])
def test_a_bundled_workflow_runs_and_its_nodes_change_the_picture(workflow, server, photo, pictures):
    prompt = prompt_of(workflow, server, photo, pictures)
    (save,) = of_class(prompt, "SaveImage")
    outputs = server.execute(prompt)
    edited = pixels(server, outputs, save)
    base = pixels(server, server.execute(without_scedit(prompt)), save)
    assert edited.shape == base.shape
    assert np.abs(edited.astype(int) - base).mean() > 1
    for training in of_class(prompt, *_TRAINING):
        assert pixels(server, outputs, training).std() > 0, "no loss curve was shown"
    for hint in of_class(prompt, *_HINTS):
        assert pixels(server, outputs, hint).std() > 0, "a hint without content was shown"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=[path.stem for path in WORKFLOWS])
def test_a_bundled_workflow_has_a_thumbnail_and_is_flat(workflow):
    assert workflow.with_suffix(".jpg").is_file()
    text = workflow.read_text(encoding="utf-8")
    assert "\\\\" not in text, "backslashes in a name work on one system only"
    assert not json.loads(text).get("definitions", {}).get("subgraphs")

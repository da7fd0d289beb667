"""The bundled workflows, executed by a real server: only the checkpoint and the photo differ."""

import json

import numpy as np
import pytest
from server_tools import CHECKPOINT, pixels, workflow_module
from support import REPOSITORY

WORKFLOWS = sorted((REPOSITORY / "example_workflows").glob("*.json"))
_HINTS = ("SCEditCanny", "SCEditColor", "SCEditMaskedImage")


def prompt_of(workflow, server, photo):
    """The workflow as the editor would post it."""
    prompt = workflow_module.to_prompt(json.loads(workflow.read_text(encoding="utf-8")), server.object_info())
    swaps = {("CheckpointLoaderSimple", "ckpt_name"): CHECKPOINT, ("LoadImage", "image"): photo}
    return workflow_module.replace_values(prompt, swaps)


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
def test_a_bundled_workflow_runs_and_its_nodes_change_the_picture(workflow, server, photo):
    prompt = prompt_of(workflow, server, photo)
    (save,) = of_class(prompt, "SaveImage")
    outputs = server.execute(prompt)
    edited = pixels(server, outputs, save)
    base = pixels(server, server.execute(without_scedit(prompt)), save)
    assert edited.shape == base.shape == (768, 768, 3)
    assert np.abs(edited.astype(int) - base).mean() > 1
    for hint in of_class(prompt, *_HINTS):
        assert pixels(server, outputs, hint).std() > 0, "a hint without content was shown"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=[path.stem for path in WORKFLOWS])
def test_a_bundled_workflow_has_a_thumbnail_and_is_flat(workflow):
    assert workflow.with_suffix(".jpg").is_file()
    text = workflow.read_text(encoding="utf-8")
    assert "\\\\" not in text, "backslashes in a name work on one system only"
    assert not json.loads(text).get("definitions", {}).get("subgraphs")

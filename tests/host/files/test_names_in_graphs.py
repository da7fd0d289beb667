"""Every input of every node that names something, with every name that leads elsewhere or cannot be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from comfy_api.latest import io
from host_tools import run
from support import REPOSITORY, load_module

NAMES = load_module("name_table", REPOSITORY / "tests" / "core" / "files" / "test_names.py")
ELSEWHERE, NEW = NAMES.ELSEWHERE, {**NAMES.ELSEWHERE, **NAMES.NOT_NEW}

# inputs of text or choice that name nothing on the disk
NO_NAMES = {
    "author", "blocks", "caption_when_missing", "condition", "description", "labels", "latent_weights",
    "license", "negative", "priority", "prompts", "schedule", "skip_weights", "title", "trigger", "weights",
}  # fmt: skip
READ = [
    ("SCEditLoadSCTuner", "tuner_name"),
    ("SCEditLoadCSCTuner", "tuner_name"),
    ("SCEditTunerInfo", "tuner_name"),
    ("SCEditConvertTuner", "tuner_name"),
    ("SCEditTrainingFolder", "folder"),
    ("SCEditTrainingFolder", "hint_folder"),
    ("SCEditPrepareDataset", "folder"),
    ("SCEditPrepareDataset", "hint_folder"),
    ("SCEditWatchTrainingJob", "job"),
]
WRITTEN = [
    ("SCEditSaveTuner", "name"),
    ("SCEditConvertTuner", "name"),
    ("SCEditTrainSCTuner", "name"),
    ("SCEditTrainCSCTuner", "name"),
    ("SCEditPrepareDataset", "name"),
    ("SCEditExportTrainingJob", "name"),
]
# what is text is looked at as a name, and what is not is refused before
REFUSED = ("is no name for a file here", "name takes a text in UTF-8")


def test_the_table_has_every_input_that_names_something(nodes):
    texts = set()
    for node in nodes.values():
        schema = node.define_schema()
        for given in schema.inputs:
            is_text = isinstance(given, io.String.Input)
            is_choice = isinstance(given, io.Combo.Input) and given.id in ("tuner_name", "folder", "job")
            if (is_text or is_choice) and given.id not in NO_NAMES:
                texts.add((schema.node_id, given.id))
    assert texts == {*READ, *WRITTEN}


def refusal(pack: Any, call: Any) -> str:
    """The sentence of a refusal."""
    with pytest.raises(pack.scedit_core.SCEditError) as caught:
        call()
    sentence = str(caught.value)
    assert sentence.isprintable()
    assert len(sentence) < 1300
    return sentence


@pytest.mark.parametrize("node", [node for node, given in READ if given == "tuner_name"])
@pytest.mark.parametrize("name", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_names_of_tuners_lead_nowhere_else(pack, nodes, node, name):
    more = {"name": "converted"} if node == "SCEditConvertTuner" else {}
    said = refusal(pack, lambda: run(nodes[node], tuner_name=name, **more))
    assert any(words in said for words in ("no tuner '", "tuner_name is one of", "takes a text in UTF-8"))
    refusal(pack, lambda: nodes[node].fingerprint_inputs(tuner_name=name))
    said = nodes[node].validate_inputs(tuner_name=name)
    assert said is True if name is None else "no tuner '" in said


@pytest.mark.parametrize("node", ["SCEditTrainingFolder", "SCEditPrepareDataset"])
@pytest.mark.parametrize("name", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_names_of_training_folders_lead_nowhere_else(pack, nodes, name, node):
    node = nodes[node]
    refusal(pack, lambda: run(node, folder=name, vae=None, clip=None))
    refusal(pack, lambda: node.fingerprint_inputs(folder=name))
    said = node.validate_inputs(folder=name)
    assert said is True if name is None else "not the name of a folder" in said
    if name is not None:
        below = pack.scedit_core.training.dataset.folder.below
        assert "not the name of a folder" in refusal(pack, lambda: below(REPOSITORY, name))


@pytest.mark.parametrize("name", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_names_of_jobs_lead_nowhere_else(pack, nodes, output, name):
    node = nodes["SCEditWatchTrainingJob"]
    refusal(pack, lambda: run(node, job=name))
    refusal(pack, lambda: node.fingerprint_inputs(job=name))
    said = node.validate_inputs(job=name)
    assert said is True if name is None else "no job '" in said


@pytest.fixture
def places(pack, output):
    """The folders that nodes write to."""
    return {pack.nodes.files.folders.own_folder(), output}


def written(places: set[Path]) -> set[str]:
    """Everything that lies in some folders."""
    return {str(path) for place in places if place.exists() for path in place.rglob("*")}


@pytest.mark.parametrize("layout", ["SCEdit", "scepter"])
@pytest.mark.parametrize("name", NEW.values(), ids=NEW.keys())
def test_names_for_what_is_saved_lead_nowhere_else_and_leave_nothing(
    pack, nodes, tuner, places, name, layout
):
    before = written(places)
    save, convert = nodes["SCEditSaveTuner"], nodes["SCEditConvertTuner"]
    given = {"if_exists": "replace it", "dtype": "as trained", "layout": layout}
    said = refusal(pack, lambda: run(save, tuner=tuner, name=name, **given))
    assert any(words in said for words in REFUSED)
    source = tuner.name
    said = refusal(pack, lambda: run(convert, tuner_name=source, name=name, layout=layout))
    assert any(words in said for words in REFUSED)
    assert written(places) == before


@pytest.mark.parametrize("name", NEW.values(), ids=NEW.keys())
def test_names_of_training_states_lead_nowhere_else(pack, places, name):
    before = written(places)
    training = pack.nodes.training
    for path in (training.run.state_path, training.preparing.dataset_path, training.job_folders.new_job):
        assert "no name for a file here" in refusal(pack, lambda path=path: path(name))
    assert written(places) == before


def test_a_linked_folder_leads_nothing_out_of_where_it_is_saved(pack, nodes, tuner, tmp_path):
    own = pack.nodes.files.folders.own_folder()
    os.symlink(tmp_path, own / "linked")
    given = {"if_exists": "replace it", "dtype": "as trained"}
    try:
        said = refusal(pack, lambda: run(nodes["SCEditSaveTuner"], tuner=tuner, name="linked/x", **given))
        assert "leads out of" in said
        assert list(tmp_path.iterdir()) == []
    finally:
        (own / "linked").unlink()


def test_a_refused_conversion_leaves_no_folders(pack, nodes, places):
    source = pack.nodes.files.folders.own_folder() / "broken.safetensors"
    source.write_bytes(b"no tuner")
    before = written(places)
    convert = nodes["SCEditConvertTuner"]
    refusal(pack, lambda: run(convert, tuner_name="broken.safetensors", name="new/deeper/x"))
    assert written(places) == before
    source.unlink()


@pytest.mark.parametrize("layout", ["SCEdit", "scepter"])
def test_weights_that_fp16_cannot_hold_are_refused_before_anything_is_written(
    pack, nodes, places, layout, tuner
):
    state = {key: value * 0 + 70_000 for key, value in tuner.patcher.model.state_dict().items()}
    large = pack.nodes.files.hosted.host_tuners("large", tuner.patcher.model.spec, state, {})
    before = written(places)
    given = {"tuner": large, "name": "new/large", "if_exists": "replace it", "layout": layout}
    with torch.inference_mode():
        said = refusal(pack, lambda: run(nodes["SCEditSaveTuner"], dtype="fp16", **given))
    assert "7e+04" in said
    assert "float16 ends at 65504" in said
    assert written(places) == before

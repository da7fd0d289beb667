"""The bundled workflow of all hints, run by a real server: each hint shows what its name says."""

import io
import json

import numpy as np
import pytest
from detector_tools import figure, joint_offsets, linked_weights
from PIL import Image
from server_tools import measure, pixels, server_module, workflow_module, world
from support import REPOSITORY

from scedit_core.annotators.nets.segmentation import PALETTE

WORKFLOW = REPOSITORY / "example_workflows" / "scedit_hints.json"
SCENE = world.scene(world.HELD_OUT[1]).picture
BORDER = 32
NETS = ("SCEditHED", "SCEditDepth", "SCEditPose", "SCEditSegmentation")  # in the order of the sheet
_SCALED = ("ImageScale", "SCEditRandomMask")
_SWAPS = {(node, side): world.SIZE for node in _SCALED for side in ("width", "height")}
_SWAPS |= {("SCEditOutpaint", side): BORDER for side in ("left", "top", "right", "bottom")}
_QUICK = {(node, "resolution"): 128 for node in NETS if node != "SCEditPose"}


def run(server, photo, *, with_nets=False):
    """What each node shows of a photo, by class, and the sheet; the nets as they come or switched on."""
    workflow = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    muted = [node for node in workflow["nodes"] if node["mode"] == workflow_module.MUTED]
    assert [node["type"] for node in muted] == list(NETS)
    for node in muted if with_nets else ():
        node["mode"] = 0
    prompt = workflow_module.to_prompt(workflow, server.object_info())
    swaps = {**_SWAPS, ("LoadImage", "image"): photo, **(_QUICK if with_nets else {})}
    outputs = server.execute(workflow_module.replace_values(prompt, swaps))
    shown = {prompt[node]["class_type"]: node for node in outputs}
    sheet = [
        np.asarray(Image.open(io.BytesIO(server.fetch_image(image))).convert("RGB"))
        for image in outputs[shown.pop("PreviewImage")]["images"]
    ]
    return {kind: pixels(server, outputs, node) for kind, node in shown.items()}, sheet


@pytest.fixture(scope="module")
def drawn(server, studio):
    """Hints and sheet of a scene, as the workflow comes."""
    return run(server, studio.upload("scene_of_hints", SCENE))


def test_it_opens_on_the_photo_and_all_drawn_hints_on_one_sheet(drawn):
    hints, sheet = drawn
    kinds = ["SCEditCanny", "SCEditColor", "SCEditSketch", "SCEditMaskedImage"]
    assert set(hints) == {*kinds, "SCEditRandomMask", "SCEditOutpaint"}
    for shown, wanted in zip(sheet[:5], [SCENE, *(hints[kind] for kind in kinds)], strict=True):
        assert np.array_equal(shown, wanted)
    assert len(sheet) == 6
    assert sheet[-1].shape == SCENE.shape  # the outpainted one, at the size of the others


def test_canny_and_sketch_are_lines_where_the_scene_has_edges(drawn):
    hints, _ = drawn
    edges = measure.edges(SCENE)
    assert np.array_equal(hints["SCEditCanny"][..., 0] > 0, edges)
    strokes = hints["SCEditSketch"][..., 0] > 0
    near = np.any([np.roll(edges, (y, x), (0, 1)) for y in range(-3, 4) for x in range(-3, 4)], axis=0)
    assert 0.002 < strokes.mean() < 0.1
    assert near[strokes].mean() > 0.9


def test_colours_are_those_of_the_scene_in_blocks(drawn):
    color = drawn[0]["SCEditColor"]
    assert measure.color_error(color, SCENE, ratio=64) < 1
    blocks = color.reshape(4, 64, 4, 64, 3)
    assert np.ptp(blocks, axis=(1, 3)).max() == 0


def test_the_mask_is_cut_out_and_the_border_is_black(drawn):
    hints, _ = drawn
    is_cut = hints["SCEditRandomMask"] == 255  # shown as masks are
    assert 0.05 < is_cut.mean() < 0.6
    assert np.array_equal(hints["SCEditMaskedImage"], np.where(is_cut, 0, SCENE))
    grown = np.pad(SCENE, ((BORDER, BORDER), (BORDER, BORDER), (0, 0)))
    assert np.array_equal(hints["SCEditOutpaint"], grown)


def test_switched_on_without_weights_a_net_says_which_file_is_missing(server, studio):
    with pytest.raises(server_module.PromptError, match=r"the weights .+ are not on this computer") as caught:
        run(server, studio.upload("scene_of_hints", SCENE), with_nets=True)
    assert caught.value.node_type in NETS


def test_switched_on_with_weights_the_nets_hints_join_the_sheet(server, studio, net_weights):
    person = figure(world.SIZE, world.SIZE)
    with linked_weights(net_weights, server.base / "models" / "scedit_annotators"):
        hints, sheet = run(server, studio.upload("person_of_hints", person), with_nets=True)
    assert len(sheet) == 10
    for shown, kind in zip(sheet[6:], NETS, strict=True):
        assert np.array_equal(shown, hints[kind])
        assert shown.shape == person.shape
        assert shown.std() > 0
    assert np.ptp(hints["SCEditHED"], axis=2).max() == np.ptp(hints["SCEditDepth"], axis=2).max() == 0
    assert {*map(tuple, hints["SCEditSegmentation"].reshape(-1, 3))} <= {*map(tuple, PALETTE)}
    assert max(joint_offsets(hints["SCEditPose"])) < 1

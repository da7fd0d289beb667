"""Hint nodes in ComfyUI: sizes, channels and batches, the node that offers all kinds, and cancelling."""

import comfy.model_management
import pytest
import torch
from host_tools import picture, run

OPTIONS = {
    "canny": {"low_threshold": 100, "high_threshold": 200},
    "color": {"ratio": 64},
    "masked image": {"mask": torch.ones(1, 8, 8)},
    "sketch": {"threshold": 0.3, "lines": "auto", "thin": True},
}
# settings of the kinds that nets find; test_detector_nodes.py runs them
NETS = {
    "hed": {"polarity", "download"},
    "depth": {"download"},
    "pose": {"hands", "face", "download"},
    "segmentation": {"download"},
}
NODES = {
    "canny": "SCEditCanny",
    "color": "SCEditColor",
    "masked image": "SCEditMaskedImage",
    "sketch": "SCEditSketch",
}
OWN_SETTINGS = {name: {} for name in NODES} | {"masked image": OPTIONS["masked image"]}


@pytest.fixture
def any_hint(nodes):
    """Runs 'Any Hint' with a kind's own settings."""

    def make(kind, image, **inputs):
        condition = {"condition": kind, **OPTIONS[kind]}
        return run(nodes["SCEditPreprocess"], image=image, condition=condition, **inputs)

    return make


@pytest.mark.parametrize("kind", NODES)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("height", "width", "batch"), [(96, 130, 5), (8, 8, 1)])
def test_a_hint_has_the_images_size_and_batch(nodes, any_hint, kind, channels, height, width, batch):
    image = picture(height, width, batch)
    image = torch.cat([image, torch.ones_like(image[..., :1])], dim=-1)[..., :channels]
    hint = run(nodes[NODES[kind]], image=image, **OWN_SETTINGS[kind])
    assert hint.shape == (batch, height, width, 3)
    assert torch.equal(any_hint(kind, image), hint)
    alone = run(nodes[NODES[kind]], image=image[-1:], **OWN_SETTINGS[kind])
    assert torch.equal(hint[-1:], alone)


def test_all_kinds_are_offered_with_their_own_settings_only(nodes, pack):
    assert set(pack.nodes.hints.kinds.KINDS) == {*OPTIONS, *NETS}
    info = nodes["SCEditPreprocess"].INPUT_TYPES()["required"]["condition"][1]["options"]
    offered = {option["key"]: set().union(*option["inputs"].values()) for option in info}
    drawn = {kind: set(OPTIONS[kind]) | ({"transparent"} if kind == "sketch" else set()) for kind in OPTIONS}
    assert offered == drawn | NETS


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize("resolution", [64, 200])
def test_resolution_is_the_short_side_and_the_size_is_kept_unless_asked(any_hint, kind, resolution):
    image = picture(100, 150)
    assert any_hint(kind, image, resolution=resolution).shape == (1, 100, 150, 3)
    free = any_hint(kind, image, resolution=resolution, keep_size=False)
    assert free.shape == (1, resolution, resolution * 3 // 2, 3)
    assert torch.equal(any_hint(kind, image, resolution=100), any_hint(kind, image))


def test_a_hint_lies_on_its_picture_at_any_resolution(any_hint):
    image = torch.zeros(1, 128, 192, 3)
    image[:, :, 96:] = 1
    for resolution in (0, 64, 256):
        edges = any_hint("canny", image, resolution=resolution)[0, 64, :, 0].nonzero().flatten()
        assert (edges - 95.5).abs().max() <= 3


def test_a_cancelled_batch_stops_between_two_images(nodes, monkeypatch):
    calls = []

    def interrupt():
        calls.append(1)
        if len(calls) == 2:
            raise comfy.model_management.InterruptProcessingException

    monkeypatch.setattr(comfy.model_management, "throw_exception_if_processing_interrupted", interrupt)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        run(nodes["SCEditCanny"], image=picture(32, 32, 5))
    assert len(calls) == 2


def outputs(node, **inputs):
    with torch.inference_mode():
        return node.execute(**inputs).args


def test_random_masks_depend_on_seed_and_number_alone(nodes):
    node = nodes["SCEditRandomMask"]
    masks, hint = outputs(node, width=96, height=64, seed=5, batch_size=3)
    assert masks.shape == (3, 64, 96)
    assert hint.shape == (3, 64, 96, 3)
    assert torch.equal(hint[..., 0], 1 - masks)
    assert torch.equal(outputs(node, width=96, height=64, seed=5)[0], masks[:1])
    assert not torch.equal(outputs(node, width=96, height=64, seed=6)[0], masks[:1])
    assert not torch.equal(masks[0], masks[1])


def test_random_masks_are_cut_out_of_images_of_any_size(nodes):
    image = picture(40, 56, 2) * 0.5 + 0.25
    masks, hint = outputs(nodes["SCEditRandomMask"], width=8, height=8, seed=0, batch_size=3, image=image)
    assert masks.shape == (3, 40, 56)
    assert torch.equal(hint == 0, masks.bool()[..., None].expand(-1, -1, -1, 3))
    assert torch.equal(hint[2], torch.where(masks[2].bool()[..., None], 0, image[0]))


def test_outpainting_gives_picture_mask_and_hint_of_one_size(nodes):
    image = picture(40, 56, 2)
    grown, mask, hint = outputs(nodes["SCEditOutpaint"], image=image, left=8, bottom=16, feather=4)
    assert grown.shape == hint.shape == (2, 56, 64, 3)
    assert mask.shape == (2, 56, 64)
    assert torch.equal(grown[:, :40, 8:], image)
    assert torch.equal(hint[:, :40, 8:], image)
    assert not hint[:, 40:].any()
    assert (mask[:, 40:] == 1).all()
    assert 0 < mask[0, 20, 8] < 1


def test_an_unknown_condition_is_refused_by_name(nodes, pack):
    with pytest.raises(pack.scedit_core.SCEditError, match=r"canny.*'magic'"):
        run(nodes["SCEditPreprocess"], image=picture(), condition={"condition": "magic"})


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (1, 8, 8, 2), (8, 8, 3)])
def test_bad_images_are_refused_whatever_the_resolution(any_hint, pack, kind, shape):
    for resolution in (0, 64):
        with pytest.raises(pack.scedit_core.SCEditError):
            any_hint(kind, torch.zeros(shape), resolution=resolution)

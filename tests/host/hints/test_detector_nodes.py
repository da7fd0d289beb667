"""The nodes whose hints a net finds, in ComfyUI: weights, pictures of every kind, memory, cancelling."""

from __future__ import annotations

import gc
import socket
import weakref

import comfy.model_management
import pytest
import torch
from detector_tools import figure, linked_weights, weight_file
from host_tools import picture, run

NODES = {
    "SCEditHED": "ControlNetHED.pth",
    "SCEditDepth": "dpt_hybrid-midas-501f0c75.pt",
    "SCEditPose": "body_pose_model.pth",
    "SCEditSegmentation": "upernet-convnext-small.bin",
}
# each node's kind in 'Any Hint', and settings of it that are not the default
KINDS = {
    "SCEditHED": ("hed", {"polarity": "white on black"}),
    "SCEditDepth": ("depth", {}),
    "SCEditPose": ("pose", {"hands": False, "face": False}),
    "SCEditSegmentation": ("segmentation", {}),
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """An empty Hugging Face cache, and no way out."""
    calls = []

    def connect(_self, address):
        calls.append(address)
        raise OSError("the network is closed")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return calls


@pytest.fixture
def hed(nodes, pack):
    """The HED node, its weights in the model folder; nothing loaded yet."""
    comfy.model_management.unload_all_models()
    file = weight_file(pack.nodes.files.folders.annotator_folder(), NODES["SCEditHED"])
    yield nodes["SCEditHED"]
    comfy.model_management.unload_all_models()
    file.unlink()


@pytest.fixture
def all_weights(pack, net_weights):
    """Weights of all nets in the model folder."""
    comfy.model_management.unload_all_models()
    with linked_weights(net_weights, pack.nodes.files.folders.annotator_folder()):
        yield
    comfy.model_management.unload_all_models()


@pytest.fixture
def any_hint(nodes):
    """Runs 'Any Hint' as a single node's kind, with that node's settings."""

    def make(node, image, settings, **inputs):
        condition = {"condition": KINDS[node][0], **settings}
        return run(nodes["SCEditPreprocess"], image=image, condition=condition, **inputs)

    return make


@pytest.mark.parametrize(("node", "file"), NODES.items())
def test_without_weights_and_download_a_node_says_where_to_get_them_and_stays_offline(
    nodes, pack, no_network, node, file
):
    with pytest.raises(pack.scedit_core.SCEditError) as caught:
        run(nodes[node], image=picture(16, 16))
    for word in (file, " MB)", "huggingface.co/", str(pack.nodes.files.folders.annotator_folder())):
        assert word in str(caught.value)
    assert no_network == []


def test_with_download_on_and_no_network_there_is_one_sentence_and_no_file(
    nodes, pack, no_network, monkeypatch
):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(pack.scedit_core.SCEditError, match="could not be downloaded"):
        run(nodes["SCEditHED"], image=picture(16, 16), download=True)
    assert no_network
    assert not list(pack.nodes.files.folders.annotator_folder().glob("ControlNetHED*"))


@pytest.mark.parametrize(("channels", "batch", "size"), [(1, 1, (16, 24)), (3, 5, (33, 17)), (4, 2, (8, 8))])
def test_pictures_of_every_kind_give_hints_of_their_size(hed, channels, batch, size):
    image = torch.rand(batch, *size, channels, generator=torch.Generator().manual_seed(0))
    hint = run(hed, image=image, resolution=16)
    assert hint.shape == (batch, *size, 3)
    assert (hint.min() >= 0) & (hint.max() <= 1)
    assert torch.equal(hint[-1:], run(hed, image=image[-1:], resolution=16))
    light = run(hed, image=image, polarity="white on black", resolution=16)
    assert torch.allclose(hint + light, torch.ones_like(hint))


def test_a_net_is_loaded_once_and_freed_when_comfyui_is_asked_to(hed, pack):
    held = pack.nodes.hints.nets._held
    run(hed, image=picture(16, 16))
    (patcher,) = held.values()
    assert any(loaded.model is patcher for loaded in comfy.model_management.current_loaded_models)
    run(hed, image=picture(16, 16))
    assert list(held.values()) == [patcher]
    comfy.model_management.unload_all_models()
    assert held == {}
    gone = weakref.ref(patcher)
    del patcher
    gc.collect()
    assert gone() is None
    run(hed, image=picture(16, 16))


def test_cancel_acts_between_pictures(hed):
    comfy.model_management.interrupt_current_processing()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        run(hed, image=picture(16, 16, batch=2))


def test_a_picture_too_large_for_the_memory_is_refused_before_it_is_tried(hed, pack):
    with pytest.raises(pack.scedit_core.SCEditError, match="set resolution to 1024 or less"):
        run(hed, image=torch.zeros(1, 8, 4096, 3), resolution=4096)


def test_an_empty_batch_is_refused(nodes, pack):
    for node in NODES:
        with pytest.raises(pack.scedit_core.SCEditError, match="at least one image"):
            run(nodes[node], image=torch.zeros(0, 8, 8, 3))


def test_transparent_parts_are_white_as_for_all_hints(hed):
    image = picture(16, 16)
    hidden = torch.cat([image, torch.zeros_like(image[..., :1])], -1)
    assert torch.equal(run(hed, image=hidden), run(hed, image=torch.ones_like(image)))


@pytest.mark.parametrize("node", NODES)
def test_any_hint_asks_for_missing_weights_in_the_single_nodes_words(nodes, pack, no_network, any_hint, node):
    image, said = picture(16, 16), []
    for ask in (lambda: run(nodes[node], image=image), lambda: any_hint(node, image, KINDS[node][1])):
        with pytest.raises(pack.scedit_core.SCEditError) as caught:
            ask()
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert no_network == []


@pytest.mark.parametrize("node", NODES)
def test_any_hint_gives_the_hint_of_the_single_node_bit_for_bit(nodes, all_weights, any_hint, node):
    image, settings = torch.from_numpy(figure(96, 80)).float()[None] / 255, KINDS[node][1]
    # segmentation's default, 512, takes long: the test below sees that it is meant
    for given in ({"resolution": 64}, {} if node != "SCEditSegmentation" else {"resolution": 96}):
        hint = run(nodes[node], image=image, **settings, **given)
        assert hint.shape == (1, 96, 80, 3)
        assert hint.std() > 0
        assert torch.equal(any_hint(node, image, settings, **given), hint)


def test_any_hint_has_segmentation_look_at_512_as_the_single_node_does(nodes, pack, all_weights, any_hint):
    image = torch.zeros(1, 1, 512, 3)
    for ask in (
        lambda: run(nodes["SCEditSegmentation"], image=image),
        lambda: any_hint("SCEditSegmentation", image, {}),
    ):
        with pytest.raises(pack.scedit_core.SCEditError, match=r"needs about 248\.3 GB"):
            ask()


def test_without_its_size_a_nets_hint_is_that_of_the_scaled_picture(nodes, all_weights, any_hint):
    image, settings = picture(96, 80), KINDS["SCEditHED"][1]
    free = any_hint("SCEditHED", image, settings, resolution=40, keep_size=False)
    small = torch.nn.functional.interpolate(image.movedim(-1, 1), (48, 40), mode="bilinear", antialias=True)
    assert torch.equal(free, run(nodes["SCEditHED"], image=small.movedim(1, -1), resolution=40, **settings))


def test_any_hint_fetches_weights_only_where_its_switch_is_on(pack, no_network, any_hint, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(pack.scedit_core.SCEditError, match="could not be downloaded"):
        any_hint("SCEditHED", picture(16, 16), {"polarity": "dark on white", "download": True})
    assert no_network

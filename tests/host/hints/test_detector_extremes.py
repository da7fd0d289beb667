"""All nets at their true sizes in ComfyUI: fetched from a stand-in for the hub, then run offline."""

from __future__ import annotations

import hashlib
import socket
from dataclasses import replace
from functools import partial

import comfy.model_management
import pytest
import torch
from detector_tools import weight_file
from host_tools import run
from hub_tools import Hub, serve

# of each node: where `detecting` has its files, and settings that keep the test short
NETS = {
    "SCEditHED": ("HED", {"resolution": 16}),
    "SCEditDepth": ("DEPTH", {"resolution": 64}),
    "SCEditPose": (None, {"resolution": 64, "hands": True, "face": True}),
    "SCEditSegmentation": ("SEGMENTATION", {"resolution": 32}),
}
POSE_FILES = ("BODY_WEIGHTS", "HAND_WEIGHTS", "FACE_WEIGHTS")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A stand-in that sends something else than what is asked for."""
    hub = Hub(b"something else")
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    yield hub
    hub.stop()


@pytest.fixture(autouse=True)
def elsewhere(hub, monkeypatch):
    """Every attempt to reach anything but the stand-in; none of them gets through."""
    attempts = []
    port, connect, look_up = hub.server.server_address[1], socket.socket.connect, socket.getaddrinfo

    def watched_connect(self, address):
        if tuple(address) != ("127.0.0.1", port):
            attempts.append(address)
            raise OSError("the network is closed")
        return connect(self, address)

    def watched_look_up(host, *further, **options):
        if host != "127.0.0.1":
            attempts.append(host)
            raise OSError("the network is closed")
        return look_up(host, *further, **options)

    monkeypatch.setattr(socket.socket, "connect", watched_connect)
    monkeypatch.setattr(socket, "getaddrinfo", watched_look_up)
    return attempts


@pytest.fixture
def folder(pack):
    """Where downloads go; empty before and after."""
    comfy.model_management.unload_all_models()
    place = pack.nodes.files.folders.annotator_folder()
    yield place
    comfy.model_management.unload_all_models()
    for file in place.glob("*"):
        file.unlink()


def publish(pack, monkeypatch, hub, detector, source):
    """Have the stand-in publish files in the published layouts: their addresses and the bytes there."""
    detecting = pack.nodes.hints.kinds
    names = POSE_FILES if detector is None else (detector,)
    bodies, files = {}, []
    for name in names:
        file = getattr(detecting, name) if detector is None else getattr(detecting, name).files[0]
        body = weight_file(source, file.name).read_bytes()
        files.append(replace(file, size=len(body), sha256=hashlib.sha256(body).hexdigest()))
        bodies[f"/{file.repo}/resolve/{file.revision}/{file.path}"] = body
        if detector is None:
            monkeypatch.setattr(detecting, name, files[-1])
    if detector is not None:
        monkeypatch.setattr(detecting, detector, replace(getattr(detecting, detector), files=tuple(files)))
    hub.behave = lambda handler, count: serve(handler, count, body=bodies[handler.path])
    return bodies


def pictures(channels, batch, height, width):
    return torch.rand(batch, height, width, channels, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("node", NETS)
def test_a_net_is_fetched_once_and_then_sees_every_picture_offline(
    nodes, pack, hub, elsewhere, folder, tmp_path, monkeypatch, node
):
    detector, settings = NETS[node]
    see = partial(run, nodes[node], **settings)
    bodies = publish(pack, monkeypatch, hub, detector, tmp_path)
    assert see(image=pictures(3, 1, 40, 56), download=True).shape == (1, 40, 56, 3)
    assert hub.requests == [(address, None) for address in bodies]
    assert {file.name for file in folder.iterdir()} == {file.name for file in tmp_path.glob("*.*")}
    for channels, batch in ((1, 1), (4, 1), (3, 5)):
        image = pictures(channels, batch, 8, 8)
        hint = see(image=image)
        assert hint.shape == (batch, 8, 8, 3)
        assert (hint.min() >= 0) & (hint.max() <= 1)
    assert torch.equal(hint[-1:], see(image=image[-1:]))
    assert len(hub.requests) == len(bodies)
    assert elsewhere == []


@pytest.mark.parametrize("node", NETS)
def test_what_is_not_the_published_file_is_refused_and_not_kept(nodes, pack, hub, elsewhere, folder, node):
    with pytest.raises(pack.scedit_core.SCEditError, match=r"is another file .* was deleted"):
        run(nodes[node], image=pictures(3, 1, 8, 8), download=True)
    assert len(hub.requests) == 1
    assert list(folder.iterdir()) == []
    assert elsewhere == []


@pytest.mark.parametrize("node", NETS)
def test_a_picture_beyond_all_memory_is_refused_before_anything_is_fetched(nodes, pack, hub, folder, node):
    with pytest.raises(pack.scedit_core.SCEditError, match=r"needs about .* set resolution to 1024 or less"):
        run(nodes[node], image=torch.zeros(1, 8, 8192, 3), resolution=4096, download=True)
    assert hub.requests == []


@pytest.mark.parametrize("switches", [{"hands": True}, {"face": True}], ids=["hands", "face"])
def test_a_missing_hand_or_face_net_is_named(nodes, pack, hub, elsewhere, folder, switches):
    weight_file(folder, "body_pose_model.pth")
    name = {"hands": "hand_pose_model.pth", "face": "facenet.pth"}[next(iter(switches))]
    with pytest.raises(pack.scedit_core.SCEditError, match=rf"{name} \(.* MB\) are not on this computer"):
        run(nodes["SCEditPose"], image=pictures(3, 1, 8, 8), **switches)
    assert hub.requests == elsewhere == []

"""The peers of the paper's tables are what they claim: in size, at their start, in what learns."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from host_tools import tiny_model
from support import REPOSITORY

KINDS = ("ControlNet", "T2I-Adapter", "LoRA", "full tuning")
COUNTS = [
    ("sd15", "full tuning", 859_520_964),
    ("sd15", "LoRA", 23_937_024),
    ("sd21", "ControlNet", 364_228_240),
    ("sd21", "T2I-Adapter", 77_369_280),
]


@pytest.fixture(scope="module")
def bench(pack: Any) -> Iterator[SimpleNamespace]:
    """The modules of benchmarks/ that train peers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(REPOSITORY / "benchmarks"))
        names = ("tuning_peers", "paper_run", "workbench")
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})


@pytest.fixture(scope="module")
def golden() -> Any:
    """The golden U-Net with twelve skips as a MODEL."""
    return tiny_model("sd15_12skip")


@pytest.fixture(scope="module")
def base(pack: Any, golden: Any) -> Iterator[Any]:
    """The same as the base model of a training."""
    with pack.nodes.training.base_model.differentiable(golden) as model:
        yield model


def made(bench: Any, kind: str, unet: torch.nn.Module, config: dict[str, Any], rank: int = 64) -> Any:
    """A fresh peer."""
    torch.manual_seed(0)
    peers = bench.tuning_peers
    if kind == "ControlNet":
        return peers.ControlPeer(unet, config)
    if kind == "T2I-Adapter":
        return peers.AdapterPeer(config)
    return peers.LoRAPeer(unet, rank) if kind == "LoRA" else peers.FullPeer(unet)


def peer_of(bench: Any, kind: str, golden: Any) -> Any:
    """A fresh peer of the golden U-Net."""
    model = golden.model
    return made(bench, kind, model.diffusion_model, model.model_config.unet_config, rank=2)


def predicted(golden: Any, peer: Any = None) -> torch.Tensor:
    """What the U-Net says of the same noise, text and hint each time."""
    draw = torch.Generator().manual_seed(1)
    noise, text = torch.randn(2, 4, 16, 16, generator=draw), torch.randn(2, 7, 48, generator=draw)
    hint = torch.rand(2, 3, 128, 128, generator=draw)
    unet = golden.model.diffusion_model
    times = torch.tensor([500.0, 20.0])
    if peer is None:
        return unet(noise, times, context=text, control=None)
    with peer.acting(unet, hint):
        return unet(noise, times, context=text, control=None)


@pytest.mark.parametrize(("family", "kind", "count"), COUNTS)
def test_at_full_size_a_peer_has_as_many_weights_as_the_paper_says(bench, family, kind, count):
    config = {"num_heads": 8, **bench.workbench.UNETS[family]}
    config |= {"num_heads": -1} if "num_head_channels" in config else {}
    with torch.device("meta"):
        unet = bench.tuning_peers.comfy.ldm.modules.diffusionmodules.openaimodel.UNetModel(
            **config, operations=bench.tuning_peers.comfy.ops.disable_weight_init
        )
        peer = made(bench, kind, unet, config)
    assert sum(weights.numel() for weights in peer.parameters()) == count


@pytest.mark.parametrize("kind", ["ControlNet", "LoRA", "full tuning"])
def test_a_fresh_peer_changes_nothing(bench, golden, base, kind):
    peer = peer_of(bench, kind, golden)
    with torch.no_grad():
        assert torch.equal(predicted(golden, peer), predicted(golden))


def test_a_t2i_adapter_has_no_zero_to_start_with(bench, golden, base):
    peer = peer_of(bench, "T2I-Adapter", golden)
    with torch.no_grad():
        assert not torch.equal(predicted(golden, peer), predicted(golden))


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_of_a_peer_learns_and_none_of_the_base(bench, golden, base, kind):
    peer = peer_of(bench, kind, golden)
    with torch.no_grad():
        for weights in peer.parameters():  # away from zeros, which keep gradients from what is before them
            weights += 0.05 * torch.randn_like(weights)
    predicted(golden, peer).square().mean().backward()
    silent = [
        name for name, weights in peer.named_parameters() if weights.grad is None or not weights.grad.any()
    ]
    assert silent == []
    assert all(weights.grad is None for weights in base.weights())


@pytest.mark.parametrize("kind", ["T2I-Adapter", "full tuning"])
def test_a_run_trains_a_peer_and_leaves_the_base_as_it_was(pack, bench, golden, base, kind):
    training = pack.scedit_core.training
    peer = peer_of(bench, kind, golden)
    hints = (torch.rand(1, 3, 64, 64),) if peer.kind == "csc" else ()
    caption = [torch.randn(1, 7, 48), {}]
    data = training.TrainingSet([training.Example(torch.randn(4, 8, 8), caption, hints) for _ in range(2)])
    config = training.TrainConfig(steps=2, batch_size=2, learning_rate=1e-3, ema_decay=0.9)
    before = predicted(golden).detach().clone()
    run = bench.paper_run.Run(peer, base, golden.model.diffusion_model, data, config)
    run.learn(2)
    with run.averaged():
        assert not torch.equal(predicted(golden, peer), before)
    assert torch.equal(predicted(golden), before)

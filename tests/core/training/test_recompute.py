"""The memory option of a training: fewer bytes, the same numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from scedit_core.training.memory import recompute
from scedit_core.training.memory.recompute import layer_handler, recomputed

MODES = ("off", "cheap", "all")


class Layer(nn.Module):
    """A frozen layer with all that is worth remembering or not: norm, conv, attention, feed-forward."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(4, width)
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.query = nn.Linear(width, width)
        self.forth = nn.Linear(width, 4 * width)
        self.back = nn.Linear(4 * width, width)
        self.runs = 0
        self.requires_grad_(False)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        self.runs += 1
        x = x + self.conv(F.silu(self.norm(x))) + emb
        tokens = x.flatten(2).movedim(1, 2)[:, None].contiguous()  # (B, 1, H * W, C)
        tokens = F.scaled_dot_product_attention(self.query(tokens), tokens, tokens)
        return x + self.back(F.gelu(self.forth(tokens)))[:, 0].movedim(1, 2).reshape(x.shape)


@pytest.fixture
def layer() -> Layer:
    torch.manual_seed(0)
    return Layer()


def picture() -> Tensor:
    return torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()


def gradient(run: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Result of a run and the gradient of its mean square."""
    x = picture()
    result = run(x)
    result.square().mean().backward()
    assert x.grad is not None
    return result, x.grad


class Calls(TorchDispatchMode):
    """Counts operations that really run."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def bytes_saved(run: Callable[[], Tensor]) -> int:
    """What autograd's hooks see, storages counted once."""
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = run()
    assert result.requires_grad
    return sum(sizes.values())


# at 0 every product is remembered, at 100 the conv and the attention, at 2000 nothing of so small a layer
@pytest.mark.parametrize("costly", [1, 100, 2000])
@pytest.mark.parametrize("mode", MODES)
def test_results_and_gradients_are_those_of_a_plain_run_bit_for_bit(
    layer: Layer, mode: Any, costly: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recompute, "COSTLY", costly)
    emb = torch.randn(2, 16, 1, 1)
    expected = gradient(lambda x: layer(x, emb))
    found = gradient(lambda x: recomputed(mode, layer, x, emb))
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("mode", ["cheap", "all"])
def test_gradients_reach_weights_inside_and_tensors_read_from_outside(layer: Layer, mode: Any) -> None:
    layer.requires_grad_(True)
    emb = torch.randn(2, 16, 1, 1).requires_grad_()
    sources = [*layer.parameters(), emb]
    x = picture().detach()
    expected = torch.autograd.grad(layer(x, emb).square().mean(), sources)
    found = torch.autograd.grad(recomputed(mode, lambda x: layer(x, emb), x).square().mean(), sources)
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("mode", ["cheap", "all"])
def test_mixed_precision_is_entered_again(layer: Layer, mode: Any) -> None:
    emb = torch.randn(2, 16, 1, 1)
    inputs = picture(), picture()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        results = layer(inputs[0], emb), recomputed(mode, layer, inputs[1], emb)
    for result in results:
        result.square().mean().backward()  # outside of it, as training loops do
    assert torch.equal(*results)
    assert torch.equal(inputs[0].grad, inputs[1].grad)


def test_only_the_input_is_saved(layer: Layer) -> None:
    x, emb = picture(), torch.zeros(2, 16, 1, 1)
    sizes = {mode: bytes_saved(lambda mode=mode: recomputed(mode, layer, x, emb)) for mode in MODES}
    assert sizes["cheap"] == sizes["all"] == x.nbytes + emb.nbytes
    assert sizes["off"] > 10 * sizes["all"]


def test_costly_results_are_not_computed_again(layer: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recompute, "COSTLY", 100)
    with Calls() as calls:
        recomputed("cheap", layer, picture(), torch.zeros(2, 16, 1, 1)).sum().backward()
    assert calls.counts["native_group_norm"] == 2
    assert calls.counts["convolution"] == 1
    attention = {name: n for name, n in calls.counts.items() if "scaled_dot_product" in name}
    assert [n for name, n in attention.items() if "backward" not in name] == [1], calls.counts


def test_the_result_of_the_last_operation_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recompute, "COSTLY", 1)
    first, second = recompute._remember_costly()
    with first:
        torch.ones(2, 4) @ torch.ones(4, 2) @ torch.ones(2, 8)
    assert [len(results) for results in (first.results, second.results)] == [1, 1]


def test_nothing_runs_twice_without_gradients(layer: Layer) -> None:
    with torch.no_grad():
        recomputed("all", layer, picture(), torch.zeros(1))
    assert layer.runs == 1


def call(layer: Layer, x: Tensor, emb: Tensor, _: Any, options: dict[str, Any], factor: float) -> Tensor:
    """A layer whose result depends on the host's options, and which changes them."""
    x = layer(x, emb) * options["index"] * factor
    options["index"] += 1
    return x


@pytest.mark.parametrize("mode", MODES)
def test_layers_see_the_options_of_their_own_time(layer: Layer, mode: Any) -> None:
    def decoder(x: Tensor, handler: Callable[..., Tensor]) -> Tensor:
        options: dict[str, Any] = {"index": 1}
        for block in range(3):
            options["block"] = ("output", block)
            x = handler(layer, x, torch.zeros(1), None, options, 0.5)
        assert options == {"index": 4, "block": ("output", 2)}
        options.clear()  # as if another step had begun
        return x

    expected = gradient(lambda x: decoder(x, call))
    found = gradient(lambda x: decoder(x, layer_handler(mode, call)))
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize(
    ("block", "needs_gradient", "runs"), [("output", True, 2), ("output", False, 1), ("middle", True, 1)]
)
def test_only_recorded_layers_of_output_blocks_run_twice(
    layer: Layer, block: str, needs_gradient: bool, runs: int
) -> None:
    layer.back.weight.requires_grad_(True)
    x = picture().requires_grad_(needs_gradient)
    options = {"block": (block, 0), "index": 1}
    layer_handler("all", call)(layer, x, torch.zeros(1), None, options, 1.0).sum().backward()
    assert layer.runs == runs

"""The peers of SCEdit's tuners in the paper's tables: what a Trainer trains in their place.

ControlNet (arXiv 2302.05543) and T2I-Adapter (arXiv 2302.08453) are ComfyUI's own classes, started as their
papers do; LoRA (arXiv 2106.09685) acts on the linear layers of every transformer block, which is how the
paper's 23.94M and 2.24M come out; full tuning trains a copy of every weight. The U-Net itself stays as it is:
a peer acts only inside `acting`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any, Literal

from torch import Tensor, nn
from workbench import comfy

attention = comfy.ldm.modules.attention
_NOT_OF_CONTROLS = ("out_channels", "transformer_depth_output")  # a ControlNet has no decoder


class Peer(nn.Module):
    """Something trained in place of tuners; `kind` is "csc" for what reads a hint, as a Trainer asks it."""

    kind: Literal["sc", "csc"] = "sc"
    spec = SimpleNamespace(place="skip")  # a Trainer takes tuners of skips, and asks

    def acting(self, unet: nn.Module, hint: Tensor | None) -> AbstractContextManager[Any]:
        """Inside, the U-Net predicts with this peer and this hint `(B, 3, 8h, 8w)`, values 0..1."""
        raise NotImplementedError


class ControlPeer(Peer):
    """A ControlNet: a copy of the encoder and the middle, its outputs through convs that start at zero."""

    kind = "csc"

    def __init__(self, unet: nn.Module, config: Mapping[str, Any]) -> None:
        super().__init__()
        sizes = {name: value for name, value in config.items() if name not in _NOT_OF_CONTROLS}
        sizes["operations"] = comfy.ops.disable_weight_init
        self.network = comfy.cldm.cldm.ControlNet(**sizes, hint_channels=3)
        fuse_attention(self.network)
        copied = unet.state_dict()
        start = {name: copied.get(name, weights) for name, weights in self.network.state_dict().items()}
        self.network.load_state_dict(start)
        hints = self.network.input_hint_block
        for layer in hints.modules():
            if isinstance(layer, nn.Conv2d):
                nn.Conv2d.reset_parameters(layer)  # ComfyUI's own does nothing
        for zero in (hints[-1], self.network.zero_convs, self.network.middle_block_out):
            for weights in zero.parameters():
                nn.init.zeros_(weights)
        self.requires_grad_(True)

    @contextmanager
    def acting(self, unet: nn.Module, hint: Tensor | None) -> Iterator[None]:
        def residuals(_: nn.Module, args: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            x, timesteps = args
            made = self.network(x=x, hint=hint, timesteps=timesteps, context=given["context"])
            return args, {**given, "control": made}

        with unet.register_forward_pre_hook(residuals, with_kwargs=True):
            yield


class AdapterPeer(Peer):
    """A T2I-Adapter as published for SD: two residual blocks of kernel 1 a level, PyTorch's own start."""

    kind = "csc"

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        widths = [config["model_channels"] * times for times in config["channel_mult"]]
        self.network = comfy.t2i_adapter.adapter.Adapter(
            widths, nums_rb=2, cin=3 * 64, ksize=1, sk=True, use_conv=False, xl=False
        )

    @contextmanager
    def acting(self, unet: nn.Module, hint: Tensor | None) -> Iterator[None]:
        def features(_: nn.Module, args: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            return args, {**given, "control": self.network(hint)}

        with unet.register_forward_pre_hook(features, with_kwargs=True):
            yield


class LoRAPeer(Peer):
    """`W x + B A x` on the linear layers of every transformer block; B starts at zero."""

    def __init__(self, unet: nn.Module, rank: int) -> None:
        super().__init__()
        self.pairs = nn.ModuleList(
            nn.Sequential(
                nn.Linear(layer.in_features, rank, bias=False),
                nn.Linear(rank, layer.out_features, bias=False),
            )
            for layer in linear_layers(unet)
        )
        for _, up in self.pairs:
            nn.init.zeros_(up.weight)

    @contextmanager
    def acting(self, unet: nn.Module, hint: Tensor | None) -> Iterator[None]:
        with ExitStack() as hooks:
            for layer, pair in zip(linear_layers(unet), self.pairs, strict=True):
                hooks.enter_context(
                    layer.register_forward_hook(lambda _, given, made, pair=pair: made + pair(given[0]))
                )
            yield


class FullPeer(Peer):
    """A copy of every weight of the U-Net."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(weights.detach().clone()) for *_, weights in _held(unet))

    @contextmanager
    def acting(self, unet: nn.Module, hint: Tensor | None) -> Iterator[None]:
        originals = _held(unet)
        for (part, name, _), weights in zip(originals, self.weights, strict=True):
            setattr(part, name, weights)
        try:
            yield
        finally:
            for part, name, weights in originals:
                setattr(part, name, weights)


def linear_layers(unet: nn.Module) -> list[nn.Linear]:
    """Those of every transformer block: of its attentions and of its feed-forward."""
    blocks = [m for m in unet.modules() if isinstance(m, attention.BasicTransformerBlock)]
    return [layer for block in blocks for layer in block.modules() if isinstance(layer, nn.Linear)]


def _held(unet: nn.Module) -> list[tuple[nn.Module, str, nn.Parameter]]:
    """Every weight with the module that holds it and its name there."""
    return [
        (part, name, weights)
        for part in unet.modules()
        for name, weights in part.named_parameters(recurse=False)
    ]


def fuse_attention(network: nn.Module) -> None:
    """PyTorch's attention in place of what ComfyUI chooses for a CPU; its ControlNet has no option for it."""

    def override(_original: Any, *args: Any, **kwargs: Any) -> Tensor:
        return attention.attention_pytorch(*args, **kwargs)

    def choose(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        given = kwargs.get("transformer_options", {})
        options = {**given, "optimized_attention_override": override}
        return args, {**kwargs, "transformer_options": options}

    for module in network.modules():
        if isinstance(module, attention.CrossAttention):
            module.register_forward_pre_hook(choose, with_kwargs=True)

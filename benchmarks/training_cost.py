"""Memory and time of one training step: SC- and CSC-Tuners against LoRA, ControlNet and full tuning.

    python dev.py bench training_cost [--rounds 3] [--device cuda]

SD 1.5-size U-Net (860M parameters), 512 x 512, batch 1, fp32, PyTorch's fused attention, random weights.
Bytes are those that a forward keeps for backward, weights left out: exact, counted on tensors without data.
Times are medians of rounds that alternate between the methods: forward, backward and a step of SGD, for
AdamW's moments of full tuning would not fit beside the rest. 0 rounds leave the times out (they take 20 GB
and a while). `gpu_check` measures peak memory on a card.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from host_start import Meter, add_device_option
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from tuning_peers import AdapterPeer, fuse_attention
from workbench import UNET_SD15, comfy, control_network, load_pack, moved, randomize, unet_model
from workbench import device as host_device

host_attention = comfy.ldm.modules.attention

SIZE = 512
CPU = torch.device("cpu")
LORA_RANK = 64
MODES = ("off", "cheap", "all")
PARTS = ("time", "input", "middle", "output", "trained")  # time: the embedding of the noise level


@dataclass(frozen=True)
class Method:
    """A way of tuning a U-Net: what is trained, and a prediction made with the host's options."""

    trained: nn.Module
    predict: Callable[[dict[str, Any]], Tensor]
    shape: Sequence[int]  # of the latent

    def host_options(self) -> dict[str, Any]:
        """What a sampler of the host would say of this latent."""
        return {"original_shape": self.shape}

    def loss(self, options: dict[str, Any]) -> Tensor:
        """Any loss will do."""
        return self.predict(options).float().square().mean()


@contextmanager
def training(module: nn.Module) -> Iterator[None]:
    """Gradients for a module's weights, inside."""
    module.requires_grad_(True)
    try:
        yield
    finally:
        module.requires_grad_(False)


@contextmanager
def part(options: dict[str, Any], name: str) -> Iterator[None]:
    """What is recorded inside belongs to this part, whichever block the host is at."""
    options["part"] = name
    try:
        yield
    finally:
        del options["part"]


class Cost:
    """The methods to compare, around one U-Net."""

    def __init__(
        self,
        pack: Any,
        unet: Mapping[str, Any] = UNET_SD15,
        size: int = SIZE,
        device: torch.device = CPU,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.core = pack.scedit_core
        inside = partial(importlib.import_module, package=pack.__name__)
        self.recomputed = inside(".scedit_core.training.memory.recompute").recomputed
        self.recorder = inside(".scedit_core.training.memory.recorded").Recorder
        self.patch = inside(".nodes.training.patch")
        self.layout = self.core.SkipLayout.from_unet_config(unet)
        self.config, self.device = unet, device
        # outside of the host's memory management, which would have weights come and go
        model = unet_model(unet, dtype, disable_dynamic=True).model
        self.unet = moved(model.diffusion_model, device).requires_grad_(False)
        fuse_attention(self.unet)
        self.inputs = {
            "x": torch.randn(1, 4, size // 8, size // 8, device=device, dtype=dtype),
            "timesteps": torch.full((1,), 500.0, device=device),
            "context": torch.randn(1, 77, unet["context_dim"], device=device, dtype=dtype),
        }
        if unet["adm_in_channels"]:
            self.inputs["y"] = torch.randn(1, unet["adm_in_channels"], device=device, dtype=dtype)
        self.hint = torch.rand(1, 3, size, size, device=device)

    def methods(self) -> dict[str, Callable[[], Method]]:
        """What makes each method: one at a time, for the bytes of all of them are many."""
        sc = self.core.TunerSpec.sc(self.layout)
        csc = self.core.TunerSpec.csc(self.layout)
        found = {"full tuning": self.full, "ControlNet": self.control, f"LoRA rank {LORA_RANK}": self.lora}
        if len(self.config["channel_mult"]) == 4:  # that of SDXL has another form
            found["T2I-Adapter"] = self.adapter
        for name, spec in (("SC-Tuner", sc), ("CSC-Tuner", csc)):
            for mode in MODES:
                label = name if mode == "off" else f"{name}, {mode}"
                found[label] = partial(self.tuners, spec, mode)
        return found

    def full(self) -> Method:
        """Every weight of the U-Net."""
        return self._method(self.unet, self._predict)

    def control(self) -> Method:
        """ComfyUI's ControlNet beside the frozen U-Net."""
        network = control_network(self.config, torch.float32)
        moved(network, self.device)
        fuse_attention(network)
        return self._beside(network, lambda: network(hint=self.hint, **self.inputs))

    def adapter(self) -> Method:
        """ComfyUI's T2I-Adapter beside the frozen U-Net."""
        network = moved(AdapterPeer(self.config).network, self.device)
        return self._beside(network, lambda: network(self.hint))

    def lora(self) -> Method:
        """`W x + B A x` on the four projections of every attention."""
        attentions = [m for m in self.unet.modules() if isinstance(m, host_attention.CrossAttention)]
        places = [layer for a in attentions for layer in (a.to_q, a.to_k, a.to_v, a.to_out[0])]
        pairs = nn.ModuleList(
            nn.Sequential(
                nn.Linear(layer.in_features, LORA_RANK, bias=False, device=self.device),
                nn.Linear(LORA_RANK, layer.out_features, bias=False, device=self.device),
            )
            for layer in places
        )

        def predict(options: dict[str, Any]) -> Tensor:
            with ExitStack() as hooks:
                for layer, pair in zip(places, pairs, strict=True):
                    hook = layer.register_forward_hook(lambda _, x, y, pair=pair: y + pair(x[0]))
                    hooks.callback(hook.remove)
                return self._predict(options)

        return self._method(pairs, predict)

    def tuners(self, spec: Any, mode: str) -> Method:
        """SC- or CSC-Tuners, with a memory option."""
        tuners = self.core.build_tuners(spec, device=self.device)
        randomize(tuners)
        hint = self.hint if spec.kind == "csc" else None
        edit = self.core.SkipEdit(tuners, hint=hint)

        def predict(options: dict[str, Any]) -> Tensor:
            with part(options, "trained"):
                features = None if hint is None else self.recomputed(mode, tuners.hint_encoder, hint)
            edits = [self.core.PreparedEdit(edit, features, None)]
            options.update(self.patch.training_options(options, edits, mode))
            (patch,) = options["patches"]["output_block_patch"]

            def edited(h: Tensor, skip: Tensor, now: dict[str, Any]) -> tuple[Tensor, Tensor]:
                with part(now, "trained"):
                    return patch(h, skip, now)

            options["patches"]["output_block_patch"] = [edited]
            return self._predict(options)

        return self._method(tuners, predict)

    def _beside(self, network: nn.Module, control: Callable[[], Any]) -> Method:
        """A network whose outputs are added inside the frozen U-Net."""

        def predict(options: dict[str, Any]) -> Tensor:
            with part(options, "trained"):
                made = control()
            return self._predict(options, control=made)

        return self._method(network, predict)

    def _method(self, trained: nn.Module, predict: Callable[[dict[str, Any]], Tensor]) -> Method:
        """In mixed precision, if the U-Net is not in float32; on a card also full tuning is."""
        is_mixed = self.device.type != "cpu" or self.inputs["x"].dtype != torch.float32

        def mixed(options: dict[str, Any]) -> Tensor:
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=is_mixed):
                return predict(options)

        return Method(trained, mixed, tuple(self.inputs["x"].shape))

    def _predict(self, options: dict[str, Any], **more: Any) -> Tensor:
        return self.unet(**self.inputs, transformer_options=options, **more)

    def recorded(self, make: Callable[[], Method]) -> Counter[str]:
        """Bytes by part that one forward of a method keeps."""
        method = make()
        options = method.host_options()
        weights = [t for m in (self.unet, method.trained) for t in (*m.parameters(), *m.buffers())]
        recorder = self.recorder(weights, lambda: options.get("part") or options.get("block", ("time",))[0])
        with training(method.trained), recorder.recording():
            loss = method.loss(options)
        return recorder.kept(loss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    add_device_option(parser)
    arguments = parser.parse_args()
    pack = load_pack()
    with FakeTensorMode():
        cost = Cost(pack)
        kept = {name: cost.recorded(make) for name, make in cost.methods().items()}
    report_bytes(kept)
    if arguments.rounds:
        torch.manual_seed(0)
        report_times(measure(Cost(pack, device=host_device()), arguments.rounds))


def measure(cost: Cost, rounds: int) -> dict[str, list[float]]:
    """Seconds of a step of each method in each round; the first round, which warms up, is not counted."""
    methods, meter = {name: make() for name, make in cost.methods().items()}, Meter(cost.device)
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for number in range(rounds + 1):
        for name, method in methods.items():
            optimizer = torch.optim.SGD(method.trained.parameters(), lr=0.0)
            took = meter.seconds(partial(step, method, optimizer))
            if number:
                seconds[name].append(took)
    return seconds


def step(method: Method, optimizer: torch.optim.Optimizer) -> None:
    """Forward, backward and a step; at rate 0, so that the U-Net stays as it is for the others."""
    with training(method.trained):
        method.loss(method.host_options()).backward()
        optimizer.step()
        optimizer.zero_grad()


def report_bytes(kept: dict[str, Counter[str]]) -> None:
    """Print a table of bytes by part and their ratios to the peers."""
    print(f"SD 1.5-size U-Net, {SIZE} x {SIZE}, batch 1, fp32: MB (10^6 bytes) kept for backward")
    peers = list(kept)[:3]
    print(f"{'method':18}" + "".join(f"{name:>9}" for name in (*PARTS, "all")) + _headings(peers))
    for name, parts in kept.items():
        total = parts.total()
        sizes = "".join(f"{size / 1e6:9.1f}" for size in (*(parts[part] for part in PARTS), total))
        ratios = "".join(f"{total / kept[peer].total():15.3f}" for peer in peers)
        print(f"{name:18}{sizes}{ratios}")


def report_times(seconds: dict[str, list[float]]) -> None:
    """Print a table of times and their ratios to the peers and to the same tuner without a memory option."""
    print(f"One step, {host_device()}, {torch.get_num_threads()} threads")
    peers = list(seconds)[:3]
    print(f"{'method':18}{'s':>9}" + _headings(peers) + f"{'/ its own off':>15}")
    for name, times in seconds.items():
        ratios = "".join(f"{_ratio(times, seconds[peer]):15.3f}" for peer in (*peers, name.split(",")[0]))
        print(f"{name:18}{statistics.median(times):9.2f}{ratios}")


def _headings(peers: Sequence[str]) -> str:
    return "".join(f"{'/ ' + name:>15}" for name in peers)


def _ratio(times: Sequence[float], others: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(times, others, strict=True))


if __name__ == "__main__":
    main()

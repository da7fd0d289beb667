"""Edits on an imagined CUDA device: devices, dtypes and shapes, and what a step reads back from it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfy.context_windows import IndexListContextWindow
from imagined_gpu import CPU, CUDA, Reads, hosted, imagined, imagined_model, predict, with_numbers
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode

HALF, BRAIN, FULL, EIGHT = torch.float16, torch.bfloat16, torch.float32, torch.float8_e4m3fn
# weights and what is computed in; fp8 weights are cast at each use
PRECISIONS = {"fp16": (HALF, None), "bf16": (BRAIN, None), "fp8 as fp16": (EIGHT, HALF)}


class Bench:
    """A MODEL on the imagined card and what can be applied to it."""

    def __init__(self, pack: Any, family: str, precision: str = "fp16") -> None:
        self.pack, self.core = pack, pack.scedit_core
        self.model = imagined_model(family, *PRECISIONS[precision])
        self.layout = pack.nodes.patching.conditions.skip_layout(self.model)

    def control(self, hints: int = 1, masks: int = 0, device: torch.device = CUDA, **when: Any) -> Any:
        spec = self.core.TunerSpec.csc(self.layout)
        with unset_fake_temporarily():
            image, mask = torch.rand(hints, 512, 512, 3), torch.ones(masks, 256, 256) if masks else None
        return self._condition(spec, image, device, mask=mask, **when)

    def style(self, device: torch.device = CUDA, dtype: torch.dtype = FULL, op: str = "adapter") -> Any:
        spec = self.core.TunerSpec.sc(self.layout, op=op)
        return self._condition(spec, None, device, dtype)

    def encoder_style(self) -> Any:
        """A tuner as ms-swift's encoder mode trains them, on the last input block of the first level."""
        count, block = len(self.layout.channels), 2
        width = self.layout.channels[count - 1 - block]
        spec = self.core.TunerSpec("sc", {block: width}, {block: width}, place="encoder")
        return self._condition(spec, None, CUDA)

    def applied(self, *conditions: Any) -> Any:
        with with_numbers(self.model):
            return self.pack.nodes.patching.patch.install(self.model, conditions)

    def _condition(
        self, spec: Any, image: Any, device: torch.device, dtype: torch.dtype = FULL, **inputs: Any
    ) -> Any:
        return self.pack.nodes.patching.conditions.Condition(
            hosted(self.pack, spec, dtype, device), image, **inputs
        )


def check(model: Any, latents: int = 1, **options: Any) -> None:
    """Two steps give latents on the card, and read nothing back from it."""
    for _ in range(2):
        with Reads() as reads:
            out = predict(model, latents, **options)
        assert (out.device, out.dtype, out.shape) == (CUDA, FULL, (2 * latents, 4, 64, 64))
        assert not reads.where


@pytest.mark.parametrize(
    ("family", "precision"),
    [
        ("SD 1.5", "fp16"),
        ("SD 1.5", "fp8 as fp16"),
        ("SD 2.1", "bf16"),
        ("SDXL", "fp16"),
        ("SDXL", "fp8 as fp16"),
    ],
)
def test_styles_and_controls_run_where_the_unet_runs_and_read_nothing_back(pack, family, precision):
    with imagined():
        bench = Bench(pack, family, precision)
        check(bench.applied(bench.style(), bench.control(masks=1), bench.control(hints=1)))


@pytest.fixture(scope="module")
def bench(pack):
    """SD 1.5 in fp16."""
    with imagined():
        yield Bench(pack, "SD 1.5")


@pytest.mark.parametrize("device", [CUDA, CPU], ids=["loaded", "offloaded"])
def test_weights_may_wait_on_either_side(bench, device):
    check(bench.applied(bench.style(device), bench.control(device=device)))


@pytest.mark.parametrize(("op", "dtype"), [("conv", HALF), ("lora", BRAIN), ("mlp", FULL), ("adapter", HALF)])
def test_every_op_and_dtype_of_weights(bench, op, dtype):
    check(bench.applied(bench.style(dtype=dtype, op=op)))


def test_a_tuner_of_the_encoder(bench):
    check(bench.applied(bench.encoder_style(), bench.control()))


@pytest.mark.parametrize("count", [2, 5])
def test_hints_and_masks_for_each_latent(bench, count):
    check(bench.applied(bench.control(hints=count, masks=count)), latents=4)


def test_a_context_window_of_many_hints(bench):
    window = IndexListContextWindow([4, 5, 6], total_frames=8)
    window.causal_anchor_index = 3
    check(bench.applied(bench.control(hints=8, masks=8)), latents=4, context_window=window)


def test_a_noise_window_reads_the_noise_level_once_a_step_and_outside_of_the_unet(bench):
    seen = []

    def note(h: Any, skip: Any, options: Any) -> Any:
        seen.append(reads.count)
        return h, skip

    model = bench.applied(bench.control(start_percent=0.1, end_percent=0.8), bench.style())
    model.set_model_output_block_patch(note)
    with Reads() as reads:
        predict(model)
    assert reads.count == 1, reads.where
    assert set(seen) == {1}


def test_a_step_that_calls_the_unet_twice_reads_once(bench):
    model = bench.applied(bench.control(end_percent=0.8))
    sigmas = torch.ones(1, device=CUDA)
    with Reads() as reads:
        predict(model, sigmas=sigmas)
        predict(model, sigmas=sigmas)
    assert reads.count == 1, reads.where


def test_weights_of_another_dtype_are_cast_once_a_run(bench):
    base, edited = bench.applied(), bench.applied(bench.style(), bench.control())
    first = copies(edited)
    assert first > copies(base)
    assert copies(edited) == copies(base)
    edited.model_options["transformer_options"]["patches"]["output_block_patch"][0].cleanup()
    assert copies(edited) == first


def copies(model: Any) -> int:
    """How many tensors a step brings to another device or dtype."""
    with Copies() as counted:
        predict(model)
    return counted.count


class Copies(TorchDispatchMode):
    """Counts copies to another device or dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in ("to", "_to_copy"):
            self.count += (out.device, out.dtype) != (args[0].device, args[0].dtype)
        return out

"""A compiled U-Net: edits are a part of its one program, and nothing that a user moves compiles it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import comfy.model_base
import pytest
import torch
from comfy.ldm.modules import attention
from comfy_api.torch_helpers.torch_compile import set_torch_compile_wrapper
from host_tools import drawn, picture, sample, tiny_model
from test_training_models import random_model


class Compiler:
    """A backend of torch.compile that runs what was captured as it is, and counts the programs."""

    def __init__(self) -> None:
        self.programs = 0

    def __call__(self, program: Any, _inputs: Sequence[Any]) -> Any:
        self.programs += 1
        return program.forward

    def sample(self, model: Any, **how: Any) -> torch.Tensor:
        """Latents sampled by the compiled model; whatever cannot be part of the one program is an error."""
        compiled = model.clone()
        set_torch_compile_wrapper(compiled, backend=self, fullgraph=True)
        return sample(compiled, **how)


@pytest.fixture
def compiler():
    torch._dynamo.reset()
    yield Compiler()
    torch._dynamo.reset()


def sd15() -> Any:
    """A narrow U-Net with SD 1.5's layout."""
    depth = {"transformer_depth": [1] * 6 + [0, 0], "transformer_depth_output": [1] * 9 + [0, 0, 0]}
    layout = {"channel_mult": [1, 2, 4, 4], "num_res_blocks": [2, 2, 2, 2]}
    return random_model(comfy.model_base.BaseModel, comfy.model_base.ModelType.EPS, **layout, **depth)


def sdxl() -> Any:
    """A narrow U-Net with SDXL's layout."""
    depth = {"transformer_depth": [0, 0, 1, 1, 1, 1], "transformer_depth_output": [0, 0, 0, *[1] * 6]}
    layout = {"channel_mult": [1, 2, 4], "num_res_blocks": [2, 2, 2]}
    return random_model(comfy.model_base.BaseModel, comfy.model_base.ModelType.EPS, **layout, **depth)


@pytest.fixture(autouse=True)
def pytorch_attention(monkeypatch):
    """PyTorch's own attention: the one that ComfyUI chooses on a CPU reads files, which nothing can trace."""
    monkeypatch.setattr(attention, "optimized_attention", attention.attention_pytorch)


class Edits:
    """Tuners with drawn weights for a model, put into it."""

    def __init__(self, pack: Any, model: Any) -> None:
        self.pack, self.model = pack, model
        self.layout = pack.nodes.patching.conditions.skip_layout(model)
        spec = pack.scedit_core.TunerSpec
        self.style = self._hosted(spec.sc(self.layout), 1)
        self.control = self._hosted(spec.csc(self.layout), 2)

    def _hosted(self, spec: Any, seed: int) -> Any:
        generator = torch.Generator().manual_seed(seed)
        build = self.pack.scedit_core.build_tuners
        made = drawn(lambda: build(spec), lambda w: 0.1 * torch.randn(w.shape, generator=generator))
        return self.pack.nodes.files.hosted.host_tuners("drawn", spec, made.state_dict(), {})

    def on(self, *edits: Any) -> Any:
        """The model with edits, each a tuner set and how it acts."""
        condition = self.pack.nodes.patching.conditions.Condition
        return self.pack.nodes.patching.patch.install(self.model, [condition(t, **how) for t, how in edits])

    def all(self, *, strength: float = 0.7, seed: int = 0, **how: Any) -> Any:
        """Style and two controls on the model."""
        images = picture(seed=seed), picture(seed=seed + 1)
        return self.on(
            (self.style, {"weight": strength}),
            *((self.control, {"image": image, "weight": strength, **how}) for image in images),
        )


@pytest.fixture
def edits(pack):
    return Edits(pack, tiny_model())


@pytest.mark.parametrize("make", [sd15, sdxl], ids=["SD 1.5", "SDXL"])
def test_edits_are_in_one_program_with_the_unet_and_give_the_same_picture(compiler, pack, make):
    model = Edits(pack, make()).all(mask=picture()[..., 0])
    assert torch.equal(compiler.sample(model), sample(model))
    assert compiler.programs == 1


def test_other_strengths_hints_and_steps_compile_nothing_anew(compiler, edits):
    for model, steps in (
        (edits.all(), 2),
        (edits.all(strength=1.0), 2),
        (edits.all(strength=0.2, seed=5), 4),
    ):
        assert torch.equal(compiler.sample(model, steps=steps), sample(model, steps=steps))
    assert compiler.programs == 1


def test_strengths_over_time_skips_and_latents_are_in_the_one_program(compiler, edits, pack):
    curve, weights = pack.scedit_core.curve.Curve, pack.scedit_core.skip_weights.SkipWeights
    factors = pack.scedit_core.strength.Factors(batch=(curve(((0.0, 1.0), (1.0, 0.2))),), prompts=(1.0, 0.5))
    how = {
        "image": picture(), "schedules": (curve(((0.0, 1.0), (1.0, 0.2))),), "factors": factors,
        "skip_weights": weights((1.0, 0.3), is_stretched=True),
    }  # fmt: skip
    model = edits.on((edits.style, {"schedules": how["schedules"]}), (edits.control, how))
    assert torch.equal(compiler.sample(model, steps=4, batch=3), sample(model, steps=4, batch=3))
    assert compiler.programs == 1


def test_there_is_a_program_for_each_set_of_edits_that_acts(compiler, edits):
    model = edits.on((edits.style, {"end_percent": 0.5}), (edits.control, {"image": picture()}))
    assert torch.equal(compiler.sample(model, steps=4), sample(model, steps=4))
    assert compiler.programs == 2


def test_each_latent_of_a_batch_keeps_its_hint(compiler, edits):
    model = edits.on((edits.control, {"image": picture(batch=3)}))
    for steps in (2, 3):
        assert torch.equal(compiler.sample(model, batch=3, steps=steps), sample(model, batch=3, steps=steps))
    assert compiler.programs == 1

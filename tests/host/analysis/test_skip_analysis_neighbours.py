"""Skip Analysis beside other nodes, in half precision, on batches; and what it refuses, in a sentence."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfy_api.torch_helpers.torch_compile import set_torch_compile_wrapper
from host_tools import picture, run, tiny_model
from test_skip_analysis import SKIPS, analysed, latent, looks_of, prompt

import nodes as comfy_nodes


def test_features_are_read_before_another_patch_writes_over_them(pack, model):
    def overwrite(h, skip, options):
        if options["block"][1] == 3:
            h[:, :4] *= 2
        return h, skip

    other = model.clone()
    other.set_model_output_block_patch(overwrite)
    plain, changed = (
        looks_of(pack, each, [pack.nodes.patching.probe.Variant()])[0] for each in (model, other)
    )
    assert torch.equal(changed.outputs[2], plain.outputs[2])
    assert not torch.equal(changed.outputs[4], plain.outputs[4])
    assert not torch.equal(changed.picture, plain.picture)


def test_a_skip_that_another_patch_takes_away_stays_away(pack):
    probe = pack.nodes.patching.probe
    h = torch.ones(1, 4, 2, 2)
    assert probe.Probe(probe.Variant({0: 0.5}))._scale(h, None, {"block": ("output", 0)}) == (h, None)


def test_a_compiled_model_is_looked_at_without_a_program_for_each_variant(pack):
    model, programs = tiny_model(), []

    def backend(program: Any, _inputs: Any) -> Any:
        programs.append(program)
        return program.forward

    torch._dynamo.reset()
    compiled = model.clone()
    set_torch_compile_wrapper(compiled, backend=backend)
    variants = [pack.nodes.patching.probe.Variant({block: 0.0}) for block in range(3)]
    both = zip(looks_of(pack, compiled, variants), looks_of(pack, model, variants), strict=True)
    assert all(torch.equal(one.picture, other.picture) for one, other in both)
    assert len(programs) <= 1
    torch._dynamo.reset()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_nearly_the_same_figures(pack, dtype):
    variant, figures = pack.nodes.patching.probe.Variant, pack.scedit_core.skip_figures
    found = []
    for model in (tiny_model(), tiny_model(dtype=dtype)):
        plain, removed = looks_of(pack, model, [variant(), variant({3: 0.0})])
        found.append((figures.variance(plain.outputs[5]), figures.moved(removed.picture, plain.picture)))
    assert found[1] == pytest.approx(found[0], rel=0.05)


def test_a_batch_masks_and_areas_are_the_hosts(pack, nodes, model, control):
    white = torch.zeros(1, 128, 128)
    white[:, 64:] = 1
    masked = latent(batch=3, noise_mask=white, batch_index=[4, 5, 6])
    left = comfy_nodes.ConditioningSetArea().append(prompt(), 32, 64, 0, 0, 1.0)[0]
    hints = picture(batch=3)
    controlled = run(nodes["SCEditApplyCSCTuner"], model=model, control=control, image=hints, mask=white)
    variant, room = pack.nodes.patching.probe.Variant, pack.nodes.analysis.looking
    variants = [(variant(), (5,)), (variant(off={0: range(SKIPS)}), (5,))]
    with torch.inference_mode():
        plain, off, bare = (
            each.picture
            for each in (
                *room.look(room.Scene(controlled, [*left, *prompt()], masked, 5, 0.5), variants),
                *room.look(room.Scene(model, [*left, *prompt()], masked, 5, 0.5), variants[:1]),
            )
        )
    assert torch.equal(off, bare)
    assert not torch.equal(plain, bare)
    assert torch.equal(plain[..., :4, :], masked["samples"][..., :4, :] * 0.18215)


def test_an_empty_latent_is_told_where_a_sampler_has_a_picture(nodes):
    model = tiny_model()
    empty = {"samples": torch.zeros(1, 4, 8, 8)}
    assert "note: latent_image is empty" in analysed(nodes, model, latent_image=empty)[1]
    assert "note" not in analysed(nodes, model, latent_image=empty, percent=0.0)[1]


def overflowing() -> Any:
    """A MODEL whose output is no number."""
    model = tiny_model()
    with torch.no_grad():
        model.model.diffusion_model.out[-1].bias.fill_(float("nan"))
    return model


def without_skips() -> Any:
    """A MODEL of another make."""
    model = tiny_model()
    del model.model.model_config.unet_config["channel_mult"]
    return model


def computed_otherwise() -> Any:
    """A MODEL whose U-Net another node takes the place of."""
    model = tiny_model()
    model.set_model_unet_function_wrapper(lambda _apply, given: given["input"])
    return model


REFUSED = {
    "a model without skips": (without_skips, {}, "this model has no U-Net skip connections"),
    "a model of NaN": (overflowing, {}, "the model's own output holds values that are no numbers (NaN)"),
    "another's U-Net": (computed_otherwise, {}, "this model's decoder could not be looked into"),
    "no prompt": (tiny_model, {"positive": []}, "a CONDITIONING holds no caption"),
    "another model's prompt": (
        tiny_model, {"positive": [[torch.zeros(1, 7, 16), {}]]}, "this model reads (1, tokens, 32)",
    ),
    "another model's latent": (
        tiny_model, {"latent_image": {"samples": torch.ones(1, 16, 8, 8)}}, "(pictures, 4, height, width)",
    ),
    "a video": (
        tiny_model, {"latent_image": {"samples": torch.zeros(1, 4, 3, 8, 8)}}, "latent_image has shape",
    ),
    "no latents": (
        tiny_model, {"latent_image": {"samples": torch.zeros(0, 4, 8, 8)}}, "latent_image has shape (0, 4",
    ),
    "a pixel": (
        tiny_model, {"latent_image": {"samples": torch.zeros(1, 4, 1, 1)}}, "latent_image has shape (1, 4, 1",
    ),
    "a latent of NaN": (
        tiny_model, {"latent_image": {"samples": torch.full((1, 4, 8, 8), float("nan"))}}, "NaN",
    ),
    "beyond the denoising": (tiny_model, {"percent": 1.5}, "percent"),
    "a scale beyond": (tiny_model, {"scale": -1.0}, "scale"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "inputs", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_looked_at_is_refused_in_a_sentence(pack, nodes, make, inputs, words):
    with pytest.raises(pack.scedit_core.SCEditError) as caught:
        analysed(nodes, make(), **inputs)
    assert words in str(caught.value)

"""Skip Analysis: one look at a MODEL in variants, with figures that say what was done, and nothing left."""

from __future__ import annotations

import gc
import re
from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import pytest
import torch
from host_tools import cancelled_at_look, picture, run, tiny_model
from invariants import look as look_at
from invariants import things_of_runs, weights_of
from support import GOLDEN

SKIPS = 6


def latent(batch: int = 1, **more: Any) -> dict[str, Any]:
    """Latents with something in them."""
    samples = torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    return {"samples": samples, **more}


def prompt() -> list[Any]:
    """A CONDITIONING for the golden U-Nets."""
    return [[torch.randn(1, 7, 32, generator=torch.Generator().manual_seed(4)), {}]]


def analysed(nodes: Any, model: Any, **inputs: Any) -> tuple[torch.Tensor, str]:
    """Sheet and figures."""
    given = {
        "positive": prompt(), "latent_image": latent(), "seed": 5, "percent": 0.5, "scale": 0.0,
        "half": "deepest", **inputs,
    }  # fmt: skip
    with torch.inference_mode():
        return nodes["SCEditSkipAnalysis"].execute(model=model, **given).args


def figures(text: str) -> dict[str, Any]:
    """What the text says: variances, shares of the ways, and of each group of bars."""
    said: dict[str, Any] = {"variance": [], "moved": [], "bars": {}}
    for line in text.split("\n"):
        if found := re.search(r"variance of the last decoder output ([^,]+)", line):
            said["variance"].append(float(found[1]))
            said["moved"] += [float(share) for share in re.findall(r"moved by ([\d.]+)%", line)]
        elif line.endswith("picture moved by"):
            said["bars"][line.split(",")[0]] = bars = []
        elif found := re.fullmatch(r"  (\d+): ([\d.]+)%", line):
            bars.append(float(found[2]))
    return said


@pytest.fixture
def edited(nodes: Any, model: Any, tuner: Any, control: Any) -> Any:
    """A MODEL with a style and a control."""
    styled = run(nodes["SCEditApplySCTuner"], model=model, tuner=tuner)
    return run(nodes["SCEditApplyCSCTuner"], model=styled, control=control, image=picture())


def looks_of(pack: Any, model: Any, variants: list[Any], percent: float = 0.5) -> list[Any]:
    """Looks at a MODEL in these variants, with all that is watched."""
    room = pack.nodes.analysis.looking
    with torch.inference_mode():
        scene = room.Scene(model, prompt(), latent(), 5, percent)
        return room.look(scene, [(variant, (2, 4, 5)) for variant in variants])


def seen_by_the_host(model: Any, level: float) -> torch.Tensor:
    """The picture that a step of the host's own euler has of the same latent at a noise level."""
    seen = []
    samples = latent()["samples"]
    with torch.inference_mode():
        comfy.sample.sample_custom(
            model, comfy.sample.prepare_noise(samples, 5), 1.0, comfy.samplers.ksampler("euler"),
            torch.tensor([level, 0.0]), prompt(), prompt(), samples,
            callback=lambda _step, denoised, *_: seen.append(denoised.clone()), disable_pbar=True, seed=5,
        )  # fmt: skip
    return seen[0].cpu()


@pytest.mark.parametrize("percent", [0.0, 0.5, 1.0])
def test_the_plain_look_and_scales_of_one_are_the_hosts_own_picture_bit_for_bit(pack, edited, percent):
    variant = pack.nodes.patching.probe.Variant
    ones = variant(dict.fromkeys(range(SKIPS), 1.0))
    scene = pack.nodes.analysis.looking.Scene(edited, prompt(), latent(), 5, percent)
    plain, scaled = looks_of(pack, edited, [variant(), ones], percent)
    wanted = seen_by_the_host(edited, scene.level)
    assert torch.equal(plain.picture, wanted)
    assert torch.equal(scaled.picture, wanted)
    assert all(torch.equal(plain.outputs[block], scaled.outputs[block]) for block in plain.outputs)


def test_at_scale_one_nothing_moves(nodes, model):
    said = figures(analysed(nodes, model, scale=1.0)[1])
    assert said["moved"] == [0, 0]
    assert said["variance"][0] == said["variance"][1] == said["variance"][2]
    assert said["bars"] == {"one skip x 1": [0.0] * SKIPS}


@pytest.mark.parametrize("half", ["deepest", "shallowest", "every second"])
def test_without_all_skips_the_picture_moves_more_than_without_half(pack, nodes, half):
    model = tiny_model()
    room = pack.nodes.analysis.plan
    plan = room.plan_of(SKIPS, 0.0, half, [], room.ONE_OFF)
    plain, of_half, of_all = looks_of(pack, model, list(plan.ways.values()))
    moved = pack.scedit_core.skip_figures.moved
    assert 0 < moved(of_half.picture, plain.picture) < moved(of_all.picture, plain.picture)


def test_the_sheet_and_its_figures(nodes, model):
    sheet, text = analysed(nodes, model)
    said = figures(text)
    assert 0 < said["moved"][0] < said["moved"][1]
    assert len(said["variance"]) == 3
    assert len(said["bars"]["one skip removed"]) == SKIPS
    assert min(said["bars"]["one skip removed"]) > 0
    assert sheet.shape == (1, 36 + 2 * 432, 2 * 768, 3)
    assert 0 <= float(sheet.min()) < 0.3 < float(sheet.max()) <= 1


def test_half_a_skip_moves_the_picture_less_than_a_whole_one(pack, model):
    variant = pack.nodes.patching.probe.Variant
    plain, half, whole = looks_of(pack, model, [variant(), variant({3: 0.5}), variant({3: 0.0})])
    moved = pack.scedit_core.skip_figures.moved
    assert 0 < moved(half.picture, plain.picture) < moved(whole.picture, plain.picture)


def test_a_removed_skip_is_the_hosts_picture_with_zeros_in_its_place(pack, edited):
    def without(h, skip, options):
        return h, torch.zeros_like(skip) if options["block"][1] == 3 else skip

    zeroed = edited.clone()
    zeroed.set_model_output_block_patch(without)
    variant = pack.nodes.patching.probe.Variant
    scene = pack.nodes.analysis.looking.Scene(edited, prompt(), latent(), 5, 0.5)
    (removed,) = looks_of(pack, edited, [variant({3: 0.0})])
    assert torch.equal(removed.picture, seen_by_the_host(zeroed, scene.level))


def test_outputs_are_those_of_the_blocks(pack, model):
    blocks, seen = model.model.diffusion_model.output_blocks, {}
    handles = [
        blocks[b][-1].register_forward_hook(lambda _m, _i, out, b=b: seen.update({b: out[0].clone()}))
        for b in (2, 4, 5)
    ]
    (plain,) = looks_of(pack, model, [pack.nodes.patching.probe.Variant()])
    for handle in handles:
        handle.remove()
    assert {b: torch.equal(seen[b].cpu(), plain.outputs[b]) for b in seen} == dict.fromkeys((2, 4, 5), True)


@pytest.mark.parametrize(
    ("tuners", "ending"), [("each block off", "one block off"), ("each block alone", "one block alone")]
)
def test_every_block_of_every_edit_has_a_bar_and_hints_are_encoded_once(
    nodes, edited, control, tuners, ending
):
    calls = []
    handle = control.patcher.model.hint_encoder.register_forward_hook(lambda *_: calls.append(1))
    bars = figures(analysed(nodes, edited, tuners=tuners)[1])["bars"]
    handle.remove()
    _, style, controlled = bars
    assert style.startswith("edit 1 'sc_full")
    assert controlled.startswith("edit 2 'csc_k1'")
    assert ending in style
    assert all(len(shares) == SKIPS and min(shares) > 0 for shares in bars.values())
    assert len(calls) == 1


def test_all_blocks_of_all_edits_off_are_the_model_without_them(pack, model, edited):
    variant = pack.nodes.patching.probe.Variant
    bare, none = looks_of(pack, edited, [variant(), variant(off={0: range(SKIPS), 1: range(SKIPS)})])
    (plain,) = looks_of(pack, model, [variant()])
    assert torch.equal(none.picture, plain.picture)
    assert not torch.equal(bare.picture, plain.picture)


def test_an_edit_off_leaves_the_others_as_they_are(pack, nodes, model, edited, control):
    variant = pack.nodes.patching.probe.Variant
    alone = run(nodes["SCEditApplyCSCTuner"], model=model, control=control, image=picture())
    (off,) = looks_of(pack, edited, [variant(off={0: range(SKIPS)})])
    (wanted,) = looks_of(pack, alone, [variant()])
    assert torch.equal(off.picture, wanted.picture)


def test_edits_of_the_encoder_have_bars_by_input_blocks(pack, nodes):
    model, name = tiny_model(), "swift_encoder"
    pack.nodes.files.folders.folder_paths.add_model_folder_path("scedit", str(GOLDEN.path("diffusers")))
    tuner = run(nodes["SCEditLoadSCTuner"], tuner_name=name)
    styled = run(nodes["SCEditApplySCTuner"], model=model, tuner=tuner)
    text = analysed(nodes, styled)[1]
    assert f"edit 1 '{name}': one block off, by input block, 0 is the first, picture moved by" in text
    assert min(figures(text)["bars"][f"edit 1 '{name}': one block off"]) > 0


def test_controls_of_a_prompt_are_scaled_and_never_listed(pack, nodes, model, control):
    row = run(nodes["SCEditCondition"], control=control, image=picture(), weight=1.0)
    with_control = run(nodes["SCEditApplyToPrompt"], conditioning=prompt(), conditions=row, strength=1.0)
    variant = pack.nodes.patching.probe.Variant
    room = pack.nodes.analysis.looking
    none = [(variant(dict.fromkeys(range(SKIPS), 0.0)), ())]
    with torch.inference_mode():
        scenes = [room.Scene(model, one, latent(), 5, 0.5) for one in (prompt(), with_control)]
        bare, controlled = (room.look(scene, none)[0].picture for scene in scenes)
    assert torch.equal(bare, controlled)  # where skips are removed no edit of them is left
    assert list(figures(analysed(nodes, model, positive=with_control)[1])["bars"]) == ["one skip removed"]


def test_the_model_stays_as_it_is_and_nothing_is_left(nodes, edited):
    before, weights = look_at(edited), weights_of(edited)
    hooks = edited.model.diffusion_model.out._forward_pre_hooks
    gc.collect()
    gc.freeze()
    analysed(nodes, edited)
    assert look_at(edited) == before
    assert weights_of(edited) == weights
    assert len(hooks) == 0
    assert things_of_runs() == []
    gc.unfreeze()


def test_a_cancelled_analysis_ends_between_two_looks_and_leaves_nothing(nodes, edited):
    before = look_at(edited)
    gc.collect()
    gc.freeze()
    with cancelled_at_look(3) as looks, pytest.raises(comfy.model_management.InterruptProcessingException):
        analysed(nodes, edited)
    assert len(looks) == 3
    assert look_at(edited) == before
    assert things_of_runs() == []
    gc.unfreeze()
    assert len(edited.model.diffusion_model.out._forward_pre_hooks) == 0


def test_a_decoder_that_fails_is_left_without_a_hook(nodes, model):
    def fail(*_: Any) -> None:
        raise RuntimeError("out of memory")

    last = model.model.diffusion_model.out[-1]
    handle = last.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        analysed(nodes, model)
    handle.remove()
    assert len(model.model.diffusion_model.out._forward_pre_hooks) == 0

"""Several devices: ComfyUI's own work units on two CPUs, of which each has to compute with its own tuners.

A CPU of another number is another device to ComfyUI, and the same to PyTorch: what is on which device in
truth needs cards, who computes with what does not.
"""

from __future__ import annotations

from typing import Any

import comfy.model_management
import comfy.multigpu
import pytest
import torch
from comfy_extras.nodes_multigpu import MultiGPUCFGSplitNode
from host_tools import picture, run, tiny_model
from invariants import things_of_runs
from test_prompts import prompt, scope, see  # noqa: F401 - a fixture

ON_CPU = comfy.model_management.get_torch_device().type == "cpu"
pytestmark = pytest.mark.skipif(
    not ON_CPU, reason="two devices are made of one CPU; ComfyUI computes on a card"
)

FIRST, SECOND = torch.device("cpu"), torch.device("cpu", 1)
CLOSE = {"rtol": 1e-3, "atol": 2e-4}  # a prompt computed by itself: the same sums in other groupings


@pytest.fixture
def split(monkeypatch):
    """Gives the halves of a MODEL's batches to two devices."""
    devices = lambda exclude_current=False: [FIRST, SECOND]  # noqa: E731
    monkeypatch.setattr(comfy.model_management, "get_all_torch_devices", devices)
    # the host's node stumbles over models of other tests that are gone
    monkeypatch.setattr(comfy.model_management, "current_loaded_models", [])

    def apply(model: Any) -> Any:
        return run(MultiGPUCFGSplitNode, model=model, max_gpus=2)

    return apply


@pytest.fixture
def model(host_mode):
    """A MODEL that the host can load anew for another device, as those of its loaders."""
    made = tiny_model()
    made.cached_patcher_init = (tiny_model, ())
    return made


@pytest.fixture
def edited(nodes, control, tuner):
    """Applies a style and a control to a MODEL."""

    def apply(model: Any) -> Any:
        styled = run(nodes["SCEditApplySCTuner"], model=model, tuner=tuner)
        return run(nodes["SCEditApplyCSCTuner"], model=styled, control=control, image=picture())

    return apply


def elsewhere(hosted: Any) -> Any:
    """The patcher of tuners on the second device."""
    return hosted.patcher.attachments["scedit_devices"][SECOND]


def calls(module: torch.nn.Module) -> list[int]:
    """Grows with each hint that a control's net encodes."""
    counted: list[int] = []
    module.hint_encoder.register_forward_hook(lambda *_: counted.append(1))
    return counted


@pytest.mark.parametrize("is_split_first", [True, False])
def test_each_device_computes_with_tuners_of_its_own(model, split, edited, control, tuner, is_split_first):
    whole = see(edited(model), prompt(1), prompt(2))
    both = edited(split(model)) if is_split_first else split(edited(model))
    see(both, prompt(1), prompt(2))  # the host makes its clones anew in each run
    here, there = calls(control.patcher.model), calls(elsewhere(control).model)
    parts = see(both, prompt(1), prompt(2))
    torch.testing.assert_close(parts.positive[0], whole.positive[0], **CLOSE)
    torch.testing.assert_close(parts.negative[0], whole.negative[0], **CLOSE)
    assert (len(here), len(there)) == (1, 1)
    for hosted in (tuner, control):
        assert elsewhere(hosted).load_device == SECOND
        assert elsewhere(hosted).model is not hosted.patcher.model
    assert things_of_runs() == []


def test_the_host_loads_the_tuners_of_each_device(model, split, edited, control):
    both = edited(split(model))
    both.match_multigpu_clones()
    (clone,) = both.get_additional_models_with_key("multigpu")
    assert control.patcher in both.model_patches_models()
    assert elsewhere(control) in clone.model_patches_models()
    assert control.patcher not in clone.model_patches_models()


def test_a_control_of_a_prompt_has_tuners_on_the_device_that_computes_it(model, split, scope, edited):  # noqa: F811
    base = edited(model)
    whole = see(base, scope(prompt(1)), scope(prompt(2), seed=6))
    parts = see(split(base), scope(prompt(1)), scope(prompt(2), seed=6))
    torch.testing.assert_close(parts.positive[0], whole.positive[0], **CLOSE)
    torch.testing.assert_close(parts.negative[0], whole.negative[0], **CLOSE)
    assert things_of_runs() == []


def test_a_model_on_another_device_gets_tuners_there(model, edited, control):
    moved = model.deepclone_multigpu(new_load_device=SECOND)
    assert elsewhere(control) in edited(moved).model_patches_models()
    after = edited(model).deepclone_multigpu(new_load_device=SECOND)
    assert elsewhere(control) in after.model_patches_models()
    torch.testing.assert_close(
        see(after, prompt(1), prompt(2)).picture, see(edited(model), prompt(1), prompt(2)).picture, **CLOSE
    )


def test_a_split_model_without_edits_stays_as_it_is(model, split, edited):
    plain = see(split(model), prompt(1), prompt(2)).picture
    see(split(edited(model)), prompt(1), prompt(2))
    assert torch.equal(see(split(model), prompt(1), prompt(2)).picture, plain)


def test_an_edit_that_is_off_for_a_look_is_off_on_each_device(pack, model, split, edited, control):
    room, probe = pack.nodes.analysis.looking, pack.nodes.patching.probe
    latent = {"samples": torch.ones(1, 4, 8, 8)}
    variants = [(probe.Variant(), ()), (probe.Variant(off={1: range(3)}), ())]
    looks = []
    for one in (edited(model), edited(split(model))):
        with torch.inference_mode():
            looks.append(room.look(room.Scene(one, [*prompt(1), *prompt(2)], latent, 5, 0.5), variants))
    here, there = calls(control.patcher.model), calls(elsewhere(control).model)
    with torch.inference_mode():
        room.look(room.Scene(edited(split(model)), [*prompt(1), *prompt(2)], latent, 5, 0.5), variants)
    assert (len(here), len(there)) == (1, 1)
    for whole, parts in zip(*looks, strict=True):
        torch.testing.assert_close(parts.picture, whole.picture, **CLOSE)
    assert not torch.allclose(looks[0][0].picture, looks[0][1].picture, **CLOSE)
    assert things_of_runs() == []

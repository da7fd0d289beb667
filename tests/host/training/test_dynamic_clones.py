"""Training under dynamic VRAM: what it makes of the host's dynamic patchers, which page weights in and out.

A ModelPatcherDynamic for a card can be made without one, but not loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import comfy.memory_management
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import pytest
import torch
from host_tools import load, picture, run, tiny_model

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")


@pytest.fixture(autouse=True)
def dynamic(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A host with dynamic VRAM that takes its device for a card."""
    monkeypatch.setattr(comfy.memory_management, "aimdo_enabled", True)
    monkeypatch.setattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcherDynamic)
    monkeypatch.setattr(comfy.model_management, "get_torch_device", lambda: CUDA)
    return


def dynamic_model(dtype: torch.dtype) -> Any:
    """A MODEL for a card whose layers compute in a dtype, with weights from a file in fp32."""

    def load_file(disable_dynamic: bool = False) -> Any:
        model = tiny_model(dtype=dtype).model
        for layer in model.diffusion_model.modules():
            if isinstance(layer, torch.nn.Linear):
                layer.float()
        kind = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
        return kind(model, CUDA, CPU)

    model = load_file()
    model.cached_patcher_init = (load_file, ())
    return model


def test_a_file_in_fp32_is_brought_to_the_dtype_that_the_layers_compute_in(pack: Any) -> None:
    model = dynamic_model(torch.float16)
    clone = pack.nodes.training.base_model._static_clone(model)
    assert not clone.is_dynamic()
    assert {weights.dtype for weights in clone.model.diffusion_model.parameters()} == {torch.float16}
    assert torch.float32 in {weights.dtype for weights in model.model.diffusion_model.parameters()}


def test_a_teacher_of_the_same_checkpoint_lies_in_the_static_copy_that_is_trained_on(pack: Any) -> None:
    model = dynamic_model(torch.float32)
    student = pack.nodes.training.base_model._static_clone(model)
    teacher = model.clone()
    assert teacher.is_dynamic()
    shared = pack.nodes.training.teaching.shared.share_network(student, teacher)
    assert not shared.is_dynamic()
    assert shared.model is student.model
    assert shared.backup is student.backup


def test_edits_that_a_model_has_are_held_in_place_while_it_is_trained_on(nodes: Any, pack: Any) -> None:
    tuner, control = load(nodes, "SCEditLoadSCTuner", "sc_full"), load(nodes, "SCEditLoadCSCTuner", "csc_k1")
    assert tuner.patcher.is_dynamic()
    base = tiny_model()
    base.load_device = CUDA  # as the tuners': for a MODEL on another device they would be copied there
    model = run(nodes["SCEditApplySCTuner"], model=base, tuner=tuner)
    model = run(nodes["SCEditApplyCSCTuner"], model=model, control=control, image=picture())
    clone = model.clone()
    pack.nodes.training.patch.hold_in_place(clone)
    before, after = (one.model_options["transformer_options"]["patches"] for one in (model, clone))
    (before,), (after,) = (patches["output_block_patch"] for patches in (before, after))
    assert [patcher.is_dynamic() for patcher in before.models()] == [True, True]
    assert [patcher.is_dynamic() for patcher in after.models()] == [False, False]
    for mine, edit in zip(after.edits, before.edits, strict=True):
        assert (mine.strength, mine.hint) == (edit.strength, edit.hint)
        first, second = (one.tuners.state_dict() for one in (mine, edit))
        assert all(torch.equal(first[key], second[key]) for key in first | second)

"""Memory of hint features: held for the rows in use alone, and told to the host before a run."""

from __future__ import annotations

import inspect
from typing import Any

import comfy.model_management
import comfy_extras.nodes_context_windows as windows
import pytest
import torch
from host_tools import picture, run, sample
from test_prompts import prompt, see


@pytest.fixture
def told(monkeypatch):
    """What the host was told to make room for, beside the weights, each time it loaded models."""
    asked: list[float] = []
    load = comfy.model_management.load_models_gpu

    def note(models: Any, *, memory_required: float = 0, **more: Any) -> None:
        asked.append(memory_required)
        load(models, memory_required=memory_required, **more)

    monkeypatch.setattr(comfy.model_management, "load_models_gpu", note)
    return asked


def held(model: Any) -> list[int]:
    """Bytes of features that are held at each call of the U-Net, noted while it runs."""
    patch = model.model_options["transformer_options"]["patches"]["output_block_patch"][0]
    sizes: list[int] = []

    def note(h: Any, skip: Any, _options: Any) -> Any:
        features = [each for _, kept in patch._kept.features.values() for each in kept]
        sizes.append(sum(each.numel() * each.itemsize for each in features if each is not None))
        return h, skip

    model.set_model_output_block_patch(note)
    return sizes


def windowed(model: Any, length: int) -> Any:
    """The MODEL with the host's context windows over the batch."""
    node = windows.ContextWindowsManualNode
    return node.execute(model, length, 1, "standard_static", 1, False, "pyramid", 0, False).args[0]


@pytest.mark.parametrize("frames", [1, 4])
def test_the_host_is_told_what_the_features_of_a_run_take(nodes, model, control, told, frames):
    apply = nodes["SCEditApplyCSCTuner"]
    sample(model, batch=4)
    steered = run(apply, model=model, control=control, image=picture(batch=frames))
    sizes = held(steered)
    sample(steered, batch=4)
    base, ours = told
    assert set(sizes) == {round(ours - base)}
    assert sizes[0] == frames * control.patcher.model.numbers_of_hint(16, 16) * 4


def test_a_window_of_frames_holds_its_frames_alone(nodes, model, control, told):
    model = windowed(model, 4)
    sample(model, batch=12)
    steered = run(nodes["SCEditApplyCSCTuner"], model=model, control=control, image=picture(batch=12))
    sizes = held(steered)
    sample(steered, batch=12)
    frame = control.patcher.model.numbers_of_hint(16, 16) * 4
    # on newer hosts the first latent comes before all windows but the first
    has_anchor = "causal_window_fix" in inspect.signature(windows.ContextWindowsManualNode.execute).parameters
    assert set(sizes) == {4 * frame, *([5 * frame] if has_anchor else [])}
    assert told[1] - told[0] == pytest.approx(5 * frame)


def test_equal_controls_on_equal_images_share_what_was_encoded(nodes, model, control, told):
    calls = []
    handle = control.patcher.model.hint_encoder.register_forward_hook(lambda *_: calls.append(1))
    steered = model
    for strength in (0.3, 0.4):
        inputs = {"control": control, "image": picture(), "strength": strength}
        steered = run(nodes["SCEditApplyCSCTuner"], model=steered, **inputs)
    sizes = held(steered)
    sample(steered)
    handle.remove()
    assert len(calls) == 1
    assert set(sizes) == {control.patcher.model.numbers_of_hint(16, 16) * 4}
    assert torch.isfinite(sample(steered)).all()


def test_the_host_is_told_what_a_prompts_control_takes(nodes, model, control, told):
    plain = prompt(1)
    condition = run(nodes["SCEditCondition"], control=control, image=picture())
    scoped = run(nodes["SCEditApplyToPrompt"], conditioning=plain, conditions=condition, strength=1.0)
    see(model, plain, plain)
    see(model, scoped, plain)
    assert told[1] - told[0] == control.patcher.model.numbers_of_hint(16, 16) * 4


def test_weights_of_another_dtype_than_the_unets_are_counted(pack, control):
    memory = pack.nodes.patching.memory
    patcher = control.patcher
    count = sum(weights.numel() for weights in patcher.model.tuners.parameters())
    is_copied = patcher.is_dynamic()
    assert memory.weight_bytes([patcher], torch.float16) == 2 * count
    assert memory.weight_bytes([patcher], torch.float32) == 4 * count * is_copied

"""Life of a sampling run: hints are encoded once, steps are gated by noise level, nothing stays behind."""

import gc
import weakref

import comfy.sample
import pytest
import torch
from host_tools import picture, run, sample


class Counter:
    """Counts calls of a module and remembers their results weakly."""

    def __init__(self, module):
        self.calls = 0
        self.results = []
        self.handle = module.register_forward_hook(self._count)

    def _count(self, _module, _inputs, features):
        self.calls += 1
        self.results += [weakref.ref(feature) for feature in features]

    def alive(self):
        gc.collect()
        return [result for result in self.results if result() is not None]


@pytest.fixture
def counter(control):
    """Counts encodings of the control's hint."""
    counted = Counter(control.patcher.model.hint_encoder)
    yield counted
    counted.handle.remove()


@pytest.fixture
def controlled(nodes, model, control):
    """A MODEL with one control."""
    return run(nodes["SCEditApplyCSCTuner"], model=model, control=control, image=picture())


@pytest.mark.parametrize("steps", [1, 3, 8])
def test_the_hint_is_encoded_once_a_run_and_dropped_at_its_end(controlled, counter, steps):
    sample(controlled, steps=steps)
    assert counter.calls == 1
    assert counter.alive() == []
    sample(controlled, steps=steps)
    assert counter.calls == 2


def test_a_run_that_fails_leaves_nothing_behind(controlled, counter):
    def stop(step, *_):
        if step == 1:
            raise RuntimeError("cancelled")

    noise = torch.randn(1, 4, 16, 16)
    conditioning = [[torch.randn(1, 7, 32), {}]]
    with pytest.raises(RuntimeError, match="cancelled"), torch.inference_mode():
        comfy.sample.sample(
            controlled, noise, 4, 4.0, "euler", "normal", conditioning, conditioning, noise * 0,
            callback=stop, disable_pbar=True, seed=1,
        )  # fmt: skip
    assert counter.calls == 1
    assert counter.alive() == []


def test_a_control_that_never_acts_is_never_encoded(nodes, model, control, counter):
    late = {"start_percent": 1.0, "end_percent": 1.0}
    sample(run(nodes["SCEditApplyCSCTuner"], model=model, control=control, image=picture(), **late))
    assert counter.calls == 0


def test_start_and_end_follow_the_noise_level(nodes, model, tuner):
    """Which of ten steps are edited, by the model's own sigmas."""
    sampling = model.get_model_object("model_sampling")
    styled = run(nodes["SCEditApplySCTuner"], model=model, tuner=tuner, start_percent=0.2, end_percent=0.6)
    patch = styled.model_options["transformer_options"]["patches"]["output_block_patch"][0]
    skip = torch.randn(1, 32, 16, 16)
    acted = []
    for percent in [0.0, 0.1, 0.25, 0.5, 0.7, 0.99]:
        sigmas = torch.tensor([sampling.percent_to_sigma(percent)])
        options = {"block": ("output", 5), "original_shape": [1, 4, 16, 16], "sigmas": sigmas}
        with torch.inference_mode():
            acted.append(not torch.equal(patch(skip, skip, options)[1], skip))
    assert acted == [False, False, True, True, False, False]


def test_comfyui_loads_the_tuners_with_the_model(controlled, control):
    assert control.patcher in controlled.model_patches_models()


def test_tuner_weights_survive_being_offloaded(controlled, control):
    before = sample(controlled)
    control.patcher.detach()
    assert torch.equal(sample(controlled), before)

"""The training loop on a base model small enough for a test."""

import dataclasses
import errno
from pathlib import Path
from typing import Any

import pytest
import torch
from training_tools import (
    CONFIG,
    CSC,
    LAYOUT,
    SmallModel,
    equal,
    examples,
    finished,
    trainer,
    training_set,
    weights_of,
)

from scedit_core import SCEditError, TunerSpec, build_tuners
from scedit_core.training import (
    Batch,
    Trainer,
    TrainingSet,
    denoising_loss,
    load_state,
    save_state,
    train,
)
from scedit_core.training.dataset.order import generator


def draws(count: int, seed: int = 1) -> list[torch.Generator]:
    """Where each of some pictures has its noise from."""
    return [generator(seed, place) for place in range(count)]


def held_out_loss(run: Trainer) -> float:
    """Loss on noise that the training never drew."""
    with torch.no_grad():
        batch = run.data.batch(0, 6, seed=99)
        losses = [denoising_loss(run.base, batch, run.edits(batch), draws(6, 77 + n), 0) for n in range(8)]
    return float(torch.stack(losses).mean())


@pytest.mark.parametrize("predicts", ["eps", "v"])
@pytest.mark.parametrize("specs", [(TunerSpec.sc(LAYOUT),), (CSC,), (CSC, CSC)], ids=["sc", "csc", "two csc"])
def test_training_lowers_the_loss_on_noise_it_never_saw(predicts, specs):
    config = dataclasses.replace(CONFIG, steps=80, batch_size=6, learning_rate=1e-2)
    run = trainer(config, specs, predicts)
    before = held_out_loss(run)
    assert held_out_loss(finished(run)) < 0.8 * before


def test_the_same_seed_gives_the_same_tuner_and_another_seed_another():
    assert equal(finished(trainer()), finished(trainer()))
    other = finished(trainer(dataclasses.replace(CONFIG, seed=4)))
    assert not equal(finished(trainer()), other)


def test_training_does_not_touch_the_global_random_numbers():
    torch.manual_seed(11)
    wanted = torch.rand(3)
    torch.manual_seed(11)
    run = trainer()
    torch.manual_seed(11)
    finished(run)
    assert torch.equal(torch.rand(3), wanted)


def test_gradients_reach_the_tuners_and_the_hint_encoder_and_nothing_else():
    run = trainer(specs=(CSC,))
    base = {key: value.clone() for key, value in run.base.net.state_dict().items()}
    finished(run, 2)
    assert all(weights.grad is not None for weights in run.parameters)
    assert len(run.parameters) == len(list(run.tuners.parameters()))
    assert all(weights.grad is None for weights in run.base.net.parameters())
    assert all(torch.equal(value, base[key]) for key, value in run.base.net.state_dict().items())


@pytest.mark.parametrize("predicts", ["eps", "v"])
def test_the_loss_is_the_error_of_what_the_network_predicts(predicts):
    base, data = SmallModel(predicts), training_set()
    batch = data.batch(0, 3, 0)
    loss = denoising_loss(base, batch, (), draws(3), 0)
    drawn = [(torch.randint(50, (), generator=d), torch.randn(4, 4, 4, generator=d)) for d in draws(3)]
    sigma = base.sigmas[[int(level) for level, _ in drawn]].view(-1, 1, 1, 1)
    noise = torch.stack([noise for _, noise in drawn])
    output = base.net((batch.latents + sigma * noise) / (1 + sigma**2).sqrt(), ())
    v = (noise - sigma * batch.latents) / (1 + sigma**2).sqrt()
    wanted = (output - (noise if predicts == "eps" else v)).square().mean()
    assert torch.allclose(loss, wanted, rtol=1e-4)


@pytest.mark.parametrize(("predicts", "extra"), [("eps", 0), ("v", 1)])
def test_min_snr_weighs_each_noise_level_as_its_paper_says(predicts, extra):
    base, data = SmallModel(predicts), training_set()
    for number in range(12):
        batch = data.batch(number, 1, 0)
        plain = denoising_loss(base, batch, (), [generator(number)], 0)
        weighted = denoising_loss(base, batch, (), [generator(number)], 5.0)
        snr = base.sigmas[torch.randint(50, (1,), generator=generator(number))] ** -2
        assert torch.allclose(weighted / plain, snr.clamp(max=5.0) / (snr + extra), rtol=1e-4)


def test_accumulated_small_batches_make_the_step_of_a_large_one():
    class Fixed(TrainingSet):
        def read(self, number: int, size: int, *_: Any) -> Batch:
            numbers = range(4) if size == 4 else [number]
            latents = torch.stack([self.examples.read(i).latent for i in numbers])
            return Batch(latents, ("",) * len(numbers), (), tuple(range(len(numbers))))

    class Same(SmallModel):
        def noised(self, latents, noise, sigma):
            return latents + 0.5

    def run(size: int) -> Trainer:
        torch.manual_seed(1)
        config = dataclasses.replace(CONFIG, batch_size=size, accumulation=4 // size)
        base = Same()
        base.sigmas = torch.ones(1)
        return Trainer([build_tuners(TunerSpec.sc(LAYOUT))], base, Fixed(examples()), config)

    large, small = run(4), run(1)
    large.advance()
    small.advance()
    for one, other in zip(large.parameters, small.parameters, strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        dataclasses.replace(CONFIG, accumulation=2, ema_decay=0.9, caption_dropout=0.5),
        dataclasses.replace(CONFIG, precision="bf16", min_snr_gamma=5.0),
    ],
    ids=["plain", "with averages", "bf16"],
)
@pytest.mark.parametrize("specs", [(TunerSpec.sc(LAYOUT),), (CSC, CSC)], ids=["sc", "two csc"])
def test_an_interrupted_run_goes_on_to_the_same_numbers(config, specs, tmp_path):
    straight = finished(trainer(config, specs))
    broken = finished(trainer(config, specs), 2)
    save_state(broken, tmp_path / "state.safetensors")
    torch.manual_seed(99)
    resumed = trainer(config, specs)
    with torch.no_grad():
        for weights in resumed.parameters:
            weights.add_(1)
    load_state(resumed, tmp_path / "state.safetensors")
    assert resumed.step == 2
    assert equal(finished(resumed), straight)


def test_a_finished_run_can_be_made_longer(tmp_path):
    save_state(finished(trainer()), tmp_path / "state.safetensors")
    longer = dataclasses.replace(CONFIG, steps=9)
    resumed = trainer(longer)
    load_state(resumed, tmp_path / "state.safetensors")
    assert equal(finished(resumed), finished(trainer(longer)))


@pytest.mark.parametrize(
    ("config", "data", "words"),
    [
        (
            dataclasses.replace(CONFIG, weight_decay=0.02),
            None,
            ["2 steps", "weight_decay 0.01 is now 0.02"],
        ),
        (
            dataclasses.replace(CONFIG, seed=4, batch_size=1),
            None,
            ["seed 3 is now 4", "batch_size 2 is now 1"],
        ),
        (CONFIG, TrainingSet(examples(5)), ["pictures", "are others", "start over"]),
        (
            CONFIG,
            TrainingSet([dataclasses.replace(e, caption="other") for e in examples()], no_caption=""),
            ["the captions", "are others"],
        ),
    ],
)
def test_the_state_of_another_run_is_refused_and_changes_nothing(config, data, words, tmp_path):
    save_state(finished(trainer(), 2), tmp_path / "state.safetensors")
    run = trainer(config)
    run.data = data or run.data
    before = weights_of(run)
    with pytest.raises(SCEditError) as caught:
        load_state(run, tmp_path / "state.safetensors")
    assert not [word for word in words if word not in str(caught.value)]
    assert run.step == 0
    assert all(torch.equal(weights_of(run)[0][key], value) for key, value in before[0].items())


def test_a_run_goes_on_at_another_learning_rate(tmp_path):
    save_state(finished(trainer(), 2), tmp_path / "state.safetensors")
    resumed = trainer(dataclasses.replace(CONFIG, learning_rate=1e-9))
    load_state(resumed, tmp_path / "state.safetensors")
    before = weights_of(resumed)[0]
    after = weights_of(finished(resumed, 1))[0]
    assert 0 < max(float((after[key] - before[key]).abs().max()) for key in before) < 1e-6


def test_a_tuner_file_is_no_training_state(tmp_path):
    from safetensors.torch import save_file

    save_file({"losses": torch.zeros(1)}, tmp_path / "style.safetensors")
    with pytest.raises(SCEditError, match="no training state"):
        load_state(trainer(), tmp_path / "style.safetensors")


def test_a_loss_of_nan_stops_with_the_weights_of_the_last_good_step():
    run = finished(trainer(), 2)
    good = weights_of(run)
    run.base.sigmas = torch.full((50,), float("nan"))
    with pytest.raises(SCEditError, match=r"loss became nan after 2 steps.*lower learning rate"):
        run.advance()
    assert run.step == 2
    assert all(torch.equal(weights_of(run)[0][key], value) for key, value in good[0].items())


def test_whatever_ends_a_run_its_last_good_step_is_saved():
    saved = []

    def cancel(run: Trainer) -> None:
        if run.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(trainer(), cancel, lambda run: saved.append(run.step), save_every=3)
    assert saved == [3, 4]
    train(trainer(), lambda run: None, lambda run: saved.append(run.step))
    assert saved == [3, 4, 6]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_a_full_disk_leaves_the_earlier_state_whole(code, tmp_path, monkeypatch):
    target = tmp_path / "state.safetensors"
    save_state(finished(trainer(), 2), target)
    before = target.read_bytes()
    real = Path.open

    class Full:
        def __init__(self, file) -> None:
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, data) -> None:
            self.file.write(bytes(data)[:100])
            raise OSError(code, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda self, mode="r", **kw: Full(real(self, mode, **kw)))
    with pytest.raises(SCEditError, match=r"could not be written.*No space left.*nothing half written"):
        save_state(finished(trainer(), 3), target)
    monkeypatch.undo()
    assert target.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["state.safetensors"]


def test_averages_follow_small_steps_whatever_the_precision():
    config = dataclasses.replace(CONFIG, precision="bf16", ema_decay=0.999)
    run = trainer(config)
    run.step = 10_000  # past the quick start of an average
    with torch.no_grad():
        for weights, average in zip(run.parameters, run.averages, strict=True):
            weights.fill_(1.5)
            average.fill_(1.0)
    for _ in range(3000):
        run._average()
    wanted = torch.tensor(1.5 - 0.5 * 0.999**3000)
    assert all(torch.allclose(average.float(), wanted, rtol=1e-3) for average in run.averages)
    assert all(value.dtype == torch.bfloat16 for value in weights_of(run)[0].values())


def test_averaged_weights_lag_behind_and_leave_the_run_alone():
    averaged, plain = (
        finished(trainer(dataclasses.replace(CONFIG, ema_decay=decay))) for decay in (0.99, 0.0)
    )
    assert all(torch.equal(a, b) for a, b in zip(averaged.parameters, plain.parameters, strict=True))
    key = "tuners.0.up.weight"
    assert 0 < weights_of(averaged)[0][key].abs().sum() < weights_of(plain)[0][key].abs().sum()

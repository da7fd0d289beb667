"""Trainings whose target is what a teacher makes of the same noised latents."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from state_tools import assert_refused
from training_tools import CONFIG, CSC, LAYOUT, SmallModel, equal, finished, trainer

from scedit_core import SCEditError, TunerSpec, build_tuners
from scedit_core.training import Teaching, Trainer, describe, load_state, save_state
from scedit_core.training.dataset.order import generator
from scedit_core.training.memory.estimate import estimate_memory

TAUGHT = dataclasses.replace(CONFIG, steps=3, accumulation=2, ema_decay=0.9)
BOTH = pytest.mark.parametrize("specs", [(TunerSpec.sc(LAYOUT),), (CSC,)], ids=["sc", "csc"])


class SmallTeacher:
    """The small model with other weights, or with none other; `sees` are the batches that it was given."""

    def __init__(self, change: float = 0.3, works_in: int = 0) -> None:
        self.model = SmallModel()
        self.works_in = works_in
        self.sees: list[Any] = []
        with torch.no_grad():
            self.model.net.up[3].weight.mul_(1 + change)

    def denoised(self, noisy: torch.Tensor, sigma: torch.Tensor, batch: Any) -> torch.Tensor:
        assert not torch.is_grad_enabled()
        self.sees.append(batch)
        return self.model.denoised(noisy, sigma, batch.captions, ())

    def memory(self, shape: tuple[int, ...]) -> int:
        assert shape == (2, 4, 4, 4)
        return self.works_in

    def sketches(self) -> dict[str, Any]:
        return self.model.sketches()


def taught(
    share: float = 1.0, teacher: Any = None, specs: tuple = (TunerSpec.sc(LAYOUT),), config: Any = TAUGHT
) -> Trainer:
    """The same run as `trainer` makes, with a teacher."""
    run = trainer(config, specs)
    run.teaching = Teaching(teacher or SmallTeacher(), share)
    return run


def tuner_of(run: Trainer) -> Any:
    return run.trained()[0]


@BOTH
def test_a_teacher_that_is_the_student_leaves_nothing_to_learn(specs):
    run = taught(teacher=SmallTeacher(change=0.0), specs=specs, config=dataclasses.replace(CONFIG, steps=1))
    assert finished(run).losses == [0.0]


@BOTH
def test_a_share_of_0_is_a_training_without_a_teacher(specs):
    assert equal(finished(taught(0.0, specs=specs)), finished(trainer(TAUGHT, specs)))


def test_a_student_comes_nearer_to_its_teacher_than_the_base_is():
    run = taught(config=dataclasses.replace(CONFIG, steps=40))
    batch = run.data.batch(0, 6, 0)

    def distance() -> float:
        return float(run.loss_of(batch, [generator(n, "seen never") for n in range(6)]).detach())

    before = distance()
    finished(run)
    assert distance() < 0.8 * before


def test_a_mixed_target_is_the_mix_of_both_outputs():
    run, teacher = taught(0.25), SmallTeacher()
    batch = run.data.batch(0, 2, 0)
    given = (torch.ones(2, 4, 4, 4), torch.zeros(2, 4, 4, 4), torch.tensor([0.5, 2.0]), batch)
    latents, noisy, sigma, _ = given
    target = run.teaching.target(*given)
    scale = run.base.output_scale(sigma).view(-1, 1, 1, 1)
    with torch.no_grad():
        theirs = teacher.denoised(noisy, sigma, batch)
    outputs = [(noisy - each) / scale for each in (latents, theirs, target)]
    assert torch.allclose(outputs[2], 0.75 * outputs[0] + 0.25 * outputs[1], atol=1e-6)


def test_the_teacher_sees_captions_and_hints_of_the_batch_and_is_never_changed():
    teacher = SmallTeacher()
    before = [weights.clone() for weights in teacher.model.weights()]
    finished(taught(teacher=teacher, specs=(CSC,)))
    assert all(torch.equal(a, b) for a, b in zip(before, teacher.model.weights(), strict=True))
    assert {len(batch.captions) for batch in teacher.sees} == {2}
    assert {tuple(batch.hints[0].shape) for batch in teacher.sees} == {(2, 3, 32, 32)}


@pytest.mark.parametrize(("specs", "share"), [((TunerSpec.sc(LAYOUT),), 1.0), ((CSC,), 0.4)])
def test_a_taught_run_goes_on_to_the_same_numbers(specs, share, tmp_path):
    save_state(finished(taught(share, specs=specs), 1), tmp_path / "state.safetensors")
    resumed = taught(share, specs=specs)
    load_state(resumed, tmp_path / "state.safetensors")
    assert equal(finished(resumed), finished(taught(share, specs=specs)))


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (trainer, taught, ["it was trained without a teacher, and one came"]),
        (taught, trainer, ["it was trained by a teacher, and none came"]),
        (taught, lambda: taught(teacher=SmallTeacher(0.4)), ["the teacher's model is another"]),
        (taught, lambda: taught(0.5), ["the teacher's share is another"]),
    ],
    ids=["now taught", "no more", "another", "share"],
)
def test_a_run_is_not_continued_with_another_teacher(first, second, words, tmp_path):
    def run(make: Any) -> Trainer:
        made = make(TAUGHT) if make is trainer else make()
        made.config = TAUGHT
        return made

    save_state(finished(run(first), 1), tmp_path / "state.safetensors")
    assert_refused(run(second), tmp_path / "state.safetensors", ["1 steps of another training", *words])


def test_a_teacher_of_nan_is_told_from_a_learning_rate():
    run = finished(taught(), 1)
    before = [weights.detach().clone() for weights in run.parameters]
    run.teaching = Teaching(SmallTeacher(torch.nan))
    with pytest.raises(SCEditError, match="after 1 steps, as the teacher's pictures are NaN"):
        run.advance()
    assert all(torch.equal(a, b) for a, b in zip(before, run.parameters, strict=True))


def test_a_rate_that_is_too_high_is_not_the_teachers_fault():
    run = taught(config=dataclasses.replace(CONFIG, learning_rate=1.0))
    with torch.no_grad():
        run.parameters[0].fill_(torch.nan)
    with pytest.raises(SCEditError, match="lower learning rate than 1"):
        run.advance()


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_outside_of_0_and_1_is_refused(share):
    with pytest.raises(SCEditError, match="share must lie between 0 and 1"):
        Teaching(SmallTeacher(), share)


def test_what_a_teacher_works_in_counts_where_it_is_the_most():
    plain, small, large = (
        estimate_memory(run)
        for run in (trainer(TAUGHT), taught(), taught(teacher=SmallTeacher(works_in=10**9)))
    )
    assert small == plain
    assert 10**9 < large < plain + 10**9


def test_a_tuners_file_says_by_how_much_it_was_taught():
    assert describe(taught(0.5))["scedit.train.teacher_share"] == "0.5"
    assert "scedit.train.teacher_share" not in describe(trainer())


def test_a_teacher_is_handed_to_a_trainer_as_it_is_made():
    teaching = Teaching(SmallTeacher())
    tuners, plain = build_tuners(TunerSpec.sc(LAYOUT)), trainer()
    assert Trainer([tuners], plain.base, plain.data, CONFIG, teaching=teaching).teaching is teaching

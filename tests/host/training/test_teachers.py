"""Teachers of ComfyUI on the network that is trained on, or beside it: LoRAs, merges, other checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_management
import pytest
import torch
from host_tools import picture, run, sample, tiny_model
from test_training_identity import BESIDE, changed, free, lora, merged, predicting
from training_node_tools import SC, cancelled_at, equal, lists, train

pytestmark = pytest.mark.usefixtures("output")
STATIC = pytest.mark.parametrize("host_mode", ["static"], indirect=True)
BOTH_MODES = pytest.mark.parametrize("host_mode", ["static", "dynamic"], indirect=True)
SIGMA = torch.tensor([0.4, 5.0])
# what a graph puts between the checkpoint and the teacher
WIRINGS: dict[str, Callable[[Any], Any]] = {
    "plain": lambda model: model,
    "LoRA": lora(),
    "two LoRAs": lambda model: lora()(lora(seed=1)(model)),
    "LoRA beside": lora(load=BESIDE),
    "merge": merged(),
    "v-prediction": predicting("v_prediction"),
    "FreeU": free(1.2),
    "other checkpoint": changed("middle_block.0"),
    "other checkpoint, LoRA": lambda model: lora()(changed("middle_block.0")(model)),
}


class Meeting:
    """A model that is trained on and its teacher, loaded as a training has them."""

    def __init__(self, pack: Any, base: Any, teaching: Any, data: Any) -> None:
        self.base, self.teaching = base, teaching
        self.batch = data.batch(0, 2, 0)
        draw = torch.Generator().manual_seed(5)
        self.noisy = torch.randn(2, 4, 16, 16, generator=draw)

    def taught(self) -> torch.Tensor:
        return self.teaching.teacher.denoised(self.noisy, SIGMA, self.batch)

    def students(self, at_once: int = 2) -> torch.Tensor:
        captions = self.batch.captions
        rows = [slice(first, first + at_once) for first in range(0, 2, at_once)]
        with torch.no_grad():
            return torch.cat([self.base.denoised(self.noisy[r], SIGMA[r], captions[r], ()) for r in rows])


@pytest.fixture
def meeting(pack: Any) -> Callable[..., Any]:
    """Opens a Meeting of a student MODEL with a teacher MODEL."""
    training = pack.nodes.training

    @contextmanager
    def open_(student: Any, teacher: Any, **inputs: Any) -> Iterator[Meeting]:
        given = lists(student)
        pictures, hints = (given["latents"], given["positive"]), inputs.pop("hints", [])
        data = training.examples.to_training_set(student, pictures, hints, None, True)
        wanted = {"teacher": [teacher]} | {name: [value] for name, value in inputs.items()}
        asked = training.teaching.asked.AskedTeacher.taken(wanted, student)
        beside = asked.models(student)
        with (
            training.base_model.differentiable(student, "off", beside) as base,
            training.teaching.asked.teaching(asked, student, base, len(hints)) as taught,
        ):
            yield Meeting(pack, base, taught, data)

    return open_


def alone(meeting: Any, model: Any, at_once: int = 2) -> torch.Tensor:
    """The pictures of a MODEL that is trained on, as the host loads it."""
    with meeting(model, model) as met:
        return met.students(at_once)


@STATIC
@pytest.mark.parametrize(
    ("student", "teacher"),
    [
        *(("plain", teacher) for teacher in WIRINGS),
        *(("LoRA", teacher) for teacher in ("plain", "two LoRAs", "LoRA beside", "merge")),
        *(("LoRA beside", teacher) for teacher in ("plain", "LoRA")),
    ],
)
def test_a_teacher_paints_as_the_host_has_it_and_the_student_stays_itself(student, teacher, meeting, model):
    # pictures are computed one by one where another node's patch may ask for the noise level
    at_once = 1 if teacher == "FreeU" else 2
    student, teacher = WIRINGS[student](model), WIRINGS[teacher](model)
    wanted, kept = alone(meeting, teacher, at_once), alone(meeting, student)
    with meeting(student, teacher) as met:
        first, own, again = met.taught(), met.students(), met.taught()
    assert torch.equal(first, wanted)
    assert torch.equal(own, kept)
    assert torch.equal(again, first)
    assert torch.equal(alone(meeting, student), kept)


@STATIC
def test_only_layers_that_differ_get_weights_of_their_own(pack, model):
    shared = pack.nodes.training.teaching.shared
    student = lora(seed=1)(model)

    def bytes_of(teacher: Any) -> int:
        owner = student.clone()
        return shared.SharedNetwork(owner, shared.share_network(owner, teacher)).nbytes

    assert bytes_of(student) == 0
    assert bytes_of(lora()(student)) == bytes_of(model) == 4 * 96 * 96


@BOTH_MODES
@pytest.mark.parametrize("teacher", ["LoRA", "other checkpoint, LoRA"])
def test_after_teaching_everything_is_as_before(sc, nodes, model, teacher):
    taught = WIRINGS[teacher](model)
    theirs, plain = sample(taught), sample(model)
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    tuner, *_ = train(sc, lists(model) | {"teacher": [taught]}, SC, name="lora", steps=2)
    assert all(torch.equal(before[name], value) for name, value in model.model.state_dict().items())
    assert torch.equal(sample(taught), theirs)
    assert torch.equal(sample(model), plain)
    silent = run(nodes["SCEditApplySCTuner"], model=model, tuner=tuner, strength=0.0)
    assert torch.equal(sample(silent), plain)
    assert not torch.equal(sample(run(nodes["SCEditApplySCTuner"], model=model, tuner=tuner)), plain)
    assert not comfy.model_management.in_training


@STATIC
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_teacher_that_is_the_student_leaves_nothing_to_learn(sc, nodes, host_mode, tuner, dtype):
    model = run(nodes["SCEditApplySCTuner"], model=tiny_model(dtype=dtype), tuner=tuner)
    trained, *_ = train(sc, lists(model) | {"teacher": [model]}, SC, name="none", steps=1)
    assert trained.metadata["scedit.train.loss"] == "0.0"


@BOTH_MODES
def test_a_tuner_of_the_teacher_is_what_is_learnt(sc, nodes, model, tuner):
    styled = run(nodes["SCEditApplySCTuner"], model=model, tuner=tuner)
    data = lists(model) | {"teacher": [styled], "tuner": [tuner]}
    trained, *_ = train(sc, data, SC, name="same", steps=1)
    # the student began as the teacher's tuner: what is left is the rounding of two ways to compute it
    assert float(trained.metadata["scedit.train.loss"]) < 1e-9


@STATIC
@pytest.mark.parametrize("teacher", ["LoRA", "other checkpoint"])
def test_a_cancelled_teaching_goes_on_to_the_same_tuner(sc, model, teacher):
    data = lists(model) | {"teacher": [WIRINGS[teacher](model)], "teacher_share": [0.7]}
    straight, *_ = train(sc, data, SC, name="straight", steps=2)
    cancelled_at(2, sc, data, SC, name="broken", steps=2)
    assert equal(train(sc, data, SC, name="broken", steps=2)[0], straight)


@STATIC
def test_a_share_of_0_is_a_training_without_a_teacher(sc, model):
    data = lists(model) | {"teacher": [lora()(model)], "teacher_share": [0.0]}
    train(sc, data, SC, name="run", steps=1)
    resumed, *_ = train(sc, lists(model), SC, name="run", steps=2)
    assert equal(resumed, train(sc, lists(model), SC, name="other", steps=2)[0])


@STATIC
@pytest.mark.parametrize(
    ("then", "words"),
    [
        (None, "it was trained by a teacher, and none came"),
        ("two LoRAs", "the LoRAs or merged models in the teacher are others"),
        ("FreeU", "other patches of the teacher are others"),
        ("other checkpoint", "the teacher's model is another"),
    ],
)
def test_a_training_is_not_continued_under_another_teacher(sc, model, then, words):
    train(sc, lists(model) | {"teacher": [lora()(model)]}, SC, steps=1)
    others = {} if then is None else {"teacher": [WIRINGS[then](model)]}
    with pytest.raises(ValueError, match=rf"1 steps of another training.*{words}"):
        train(sc, lists(model) | others, SC)


@STATIC
def test_teachers_that_ask_for_the_noise_level_see_each_pictures_own(meeting, model):
    def patched(h: Any, skip: Any, options: Any) -> Any:
        return h * (1 + float(options["sigmas"][0])), skip

    teacher = model.clone()
    teacher.set_model_output_block_patch(patched)
    with meeting(model, teacher) as met:
        both = met.taught()
        halves = [
            met.teaching.teacher.denoised(met.noisy[[row]], SIGMA[[row]], met_row(met.batch, row))
            for row in range(2)
        ]
    assert torch.equal(both, torch.cat(halves))


def met_row(batch: Any, row: int) -> Any:
    return type(batch)(batch.latents[[row]], (batch.captions[row],), (), (row,))


def refused(name: str, model: Any, nodes: Any, control: Any) -> dict[str, Any]:
    """Inputs that no training heeds."""
    if name == "another kind":
        return {"teacher": [wider()]}
    if name == "two":
        return {"teacher": [model, model]}
    if name == "a hint of its own":
        apply = nodes["SCEditApplyCSCTuner"]
        return {"teacher": [run(apply, model=model, control=control, image=picture())]}
    if name == "no control":
        return {"teacher_positive": [[[torch.zeros(1, 7, 32), {}]]]}
    if name == "an area":
        return {"teacher_positive": [[[torch.zeros(1, 7, 32), {"area": (8, 8, 0, 0)}]]]}
    return {"teacher": [model], "teacher_share": [1.5]}


def wider() -> Any:
    """A MODEL that reads captions of other numbers."""
    other = tiny_model()
    other.model.model_config.unet_config["context_dim"] = 768
    return other


@STATIC
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("another kind", "another kind, which reads other captions"),
        ("two", "2 of teacher came in a list"),
        ("a hint of its own", "has a control with a picture of its own"),
        ("no control", "teacher_positive has no control"),
        ("an area", "teacher_positive has area, which no training heeds"),
        ("share", "share must lie between 0 and 1"),
    ],
)
def test_a_teacher_that_cannot_teach_is_refused_in_a_sentence(name, words, sc, nodes, model, control):
    with pytest.raises(ValueError, match=words):
        train(sc, lists(model) | refused(name, model, nodes, control), SC)

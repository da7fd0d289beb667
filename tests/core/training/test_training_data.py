"""What the training loop draws from its data, and the data and settings that it refuses."""

import dataclasses

import pytest
import torch
from training_tools import CONFIG, CSC, LAYOUT, SmallModel, examples, training_set

from scedit_core import SCEditError, TunerSpec, build_tuners
from scedit_core.training import Example, TrainConfig, Trainer, TrainingSet


def test_every_picture_is_seen_once_per_epoch_and_batches_have_one_size():
    data = TrainingSet(examples(7, sizes=((4, 4), (4, 6))))
    per_epoch = data.batches_per_epoch(2)
    assert per_epoch == 4
    orders = []
    for epoch in range(2):
        batches = [data.batch(epoch * per_epoch + i, 2, seed=1) for i in range(per_epoch)]
        assert all(batch.latents.ndim == 4 for batch in batches)
        seen = [caption for batch in batches for caption in batch.captions]
        assert sorted(seen) == sorted(f"caption {i}" for i in range(7))
        orders.append(seen)
    assert orders[0] != orders[1]


def test_captions_are_dropped_as_often_as_asked():
    data = training_set()
    captions = [data.batch(n, 6, 0, caption_dropout=0.25).captions for n in range(100)]
    dropped = sum(caption == "" for row in captions for caption in row)
    assert 100 < dropped < 200  # 600 draws at 0.25: 150 +- 5 standard deviations


def test_each_visit_takes_one_of_a_pictures_hints():
    latent, hints = torch.zeros(4, 2, 2), torch.arange(3.0).view(3, 1, 1, 1).expand(3, 3, 16, 16)
    data = TrainingSet([Example(latent, "", (hints,))])
    seen = {float(data.batch(n, 1, 0).hints[0].mean()) for n in range(30)}
    assert seen == {0.0, 1.0, 2.0}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 0}, ["steps", "got 0"]),
        ({"learning_rate": 0.0}, ["learning_rate", "5e-05"]),
        ({"learning_rate": 2.0}, ["learning_rate", "got 2.0"]),
        ({"learning_rate": float("nan")}, ["learning_rate", "nan"]),
        ({"batch_size": 0}, ["batch_size"]),
        ({"accumulation": 0}, ["accumulation"]),
        ({"weight_decay": -1.0}, ["weight_decay"]),
        ({"caption_dropout": 1.5}, ["caption_dropout", "between 0 and 1"]),
        ({"ema_decay": 1.0}, ["ema_decay"]),
        ({"min_snr_gamma": float("inf")}, ["min_snr_gamma"]),
        ({"clip_norm": -1.0}, ["clip_norm"]),
        ({"seed": -1}, ["seed"]),
        ({"precision": "fp8"}, ["fp32 or bf16", "fp8"]),
    ],
)
def test_settings_out_of_range_are_refused_in_a_sentence(settings, words):
    with pytest.raises(SCEditError) as caught:
        TrainConfig(**settings)
    assert not [word for word in words if word not in str(caught.value)]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: TrainingSet([]), ["no pictures"]),
        (
            lambda: TrainingSet(examples(4, sizes=((4, 4), (4, 6))), buckets=False),
            ["32 x 32, 48 x 32", "buckets"],
        ),
        (lambda: TrainingSet([*examples(1, 1), *examples(1)]), ["0 hints and some 1"]),
        (lambda: TrainingSet([Example(torch.zeros(1, 4, 2, 2), "")]), ["latent 1 of 1", "(1, 4, 2, 2)"]),
        (lambda: TrainingSet([Example(torch.full((4, 2, 2), torch.nan), "")]), ["NaN", "encode"]),
        (
            lambda: Trainer([build_tuners(CSC)], SmallModel(), training_set(), CONFIG),
            ["1 controls", "0 hints"],
        ),
        (lambda: Trainer([], SmallModel(), training_set(), CONFIG), ["nothing to train"]),
        (
            lambda: Trainer(
                [build_tuners(TunerSpec.sc(LAYOUT))],
                SmallModel(),
                TrainingSet(examples()),
                dataclasses.replace(CONFIG, caption_dropout=0.1),
            ),
            ["caption_dropout 0.1", "empty prompt"],
        ),
    ],
)
def test_bad_data_is_refused_in_a_sentence(make, words):
    with pytest.raises(SCEditError) as caught:
        make()
    assert not [word for word in words if word not in str(caught.value)]

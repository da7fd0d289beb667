"""What the training loop draws from its data, and the data and settings that it refuses."""

import dataclasses
from functools import lru_cache

import numpy as np
import pytest
import torch
from training_tools import CONFIG, CSC, LAYOUT, SmallModel, examples, training_set

from scedit_core import SCEditError, TunerSpec, build_tuners
from scedit_core.training import Example, TrainConfig, Trainer, TrainingSet
from scedit_core.training.dataset.listed import WORDS
from scedit_core.training.dataset.order import Order, generator


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


def test_the_order_is_a_shuffle_of_each_size_and_then_of_the_batches():
    sizes = [(4, 4), (4, 6), (4, 4), (6, 4), (4, 6), (4, 4), (4, 4)]
    order, draw = Order(np.array(sizes)), generator(9, "epoch", 1)
    wanted = []
    for size in dict.fromkeys(sizes):
        numbers = torch.tensor([n for n, each in enumerate(sizes) if each == size])
        shuffled = numbers[torch.randperm(len(numbers), generator=draw)].tolist()
        wanted += [shuffled[i : i + 2] for i in range(0, len(shuffled), 2)]
    wanted = [wanted[i] for i in torch.randperm(len(wanted), generator=draw).tolist()]
    assert order.batches_per_epoch(2) == len(wanted) == 4
    assert [order.batch(4 + place, 2, seed=9) for place in range(4)] == wanted


def test_an_epoch_of_very_many_is_drawn_once():
    order = Order(np.full((600_000, 2), 64))
    drawn, real = [], order._shuffled
    order._epoch = lru_cache(maxsize=2)(lambda *place: (drawn.append(place), real(*place))[1])
    for number in range(9_370, 9_380):  # where the first epoch of 64 a batch ends
        assert len(set(order.batch(number, 64, seed=0))) == 64
    assert drawn == [(0, 64, 0), (1, 64, 0)]


def test_what_a_picture_draws_does_not_depend_on_which_others_are_read():
    latent, hints = torch.zeros(4, 2, 2), torch.rand(5, 3, 16, 16)
    data = TrainingSet([Example(latent + n, f"caption {n}", (hints + n,)) for n in range(6)], "")
    for number in range(4):
        whole = data.batch(number, 5, 0, 0.5)
        parts = [data.batch(number, 5, 0, 0.5, slice(rank, None, 3)) for rank in range(3)]
        assert sum(part.share for part in parts) == pytest.approx(whole.share) == 1
        for part in filter(lambda part: part.places, parts):
            assert part.captions == tuple(whole.captions[place] for place in part.places)
            assert torch.equal(part.latents, whole.latents[list(part.places)])
            assert torch.equal(part.hints[0], whole.hints[0][list(part.places)])
    assert data.batch(1, 5, 0, rows=slice(5, None, 6)).places == ()  # of five pictures there is no sixth


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
            lambda: TrainingSet([Example(torch.zeros(channels, 2, 2), "") for channels in (4, 16)]),
            ["4 channels and some 16", "same VAE"],
        ),
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


def test_the_words_that_a_caption_keeps_are_no_other_data():
    caption = [torch.ones(1, 3, 8), {"pooled_output": torch.ones(1, 8)}]
    told = [caption[0], {**caption[1], WORDS: "a house"}]
    plain, kept = (TrainingSet([Example(torch.zeros(4, 2, 2), one)]) for one in (caption, told))
    assert kept.fingerprint() == plain.fingerprint()

"""Training from a data set on disk: what is read, when, and how much of it is in memory."""

from __future__ import annotations

import threading
import weakref

import pytest
import torch
from dataset_tools import write
from training_tools import CONFIG, CSC, LazyExamples, SmallModel, equal, examples, finished, trainer

from scedit_core import SCEditError, build_tuners
from scedit_core.training import Example, Trainer, TrainingSet, load_state, save_state, train
from scedit_core.training.dataset.shards import open_dataset
from scedit_core.training.dataset.stored import StoredExamples, Told, check_dataset
from scedit_core.training.recent import Recent


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Seven examples of two sizes, each with two hints."""
    return open_dataset(write(tmp_path_factory.mktemp("set")))


def text_of(captions):
    """What this base model takes: the texts, asked for in the thread that trains."""
    assert threading.current_thread() is threading.main_thread()
    return [told.text for told in captions]


def training_set(stored, **settings) -> TrainingSet:
    """The data set as a training sees it, at twice the VAE's scale."""
    return TrainingSet(StoredExamples(stored, lambda x: 2 * x, text_of, **settings), Told("", ()))


def run_on(data: TrainingSet, config=CONFIG) -> Trainer:
    """A training of a control for each hint."""
    torch.manual_seed(1)
    return Trainer([build_tuners(CSC) for _ in range(data.examples.hints)], SmallModel(), data, config)


def listed(stored) -> TrainingSet:
    """The same examples in memory."""
    read = map(stored.read, range(len(stored)))
    return TrainingSet(
        [
            Example(2 * one.latent.float(), one.caption, tuple(hint.float() / 255 for hint in one.hints))
            for one in read
        ],
        "",
    )


def test_a_data_set_is_learnt_from_as_its_examples_in_memory_are(stored):
    read, straight = run_on(training_set(stored)), finished(run_on(listed(stored)))
    train(read, lambda run: None, lambda run: None)
    assert equal(read, straight)


def test_a_run_on_a_data_set_goes_on_to_the_same_numbers(stored, tmp_path):
    straight = finished(run_on(training_set(stored)))
    save_state(finished(run_on(training_set(stored)), 2), tmp_path / "state.safetensors")
    resumed = run_on(training_set(open_dataset(stored.folder)))
    load_state(resumed, tmp_path / "state.safetensors")
    train(resumed, lambda run: None, lambda run: None)
    assert equal(resumed, straight)


def test_a_style_leaves_the_hints_out_and_dropped_captions_keep_the_sizes(stored):
    data = TrainingSet(StoredExamples(stored, lambda x: x, list, has_hints=False), Told("", ()))
    kept, dropped = (data.batch(0, 4, seed=0, caption_dropout=share) for share in (0.0, 1.0))
    assert kept.hints == ()
    assert {told.text for told in dropped.captions} == {""}
    assert [told.sizes for told in dropped.captions] == [told.sizes for told in kept.captions]
    assert data.without_caption(0).text == ""
    assert data.first().captions[0].text == stored.read(0).caption


def test_a_damaged_shard_ends_a_training_with_its_name_and_the_steps_before_kept(tmp_path):
    stored, saved = open_dataset(write(tmp_path / "set")), []
    run = run_on(training_set(stored))
    finished(run, 1)
    shard = next(stored.folder.glob("*.tar"))
    shard.write_bytes(bytes(shard.stat().st_size))
    with pytest.raises(SCEditError, match=rf"'{shard.name}' of the data set is damaged"):
        train(run, lambda run: None, lambda run: saved.append(run.step))
    assert saved == [1]


class Counted(LazyExamples):
    """Examples that count how many of them are alive, at most."""

    most = alive = 0

    def __len__(self) -> int:
        return len(self.shapes)

    def read(self, number: int) -> Example:
        example = super().read(number % 6)
        self.alive += 1
        self.most = max(self.most, self.alive)
        weakref.finalize(example.latent, self.gone)
        return example

    def gone(self) -> None:
        self.alive -= 1


@pytest.mark.parametrize("count", [6, 600])
def test_what_is_in_memory_does_not_grow_with_the_examples(count):
    source = Counted(examples(6))
    source.shapes = source.shapes[:1].repeat(count, 0)
    run = trainer()
    run.data = TrainingSet(source, no_caption="")
    train(run, lambda run: None, lambda run: None)
    assert source.alive == 0
    # those of the batch that is made in each of two threads; batches that are ready have copies
    assert source.most <= 2 * CONFIG.batch_size


def test_a_data_set_of_another_kind_is_refused_in_a_sentence(stored):
    fits = {"latent_channels": 4, "resolution": 64, "vae": "a VAE"}
    check_dataset(stored, fits)
    for what, other, words in (
        ("latent_channels", 16, "latents of 4 channels, but this model learns from 16; prepare"),
        ("resolution", 512, "pictures of 64 x 64 pixels, but 512 x 512 are asked for"),
        ("vae", "b" * 64, r"latents of another VAE \(a VAE\) than that of the model \(b{12}\)"),
    ):
        with pytest.raises(SCEditError, match=rf"'{stored.folder.name}' holds {words}"):
            check_dataset(stored, {**fits, what: other})


def test_the_results_used_last_are_kept_and_no_more():
    made = []
    recent = Recent(2)
    for key in "aabacab":
        assert recent.get(key, lambda key=key: (made.append(key), key)[1]) == key
        assert len(recent) <= 2
    assert made == ["a", "b", "c", "b"]

"""Reading ahead in threads: in order, bounded, and at an end when the training is."""

from __future__ import annotations

import threading
import time

import pytest
from training_tools import CONFIG, LazyExamples, equal, examples, finished, trainer

from scedit_core import SCEditError
from scedit_core.training import TrainingSet, train
from scedit_core.training.ahead import Ahead


def readers() -> list[str]:
    """Threads that read."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("scedit-reads")]


def lazy_run(**settings):
    """A training from examples that are read."""
    run = trainer(**settings)
    run.data = TrainingSet(LazyExamples(examples()), no_caption="")
    return run


def test_items_come_in_their_order_however_long_each_takes():
    def make(number: int) -> int:
        time.sleep(0.01 * (number % 3 == 0))
        return number

    with Ahead(make, 3, end=20) as ahead:
        assert [ahead.take(number) for number in range(20)] == list(range(20))


def test_no_more_is_made_ahead_than_there_are_threads_and_nothing_beyond_the_end():
    made = []
    with Ahead(made.append, 3, end=6) as ahead:
        ahead.take(0)
        time.sleep(0.05)
        assert sorted(made) == [0, 1, 2, 3]
        for number in range(1, 6):
            ahead.take(number)
    assert sorted(made) == list(range(6))


def test_a_jump_begins_anew_from_there():
    made = []
    with Ahead(lambda number: (made.append(number), number)[1], 2, end=100) as ahead:
        assert [ahead.take(number) for number in (0, 1, 50, 51, 7)] == [0, 1, 50, 51, 7]
        assert ahead.take(8) == 8
    assert 20 not in made


def test_an_error_comes_when_it_is_its_turn_and_not_before():
    def make(number: int) -> int:
        if number == 2:
            raise SCEditError("item 2 is damaged")
        return number

    with Ahead(make, 4, end=10) as ahead:
        assert [ahead.take(0), ahead.take(1)] == [0, 1]
        with pytest.raises(SCEditError, match="item 2"):
            ahead.take(2)
        assert ahead.take(3) == 3
    assert not readers()


def test_a_training_that_reads_ahead_is_the_same_and_leaves_no_thread():
    straight, read = finished(trainer()), lazy_run()
    during = set()
    train(read, lambda run: during.update(readers()), lambda run: None)
    assert equal(read, straight)
    assert len(during) == 2
    assert read.data.examples.read_by
    assert set(read.data.examples.read_by) <= during  # which of them reads is the system's choice
    assert not readers()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SCEditError])
def test_threads_end_with_a_training_that_is_cancelled(error):
    def cancel(run) -> None:
        if run.step == 2:
            raise error("stopped")

    with pytest.raises(error):
        train(lazy_run(), cancel, lambda run: None)
    assert not readers()


def test_a_damaged_example_ends_the_training_at_its_step_with_the_steps_before_it_kept():
    run, saved = lazy_run(), []
    reads = run.data.examples.read
    broken = run.data._order.batch(4, CONFIG.batch_size, CONFIG.seed)[0]
    run.data.examples.read = lambda number: reads(number) if number != broken else reads(1 / 0)
    first = next(n for n in range(9) if broken in run.data._order.batch(n, 2, CONFIG.seed))
    with pytest.raises(ZeroDivisionError):
        train(run, lambda run: None, lambda run: saved.append(run.step))
    assert saved == [first]
    assert not readers()

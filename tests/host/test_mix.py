"""Mix Conditions: one line of weights for what is connected."""

from __future__ import annotations

import json

import pytest
import torch
from host_tools import picture, run, sample
from support import REPOSITORY

# the pad in the frontend reads the same lines to the same rows: tests/browser/test_pad.py
LINES = json.loads((REPOSITORY / "tests" / "weights.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("text", "rows"), LINES["read"].items(), ids=map(repr, LINES["read"]))
def test_a_line_of_weights_is_read(pack, text, rows):
    read = pack.nodes.mix.read_weights(text)
    assert [[row.weight, row.is_on] for row in read] == rows


REFUSED = {
    "a word": ("0.5, half", "weights is written like '0.5, off 0.3, 0.2', got 'half' in it; write a number"),
    "two numbers without a comma": ("0.5 0.3", "got '0.5 0.3' in it"),
    "a switch behind its weight": ("0.3 off", "got '0.3 off' in it"),
    "nothing finite": ("nan", "got 'nan' in it"),
    "a fraction": ("1/2", "got '1/2' in it"),
    "above 10": ("0, 10.5", "weights go from -10 to 10, got 10.5; write a smaller one"),
    "below -10": ("-11", "got -11; write"),
    "beyond all numbers": ("1e400", "got 1e400; write"),
    "off and beyond": ("off 99", "got 99; write"),
    "more than sockets": ("1," * 16, "weights has 17 entries, and there are 16 sockets at most"),
    "a novel": ("0" * 1001, "weights has 1001 characters, at most 1000 are read"),
    "a line with a hidden turn": ("1, \u202e2", "got '\\u202e2' in it"),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_another_line_ends_in_a_sentence(pack, text, words):
    with pytest.raises(pack.scedit_core.SCEditError) as caught:
        pack.nodes.mix.read_weights(text)
    assert words in str(caught.value)


def test_lines_that_the_pad_cannot_read_are_those_that_the_node_refuses(pack):
    for text in LINES["refused"]:
        with pytest.raises(pack.scedit_core.SCEditError):
            pack.nodes.mix.read_weights(text)


@pytest.fixture
def row(nodes, control):
    """A condition of a weight."""
    return lambda weight=1.0: run(
        nodes["SCEditCondition"], control=control, image=picture(32, 32), weight=weight
    )


@pytest.fixture
def mix(nodes):
    """The weights that go out, and the text on the node."""

    def mixed(weights="", strength=1.0, **rows):
        node = nodes["SCEditMixConditions"].execute(conditions=rows, weights=weights, strength=strength)
        return [round(one.weight, 6) for one in node.args[0]], node.ui.as_dict()["text"][0]

    return mixed


def test_weights_multiply_what_is_connected_and_the_sum_is_told(mix, row):
    weights, told = mix("0.5, 0.3, 0.2", condition0=row(), condition1=row(), condition2=row())
    assert weights == [0.5, 0.3, 0.2]
    assert told.splitlines()[0] == "Σα = 1"
    assert told.splitlines()[2].startswith("condition1: 0.3 ")
    assert mix("0.5, 0.3", 0.5, condition0=row(), condition1=row(2.0))[0] == [0.25, 0.3]


def test_a_row_that_is_off_is_left_out_and_a_weight_belongs_to_its_socket(mix, row):
    weights, told = mix("0.5, off 0.3, 0.2", condition0=row(), condition1=row(), condition2=row())
    assert weights == [0.5, 0.2]
    assert told.splitlines() == ["Σα = 0.7", *told.splitlines()[1:2], "condition1: off", told.splitlines()[3]]
    # the node in front of the second socket is muted: the third keeps its weight
    weights, told = mix("0.5, 0.3, 0.2", condition0=row(), condition1=None, condition2=row())
    assert weights == [0.5, 0.2]
    assert told.endswith("note: weights has entries for condition1, where nothing is connected")


def test_rows_without_a_weight_have_one_and_a_weight_is_for_all_of_a_bundle(mix, row):
    assert mix(condition0=row(0.5), condition1=row())[0] == [0.5, 1.0]
    assert mix("0.25", condition0=(*row(), *row(2.0)), condition3=row())[0] == [0.25, 0.5, 1.0]


def test_nothing_connected_is_a_sentence(nodes, pack):
    for rows in ({}, {"condition0": None}):
        with pytest.raises(pack.scedit_core.SCEditError, match="there is nothing to mix; connect a"):
            nodes["SCEditMixConditions"].execute(conditions=rows)


def test_a_mix_acts_as_conditions_of_these_weights_do(nodes, model, control, other_control):
    """Bit for bit; with all rows off the picture is the model's own."""

    def condition(tuners, weight):
        return run(nodes["SCEditCondition"], control=tuners, image=picture(), weight=weight)

    def rows(first, second):
        return {"condition0": condition(control, first), "condition1": condition(other_control, second)}

    def painted(bundle):
        return sample(run(nodes["SCEditApplyConditions"], model=model, conditions=bundle))

    mixer = nodes["SCEditMixConditions"]
    mixed = run(mixer, conditions=rows(1.0, 1.0), weights="0.75, 0.5", strength=2.0)
    composed = run(nodes["SCEditComposeConditions"], conditions=rows(1.5, 1.0))
    assert torch.equal(painted(mixed), painted(composed))
    silent = run(mixer, conditions=rows(1.0, 1.0), weights="off, off 0.5")
    assert torch.equal(painted(silent), sample(model))

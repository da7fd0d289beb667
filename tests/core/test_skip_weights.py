"""Weights by skip: what users write, and what it comes to on models of 9 and of 12 skips."""

import pytest

from scedit_core.errors import SCEditError
from scedit_core.skip_weights import SkipWeights, read_presets, read_skip_weights, soft_weights

PRESETS = {"deep": (1.0, 0.0), "my own": (0.5,), "细节": (0.0, 1.0, 1.0)}


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("1, 0.5, 0, -1", (1, 0.5, 0, -1)),
        ("1\uff0c0.5\uff1b0\u30011", (1, 0.5, 0, 1)),
        ("0:0.5, 3:2", (0.5, 1, 1, 2)),
        ("0-2:0.5", (0.5, 0.5, 0.5, 1)),
        ("2 = 0", (1, 1, 0, 1)),
        ("Deep", (1, 2 / 3, 1 / 3, 0)),
        ("my own", (0.5,) * 4),
        ("细节", (0, 2 / 3, 1, 1)),
    ],
)
def test_what_is_written_comes_to_a_weight_for_each_skip(text, weights):
    read = read_skip_weights(text, lambda: PRESETS)
    assert read is not None
    assert read.of_skips(4) == pytest.approx(weights)


@pytest.mark.parametrize("count", [9, 12])
def test_a_preset_fits_models_of_any_number_of_skips(count):
    stretched = SkipWeights((1.0, 0.5, 0.0), is_stretched=True).of_skips(count)
    assert len(stretched) == count
    assert (stretched[0], stretched[-1]) == (1, 0)
    assert list(stretched) == sorted(stretched, reverse=True)


def test_an_empty_text_says_nothing():
    assert read_skip_weights(" \n", dict) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("depe", "no preset 'depe', there are"),
        ("1, x, 2", "written like"),
        ("1, 2:3", "written like"),
        ("3:0.5, 1-4:1", "block 3 twice"),
        ("4-2:1", "in order"),
        ("99:1", "0 to 63"),
        ("0-9999999999:1", "0 to 63"),
        ("11, 1", "-10 to 10"),
        ("0:1e9", "-10 to 10"),
        ("nan, 1", "written like"),
        (", ".join(["1"] * 65), "65 numbers"),
        ("1," * 2000, "characters"),
        ("1 1 1", "written like"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(text, words):
    with pytest.raises(SCEditError, match=words):
        read_skip_weights(text, lambda: PRESETS)


@pytest.mark.parametrize(
    ("text", "words"), [("1, 1", "2 numbers, this model has 9 skips"), ("9:0", "block 9")]
)
def test_what_does_not_fit_a_model_is_refused_in_a_sentence(text, words):
    read = read_skip_weights(text, lambda: PRESETS)
    assert read is not None
    with pytest.raises(SCEditError, match=words):
        read.of_skips(9)


def test_soft_weights_are_those_of_the_webuis_control_modes():
    # the numbers that sd-webui-controlnet lists, from the deepest skip to the shallowest
    listed = (0.825, 0.680625, 0.561515625, 0.46325039, 0.38218157, 0.31529980)
    assert soft_weights(12)[:6] == pytest.approx(listed)
    assert soft_weights(12)[-1] == pytest.approx(0.09941396206337118)
    assert soft_weights(9) == soft_weights(12)[:9]


def test_presets_are_lines_of_a_name_and_numbers():
    text = "# mine\nlines: 1, 0.5 # deep\n\n细节 \uff1d 0\uff0c1\n"
    assert read_presets(text, "presets.txt") == {"lines": (1.0, 0.5), "细节": (0.0, 1.0)}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("lines 1, 0", "line 2 of presets.txt is 'lines 1, 0'"),
        ("1: 1, 0", "begins with a letter"),
        (": 1", "begins with a letter"),
        ("lines: 1, x", "got 'x'"),
        ("lines:", "got ''"),
        ("lines: 11", "-10 to 10"),
    ],
)
def test_a_line_that_is_no_preset_is_named(line, words):
    with pytest.raises(SCEditError, match=words):
        read_presets(f"deep: 1, 0\n{line}\n", "presets.txt")

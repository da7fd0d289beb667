"""One sentence for what was measured, and its way into files and back."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from scedit_core.evaluation.kinds import KINDS, kind_of
from scedit_core.evaluation.record import Record, Spread, record_of, without_record
from scedit_core.evaluation.verdict import is_followed, share, verdict


def record(kind="canny", losses=(0.06, 0.1, 0.11), **changes):
    """A record with one figure in some ways, and losses with the tuner, without and with others' hints."""
    figures = changes.pop("figures", {"on": 0.86, "off": 0.07, "shuffled": 0.09})
    measures = KINDS[kind].measures
    ways = {way: Spread(value) for way, value in figures.items()}
    named = dict(zip(("on", "off", "shuffled")[: len(losses)], losses, strict=True))
    return Record(
        kind=kind,
        pictures=4,
        seeds=(0, 1),
        settings={"steps": 20, "cfg": 5.0},
        figures={measures[0].key: ways} if measures and figures else {},
        losses={"0.5": named},
        **{"change": 12.0, **changes},
    )


def ways(on, off=0.07, shuffled=0.09, **more):
    """The same figure in these ways."""
    return {"on": on, "off": off, "shuffled": shuffled, **more}


def with_prompts(found):
    """The record, with CLIP scores beside its own figures."""
    score = {"on": Spread(27.12), "off": Spread(27.38), "pictures": Spread(30.0)}
    return replace(found, figures={**found.figures, "clip_score": score})


BASES = {"made_for": "SD15 (eps)", "model": "SD20 (v_prediction)"}
SAME = {"made_for": "SD15 (eps)", "model": "SD15 (eps)"}
GOOD = "follows edges: F1 0.86, 0.07 without, 0.09 with other pictures' edges"
SENTENCES = {
    "good": (record(), GOOD),
    "good on another base": (record(**BASES), GOOD),
    "hints beside their pictures": (
        record(hint_shift=(-16, 0)),
        f"{GOOD}; but the hints lie 16 pixels to the left of what their own pictures show: make them anew",
    ),
    "zero": (
        record(change=0.0, figures=ways(0.07)),
        "does nothing: pictures with it are those without it, bit for bit (F1 0.07, 0.07 without, 0.09 with "
        "other pictures' edges)",
    ),
    "inverted": (
        record(figures=ways(0.12, inverted=0.8)),
        "follows edges only where black and white are exchanged: F1 0.80 then, 0.12 with hints as they are, "
        "0.07 without; give it hints of the other polarity",
    ),
    "moved": (
        record(figures=ways(0.15, moved=0.7), shift=(16, 0)),
        "follows edges, but 16 pixels to the right of where the hint has them: F1 0.70 there, 0.15 in "
        "place, 0.07 without; the hints it learnt from were moved against their pictures",
    ),
    "another base": (
        record(figures=ways(0.08), losses=(0.3, 0.1, 0.3), **BASES),
        "made for another base model: it was trained on SD15 (eps), this is SD20 (v_prediction); does not "
        "follow edges: F1 0.08, 0.07 without, 0.09 with other pictures' edges",
    ),
    "damaged": (
        record(figures=ways(0.08), losses=(0.3, 0.1, 0.3), **SAME),
        "harms the picture: denoising loss 0.300, 0.100 without; does not follow edges: F1 0.08, 0.07 "
        "without, 0.09 with other pictures' edges; its weights are damaged, or belong to another base model",
    ),
    "faint": (
        record(figures=ways(0.08), change=0.04),
        "does next to nothing: it moves pictures by 0.04 of 255 levels (F1 0.08, 0.07 without, 0.09 with "
        "other pictures' edges)",
    ),
    "weak": (
        record(figures=ways(0.3)),
        "follows edges a little: F1 0.30, 0.07 without, 0.09 with other pictures' edges",
    ),
    "not followed": (
        record(figures=ways(0.1, inverted=0.12, moved=0.14), shift=(3, 9)),
        "does not follow edges: F1 0.10, 0.07 without, 0.09 with other pictures' edges",
    ),
    "the same for any hint": (
        record(figures=ways(0.5, shuffled=0.5)),
        "does not follow edges: F1 0.50, 0.07 without, 0.50 with other pictures' edges",
    ),
    "an error": (
        record("color", figures=ways(10.8, 41.2, 38.0)),
        "follows colours: error 10.8, 41.2 without, 38.0 with other pictures' colours",
    ),
    "one picture": (record(figures={"on": 0.8, "off": 0.1}), "follows edges: F1 0.80, 0.10 without"),
    "a style": (
        record("style", losses=(0.05, 0.09), figures={"on": 5.5, "off": 31.25}),
        "brings the style: distance 5.5, 31.2 without",
    ),
    "a style and its prompts": (
        with_prompts(record("style", losses=(0.05, 0.09), figures={"on": 5.5, "off": 31.25})),
        "brings the style: distance 5.5, 31.2 without; CLIP score 27.1, 27.4 without",
    ),
    "a control and its prompts": (with_prompts(record()), GOOD),
    "no style": (
        record("style", losses=(0.09, 0.09), figures={"on": 30.0, "off": 31.0}),
        "does not bring the style: distance 30.0, 31.0 without",
    ),
    "a net is missing": (
        record("depth", figures={}, losses=(0.08, 0.1, 0.105)),
        "follows depth: denoising loss 0.0800, 0.1000 without, 0.1050 with other pictures' depth",
    ),
    "no figure, not followed": (
        record("other", figures={}, losses=(0.0999, 0.1, 0.1)),
        "does not use its hints: denoising loss 0.0999, 0.1000 without, 0.1000 with other pictures' hints",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("found", "said"), SENTENCES.values(), ids=SENTENCES.keys())
def test_what_was_measured_is_one_sentence(found, said):
    assert verdict(found) == said


def test_how_far_a_hint_is_followed_is_counted_from_what_comes_without_it():
    assert share(record(figures=ways(0.1, 0.1))) == 0
    assert share(record(figures=ways(1.0))) == 1
    assert share(record("color", figures=ways(10, 40, 20))) == 0.5
    assert share(record(), "inverted") is None
    assert not is_followed(record(figures=ways(0.3)))


def test_a_record_goes_into_metadata_and_comes_back():
    found = record(
        figures=ways(0.8, moved=0.9), shift=(16, -2), left_out=("FID: why",), hint_shift=(1, 2), **BASES
    )
    metadata = found.to_metadata("a sentence")
    assert all(isinstance(value, str) for value in metadata.values())
    assert record_of({**metadata, "other": "kept"}) == found
    assert without_record({**metadata, "other": "kept"}) == {"other": "kept"}
    assert metadata["scedit.eval.verdict"] == "a sentence"
    assert metadata["scedit.eval.figures"].startswith(
        "F1 0.80, 0.07 without, 0.09 with other pictures' edges; "
    )
    assert json.loads(found.to_json("a sentence"))["verdict"] == "a sentence"


def test_clip_scores_are_kept_and_said_like_other_figures():
    found = with_prompts(record())
    assert record_of(found.to_metadata("a sentence")) == found
    assert found.lines()[1] == "CLIP score 27.1, 27.4 without"


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "5", '{"version":2}', '{"version":1,"kind":"x"}', "[" * 9999]
)
def test_what_is_no_record_is_none(text):
    assert record_of({"scedit.eval.record": text}) is None
    assert record_of({}) is None


def test_spreads_are_those_of_the_means():
    values = np.array([[0.1, 0.5], [0.3, 0.7]])
    spread = Spread.of(values)
    assert (spread.mean, spread.seeds, spread.pictures) == (0.4, 0.1, 0.2)
    assert Spread.of(values[:1, :1]) == Spread(0.1)
    with_spread = replace(record(), figures={"edge_f1": {"on": spread, "off": Spread(0.1)}})
    assert with_spread.lines()[0] == "F1 0.40 ± 0.10, 0.10 without"


@pytest.mark.parametrize(
    ("name", "metadata", "kind"),
    [
        ("canny_control", {}, "canny"),
        ("my_file", {"scedit.condition": "HED"}, "hed"),
        ("canny_old", {"scedit.condition": "depth"}, "depth"),
        ("Inpainting", {}, "masked image"),
        ("OpenPose_v2", {}, "pose"),
        ("something", {"scedit.condition": "normals"}, "other"),
    ],
)
def test_the_kind_is_what_the_file_says_or_is_called(name, metadata, kind):
    assert kind_of(name, metadata) == kind

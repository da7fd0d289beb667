"""The CLIP score is that of transformers, and what are no two halves of one CLIP ends in a sentence."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from clip_tools import SIZE, small_clip, text_of, vision_of
from evaluation_tools import evaluated, lists
from server_tools import world

from scedit_core.evaluation.measures import clip_score

PROMPTS = ("a red house by the sea", "(two) cats", "", "a long row of words " * 30)
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@pytest.fixture(scope="module")
def model():
    """A CLIP as transformers has it."""
    return small_clip()


@pytest.fixture(scope="module")
def halves(model):
    """The same CLIP as ComfyUI loads it."""
    return vision_of(model), text_of(clip_l=model)


@pytest.fixture(scope="module")
def clip_of(pack):
    """What makes one of two halves."""
    return pack.nodes.evaluation.clip.Clip.of


def expected(model: Any, pictures: list[np.ndarray], ids: list[int]) -> np.ndarray:
    """What transformers says of pictures and a text."""
    pixels = torch.from_numpy(np.stack(pictures)).movedim(-1, 1) / 255
    mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, DEVIATION))
    found = model(input_ids=torch.tensor([ids]), pixel_values=(pixels - mean) / deviation)
    return (100 * (found.image_embeds @ found.text_embeds[0])).clamp(min=0).numpy()


@pytest.mark.parametrize("name", ["clip_l", "clip_g"])
def test_the_score_is_that_of_transformers(model, clip_of, name):
    draw = np.random.default_rng(0)
    pictures = [draw.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8) for _ in range(2)]
    other = {"clip_l": "clip_g", "clip_g": "clip_l"}[name]
    text = text_of(**{name: model, other: small_clip(48)})
    with torch.inference_mode():
        clip = clip_of(vision_of(model), text)
        for prompt in PROMPTS:
            ids = [token for token, _ in text.tokenize(prompt, disable_weights=True)[name[-1]][0]]
            ours = [clip_score(clip.of_picture(one), clip.of_prompt(prompt)) for one in pictures]
            assert np.allclose(ours, expected(model, pictures, ids), rtol=0, atol=1e-3)
            assert min(ours) > 8


REFUSED = {
    "no text": (lambda clip: (vision_of(clip), None), "and clip_text is not connected; connect both"),
    "no pictures": (lambda clip: (None, text_of(clip_l=clip)), "and clip_vision is not connected"),
    "other widths": (
        lambda clip: (vision_of(clip), text_of(clip_l=small_clip(64), clip_g=small_clip(48))),
        "clip_vision gives pictures 32 numbers, and clip_text gives texts 64 and 48; connect the two halves",
    ),
    "no CLIP for texts": (lambda clip: (vision_of(clip), text_of()), "gives texts none of a CLIP; connect"),
    "no CLIP for pictures": (
        lambda clip: (vision_of(clip, projects=False), text_of(clip_l=clip)),
        "clip_vision does not bring pictures to texts, as a CLIP's own does",
    ),
    **{
        f"no projection: {what}": (
            lambda clip, weight=weight: (vision_of(clip), text_of(weight, clip_l=clip)),
            "clip_text lacks the text_projection that brings texts to pictures",
        )
        for what, weight in (
            ("zeros", torch.zeros(32, 32)),
            ("the identity", torch.eye(32)),
            ("no numbers", torch.full((32, 32), float("nan"))),
            ("large values of old memory", torch.full((32, 32), 1e4)),
            ("small values of old memory", torch.full((32, 32), 1e-6)),
        )
    },
}


@pytest.mark.parametrize(("made", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_are_no_two_halves_of_one_clip_is_refused(pack, model, clip_of, made, said):
    with pytest.raises(pack.scedit_core.SCEditError) as caught:
        clip_of(*made(model))
    assert said in str(caught.value)


def test_without_any_there_is_no_score(clip_of):
    assert clip_of(None, None) is None


@pytest.fixture(scope="module")
def told(pack, checkpoint):
    """A scene whose prompt keeps its words, as those of 'Training Folder' do."""
    caption = world.scene(world.HELD_OUT[0]).caption
    positive = pack.nodes.training.encode.encode_texts(checkpoint[1], [caption])[caption]
    latents = [{"samples": torch.zeros(1, 4, 8, 8)}]  # small: what is painted does not matter
    return {"latents": latents, "positive": [positive]}


def test_a_style_is_held_to_its_prompts_and_nothing_else_changes(node, checkpoint, told, tuner_of, halves):
    stranger = vision_of(small_clip(lean=-1))
    scored, left_out = (
        evaluated(
            node, checkpoint, {**told, "tuner": [tuner_of("night")]}, steps=1,
            clip_vision=vision, clip_text=halves[1],
        )
        for vision in (halves[0], stranger)
    )  # fmt: skip
    said, other = (json.loads(output.args[4]) for output in (scored, left_out))
    score = said["figures"].pop("clip_score")
    on, off = (f"{score[way]['mean']:.1f}" for way in ("on", "off"))
    assert score.keys() == {"on", "off", "pictures"}
    assert said.pop("verdict") == f"{other.pop('verdict')}; CLIP score {on}, {off} without"
    assert f"; CLIP score {on}, {off} without; " in scored.args[0].metadata["scedit.eval.figures"]
    assert said["left_out"][0].startswith("FID: it takes thousands of pictures")
    assert other.pop("left_out") == [
        said.pop("left_out")[0],
        "CLIP score: the held-out pictures themselves reach 0.0 with their prompts, and 15 or more with a "
        "CLIP whose two halves belong together",
    ]
    assert said == other


def test_a_prompt_without_words_is_refused_before_anything_is_painted(
    node, pack, checkpoint, tuner_of, halves
):
    given = {**lists(checkpoint, count=1), "tuner": [tuner_of("night")]}
    with pytest.raises(pack.scedit_core.SCEditError, match="prompt 1 came without its words"):
        evaluated(node, checkpoint, given, clip_vision=halves[0], clip_text=halves[1])

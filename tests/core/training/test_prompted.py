"""What is drawn from prompts: which lines, in which order, from which seeds, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scedit_core import SCEditError
from scedit_core.training.dataset.prompted import PromptedSettings

ASKED = PromptedSettings("a cat\n\n # no dog\n\ta red #1 house \r\n", count=2, seed=2**64 - 1)


def test_each_line_is_a_prompt_but_for_blank_ones_and_comments():
    assert ASKED.lines == ("a cat", "a red #1 house")
    assert ASKED.captions == (*ASKED.lines, *ASKED.lines)


def test_seeds_count_on_and_begin_again_at_0():
    assert [ASKED.seed_of(number) for number in range(3)] == [2**64 - 1, 0, 1]
    assert ASKED.describe().splitlines()[2] == f"seeds: {2**64 - 1} to 2"
    assert PromptedSettings("a cat", count=1).describe().splitlines()[2] == "seeds: 0"


def test_a_pictures_hints_are_its_own_whatever_else_is_drawn():
    pytest.importorskip("cv2")
    asked, picture = replace(ASKED, hint="masked image", hint_variants=3), np.full((64, 64, 3), 255, np.uint8)
    hints = asked.hints(1, picture)
    assert hints.shape == (3, 64, 64, 3)
    assert np.array_equal(hints[:2], replace(asked, prompts="a cat", hint_variants=2).hints(1, picture))
    assert not np.array_equal(hints, asked.hints(2, picture))
    assert not np.array_equal(hints, replace(asked, seed=0).hints(1, picture))


BAD = {
    "no prompt": ({"prompts": "\n # a cat \n"}, "there is no prompt"),
    "too many": ({"count": 5001}, "2 prompts with 5001 pictures each make 10,002 pictures"),
    "none of them": ({"count": 0}, "count and hint_variants are at least 1, got 0 and 1"),
    "a size between": ({"width": 516}, "width is 64 pixels or more, in steps of 8, got 516"),
    "a small size": ({"height": 32}, "height is 64 pixels or more, in steps of 8, got 32"),
    "ready hints": ({"hint": "from folder"}, "got 'from folder'; choose one of them"),
}


@pytest.mark.parametrize(("changes", "words"), BAD.values(), ids=BAD)
def test_what_cannot_be_drawn_is_refused(changes, words):
    with pytest.raises(SCEditError, match=words):
        replace(ASKED, **changes)


def test_pictures_and_hints_have_to_fit_into_memory():
    asked, each = replace(ASKED, hint="color", hint_variants=2), 512 * 512 * 12
    most = int(4 * each * 3.1 + 2e6)
    asked.check_room(most, has_pictures=True)
    ASKED.check_room(most // 3, has_pictures=False)
    with pytest.raises(SCEditError, match=r"of memory and .* are free; lower count or hint_variants"):
        asked.check_room(most // 2, has_pictures=True)

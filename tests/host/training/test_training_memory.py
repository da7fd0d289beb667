"""What a training keeps for backward on a U-Net of SD 1.5's size, 512 x 512: exact, without data."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import pytest
from support import REPOSITORY, load_module
from torch._subclasses.fake_tensor import FakeTensorMode

LORA, CONTROLNET, T2I = "LoRA rank 64", "ControlNet", "T2I-Adapter"


@pytest.fixture(scope="module")
def kept(pack: Any) -> dict[str, Counter[str]]:
    """Bytes by method and part of the network, as `dev.py bench training_cost` prints them."""
    folder = REPOSITORY / "benchmarks"
    with pytest.MonkeyPatch.context() as patch, FakeTensorMode():
        patch.syspath_prepend(str(folder))
        cost = load_module("scedit_training_cost", folder / "training_cost.py").Cost(pack)
        found = {name: cost.recorded(make) for name, make in cost.methods().items()}
    del sys.modules["scedit_training_cost"]
    return found


@pytest.mark.parametrize("tuner", ["SC-Tuner", "CSC-Tuner"])
@pytest.mark.parametrize("memory", ["", ", cheap", ", all"])
def test_nothing_of_the_input_and_middle_blocks_is_kept(kept, tuner, memory):
    assert kept[tuner + memory]["input"] == kept[tuner + memory]["middle"] == 0


@pytest.mark.parametrize(
    ("method", "peer", "most"),
    [
        ("SC-Tuner", LORA, 0.65),
        ("CSC-Tuner", CONTROLNET, 0.69),
        ("CSC-Tuner", T2I, 0.97),
        ("SC-Tuner, cheap", LORA, 0.16),
        ("CSC-Tuner, cheap", CONTROLNET, 0.16),
        ("SC-Tuner, all", LORA, 0.09),
        ("CSC-Tuner, all", CONTROLNET, 0.10),
    ],
)
def test_tuners_keep_a_part_of_what_their_peers_keep(kept, method, peer, most):
    assert kept[method].total() / kept[peer].total() <= most


@pytest.mark.parametrize(
    ("method", "megabytes"),
    [
        ("SC-Tuner", 1053),
        ("SC-Tuner, cheap", 251),
        ("SC-Tuner, all", 137),
        ("CSC-Tuner", 1243),
        ("CSC-Tuner, cheap", 280),
        ("CSC-Tuner, all", 167),
    ],
)
def test_the_help_pages_state_these_figures(kept, method, megabytes):
    assert round(kept[method].total() / 1e6) == megabytes

"""Jobs with LoRAs and with teachers, from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from job_tools import SANDBOX, write_job
from safetensors.torch import load_file, save_file

LAYER = "diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q"


@pytest.fixture
def lora(tmp_path: Path) -> str:
    """A LoRA of one layer of the sandbox's model, beside the job."""
    draw = torch.Generator().manual_seed(0)
    weights = {
        f"{LAYER}.lora_up.weight": torch.randn(128, 4, generator=draw),
        f"{LAYER}.lora_down.weight": torch.randn(4, 128, generator=draw),
    }
    save_file(weights, tmp_path / "style.safetensors")
    return "style.safetensors:0.5"


def tuners(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "edges" / "edges.safetensors")


CONTROL = str(SANDBOX.parent.parent / "scedit" / "canny_control")


def test_a_job_learns_from_its_teacher_and_goes_on_to_the_same_tuner(train_py, lora, tmp_path):
    taught: dict[str, Any] = {"loras": [lora], "tuners": [f"{CONTROL}:0.9"], "share": 0.8}
    status, said = train_py("run", write_job(tmp_path, teacher=taught, training={"steps": 2}))
    assert status == 0, said
    status, said = train_py("run", write_job(tmp_path, teacher=taught, training={"steps": 3}))
    assert (status, "goes on from step 2" in said) == (0, True), said
    broken = tuners(tmp_path)
    (tmp_path / "edges").rename(tmp_path / "kept")
    status, said = train_py("run", write_job(tmp_path, teacher=taught, training={"steps": 3}))
    assert status == 0, said
    assert all(torch.equal(value, broken[key]) for key, value in tuners(tmp_path).items())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"teacher": {"loras": ["none.safetensors"]}}, "no LoRA 'none.safetensors' in"),
        ({"teacher": {"loras": ["other.safetensors"]}}, "'other.safetensors' fits no layer of this model"),
        ({"model": {"loras": ["other.safetensors:0.3"]}}, "'other.safetensors' fits no layer of this model"),
        ({"teacher": {"controlnet": ["style.safetensors"]}}, "is no ControlNet and no T2I-Adapter"),
        ({"teacher": {"loras": ["style.safetensors:1e9"]}}, "a strength of at most 100"),
        ({"teacher": {"loras": ["style.safetensors"], "share": 2.0}}, r"share must lie between 0 and 1"),
        ({"teacher": {"lora": ["style.safetensors"]}}, "did you mean 'loras'"),
        (
            {"teacher": {"tuners": [CONTROL] * 2}},
            "has 2 controls that follow a hint, and the pictures bring 1",
        ),
    ],
)
def test_a_teacher_of_a_job_that_cannot_teach_is_refused(train_py, lora, tmp_path, changes, words):
    save_file({"some.lora_up.weight": torch.zeros(4, 4)}, tmp_path / "other.safetensors")
    status, said = train_py("run", write_job(tmp_path, **changes))
    assert status != 0
    assert words in said

"""Training steps on an imagined CUDA device: where and in what they compute, and what they read back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from imagined_gpu import CPU, CUDA, Reads, imagined, imagined_model
from torch._subclasses.fake_tensor import unset_fake_temporarily

PICTURES = 2


HALF, BRAIN, FULL = torch.float16, torch.bfloat16, torch.float32


def dataset(pack: Any, has_hints: bool) -> Any:
    """Pictures whose order was drawn and whose numbers were checked where there are numbers."""
    training = pack.scedit_core.training
    with unset_fake_temporarily():
        latent, caption = torch.zeros(4, 64, 64), [torch.zeros(1, 77, 768), {}]
        hints = (torch.zeros(1, 3, 512, 512),) if has_hints else ()
        data = training.TrainingSet([training.Example(latent, caption, hints)] * PICTURES)
    drawn = tuple(torch.zeros(PICTURES, 3, 512, 512) for _ in hints)
    batch = training.Batch(
        torch.zeros(PICTURES, 4, 64, 64), (caption,) * PICTURES, drawn, tuple(range(PICTURES))
    )
    data.read = lambda *_: batch
    return data


class Training:
    """A training of SD 1.5 in a dtype, on a device."""

    def __init__(
        self, pack: Any, device: torch.device, dtype: torch.dtype, kind: str, **settings: Any
    ) -> None:
        core, training = pack.scedit_core, pack.scedit_core.training
        self.config = training.TrainConfig(batch_size=PICTURES, min_snr_gamma=5.0, **settings)
        self.dtype = {"fp32": FULL, "bf16": BRAIN}[self.config.precision]
        model = imagined_model("SD 1.5", dtype, device=device)
        layout = pack.nodes.patching.conditions.skip_layout(model)
        spec = core.TunerSpec.sc(layout) if kind == "sc" else core.TunerSpec.csc(layout)
        base = pack.nodes.training.base_model.HostModel(model, self.config.recompute)
        base.sigmas = torch.ones(1000)
        tuners = core.build_tuners(spec, device=device, dtype=self.dtype)
        self.trainer = training.Trainer([tuners], base, dataset(pack, kind == "csc"), self.config)
        self.base = base

    def teach(self, pack: Any) -> None:
        """Have the same model as the teacher."""
        teaching, mine = pack.nodes.training.teaching, self.base.patcher
        guest = mine.clone()
        shared = teaching.shared.SharedNetwork(mine, guest)
        teacher = teaching.teacher.HostTeacher(guest, self.base.captions, None, shared)
        self.trainer.teaching = pack.scedit_core.training.Teaching(teacher, 0.5)


@pytest.mark.parametrize(
    ("dtype", "kind", "recompute"),
    [
        (HALF, "sc", "off"),
        (HALF, "csc", "cheap"),
        (BRAIN, "sc", "all"),
        (BRAIN, "csc", "off"),
        (FULL, "csc", "all"),
    ],
)
def test_the_loss_is_computed_on_the_card_and_nothing_is_read_back(pack, dtype, kind, recompute):
    precision = "fp32" if dtype is HALF else "bf16"
    with imagined():
        trainer = Training(pack, CUDA, dtype, kind, recompute=recompute, precision=precision).trainer
        with Reads() as reads:
            loss = trainer.loss(0)
    assert (loss.device, loss.dtype, loss.shape) == (CUDA, FULL, ())
    assert not reads.where


@pytest.mark.parametrize("dtype", [HALF, BRAIN])
def test_a_teacher_works_on_the_card_and_nothing_is_read_back(pack, dtype):
    with imagined():
        training = Training(pack, CUDA, dtype, "sc")
        training.teach(pack)
        with Reads() as reads:
            loss = training.trainer.loss(0)
    assert (loss.device, loss.dtype) == (CUDA, FULL)
    assert not reads.where


@pytest.mark.parametrize(("kind", "recompute"), [("sc", "off"), ("csc", "cheap"), ("csc", "all")])
def test_a_step_reads_its_loss_and_gradient_norm_at_once_and_nothing_else(pack, kind, recompute, monkeypatch):
    # backward asks CUDA itself for its device, so this is another without numbers; there the optimiser's own
    # counters, which are kept on the CPU, would be counted too
    with imagined():
        settings = {"recompute": recompute, "accumulation": 2, "ema_decay": 0.9, "precision": "bf16"}
        training = Training(pack, CPU, BRAIN, kind, **settings)
        trainer = training.trainer
        monkeypatch.setattr(trainer.optimizer, "step", lambda: None)
        with Reads(CPU) as reads:
            trainer.advance()
    assert {(p.grad.dtype, p.grad.shape == p.shape) for p in trainer.parameters} == {(BRAIN, True)}
    assert len(set(reads.where)) == 1, reads.where

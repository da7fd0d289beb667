"""What a trained tuner's file says of its training, as safetensors metadata: strings only."""

from __future__ import annotations

from dataclasses import asdict

from .loop import Trainer


def describe(trainer: Trainer) -> dict[str, str]:
    """Steps, settings, number of pictures and last losses of a run, under `scedit.train.*`."""
    recent = trainer.losses[-50:]
    settings = {key: value for key, value in asdict(trainer.config).items() if key != "steps"}
    facts = {"steps": trainer.step, "pictures": len(trainer.data), **settings}
    if trainer.teaching is not None:
        facts["teacher_share"] = trainer.teaching.share
    if recent:
        facts["loss"] = round(sum(recent) / len(recent), 6)
    return {f"scedit.train.{key}": str(value) for key, value in sorted(facts.items())}

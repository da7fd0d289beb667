"""What the paper's tables in small compare: each method, how it is trained, and what the paper says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from paper_lessons import Lessons
from tuning_peers import AdapterPeer, ControlPeer, FullPeer, LoRAPeer

STEPS, BATCHES = {"control": 200, "style": 40}, {"control": 4, "style": 8}

Make = Callable[[Lessons], torch.nn.Module]


@dataclass(frozen=True)
class Method:
    """Something to train in a lesson, and at which rate: the best of those that `--sweep` compared."""

    lesson: str
    make: Make
    rate: float = 2e-3


METHODS = {
    "full tuning": Method("style", lambda lessons: FullPeer(lessons.unet), 1e-3),
    "LoRA r=64": Method("style", lambda lessons: LoRAPeer(lessons.unet, 64), 5e-3),
    "LoRA r=6": Method("style", lambda lessons: LoRAPeer(lessons.unet, 6), 5e-3),
    "SC ratio 1": Method("style", lambda lessons: lessons.sc(), 5e-3),
    "SC ratio 5": Method("style", lambda lessons: lessons.sc(ratio=5.0), 5e-3),
    "SC ratio 10": Method("style", lambda lessons: lessons.sc(ratio=10.0), 5e-3),
    "SC skips 0, 8": Method("style", lambda lessons: lessons.sc(blocks=(0, 8)), 5e-3),
    "SC skips 0, 2, 4, 6, 8": Method("style", lambda lessons: lessons.sc(blocks=(0, 2, 4, 6, 8)), 5e-3),
    "SC conv, ratio 8": Method("style", lambda lessons: lessons.sc(ratio=8.0, op="conv"), 5e-3),
    "SC lora": Method("style", lambda lessons: lessons.sc(op="lora"), 5e-3),
    "ControlNet": Method("control", lambda lessons: ControlPeer(lessons.unet, lessons.config), 5e-4),
    "T2I-Adapter": Method("control", lambda lessons: AdapterPeer(lessons.config)),
    "CSC k=1": Method("control", lambda lessons: lessons.csc()),
    "CSC k=3": Method("control", lambda lessons: lessons.csc(kernel=3)),
    "CSC k=1, skips 0, 2, 3, 5, 6, 8": Method(
        "control", lambda lessons: lessons.csc(blocks=(0, 2, 3, 5, 6, 8))
    ),
    "CSC dual conv": Method("control", lambda lessons: lessons.csc(is_dual=True)),
    "CSC k=1, ratio 10": Method("control", lambda lessons: lessons.csc(ratio=10.0)),
}


@dataclass(frozen=True)
class Table:
    """One of the paper's tables: methods with its FID, memory and time, and which counts as 1."""

    title: str
    methods: Mapping[str, str]
    reference: str


TABLES = {
    1: Table(
        "Table 1: styles",
        {
            "full tuning": "14.15, 53.5 G, 1.00",
            "LoRA r=64": "13.96, 60.6 G, 1.24",
            "LoRA r=6": "15.12, 59.9 G, 1.20",
            "SC ratio 1": "13.82, 29.0 G, 0.78",
            "SC ratio 10": "13.99, 28.1 G, 0.77",
        },
        "full tuning",
    ),
    2: Table(
        "Table 2: controls, canny",
        {
            "ControlNet": "74.86, 49.5 G, 1.00",
            "T2I-Adapter": "73.37, 37.0 G, 0.92",
            "CSC k=1": "73.18, 34.8 G, 0.87",
            "CSC k=3": "71.78, 35.3 G, 0.87",
        },
        "ControlNet",
    ),
    5: Table(
        "Table 5: SC-Tuner",
        {
            "SC ratio 1": "13.82, 29.0 G",
            "SC ratio 5": "13.92, 28.3 G",
            "SC ratio 10": "13.99, 28.1 G",
            "SC skips 0, 8": "14.45, 28.1 G",
            "SC skips 0, 2, 4, 6, 8": "13.96, 28.6 G",
            "SC conv, ratio 8": "13.88, 28.7 G",
            "SC lora": "",
        },
        "SC ratio 1",
    ),
    6: Table(
        "Table 6: CSC-Tuner",
        {
            "CSC k=1": "73.18, 34.8 G",
            "CSC k=3": "71.78, 35.3 G",
            "CSC k=1, skips 0, 2, 3, 5, 6, 8": "85.42, 34.5 G",
            "CSC dual conv": "70.54, 35.3 G",
            "CSC k=1, ratio 10": "",
        },
        "CSC k=1",
    ),
}
TIMED = {"style": "SC ratio 1", "control": "CSC k=1"}  # whose time the others get as well

"""The parts of a job and their keys, in the nodes' words: the one table of all that a job can say.

What reads and writes job files, the nodes' widgets and the help of train.py are made from these fields.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import SCEditError, shown
from ...spec import EncoderSize, Kind, StemSize, TunerOp, published_stem
from ...unet import SkipLayout
from ..config import PRECISIONS, RANGES, Precision, TrainConfig
from ..dataset.buckets import STEP
from ..dataset.shards.drawing import HINTS
from ..memory.recompute import Recompute
from .keys import number, switch, text, texts, whole

MOST_CONTROLS = 4
_MOST_STRENGTH = 100.0
# what `memory` offers, in the training's own words
MEMORY: dict[str, Recompute] = {"full speed": "off", "less": "cheap", "least": "all"}
_EVERY = (0, RANGES["steps"][1])
_USUAL = TrainConfig()


@dataclass(frozen=True, kw_only=True)
class ModelPart:
    """The model to train on. It is not changed itself."""

    checkpoint: str = text("Name of a checkpoint in ComfyUI's models/checkpoints, or the path of a file.")
    sha256: str = text("SHA-256 of that file: with another one the job is refused. Empty: not looked at.", "")
    dtype: str = text(
        "Numbers that the model computes in. auto: as ComfyUI chooses for the graphics card.",
        "auto",
        ("auto", "fp32", "bf16", "fp16"),
    )
    loras: tuple[str, ...] = texts(
        "LoRAs that the model has while it is trained on, from models/loras: name, or name:strength."
    )


@dataclass(frozen=True, kw_only=True)
class TunerPart:
    """Form and size of what is trained."""

    kind: Kind = text("sc: a style. csc: a control, one for each of the hints.", choices=("sc", "csc"))
    tuner_op: TunerOp = text(
        "Form of each tuner. adapter: the paper's. conv: with 3x3 convs, which see neighbours (ratio 8 "
        "in the paper). lora: without activation.",
        "adapter",
        ("adapter", "conv", "lora"),
    )
    ratio: float = number(
        "Channels of a skip divided by the tuner's rank: 1 is the paper's, 10 a tenth of the size.",
        1.0,
        (0.1, 1280.0),
    )
    blocks: str = text(
        "Which skips get a tuner: output blocks, 0 the deepest, such as 0, 3, 6, 9, 11. Empty: all.", ""
    )
    kernel: int = whole(
        "Size of the dense hint convs: 1 is small (29M weights on SD 1.5), 3 finer (99M), as published.",
        1,
        (1, 3),
    )
    dual_conv: bool = switch(
        "A pair of convs for each dense hint conv: 3x3 to a fifth of the width, then 1x1.", False
    )
    hint_channels: int = whole(
        "Channels that the hint is brought to. 0: as published (256 for SD, 320 for SDXL).", 0, (0, 4096)
    )
    stem_ratio: float = number(
        "Width of the convs before that. 0: as published (1 for SD, 2 for SDXL).", 0.0, (0.0, 8.0)
    )
    start: tuple[str, ...] = texts("Tuner files to start from, one for each of the hints. Empty: fresh ones.")

    @property
    def chosen_blocks(self) -> tuple[int, ...] | None:
        """Block numbers from `blocks`; None for all. Raises SCEditError for what is no list of them."""
        return blocks_of(self.blocks)

    def encoder(self, layout: SkipLayout) -> EncoderSize:
        """Size of the hint encoder; what is left at 0 is as published for U-Nets of this layout."""
        usual = published_stem(layout)
        stem = StemSize(self.stem_ratio or usual.ratio, self.hint_channels or usual.out)
        return EncoderSize(self.kernel, stem, self.dual_conv)


@dataclass(frozen=True, kw_only=True)
class DataPart:
    """What it learns from: a prepared data set, a folder of pictures, or one made from the other."""

    dataset: str = text(
        "Folder of a prepared data set. If it is empty, the pictures of 'folder' are read into memory at "
        "each start: right for some hundred.",
        "",
    )
    folder: str = text("Folder of pictures with captions, or another source that 'prepare' reads.", "")
    hints: tuple[str, ...] = texts(
        "What each control learns to follow: canny, color, masked image and sketch are drawn; hed, depth, "
        "pose and segmentation are found by nets, when a data set is prepared; 'from folder' reads ready "
        "ones. Empty for a style.",
        HINTS,
    )
    hint_folder: str = text("For 'from folder': name of the folder with them, inside the other.", "hints")
    resolution: int = whole(
        "Size to train at, in pixels, as the side of a square: 512 for SD 1.5, 768 for SD 2.1, 1024 for "
        "SDXL.",
        512,
        (STEP, 4096),
    )
    buckets: bool = switch("Wide and tall pictures stay so. Off: the centre square of each.", True)
    enlarge: bool = switch(
        "Pictures smaller than that are scaled up. Off: they are trained at their own size, in steps of 64.",
        True,
    )
    trigger: str = text("Put in front of each caption, such as <sce>.", "")
    caption_when_missing: str = text("Caption of pictures that have none. Empty: an error names them.", "")
    hint_variants: int = whole(
        "Hints drawn per picture, each with other random settings or another mask.", 1, (1, 64)
    )
    seed: int = whole("Draws the random settings and masks of the hints.", 0, RANGES["seed"])


@dataclass(frozen=True, kw_only=True)
class TeacherPart:
    """A model to learn from in place of the pictures' true noise. Empty: there is none."""

    checkpoint: str = text("Its checkpoint, if it is another one than the model's.", "")
    loras: tuple[str, ...] = texts("Its LoRAs, from models/loras: name, or name:strength.")
    tuners: tuple[str, ...] = texts(
        "Its SCEdit tuners, from models/scedit: name, or name:strength. Controls follow the hints, in order."
    )
    controlnet: tuple[str, ...] = texts(
        "Its ControlNets, from models/controlnet, which follow the hints before its tuners do."
    )
    share: float = number(
        "How much of the target is the teacher's: 1 the teacher alone, 0 the pictures alone.", 1.0, (0.0, 1.0)
    )
    hint: str = text(
        "How the teacher's controls read the hints. inverted: black lines on white, where ours are white on "
        "black.",
        "same",
        ("same", "inverted"),
    )


@dataclass(frozen=True, kw_only=True)
class TrainingPart:
    """How it learns."""

    steps: int = whole("Changes of the weights, in all.", _USUAL.steps, RANGES["steps"], control=10_000)
    batch_size: int = whole(
        "Pictures looked at together. More is steadier and needs more memory.", 1, RANGES["batch_size"]
    )
    accumulation: int = whole(
        "Batches per step: as steady as a batch that many times larger, at the memory of a small one.",
        4,
        RANGES["accumulation"],
    )
    learning_rate: float = number(
        "How far each step goes. The paper uses 5e-5, its released configs 1e-4.",
        1e-4,
        RANGES["learning_rate"],
    )
    seed: int = whole(
        "Same seed, same tuner: it draws the order, the noise and the first weights.", 0, RANGES["seed"]
    )
    caption_dropout: float = number(
        "Share of pictures learnt without caption; 0.1 is usual.",
        _USUAL.caption_dropout,
        RANGES["caption_dropout"],
    )
    min_snr_gamma: float = number(
        "Weighs easy noise levels less; 5 is usual, 0 is off.", _USUAL.min_snr_gamma, RANGES["min_snr_gamma"]
    )
    ema_decay: float = number(
        "Averages the weights over the steps; 0 is off.", _USUAL.ema_decay, RANGES["ema_decay"]
    )
    weight_decay: float = number("AdamW's pull towards 0.", _USUAL.weight_decay, RANGES["weight_decay"])
    clip_norm: float = number("Longest gradient; 0 is off.", _USUAL.clip_norm, RANGES["clip_norm"])
    precision: Precision = text("Numbers the tuner is kept in while it learns.", "fp32", PRECISIONS)
    memory: str = text(
        "less: a quarter of the memory at nearly the same speed. least: still less, and slower. The "
        "tuner comes out the same.",
        "less",
        tuple(MEMORY),
    )
    half_gradients: bool = switch(
        "Several processes hand each other gradients in half precision: for slow networks.", False
    )

    def config(self) -> TrainConfig:
        """The same as settings of a training."""
        return to_config(vars(self))


@dataclass(frozen=True, kw_only=True)
class RunPart:
    """Where results go, and what is saved and shown on the way."""

    name: str = text("Name of what is trained: tuner files begin with it.")
    output: str = text("Folder for results. Empty: one of that name, beside the job file.", "")
    save_every: int = whole(
        "Steps between saves: of the state, and of a tuner that can be tried. 0: only at the end.",
        250,
        _EVERY,
        control=1000,
    )
    sample_every: int = whole("Steps between sheets of pictures drawn on the way. 0: none.", 0, _EVERY)
    samples: int = whole("Pictures on such a sheet, of the first of the data set.", 4, (1, 64))
    prompts: tuple[str, ...] = texts("What they show, in their order. Empty: their own captions.")
    sample_steps: int = whole("Sampling steps of each.", 20, (1, 1000))
    cfg: float = number("How strongly each is drawn to its prompt.", 5.0, (0.0, 100.0))


@dataclass(frozen=True, kw_only=True)
class EvaluatePart:
    """On what 'train.py evaluate' measures whether it works."""

    folder: str = text("Folder of pictures that were kept out of the training. Empty: no folder.", "")
    dataset: str = text("Or a prepared data set of such pictures. Both empty: those of [data].", "")
    pictures: int = whole("How many of them are painted, the first ones.", 4, (1, 10_000))
    seeds: int = whole("How often each is painted; the figures' spread is over these.", 2, (1, 64))
    seed: int = whole("The first seed; further ones count on from it.", 0, RANGES["seed"])
    steps: int = whole("Sampling steps of each.", 20, (1, 1000))
    cfg: float = number("How strongly each is drawn to its prompt.", 5.0, (0.0, 100.0))
    keep_pictures: bool = switch("Keep pictures as PNGs in folders, for tools that count FID.", False)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A training as its file says it. Paths that are relative begin in `folder`, where the file lies."""

    model: ModelPart
    tuner: TunerPart
    data: DataPart
    teacher: TeacherPart
    training: TrainingPart
    run: RunPart
    evaluate: EvaluatePart
    folder: Path

    def path(self, given: str) -> Path:
        """Where a path of the job leads."""
        return self.folder / Path(given).expanduser()

    @property
    def output(self) -> Path:
        """The folder of its results."""
        return self.path(self.run.output or self.run.name)

    def controls(self, hints: int) -> int:
        """How many controls it trains from pictures with so many hints; 0 for a style."""
        return hints if self.tuner.kind == "csc" else 0


PARTS: dict[str, type] = {
    "model": ModelPart,
    "tuner": TunerPart,
    "data": DataPart,
    "teacher": TeacherPart,
    "training": TrainingPart,
    "run": RunPart,
    "evaluate": EvaluatePart,
}


def with_strength(given: str) -> tuple[str, float]:
    """Name and strength from text such as 'watercolour:0.8'; the strength is 1 if there is none."""
    name, _, last = given.rpartition(":")
    try:
        strength = float(last)
    except ValueError:  # a name alone, or a path of Windows
        return given, 1.0
    if not name or not abs(strength) <= _MOST_STRENGTH:
        raise SCEditError(
            f"'{shown(given)}' is to be a name, or a name and a strength of at most {_MOST_STRENGTH:g}; "
            "write for instance 'watercolour:0.8'"
        )
    return name, strength


def blocks_of(given: str) -> tuple[int, ...] | None:
    """Block numbers from text such as '0, 3, 6'; None for all."""
    parts = [part for part in re.split(r"[\s,;]+", given.strip()) if part]
    if not all(re.fullmatch(r"\d{1,3}", part) for part in parts):
        raise SCEditError(f"blocks are numbers such as 0, 3, 6, got '{shown(given)}'; leave it empty for all")
    return tuple(map(int, parts)) or None


def to_config(settings: Any) -> TrainConfig:
    """Settings of a training by the names of its widgets. Raises SCEditError for a value out of range."""
    given = {name: settings[name] for name in vars(_USUAL) if name in settings}
    return TrainConfig(**given, recompute=MEMORY[settings.get("memory", "full speed")])

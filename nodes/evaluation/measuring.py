"""A tuner measured on held-out pictures, as the node and train.py share it; it shows nothing itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import comfy.utils
import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ...scedit_core import SCEditError
from ...scedit_core.evaluation.figures import (
    Rows,
    change,
    figures_of,
    style_figures,
    with_hint_shift,
    with_shift,
)
from ...scedit_core.evaluation.kinds import CLIP_SCORE, KINDS, STYLE, Kind
from ...scedit_core.evaluation.record import (
    INVERTED,
    OFF,
    ON,
    PICTURES,
    SHUFFLED,
    Record,
    without_record,
)
from ...scedit_core.evaluation.verdict import is_followed, verdict
from ...scedit_core.training import TrainingSet
from ...scedit_core.training.dataset.examples import unit
from ..files.hosted import HostedTuners
from ..hints.kinds import KINDS as HINTS
from ..hints.kinds import NETS
from ..hints.nets import drawer
from ..patching.conditions import Condition
from ..patching.patch import install
from ..sampling import decoded
from ..training.base_model import describe_model
from .clip import Clip, PromptScores, lack
from .painting import LEVELS, Settings, losses, paint, turned

_UNMEASURED = "CLIP score and FID: neither this pack nor ComfyUI brings the nets for them"
_NO_FID = "FID: it takes thousands of pictures; train.py keeps them for the tools that count it"

_BLANK = np.zeros((1, 64, 64, 3), np.uint8)
_log = logging.getLogger(__name__)

Find = Callable[[np.ndarray], np.ndarray]
Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Subject:
    """What is measured, on which MODEL; of a control the kind of hint, and which of the pictures' hints."""

    model: Any
    tuners: HostedTuners
    kind: str
    hint: int = 0


@dataclass(frozen=True, eq=False)
class Judges:
    """What makes pictures of latents, and what holds them to their prompts, if there is such a thing."""

    vae: Any
    clip: Clip | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """What came of it. `painted` has the pictures by way, `hints` and `originals` those they are held to."""

    record: Record
    hints: Sequence[np.ndarray]
    originals: Sequence[np.ndarray]
    painted: Mapping[str, Rows]

    @property
    def verdict(self) -> str:
        """One sentence."""
        return verdict(self.record)

    def labelled(self, tuners: HostedTuners) -> HostedTuners:
        """The same tuners, whose file will say what was measured."""
        metadata = without_record(tuners.metadata) | self.record.to_metadata(self.verdict)
        return replace(tuners, metadata=metadata)


def measure(
    subject: Subject, data: TrainingSet, count: int, judges: Judges, settings: Settings, say: Say
) -> Measured:
    """Figures of a tuner on the first `count` pictures of a set. Raises SCEditError for what does not fit."""
    studio = _Studio(subject, data, min(count, len(data)), judges.vae, settings, say)
    originals = studio.originals()
    left_out = [_NO_FID if judges.clip else _UNMEASURED, *studio.lacks()]
    find = _finder(subject.kind, left_out)
    scores = _prompt_scores(judges.clip, data, originals, left_out)
    for way in studio.ways:
        studio.paint(way, settings.seeds)
        studio.take_losses(way)
    record = _record(studio, originals, find, left_out)
    if find is not None and studio.hints:
        record = with_hint_shift(record, [find(picture) for picture in originals], studio.hints)
        if record.change and not is_followed(record):
            record = _looked_into(record, studio, originals, find)
    if scores is not None:
        rows = {**{way: studio.painted[way] for way in studio.ways}, PICTURES: [originals]}
        ways = {way: scores.of(painted) for way, painted in rows.items()}
        record = replace(record, figures={**record.figures, CLIP_SCORE.key: ways})
    return Measured(record, studio.hints, originals, studio.painted)


def _finder(kind: str, left_out: list[str]) -> Find | None:
    """What finds in a picture uint8 `(H, W, 3)` what its hint shows; None if its net is not there."""
    row = KINDS[kind]
    if not row.net:
        return np.asarray
    hint = HINTS[row.net]
    try:
        draw = drawer(NETS[row.net], hint.net_resolution or 0)
        draw(_BLANK)  # what is missing is missed now, and not once all is painted
    except SCEditError as error:
        _log.warning("SCEdit: %s", error)
        # goes into files, and the error names folders of this computer
        left_out.append(f"{row.measures[0].name}: the net for it cannot run here; '{hint.title}' says why")
        return None
    return lambda picture: draw(picture[None])[0]


def _prompt_scores(
    clip: Clip | None, data: TrainingSet, originals: Sequence[np.ndarray], left_out: list[str]
) -> PromptScores | None:
    """What holds pictures to their prompts; None without a CLIP, or if the originals say that it is none."""
    if clip is None:
        return None
    scores = PromptScores(clip, data, len(originals))
    lacking = lack(scores.of([originals]))
    left_out += [lacking] if lacking else []
    return None if lacking else scores


class _Studio:
    """Paints held-out pictures in several ways, and keeps what came of it."""

    def __init__(
        self, subject: Subject, data: TrainingSet, count: int, vae: Any, settings: Settings, say: Say
    ) -> None:
        self.subject, self.settings, self.vae, self.say = subject, settings, vae, say
        self.count, self._data = count, data
        self.empties = [data.without_caption(number) for number in range(count)]
        self.painted: dict[str, Rows] = {}
        self.losses: dict[str, np.ndarray] = {}  # by way, of pictures and levels
        is_control = subject.kind != STYLE
        self.hints = [_pixels(self._hint(number)) for number in range(count)] if is_control else []
        self.ways = [ON, OFF, SHUFFLED] if is_control and count > 1 else [ON, OFF]
        each = len(settings.seeds) * (settings.steps + 1) + 1
        self._bar = comfy.utils.ProgressBar(count * (len(self.ways) * each + 1))

    def lacks(self) -> list[str]:
        """What cannot be done with what came in."""
        lacks = []
        if self.hints and SHUFFLED not in self.ways:
            lacks.append("hints of other pictures: there is one picture alone")
        if self.empties[0] is None and self.settings.cfg != 1:
            lacks.append("cfg: no empty prompt came in, so nothing is drawn to its caption more than it is")
        return lacks

    def paint(self, way: str, seeds: Sequence[int]) -> None:
        """Paint all pictures in a way, from each of these seeds."""
        latents: list[list[Tensor]] = [[] for _ in seeds]
        for number in range(self.count):
            self.say(f"{way}: picture {number + 1} of {self.count}")
            batch = self._data.alone(number)
            model, empty = self._model(way, number), self.empties[number]
            for row, seed in zip(latents, seeds, strict=True):
                row.append(paint(model, batch, empty, self.settings, seed, self._tick))
        self.painted[way] = [[self._decoded(latent) for latent in row] for row in latents]

    def take_losses(self, way: str) -> None:
        """Take the denoising losses of all pictures in a way."""
        found = []
        for number in range(self.count):
            found.append(losses(self._model(way, number), self._data.alone(number), number))
            self._tick()
        self.losses[way] = np.array(found)

    def originals(self) -> list[np.ndarray]:
        """The held-out pictures as the VAE shows them, to which results can be compared."""
        scaled = self.subject.model.model.process_latent_out
        batches = map(self._data.read_alone, range(self.count))
        return [self._decoded(scaled(batch.latents.float().cpu())) for batch in batches]

    def _hint(self, number: int) -> Tensor:
        """IMAGE `(1, H, W, 3)`."""
        hint = self._data.read_alone(number).hints[self.subject.hint]
        return rearrange(unit(hint), "n c h w -> n h w c")

    def _model(self, way: str, number: int) -> Any:
        """The MODEL that paints a picture in a way."""
        if way == OFF:
            return self.subject.model
        hint = None
        if self.hints:
            hint = self._hint(turned(self.count)[number] if way == SHUFFLED else number)
            hint = 1 - hint if way == INVERTED else hint
        return install(self.subject.model, [Condition(self.subject.tuners, hint, self.settings.strength)])

    def _decoded(self, latent: Tensor) -> np.ndarray:
        self._tick()
        return decoded(self.vae, latent)

    def _tick(self) -> None:
        self._bar.update(1)


def _record(
    studio: _Studio, originals: Sequence[np.ndarray], find: Find | None, left_out: Sequence[str]
) -> Record:
    subject, settings, kind = studio.subject, studio.settings, KINDS[studio.subject.kind]
    tried = {way: studio.losses[way].mean(0) for way in studio.ways}
    return Record(
        kind=kind.name,
        pictures=studio.count,
        seeds=settings.seeds,
        settings={key: value for key, value in vars(settings).items() if key != "seeds"},
        figures=_figures(kind, studio, originals, find),
        losses={
            f"{level:g}": {way: round(float(values[place]), 6) for way, values in tried.items()}
            for place, level in enumerate(LEVELS)
        },
        change=change(studio.painted[ON], studio.painted[OFF]),
        made_for=_base(subject.tuners.metadata),
        model=_base(describe_model(subject.model)),
        left_out=tuple(left_out),
    )


def _figures(kind: Kind, studio: _Studio, originals: Sequence[np.ndarray], find: Find | None) -> Any:
    if not studio.hints:
        return style_figures(kind, studio.painted, originals)
    return {} if find is None else figures_of(kind, _found(studio, originals, find), studio.hints)


def _found(studio: _Studio, originals: Sequence[np.ndarray], find: Find) -> dict[str, Rows]:
    """What is found in all pictures, by way."""
    every = {**studio.painted, PICTURES: [originals]}
    return {way: [[find(picture) for picture in row] for row in rows] for way, rows in every.items()}


def _looked_into(record: Record, studio: _Studio, originals: Sequence[np.ndarray], find: Find) -> Record:
    """The record of a hint that is not followed, with other readings of the hint tried."""
    if record.row.has_polarity:
        studio.paint(INVERTED, studio.settings.seeds[:1])
    found = _found(studio, originals, find)
    record = replace(record, figures=figures_of(record.row, found, studio.hints))
    return with_shift(record, found[ON], studio.hints)


def _base(said: Mapping[str, str]) -> str:
    """What a file or a MODEL says of the base model; empty if it says nothing."""
    known = [said[key] for key in ("scedit.base", "scedit.prediction") if said.get(key)]
    return f"{known[0]} ({known[1]})" if len(known) == 2 else ""


def _pixels(image: Tensor) -> np.ndarray:
    """The first of some images, uint8 `(H, W, 3)`."""
    return (image[0].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()

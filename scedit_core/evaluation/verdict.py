"""One sentence on whether a tuner works, out of what was measured."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..errors import shown
from .displacement import in_words
from .kinds import CLIP_SCORE, STYLE, Measure
from .record import INVERTED, MOVED, OFF, ON, SHUFFLED, Record

# of the way from what comes without the hint to perfect: what counts as followed, and as followed a little
FOLLOWED, A_LITTLE = 0.4, 0.1
_BETTER = 0.2  # of that way: how much better another reading of the hint has to be to be the right one
# denoising losses, as multiples of the one without the tuner: noise is the same, so that little tells much
_HARM, _HELP = 1.05, 0.98
_HARDLY = 1.0  # levels of 255 that pictures move by


def share(record: Record, way: str = ON) -> float | None:
    """How much of the way to a perfect figure was gone, from the best that comes without the hint: 1 is all.

    Of the denoising loss where the kind has no figure: there nothing is perfect. None if nothing is known.
    """
    measure = main_measure(record)
    if measure is None:
        reference = min(loss for loss in map(record.loss, (OFF, SHUFFLED)) if not math.isnan(loss))
        return None if math.isnan(record.loss(way)) else 1 - record.loss(way) / reference
    ways = record.figures[measure.key]
    if way not in ways:
        return None
    others = [ways[other].mean for other in (OFF, SHUFFLED) if other in ways]
    if measure.best == 0:
        return 1 - ways[way].mean / max(min(others), 1e-9)
    return (ways[way].mean - max(others)) / max(1 - max(others), 1e-9)


def main_measure(record: Record) -> Measure | None:
    """The figure that decides; None where it could not be taken."""
    measures = record.row.measures
    return measures[0] if measures and measures[0].key in record.figures else None


def is_followed(record: Record) -> bool:
    """Whether the hint is followed as it is, so that nothing else has to be tried."""
    got, enough = share(record), FOLLOWED if main_measure(record) else 1 - _HELP
    return got is not None and got >= enough


def is_better(record: Record, way: str) -> bool:
    """Whether the hint, read in another way, is followed, and clearly better than as it is."""
    there, here = share(record, way), share(record)
    return there is not None and here is not None and there >= max(FOLLOWED / 2, here + _BETTER)


def verdict(record: Record) -> str:
    """The sentence."""
    said = next(filter(None, (rule(record) for rule in _RULES)))
    if record.hint_shift is not None:
        where = in_words(record.hint_shift)
        said += f"; but the hints lie {where} of what their own pictures show: make them anew"
    return said + _prompt_kept(record)


def _does_nothing(record: Record) -> str | None:
    if record.change > 0:
        return None
    return f"does nothing: pictures with it are those without it, bit for bit ({_figures(record)})"


def _follows(record: Record) -> str | None:
    return f"{record.row.does}: {_figures(record)}" if is_followed(record) else None


def _is_inverted(record: Record) -> str | None:
    if not is_better(record, INVERTED):
        return None
    return (
        f"{record.row.does} only where black and white are exchanged: {_one(record, INVERTED)} then, "
        f"{_value(record, ON)} with hints as they are, {_value(record, OFF)} without; give it hints of the "
        "other polarity"
    )


def _is_moved(record: Record) -> str | None:
    if record.shift is None or not is_better(record, MOVED):
        return None
    return (
        f"{record.row.does}, but {in_words(record.shift)} of where the hint has them: {_one(record, MOVED)} "
        f"there, {_value(record, ON)} in place, {_value(record, OFF)} without; the hints it learnt from were "
        "moved against their pictures"
    )


def _is_of_another_base(record: Record) -> str | None:
    if not record.made_for or record.made_for == record.model:
        return None
    return (
        f"made for another base model: it was trained on {shown(record.made_for)}, this is "
        f"{shown(record.model)}; {record.row.does_not}: {_figures(record)}"
    )


def _harms(record: Record) -> str | None:
    on, off = record.loss(ON), record.loss(OFF)
    if not on > _HARM * off:
        return None
    return (
        f"harms the picture: denoising loss {on:.3f}, {off:.3f} without; {record.row.does_not}: "
        f"{_figures(record)}; its weights are damaged, or belong to another base model"
    )


def _hardly_acts(record: Record) -> str | None:
    if record.change >= _HARDLY:
        return None
    return (
        f"does next to nothing: it moves pictures by {record.change:.2g} of 255 levels ({_figures(record)})"
    )


def _follows_a_little(record: Record) -> str | None:
    got = share(record)
    if main_measure(record) is None or got is None or got < A_LITTLE:
        return None
    return f"{record.row.does} a little: {_figures(record)}"


def _does_not_follow(record: Record) -> str:
    return f"{record.row.does_not}: {_figures(record)}"


_RULES: tuple[Callable[[Record], str | None], ...] = (
    _does_nothing,
    _follows,
    _is_inverted,
    _is_moved,
    _is_of_another_base,
    _harms,
    _hardly_acts,
    _follows_a_little,
    _does_not_follow,
)


def _prompt_kept(record: Record) -> str:
    """Of a style, which may well cost what the prompt asks for: such as '; CLIP score 27.1, 27.4 without'."""
    ways = record.figures.get(CLIP_SCORE.key)
    if ways is None or record.kind != STYLE:
        return ""
    on, off = (f"{ways[way].mean:.{CLIP_SCORE.digits}f}" for way in (ON, OFF))
    return f"; {CLIP_SCORE.name} {on}, {off} without"


def _one(record: Record, way: str) -> str:
    """Such as 'F1 0.86'."""
    measure = main_measure(record)
    return f"{measure.name if measure else 'denoising loss'} {_value(record, way)}"


def _value(record: Record, way: str) -> str:
    """The deciding figure of a way; empty if it was not tried."""
    measure = main_measure(record)
    if measure is None:
        return "" if math.isnan(record.loss(way)) else f"{record.loss(way):.4f}"
    ways = record.figures[measure.key]
    return f"{ways[way].mean:.{measure.digits}f}" if way in ways else ""


def _figures(record: Record) -> str:
    """Such as 'F1 0.86, 0.07 without, 0.09 with other pictures' edges'."""
    words = {OFF: "without", SHUFFLED: f"with {record.row.others}"}
    known = [f"{_value(record, way)} {said}" for way, said in words.items() if _value(record, way)]
    return ", ".join([_one(record, ON), *known])

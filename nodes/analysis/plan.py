"""Which variants of a MODEL are run for an analysis, and what their looks say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...scedit_core import SCEditError
from ...scedit_core.errors import shown
from ...scedit_core.pictures.skip_sheet import Bars, Decoded
from ...scedit_core.skip_figures import moved
from ..patching.probe import EditOfModel, Variant
from .looking import Look

HALVES = {"deepest": "deepest half", "shallowest": "shallowest half", "every second": "every second"}
ONE_OFF, ONE_ON = "each block off", "each block alone"
MOST_SCALE = 2.0
PLAIN = Variant()
_LONGEST = 60  # letters of a name over bars
_PLACES = {"skip": "output block, 0 is the deepest", "encoder": "input block, 0 is the first"}


@dataclass(frozen=True)
class Group:
    """Variants that are compared with one other, a bar for each."""

    title: str
    place: str
    against: Variant
    blocks: Sequence[int]
    variants: Sequence[Variant]


@dataclass
class Plan:
    """All variants of an analysis: three ways to run the U-Net, which are watched, and groups of bars."""

    ways: Mapping[str, Variant]
    watched: Sequence[int]
    groups: list[Group] = field(default_factory=list)

    @property
    def variants(self) -> list[tuple[Variant, Sequence[int]]]:
        """Each variant that has to be run, once, the plain one first, with the blocks to watch in it."""
        every: dict[int, tuple[Variant, Sequence[int]]] = {
            id(way): (way, self.watched) for way in self.ways.values()
        }
        for group in self.groups:
            for variant in (group.against, *group.variants):
                every.setdefault(id(variant), (variant, ()))
        return list(every.values())


def plan_of(skips: int, scale: float, half: str, edits: Sequence[EditOfModel], mode: str) -> Plan:
    """The variants for a U-Net with so many skips and a MODEL with these edits."""
    if not 0 <= scale <= MOST_SCALE:
        raise SCEditError(
            f"scale is what skips are multiplied by, from 0 to {MOST_SCALE:g}, got {scale:g}; 0 removes them"
        )
    of_half = half_of(skips, half)
    word = "removed" if scale == 0 else f"x {scale:g}"
    ways = {
        "all skips": PLAIN,
        f"{HALVES[half]} {word}": Variant(dict.fromkeys(of_half, scale)),
        f"all {word}": Variant(dict.fromkeys(range(skips), scale)),
    }
    plan = Plan(ways, depths_of(skips))
    blocks = range(skips)
    one_by_one = [Variant({block: scale}) for block in blocks]
    plan.groups.append(Group(f"one skip {word}", _PLACES["skip"], PLAIN, blocks, one_by_one))
    for number, edit in enumerate(edits):
        plan.groups.append(_group_of(number, edit, mode))
    return plan


def half_of(skips: int, which: str) -> tuple[int, ...]:
    """The output blocks of one half of the skips; the smaller one where their number is odd."""
    halves = {
        "deepest": range(skips // 2),
        "shallowest": range(skips - skips // 2, skips),
        "every second": range(1, skips, 2),
    }
    return tuple(halves[which])


def depths_of(skips: int) -> tuple[int, ...]:
    """Output blocks to look into: halfway, the last but one, and the last.

    Counted from 1 these are the 6th, 11th and 12th of 12, as in the paper's Fig. 3.
    """
    return tuple(sorted({max(0, (skips + 1) // 2 - 1), max(0, skips - 2), skips - 1}))


def _group_of(number: int, edit: EditOfModel, mode: str) -> Group:
    """One block of an edit after the other off, or all others off."""
    title = f"edit {number + 1}" + (f" '{shown(edit.name, _LONGEST)}'" if edit.name else "")
    place = _PLACES[edit.place]
    if mode == ONE_OFF:
        variants = [Variant(off={number: (block,)}) for block in edit.blocks]
        return Group(f"{title}: one block off", place, PLAIN, edit.blocks, variants)
    off = Variant(off={number: edit.blocks})
    alone = [Variant(off={number: tuple({*edit.blocks} - {block})}) for block in edit.blocks]
    return Group(f"{title}: one block alone, against none", place, off, edit.blocks, alone)


@dataclass(frozen=True, eq=False)
class Findings:
    """What the looks say: what the decoder made, and by which shares pictures moved."""

    ways: Sequence[Decoded]
    moved: Sequence[float]
    bars: Sequence[Bars]


def findings(plan: Plan, looks: Sequence[Look]) -> Findings:
    """Figures of the looks at the plan's variants, in their order."""
    by_variant = {id(variant): each for (variant, _), each in zip(plan.variants, looks, strict=True)}
    plain = by_variant[id(PLAIN)].picture
    ways = [Decoded(name, by_variant[id(way)].outputs) for name, way in plan.ways.items()]
    shares = [moved(by_variant[id(way)].picture, plain) for way in plan.ways.values()]
    bars = []
    for group in plan.groups:
        against = by_variant[id(group.against)].picture
        of_group = [moved(by_variant[id(variant)].picture, against) for variant in group.variants]
        bars.append(Bars(group.title, group.place, group.blocks, of_group))
    return Findings(ways, shares, bars)

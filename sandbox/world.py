"""A small world drawn by code: scenes of 256 x 256 with captions in plain words, and styles of them.

`scene(seed)` is deterministic. Training takes seeds from 0 on, measuring those of `HELD_OUT`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw

__all__ = ["HELD_OUT", "SIZE", "STYLES", "Scene", "Thing", "drawing", "named_places", "scene"]

SIZE = 256
HELD_OUT = range(1_000_000, 1_000_064)  # no training uses these seeds

_SUPERSAMPLE = 3
_COLOURS = {
    "red": (214, 40, 40),
    "orange": (247, 127, 0),
    "yellow": (252, 211, 42),
    "green": (46, 160, 67),
    "blue": (37, 99, 235),
    "purple": (132, 56, 190),
    "pink": (244, 143, 187),
    "white": (245, 245, 245),
    "black": (28, 28, 32),
}
_BACKGROUNDS = ("red", "yellow", "green", "blue", "purple", "pink", "white", "black")
_GROUNDS = {"grass": (98, 178, 74), "sand": (232, 200, 130), "snow": (236, 240, 248)}
_SKIES = {
    "a blue sky": ((74, 144, 226), (186, 222, 250)),
    "an evening sky": ((112, 72, 160), (250, 160, 100)),
    "a dark sky": ((14, 18, 48), (52, 60, 110)),
}
_SIZES = {"small": (25, 33), "": (40, 52), "large": (62, 78)}
_LEAST_CONTRAST = 110  # between a thing and what lies behind it, in levels of the strongest channel
_WOOD = (110, 70, 40)


@dataclass(frozen=True)
class Thing:
    """One object: its centre and radius in pixels, its tilt in radians."""

    kind: str
    colour: str
    size: str
    centre: tuple[float, float]
    radius: float
    tilt: float

    @property
    def words(self) -> str:
        """Such as 'a small blue square'."""
        adjectives = " ".join(part for part in (self.size, self.colour) if part)
        article = "an" if adjectives[0] in "aeiou" else "a"
        return f"{article} {adjectives} {self.kind}"


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture, uint8 RGB `(256, 256, 3)`, what is in it, and how near each pixel is, `(256, 256)` 0..1."""

    picture: np.ndarray
    caption: str
    nearness: np.ndarray
    things: tuple[Thing, ...]


def scene(seed: int) -> Scene:
    """The scene of a seed."""
    rng = np.random.default_rng(seed)
    picture, nearness, place, behind = _background(rng)
    things = _things(rng, behind)
    for number, thing in enumerate(things):
        tone = _jittered(rng, _COLOURS[thing.colour], 12)
        for mask, colour in _parts(thing, tone):
            picture += mask[..., None] * (np.asarray(colour, np.float32) - picture)
            near = 0.6 + 0.15 * number
            nearness += mask * (near - nearness)
    caption = f"{_listed([thing.words for thing in things])} {place}"
    return Scene(picture.round().clip(0, 255).astype(np.uint8), caption, nearness.astype(np.float32), things)


def named_places(scene: Scene) -> list[tuple[np.ndarray, tuple[int, int, int]]]:
    """Where each thing is, bool `(256, 256)`, less what is of wood, and the colour that its words name."""
    places = []
    for thing in scene.things:
        own, *wood = (_mask(thing, outline) for outline in _OUTLINES[thing.kind])
        places.append(
            (np.logical_and.reduce([own > 0.99, *(part == 0 for part in wood)]), _COLOURS[thing.colour])
        )
    return places


def drawing(kind: str) -> np.ndarray:
    """One large thing in the middle, black on white, uint8 `(256, 256, 3)`."""
    thing = Thing(kind, "black", "large", (SIZE / 2, SIZE / 2), 70.0, 0.0)
    picture = np.full((SIZE, SIZE, 3), 255, np.float32)
    for mask, colour in _parts(thing, _COLOURS["black"]):
        picture += mask[..., None] * (np.asarray(colour, np.float32) - picture)
    return picture.round().astype(np.uint8)


# --- backgrounds -----------------------------------------------------------------------------------------


def _background(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, str, list[Sequence[int]]]:
    """Picture, nearness, words, and the colours that things must stand out from."""
    if rng.random() < 0.5:
        return _plain(rng)
    return _landscape(rng)


def _plain(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, str, list[Sequence[int]]]:
    name = str(rng.choice(_BACKGROUNDS))
    base = np.asarray(_jittered(rng, _COLOURS[name], 10), np.float32)
    lighter = base + rng.uniform(0.1, 0.3) * (255 - base)
    down = rng.random() < 0.5
    ramp = np.linspace(0, 1, SIZE, dtype=np.float32)[:: 1 if down else -1]
    picture = _vertical(base, lighter, ramp)
    nearness = np.full((SIZE, SIZE), 0.1, np.float32)
    return picture, nearness, f"on a {name} background", [base.tolist(), lighter.tolist()]


def _landscape(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, str, list[Sequence[int]]]:
    ground = str(rng.choice(list(_GROUNDS)))
    sky = str(rng.choice(list(_SKIES)))
    top, low = _SKIES[sky]
    horizon = rng.uniform(0.5, 0.75) * SIZE
    rows = np.arange(SIZE, dtype=np.float32)
    picture = _vertical(np.float32(top), np.float32(low), np.clip(rows / horizon, 0, 1))
    near = np.asarray(_jittered(rng, _GROUNDS[ground], 10), np.float32)
    if sky == "a dark sky":
        near = near * 0.5 + 8
    depth = np.clip((rows - horizon) / (SIZE - horizon), 0, 1)
    field = _vertical(near * 0.86, near, depth)
    share = np.clip(rows - horizon + 0.5, 0, 1)[:, None, None]
    picture = picture + share * (field - picture)
    nearness = np.broadcast_to(0.5 * depth[:, None], (SIZE, SIZE)).copy()
    return picture, nearness, f"on {ground} under {sky}", [top, low, near.tolist()]


def _vertical(one: np.ndarray, other: np.ndarray, ramp: np.ndarray) -> np.ndarray:
    rows = one + ramp[:, None] * (other - one)
    return np.broadcast_to(rows[:, None], (SIZE, SIZE, 3)).astype(np.float32)


# --- things ----------------------------------------------------------------------------------------------


def _things(rng: np.random.Generator, behind: list[Sequence[int]]) -> tuple[Thing, ...]:
    """One to three things that stand out and do not touch."""
    choices = [name for name, tone in _COLOURS.items() if all(_contrast(tone, b) for b in behind)]
    things: list[Thing] = []
    for _ in range(int(rng.choice([1, 2, 3], p=[0.35, 0.45, 0.2]))):
        size = str(rng.choice(list(_SIZES), p=[0.3, 0.4, 0.3]))
        radius = float(rng.uniform(*_SIZES[size]))
        centre = _free_place(rng, radius, things)
        kind = str(rng.choice(list(_OUTLINES)))
        tilt = float(rng.uniform(-0.25, 0.25)) if kind in _TILTING else 0.0
        colour = str(rng.choice(choices))
        if centre is not None:
            things.append(Thing(kind, colour, size, centre, radius, tilt))
    return tuple(things)


def _free_place(rng: np.random.Generator, radius: float, things: list[Thing]) -> tuple[float, float] | None:
    for _ in range(30):
        x, y = rng.uniform(radius + 4, SIZE - radius - 4, 2)
        if all(math.hypot(x - t.centre[0], y - t.centre[1]) > 0.95 * (radius + t.radius) + 6 for t in things):
            return float(x), float(y)
    return None


def _contrast(one: Sequence[int], other: Sequence[int]) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) >= _LEAST_CONTRAST


def _jittered(rng: np.random.Generator, colour: Sequence[int], width: int) -> tuple[int, ...]:
    return tuple(int(c) for c in np.clip(np.asarray(colour) + rng.integers(-width, width + 1, 3), 0, 255))


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


Outline = list[tuple[float, float]]


def _ring(count: int, first: float, radii: Sequence[float] = (1.0,)) -> Outline:
    steps = [first + 2 * math.pi * i / count for i in range(count)]
    return [
        (radii[i % len(radii)] * math.cos(a), radii[i % len(radii)] * math.sin(a))
        for i, a in enumerate(steps)
    ]


def _moved(outline: Outline, x: float, y: float, scale: float) -> Outline:
    return [(x + scale * a, y + scale * b) for a, b in outline]


_BOX: Outline = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
# outlines in a circle of radius 1, y downwards; the second part of a pair is drawn in wood
_OUTLINES: dict[str, tuple[Outline, ...]] = {
    "circle": (_moved(_ring(72, 0), 0, 0, 0.95),),
    "square": (_moved(_BOX, 0, 0, 0.8),),
    "triangle": (_moved(_ring(3, -math.pi / 2), 0, 0.15, 1.05),),
    "star": (_ring(10, -math.pi / 2, (1.05, 0.45)),),
    "house": (
        [(0, -0.95), (0.95, -0.15), (0.7, -0.15), (0.7, 0.85), (-0.7, 0.85), (-0.7, -0.15), (-0.95, -0.15)],
        [(-0.2, 0.25), (0.2, 0.25), (0.2, 0.85), (-0.2, 0.85)],
    ),
    "tree": (
        _moved(_ring(48, 0), 0, -0.3, 0.66),
        [(-0.14, 0.3), (0.14, 0.3), (0.14, 0.95), (-0.14, 0.95)],
    ),
}
_TILTING = ("square", "triangle", "star")


def _parts(thing: Thing, tone: Sequence[int]) -> list[tuple[np.ndarray, Sequence[int]]]:
    outlines = _OUTLINES[thing.kind]  # most things are one, without a part of wood: hence not strict
    return [(_mask(thing, outline), colour) for outline, colour in zip(outlines, (tone, _WOOD), strict=False)]


def _mask(thing: Thing, outline: Outline) -> np.ndarray:
    """Coverage `(256, 256)`, 0..1."""
    cos, sin = math.cos(thing.tilt), math.sin(thing.tilt)
    points = [
        (
            _SUPERSAMPLE * (thing.centre[0] + thing.radius * (cos * x - sin * y)),
            _SUPERSAMPLE * (thing.centre[1] + thing.radius * (sin * x + cos * y)),
        )
        for x, y in outline
    ]
    side = SIZE * _SUPERSAMPLE
    image = Image.new("L", (side, side))
    ImageDraw.Draw(image).polygon(points, fill=255)
    return np.asarray(image.reduce(_SUPERSAMPLE), np.float32) / 255


# --- styles ----------------------------------------------------------------------------------------------


def _night(picture: np.ndarray) -> np.ndarray:
    """Moonlight: dark, blue, little colour left."""
    grey = picture.astype(np.float32).mean(-1, keepdims=True)
    muted = grey + 0.45 * (picture - grey)
    return (muted * np.float32([0.28, 0.36, 0.62]) + np.float32([6, 8, 26])).clip(0, 255).astype(np.uint8)


def _watercolour(picture: np.ndarray) -> np.ndarray:
    """Pale washes on cream paper, soft at their borders, with darker rims."""
    soft = cv2.GaussianBlur(picture, (0, 0), 2.5).astype(np.float32)
    rim = np.abs(soft - cv2.GaussianBlur(soft, (0, 0), 6)).max(-1, keepdims=True)
    paper = np.float32([250, 243, 226])
    return (paper + 0.5 * (soft - paper) - 0.5 * rim).clip(0, 255).astype(np.uint8)


def _sunset(picture: np.ndarray) -> np.ndarray:
    """The last light of a day: plum in the dark, apricot in the light, and hardly any blue between them."""
    plum, apricot = np.float32([80, 10, 70]), np.float32([255, 170, 110])
    return (plum + picture / 255 * (apricot - plum)).clip(0, 255).astype(np.uint8)


STYLES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "night": _night,
    "watercolour": _watercolour,
    "sunset": _sunset,
}

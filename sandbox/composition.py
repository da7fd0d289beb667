"""The figures of composition: over time, over skips, prompt against control, from one control to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import world
from figures import Figure, Gallery, error, f1
from graphs import Control, Strip
from measure import color_error, edge_f1, edges

__all__ = ["color_strip", "is_falling", "measure_composition", "outline_strip"]

COUNT = 7  # pictures of a strip
PRESETS = ("structure", "detail", "colour", "deep", "shallow")
OFF = "0:1, 0.6:1, 0.6:0"  # on for 60% of the denoising
_SHAPES = ("circle", "star")
_SCENES = (world.HELD_OUT[0], world.HELD_OUT[3])
_CAPTION = "a large red star on a white background"
_FALL = (
    0.02  # that a step along a strip may go the other way by, as pictures of a strip differ in more than that
)


def measure_composition(gallery: Gallery) -> list[Figure]:
    """Every figure of composition, in the order of the table."""
    return [*_schedules(gallery), *_settings(gallery), *_travelling(gallery)]


def _schedules(gallery: Gallery) -> list[Figure]:
    """A canny control that is off for the last part, and colours of the prompt that it leaves alone then."""
    always, early, none = (_canny(gallery, how) for how in ({}, {"schedule": OFF}, {"schedule": "0:0"}))
    return [
        Figure(
            "canny for 60%: F1",
            f"{always[0]:.3f} -> {early[0]:.3f}",
            "keeps 80%",
            early[0] >= 0.8 * always[0],
        ),
        Figure("canny not at all: F1", f"{none[0]:.3f}", "<= half", none[0] <= always[0] / 2),
    ]


def _canny(gallery: Gallery, how: Mapping[str, str]) -> tuple[float, float]:
    """Mean F1 and colour error of all scenes under canny, with such settings of the condition."""
    painted = [(gallery.paint(scene, {"canny": 1.0}, how=how), scene) for scene in gallery.scenes]
    return float(np.mean([f1(*each) for each in painted])), float(np.mean([error(*each) for each in painted]))


def _settings(gallery: Gallery) -> list[Figure]:
    """What each preset of skip_weights and each priority leaves of canny and of colour."""
    settings = [
        *(("skip_weights", name) for name in PRESETS),
        ("priority", "prompt"),
        ("priority", "control"),
    ]
    figures = []
    for name, value in settings:
        how = {name: value}
        edge = gallery.mean(f1, lambda scene, how=how: gallery.paint(scene, {"canny": 1.0}, how=how))
        color = gallery.mean(error, lambda scene, how=how: gallery.paint(scene, {"color": 1.0}, how=how))
        figures.append(
            Figure(f"{name} {value}", f"canny F1 {edge:.3f}, colour error {color:.1f}", "told", True)
        )
    return figures


def _travelling(gallery: Gallery) -> list[Figure]:
    falling, rising = outline_strip(gallery)
    cold, warm = color_strip(gallery)
    return [
        Figure("strip: F1 with the first", _row(falling, 2), "falls", is_falling(falling)),
        Figure("strip: F1 with the second", _row(rising, 2), "rises", is_falling(rising[::-1])),
        Figure("colour strip: error to the first", _row(cold, 0), "rises", is_falling(cold[::-1], 2.0)),
        Figure("colour strip: error to the second", _row(warm, 0), "falls", is_falling(warm, 2.0)),
    ]


def outline_strip(gallery: Gallery) -> tuple[list[float], list[float]]:
    """F1 with the first and with the second of two outlines, along a strip from one to the other."""
    drawings = [np.where(edges(world.drawing(shape)), 255, 0).astype(np.uint8) for shape in _SHAPES]
    pictures = _strip(gallery, "canny_control", drawings, "ready")
    return tuple([edge_f1(picture, drawing > 0) for picture in pictures] for drawing in drawings)


def color_strip(gallery: Gallery) -> tuple[list[float], list[float]]:
    """Colour error to the first and to the second of two scenes, along a strip from one to the other."""
    scenes = [world.scene(seed).picture for seed in _SCENES]
    pictures = _strip(gallery, "color_control", scenes, "color")
    return tuple([color_error(picture, scene) for picture in pictures] for scene in scenes)


def _strip(gallery: Gallery, tuner: str, sources: Sequence[np.ndarray], hint: str) -> list[np.ndarray]:
    files = [gallery.studio.upload(f"{tuner}_strip{number}", source) for number, source in enumerate(sources)]
    first, second = (Control(tuner, file, hint) for file in files)
    return gallery.studio.paint_strip(Strip(_CAPTION, first, second, COUNT))


def is_falling(values: Sequence[float], slack: float = _FALL) -> bool:
    """True if no value is larger than the one before it, but for what is within the slack."""
    return all(later <= earlier + slack for earlier, later in pairwise(values)) and values[-1] < values[0]


def _row(values: Sequence[float], digits: int) -> str:
    return " ".join(f"{value:.{digits}f}" for value in values)

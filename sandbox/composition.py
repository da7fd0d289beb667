"""The figures of composition: over time, over skips, prompt against control, from one control to another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, pairwise

import numpy as np
import world
from figures import BOTH, Figure, Gallery, Measure, error, f1, named
from graphs import AREA, Control, Painting, Strip
from measure import color_error, edge_f1, edges

__all__ = [
    "color_strip",
    "followed_against",
    "halves_error",
    "halves_f1",
    "is_falling",
    "measure_composition",
    "outline_strip",
    "presets_apart",
]

_COUNT = 7  # pictures of a strip
_PRESETS = ("structure", "detail", "colour", "deep", "shallow")
_SEEDS = (1, 2)
_OFF = "0:1, 0.6:1, 0.6:0"  # on for 60% of the denoising
_LOSS = 0.05  # of F1 that a colour control off early may cost the edges of canny beside it
_SHAPES = ("circle", "star")
_MIDDLE = slice((world.SIZE - AREA) // 2, (world.SIZE + AREA) // 2)  # of a picture, as wide as an area
_AREAS = (slice(0, AREA), slice(world.SIZE - AREA, world.SIZE))
_HALF = world.SIZE // 2
_SEEN = (slice(0, _HALF), slice(AREA - _HALF, AREA))  # of an area, what is in its own half of the picture
_PAIRS = (("circle", "star"), ("square", "triangle"), ("house", "tree"))
_SCENES = (world.HELD_OUT[0], world.HELD_OUT[3])
_CAPTION = "a large red star on a white background"
_FALL = (
    0.02  # that a step along a strip may go the other way by, as pictures of a strip differ in more than that
)


def measure_composition(gallery: Gallery) -> list[Figure]:
    """Every figure of composition, in the order of the table."""
    return [
        *_schedules(gallery),
        *_against_the_prompt(gallery),
        *_settings(gallery),
        *_presets(gallery),
        *_travelling(gallery),
        *_halves(gallery),
    ]


def _schedules(gallery: Gallery) -> list[Figure]:
    """A canny control that is off for the last part of the denoising, and fades that end lower and lower."""
    always, early, none = (_under_canny(gallery, f1, schedule) for schedule in ("", _OFF, "0:0"))
    fades = [always, *(_under_canny(gallery, f1, f"0:1, 1:{end}") for end in (0.5, 0, -0.5))]
    colors = [_under_canny(gallery, named, schedule) for schedule in ("", _OFF)]
    kept = f"{always:.3f} -> {early:.3f}"
    return [
        Figure("canny for 60%: F1", kept, "keeps half", always / 2 <= early),
        Figure("... to named colours", f"{colors[0]:.1f} -> {colors[1]:.1f}", "told", True),
        Figure("canny not at all: F1", f"{none:.3f}", "<= half", none <= always / 2),
        Figure("canny, fading to 1, 0.5, 0, -0.5: F1", _row(fades, 2), "falls", is_falling(fades, 0)),
    ]


def _under_canny(gallery: Gallery, figure: Measure, schedule: str) -> float:
    """Mean figure of all scenes under canny with a schedule."""
    how = {"schedule": schedule}
    return gallery.mean(figure, lambda scene: gallery.paint(scene, {"canny": 1.0}, how=how))


def _against_the_prompt(gallery: Gallery) -> list[Figure]:
    """A colour control whose colours the caption does not name, beside canny: throughout, and for 60%."""
    (edges_on, colors_on), (edges_off, colors_off) = (followed_against(gallery, how) for how in ("", _OFF))
    kept, gained = edges_off >= edges_on - _LOSS, colors_off <= 0.9 * colors_on
    return [
        Figure("other colours for 60%: F1", f"{edges_on:.3f} -> {edges_off:.3f}", f"loses <= {_LOSS}", kept),
        Figure("... to named colours", f"{colors_on:.1f} -> {colors_off:.1f}", "falls by a tenth", gained),
    ]


def followed_against(gallery: Gallery, schedule: str) -> tuple[float, float]:
    """F1, and error to the named colours, under canny and a colour control with red, green and blue swapped.

    The colour control has this schedule, canny acts throughout.
    """
    pictures = []
    for scene in gallery.scenes:
        swapped = np.ascontiguousarray(np.roll(scene.picture, 1, axis=-1))
        file = gallery.studio.upload(f"{gallery.name(scene)}_swapped", swapped)
        how = (("schedule", schedule),) if schedule else ()
        canny = Control("canny_control", gallery.source(scene), "canny", BOTH["canny"])
        other = Control("color_control", file, "color", BOTH["color"], how=how)
        pictures.append((gallery.studio.paint(Painting(scene.caption, (canny, other))), scene))
    return tuple(float(np.mean([figure(*pair) for pair in pictures])) for figure in (f1, named))


def _settings(gallery: Gallery) -> list[Figure]:
    """What each preset of skip_weights and each priority leaves of canny and of colour."""
    settings = [
        *(("skip_weights", name) for name in _PRESETS),
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


def _presets(gallery: Gallery) -> list[Figure]:
    """Whether presets differ by more than seeds do: the two that differ least, and the next."""
    apart = sorted((ratio, pair) for pair, ratio in presets_apart(gallery, gallery.scenes[:4]).items())
    told = [f"{first}, {second}: {ratio:.1f}" for ratio, (first, second) in apart[:2]]
    return [Figure("presets, in differences of seeds", "; ".join(told), "> 1", apart[0][0] > 1)]


def presets_apart(
    gallery: Gallery,
    scenes: Sequence[world.Scene],
    presets: Sequence[str] = _PRESETS,
    hints: Sequence[str] = ("canny", "color"),
) -> dict[tuple[str, str], float]:
    """How far the figures of any two presets are apart, in parts of how far those of two seeds of one are.

    Picture by picture; by the F1 under canny or the error under colour, whichever tells the two better apart.
    """
    apart: dict[tuple[str, str], float] = {}
    for hint in hints:
        figure = {"canny": f1, "color": error}[hint]
        values = {name: _by_seed(gallery, scenes, hint, name, figure) for name in presets}
        spread = np.mean([np.abs(one - other).mean() for one, other in values.values()])
        for pair in combinations(presets, 2):
            one, other = (values[name] for name in pair)
            apart[pair] = max(apart.get(pair, 0.0), float(np.abs(one - other).mean() / spread))
    return apart


def _by_seed(
    gallery: Gallery, scenes: Sequence[world.Scene], hint: str, preset: str, figure: Measure
) -> np.ndarray:
    """Figures `(seeds, scenes)` of pictures under one control with a preset."""
    how = {"skip_weights": preset}
    return np.array(
        [[figure(gallery.paint(s, {hint: 1.0}, how=how, seed=seed), s) for s in scenes] for seed in _SEEDS]
    )


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
    drawings = [_outline(shape) for shape in _SHAPES]
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
    return gallery.studio.paint_strip(Strip(_CAPTION, first, second, _COUNT))


def _halves(gallery: Gallery) -> list[Figure]:
    figures = []
    for name, (alone, together) in (("F1", halves_f1(gallery)), ("colour error", halves_error(gallery))):
        is_kept = together >= 0.9 * alone if name == "F1" else together <= alone / 0.9
        figures.append(Figure(f"two areas: {name}", f"{alone:.3g} -> {together:.3g}", "within 10%", is_kept))
    return figures


def halves_f1(gallery: Gallery, count: int = len(_PAIRS)) -> tuple[float, float]:
    """Mean F1 of drawings with their hints: each in a picture of its own, and two by two in areas of one."""
    captions = {
        shape: f"a large red {shape} on a white background" for pair in _PAIRS[:count] for shape in pair
    }
    hints = {shape: _outline(shape) for shape in captions}
    pairs = [[(shape, captions[shape], hints[shape]) for shape in pair] for pair in _PAIRS[:count]]
    return _compared(gallery, "canny_control", "ready", pairs, lambda made, hint: edge_f1(made, hint > 0))


def halves_error(gallery: Gallery) -> tuple[float, float]:
    """The same of the colour error of scenes with their colour hints."""
    scenes = [(gallery.name(scene), scene.caption, scene.picture) for scene in gallery.scenes]
    pairs = [scenes[number : number + 2] for number in range(0, len(scenes) - 1, 2)]
    return _compared(gallery, "color_control", "color", pairs, color_error)


def _compared(
    gallery: Gallery,
    tuner: str,
    hint: str,
    pairs: Sequence[Sequence[tuple[str, str, np.ndarray]]],
    figure: Callable[[np.ndarray, np.ndarray], float],
) -> tuple[float, float]:
    """Mean figure of the middle of pictures: made one by one, and two by two in the areas of one picture."""
    studio, alone, together = gallery.studio, [], []
    for pair in pairs:
        middles = [source[:, _MIDDLE] for _, _, source in pair]
        files = [
            studio.upload(f"area_{name}", part) for (name, _, _), part in zip(pair, middles, strict=True)
        ]
        controls = [Control(tuner, file, hint) for file in files]
        picture = studio.paint_halves([caption for _, caption, _ in pair], controls)
        for seen, area, (name, caption, source), part in zip(_SEEN, _AREAS, pair, middles, strict=True):
            together.append(figure(picture[:, area][:, seen], part[:, seen]))
            whole = Control(tuner, studio.upload(f"whole_{name}", source), hint)
            painted = studio.paint(Painting(caption, (whole,)))
            alone.append(figure(painted[:, _MIDDLE][:, seen], part[:, seen]))
    return float(np.mean(alone)), float(np.mean(together))


def _outline(shape: str) -> np.ndarray:
    """Edge map `(256, 256)` of one large thing in the middle."""
    return np.where(edges(world.drawing(shape)), 255, 0).astype(np.uint8)


def is_falling(values: Sequence[float], slack: float = _FALL) -> bool:
    """True if no value is larger than the one before it, but for what is within the slack."""
    return all(later <= earlier + slack for earlier, later in pairwise(values)) and values[-1] < values[0]


def _row(values: Sequence[float], digits: int) -> str:
    return " ".join(f"{value:.{digits}f}" for value in values)

"""The figures of the sandbox: how far its pictures of held-out scenes follow their controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import world
from graphs import Control, Painting
from measure import color_error, edge_f1, edges, kept_error, named_error, style_distance
from studio import Studio
from world import Scene

__all__ = [
    "BOTH",
    "Figure",
    "Gallery",
    "Measure",
    "centre_mask",
    "error",
    "f1",
    "measure_all",
    "named",
    "paint_styled",
    "style_figure",
]

Measure = Callable[[np.ndarray, Scene], float]

BOTH = {"canny": 0.75, "color": 1.0}  # weights at which two keep most of what each does alone
# strength of a style and weight of canny beside it, which must outdo what a style does to edges
STYLED = {"night": (0.9, 2.5), "watercolour": (0.7, 1.75), "sunset": (0.9, 2.5)}
SWEEP = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Figure:
    """One line of the table: what was measured, what came out, what was aimed at, and whether it is met."""

    name: str
    value: str
    aim: str
    is_met: bool


class Gallery:
    """Paintings of held-out scenes, each under its own caption, and their mean figures."""

    def __init__(self, studio: Studio, seeds: Sequence[int]) -> None:
        self.studio = studio
        self.scenes = [world.scene(seed) for seed in seeds]
        self._names = {id(scene): f"scene{seed}" for scene, seed in zip(self.scenes, seeds, strict=True)}

    def name(self, scene: Scene) -> str:
        """What files of the scene are called."""
        return self._names[id(scene)]

    def source(self, scene: Scene) -> str:
        """The scene's picture in the input folder."""
        return self.studio.upload(self.name(scene), scene.picture)

    def paint(
        self,
        scene: Scene,
        weights: dict[str, float] | None = None,
        *,
        style: str = "",
        style_strength: float = 1.0,
        normalize: bool = False,
        strength: float = 1.0,
        how: Mapping[str, str] | None = None,
        seed: int = 1,
    ) -> np.ndarray:
        """The scene's caption, under controls of these weights that read the scene's picture.

        `how` are further inputs of each condition.
        """
        controls = tuple(
            Control(f"{hint}_control", self.source(scene), hint, weight, how=tuple((how or {}).items()))
            for hint, weight in (weights or {}).items()
        )
        return self.studio.paint(
            Painting(
                scene.caption,
                controls,
                style=style,
                style_strength=style_strength,
                normalize=normalize,
                strength=strength,
                seed=seed,
            )
        )

    def mean(
        self, figure: Callable[[np.ndarray, Scene], float], paint: Callable[[Scene], np.ndarray]
    ) -> float:
        """Mean figure of the paintings of all scenes."""
        return float(np.mean([figure(paint(scene), scene) for scene in self.scenes]))

    def inpaint(self, scene: Scene, mask: np.ndarray, name: str) -> np.ndarray:
        """The scene's caption under the inpainting control, new where mask, bool `(H, W)`."""
        white = self.studio.upload(f"mask_{name}", np.where(mask, 255, 0).astype(np.uint8))
        control = Control("inpainting_control", self.source(scene), "masked", mask=white)
        return self.studio.paint(Painting(scene.caption, (control,)))


def f1(picture: np.ndarray, scene: Scene) -> float:
    """Edge F1 against the canny hint."""
    return edge_f1(picture, edges(scene.picture))


def error(picture: np.ndarray, scene: Scene) -> float:
    """Colour error against the colour hint."""
    return color_error(picture, scene.picture)


def named(picture: np.ndarray, scene: Scene) -> float:
    """How far its colours are from those that the caption names."""
    return named_error(picture, world.named_places(scene))


def centre_mask() -> np.ndarray:
    """Bool `(256, 256)`: the box in the middle."""
    mask = np.zeros((world.SIZE, world.SIZE), bool)
    mask[64:192, 64:192] = True
    return mask


# --- the table -------------------------------------------------------------------------------------------


def measure_all(gallery: Gallery) -> list[Figure]:
    """Every figure, in the order of the table."""
    canny = gallery.mean(f1, lambda scene: gallery.paint(scene, {"canny": 1.0}))
    color = gallery.mean(error, lambda scene: gallery.paint(scene, {"color": 1.0}))
    return [
        *_singles(gallery, canny, color),
        *_both(gallery, canny, color),
        *_sweeps(gallery),
        *_styles(gallery, canny),
        *_inpainting(gallery),
    ]


def _singles(gallery: Gallery, canny: float, color: float) -> list[Figure]:
    free_f1, free_error = gallery.mean(f1, gallery.paint), gallery.mean(error, gallery.paint)
    return [
        Figure("canny: edge F1", f"{canny:.3f}", ">= 0.80", canny >= 0.8),
        Figure("canny: F1 without control", f"{free_f1:.3f}", "<= half of it", free_f1 <= canny / 2),
        Figure("colour: error", f"{color:.1f}", "<= 12", color <= 12),
        Figure("colour: without control", f"{free_error:.1f}", ">= three times it", free_error >= 3 * color),
    ]


def _both(gallery: Gallery, canny: float, color: float) -> list[Figure]:
    figures = []
    aim_f1, aim_error = 0.9 * canny, color / 0.9
    for name, paint in (("weights add up to 1", paint_normalized), ("weights apart", paint_separate)):
        both_f1 = gallery.mean(f1, lambda scene, paint=paint: paint(gallery, scene))
        both_error = gallery.mean(error, lambda scene, paint=paint: paint(gallery, scene))
        figures += [
            Figure(f"both, {name}: F1", f"{both_f1:.3f}", f">= {aim_f1:.3f}", both_f1 >= aim_f1),
            Figure(
                f"both, {name}: error", f"{both_error:.1f}", f"<= {aim_error:.1f}", both_error <= aim_error
            ),
        ]
    return figures


def paint_normalized(gallery: Gallery, scene: Scene) -> np.ndarray:
    """Both controls at weights that are made to add up to 1, and the sum at an overall strength."""
    return gallery.paint(scene, BOTH, normalize=True, strength=sum(BOTH.values()))


def paint_separate(gallery: Gallery, scene: Scene) -> np.ndarray:
    """Both controls, each at its own strength."""
    return gallery.paint(scene, BOTH)


def _sweeps(gallery: Gallery) -> list[Figure]:
    rising = [gallery.mean(f1, lambda s, w=w: gallery.paint(s, {"canny": w})) for w in SWEEP]
    falling = [gallery.mean(error, lambda s, w=w: gallery.paint(s, {"color": w})) for w in SWEEP]
    return [
        Figure("canny, weight 0 to 1: F1", _row(rising, 2), "rises", rising == sorted(rising)),
        Figure("colour, weight 0 to 1: error", _row(falling, 1), "falls", falling == sorted(falling)[::-1]),
    ]


def _row(values: Sequence[float], digits: int) -> str:
    return " ".join(f"{value:.{digits}f}" for value in values)


def paint_styled(gallery: Gallery, scene: Scene, style: str) -> np.ndarray:
    """Canny on top of a style, both at the strengths that go together."""
    strength, weight = STYLED[style]
    return gallery.paint(scene, {"canny": weight}, style=style, style_strength=strength)


def style_figure(gallery: Gallery, style: str, paint: Callable[[Scene], np.ndarray]) -> float:
    """Distance of paintings of all scenes to the pictures of one of the world's styles."""
    wanted = [world.STYLES[style](world.scene(seed).picture) for seed in range(30)]
    return style_distance([paint(scene) for scene in gallery.scenes], wanted)


def _styles(gallery: Gallery, canny: float) -> list[Figure]:
    figures = []
    for name in world.STYLES:
        alone = partial(gallery.paint, style=name)
        styled = partial(paint_styled, gallery, style=name)
        before, after, both = (style_figure(gallery, name, paint) for paint in (gallery.paint, alone, styled))
        edge, aim = gallery.mean(f1, styled), 0.9 * canny
        half = "falls by half"
        figures += [
            Figure(f"{name}: distance", f"{before:.1f} -> {after:.1f}", half, after <= before / 2),
            Figure(f"{name} + canny: distance", f"{before:.1f} -> {both:.1f}", half, both <= before / 2),
            Figure(f"{name} + canny: F1", f"{edge:.3f}", f">= {aim:.3f}", edge >= aim),
        ]
    return figures


def _inpainting(gallery: Gallery) -> list[Figure]:
    mask = centre_mask()
    pictures = [(gallery.inpaint(scene, mask, "centre"), scene) for scene in gallery.scenes]
    kept = float(np.mean([kept_error(picture, scene.picture, ~mask) for picture, scene in pictures]))
    free = gallery.mean(lambda picture, scene: kept_error(picture, scene.picture, ~mask), gallery.paint)
    black = float(np.mean([(picture[mask].max(-1) < 20).mean() for picture, _ in pictures]))
    return [
        Figure("inpainting: error of what is kept", f"{kept:.1f}", "<= 10", kept <= 10),
        Figure("inpainting: without control", f"{free:.1f}", ">= three times it", free >= 3 * kept),
        Figure("inpainting: black left in the mask", f"{black:.2f}", "<= 0.10", black <= 0.1),
    ]

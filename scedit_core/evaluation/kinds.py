"""What is measured of each kind of tuner, a row each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from .measures import (
    block_error,
    depth_rmse,
    edge_f1,
    edges,
    hint_lines,
    kept_error,
    kept_part,
    mean_iou,
    structural_similarity,
)
from .pose import pose_oks

STYLE, OTHER = "style", "other"
_Of = Callable[[np.ndarray, np.ndarray], float]
_Map = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Measure:
    """A figure: its key in files, its name in sentences, its best value and the digits that are shown.

    `of(found, hint)` takes pictures uint8 `(H, W, 3)`: what was found again in a result, and the hint.
    """

    key: str
    name: str
    best: float
    digits: int
    of: _Of


@dataclass(frozen=True)
class Kind:
    """What tuners of a kind do, in words, and how that is measured; the first figure is the verdict's.

    `net` is the kind of hint that a net finds again; without one the result itself is compared. `maps` make
    of a result's find and of a hint what lies in the same place in both, `(H, W)`. A kind `has_polarity` if
    its hints come in white on black and in black on white.
    """

    name: str
    does: str
    does_not: str
    others: str
    measures: tuple[Measure, ...]
    words: tuple[str, ...]
    net: str = ""
    has_polarity: bool = False
    maps: tuple[_Map, _Map] | None = None


def _grey(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float32).mean(-1)


def _colour(picture: np.ndarray) -> np.ndarray:
    """Brightness of colours that are of equal rank: those of classes, say."""
    return picture.astype(np.float32) @ np.array([0.2, 0.3, 0.5], np.float32)


def _lines_f1(found: np.ndarray, hint: np.ndarray) -> float:
    return edge_f1(found, hint_lines(hint))


def _exact_f1(found: np.ndarray, hint: np.ndarray) -> float:
    return edge_f1(found, hint_lines(hint), 0)


def _kept(found: np.ndarray, hint: np.ndarray) -> float:
    return kept_error(found, hint, kept_part(hint))


def _same_polarity(found: np.ndarray, hint: np.ndarray) -> float:
    """MS-SSIM of soft edges, dark on white, with a hint of either polarity."""
    return structural_similarity(found if hint.mean() > 127 else 255 - found, hint)


_EDGES = (
    Measure("edge_f1", "F1", 1, 2, _lines_f1),
    Measure("exact_f1", "exact F1", 1, 2, _exact_f1),
)
_LINES: tuple[_Map, _Map] = (edges, hint_lines)
# fmt: off
_ROWS = (
    Kind("canny", "follows edges", "does not follow edges", "other pictures' edges", _EDGES,
         ("canny",), has_polarity=True, maps=_LINES),
    Kind("sketch", "follows lines", "does not follow lines", "other pictures' lines", _EDGES,
         ("sketch", "scribble", "lineart"), has_polarity=True, maps=_LINES),
    Kind("color", "follows colours", "does not follow colours", "other pictures' colours",
         (Measure("color_error", "error", 0, 1, block_error),), ("color", "colour")),
    Kind("masked image", "keeps what the hint shows", "does not keep what the hint shows",
         "other pictures' hints", (Measure("kept_error", "error", 0, 1, _kept),),
         ("masked", "inpaint", "outpaint")),
    Kind("hed", "follows soft edges", "does not follow soft edges", "other pictures' edges",
         (Measure("hed_ssim", "SSIM", 1, 2, _same_polarity),), ("hed",), "hed", True, (_grey, _grey)),
    Kind("depth", "follows depth", "does not follow depth", "other pictures' depth",
         (Measure("depth_rmse", "RMSE", 0, 1, depth_rmse),), ("depth",), "depth", True, (_grey, _grey)),
    Kind("pose", "follows poses", "does not follow poses", "other pictures' poses",
         (Measure("pose_oks", "OKS", 1, 2, pose_oks),), ("pose",), "pose"),
    Kind("segmentation", "follows the layout", "does not follow the layout", "other pictures' layouts",
         (Measure("mean_iou", "mIoU", 1, 2, mean_iou),), ("seg",), "segmentation", maps=(_colour, _colour)),
    Kind(OTHER, "uses its hints", "does not use its hints", "other pictures' hints", (), ()),
    # measured over all pictures at once: see measures.style_distance
    Kind(STYLE, "brings the style", "does not bring the style", "",
         (Measure("style_distance", "distance", 0, 1, lambda _found, _hint: 0.0),), ()),
)
# fmt: on
KINDS: Mapping[str, Kind] = {row.name: row for row in _ROWS}
# of all kinds, where a CLIP is at hand: of pictures with their prompts, which no hint says
CLIP_SCORE = Measure("clip_score", "CLIP score", 100, 1, lambda _found, _hint: 0.0)


def kind_of(name: str, metadata: Mapping[str, str]) -> str:
    """The kind of a control, by what its metadata says or else its name has in it; OTHER if neither does."""
    for said in (metadata.get("scedit.condition", ""), name):
        for kind in KINDS.values():
            if any(word in said.lower() for word in kind.words):
                return kind.name
    return OTHER

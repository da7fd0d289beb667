"""Makes the pictures of the help pages: what a hint node is given, and beside it what it makes of that.

    PYTHONPATH=. python sandbox/help_pictures.py

writes them into web/docs/pictures. The photo is sandbox/photo.jpg; the sketch is drawn here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scedit_core.annotators.drawn.canny import canny
from scedit_core.annotators.drawn.color import color
from scedit_core.annotators.drawn.masked_image import masked_image
from scedit_core.annotators.drawn.outpaint import Margins, border_mask, outpaint
from scedit_core.annotators.drawn.random_mask import random_mask
from scedit_core.annotators.drawn.sketch import sketch
from scedit_core.pictures.sheet import compare_sheet

__all__ = ["FOLDER", "photo_pixels", "picture_table", "pictures", "tile_width"]

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "web" / "docs" / "pictures"
WIDTH = 652  # of each picture at most, twice that of the help panel
_GAP, _GROUND = 8, (91, 107, 123)  # between tiles: a colour that is part of no hint
_MARGINS = Margins(left=120, top=80, right=120, bottom=80)

Pixels = np.ndarray  # uint8 RGB (H, W, 3)


def pictures() -> dict[str, Pixels]:
    """Every picture by the name of its file, with tiles in rows."""
    photo, page = photo_pixels(), drawing()
    brush, masks = _brush(photo), [_mask(photo, style, seed) for style, seed in _MASKS]
    return {
        "canny": picture_table([_with_edges(photo, columns=2)]),
        "color": picture_table([[photo, color(photo)]]),
        "masked_image": picture_table([[photo, _grey(brush), _cut(photo, brush)]]),
        "sketch": picture_table([_with_lines(page, columns=2)]),
        "random_mask": picture_table([[*map(_grey, masks)], [_cut(photo, mask) for mask in masks]]),
        "outpaint": picture_table(_grown(photo)),
        "compare_sheet": _sheet(photo),
        "any_hint": picture_table(
            [
                [*_with_edges(photo, columns=3), color(photo)],
                [_cut(photo, brush), *_with_lines(page, columns=3)],
            ]
        ),
    }


# styles and seeds of the masks that are shown: boxes, strokes, and two of the other styles
_MASKS = (("training", 12), ("training", 16), ("thin", 0), ("thick", 1))


def drawing() -> Pixels:
    """A cup on a saucer in ink on paper, 600 x 400: drawn with a shaking hand, lit from one side."""
    rng = np.random.default_rng(4)
    ink = np.zeros((400, 600), np.uint8)
    for center, axes, start, end in _CUP:
        cv2.ellipse(ink, center, axes, 0, start, end, 255, 4, cv2.LINE_AA)
    shake = [cv2.GaussianBlur(rng.normal(0, 60, ink.shape).astype(np.float32), (0, 0), 14) for _ in range(2)]
    rows, columns = np.indices(ink.shape).astype(np.float32)
    ink = cv2.remap(ink, columns + shake[0], rows + shake[1], cv2.INTER_LINEAR)
    light = 0.72 + 0.28 * columns / 600 + rng.normal(0, 0.012, ink.shape)
    paper = light[..., None] * np.array([246, 238, 220])
    shade = 1 - 0.8 * ink[..., None] / 255
    return (paper * shade).clip(0, 255).round().astype(np.uint8)


# centre, half axes, and first and last angle of each stroke: rim, coffee, sides, handle, saucer
_CUP = (
    ((290, 120), (130, 42), 0, 360),
    ((290, 128), (112, 30), 0, 360),
    ((290, 122), (130, 175), 8, 172),
    ((425, 185), (48, 44), -95, 110),
    ((425, 185), (28, 26), -95, 110),
    ((290, 285), (240, 82), -62, 242),
    ((290, 292), (150, 40), 20, 160),
)


def photo_pixels() -> Pixels:
    """The photo of the help pages."""
    with Image.open(ROOT / "sandbox" / "photo.jpg") as photo:
        return np.array(photo.convert("RGB"))


def _images(pixels: Pixels) -> Tensor:
    """`(1, 3, H, W)`, 0..1."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).movedim(-1, 0)[None].float() / 255


def _pixels(images: Tensor) -> Pixels:
    return (images[0].movedim(0, -1) * 255).round().to(torch.uint8).numpy()


def _grey(mask: np.ndarray) -> Pixels:
    return np.repeat(mask[..., None], 3, axis=-1)


def _mask(photo: Pixels, style: str, seed: int) -> np.ndarray:
    """What 'Random Mask' draws first for this seed."""
    return random_mask(*photo.shape[:2], np.random.default_rng([seed, 0]), style)


def _brush(photo: Pixels) -> np.ndarray:
    """A mask as one paints it, over the spoon."""
    mask = np.zeros(photo.shape[:2], np.uint8)
    cv2.line(mask, (395, 275), (455, 85), 255, 70)
    return mask


def _cut(photo: Pixels, mask: np.ndarray) -> Pixels:
    return _pixels(masked_image(_images(photo), torch.from_numpy(mask)[None, None].float() / 255))


def _with_edges(photo: Pixels, columns: int) -> list[Pixels]:
    """A photo and its edges at the size they are shown at: lines of one pixel fade if they are scaled."""
    small = _scaled(photo, tile_width(columns))
    return [small, canny(small)]


def _with_lines(page: Pixels, columns: int) -> list[Pixels]:
    """A drawing and its lines, likewise."""
    small = _scaled(page, tile_width(columns))
    return [small, sketch(small)]


def _grown(photo: Pixels) -> list[list[Pixels]]:
    """A photo, and the three outputs of 'Outpaint'."""
    image, hint = (_pixels(outpaint(_images(photo), _MARGINS, fill)) for fill in (0.5, 0.0))
    mask = _pixels(border_mask(*photo.shape[:2], _MARGINS).expand(-1, 3, -1, -1))
    return [[_on_ground(photo, image.shape), image], [mask, hint]]


def _sheet(photo: Pixels) -> Pixels:
    """A photo, a part of it and two hints, as 'Compare Sheet' shows them."""
    shown = [photo, photo[:, 130:430], *(draw(_scaled(photo, 270)) for draw in (canny, color))]
    labels = ["photo", "a part of it", "canny edges", "colour blocks"]
    sheet = compare_sheet([_images(pixels)[0] for pixels in shown], labels, columns=2, cell_size=270)
    return _pixels(sheet.picture.movedim(-1, 0)[None])


def _on_ground(pixels: Pixels, shape: tuple[int, ...]) -> Pixels:
    """A picture in the middle of a larger tile, at its own scale."""
    tile = np.full(shape, _GROUND, np.uint8)
    top, left = ((large - small) // 2 for large, small in zip(shape[:2], pixels.shape[:2], strict=True))
    tile[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return tile


def picture_table(rows: Sequence[Sequence[Pixels]]) -> Pixels:
    """Pictures of one shape in rows and columns."""
    side = tile_width(len(rows[0]))
    return _joined([_joined([_scaled(tile, side) for tile in row], axis=1) for row in rows], axis=0)


def tile_width(columns: int) -> int:
    """Width of a tile, in pixels."""
    return (WIDTH - (columns - 1) * _GAP) // columns


def _joined(tiles: Sequence[Pixels], axis: int) -> Pixels:
    """Pictures side by side (axis 1) or one above the other (axis 0)."""
    shape = list(tiles[0].shape)
    shape[axis] = _GAP
    gap = np.full(shape, _GROUND, np.uint8)
    return np.concatenate([part for tile in tiles for part in (gap, tile)][1:], axis)


def _scaled(pixels: Pixels, width: int) -> Pixels:
    height = round(pixels.shape[0] * width / pixels.shape[1])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def main() -> None:
    """Write them all."""
    FOLDER.mkdir(exist_ok=True)
    for name, pixels in pictures().items():
        file = FOLDER / f"{name}.jpg"
        Image.fromarray(pixels).save(file, quality=80, optimize=True)
        print(f"{file.relative_to(ROOT)}: {pixels.shape[1]} x {pixels.shape[0]}, {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()

"""Paints with the sandbox's trained miniature model in a real ComfyUI and makes contact sheets of it.

    python sandbox/demo.py --comfyui PATH --base FOLDER --models FOLDER --out FOLDER [--measure | --retrain]

Every picture is a graph of its own, run over ComfyUI's HTTP interface. `--measure` prints figures in place of
the sheets: how far pictures of held-out scenes follow their controls. `--retrain` trains a style anew by the
bundled workflow and compares it. Exit status 1 if a run fails, or if
controls at weight 0 change anything.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import world
from composition import measure_composition
from figures import BOTH, Figure, Gallery, centre_mask, measure_all, paint_styled
from graphs import Control, Painting
from measure import RATIO, edge_f1, edges
from retrain import retrain
from server import ComfyServer, PromptError, ServerError, exit_on_terminate
from sheets import Tile, sheet
from studio import Studio

SHOWN = world.HELD_OUT[:4]
MEASURED = world.HELD_OUT[:8]
BLEND_STEPS = 7


class DemoError(RuntimeError):
    """The pictures are not what the nodes promise."""


# --- the sheets ------------------------------------------------------------------------------------------

Rows = list[list[Tile]]


def controls_sheet(gallery: Gallery) -> Rows:
    """Each control alone, both, and a style with canny, for some held-out scenes."""
    rows = []
    for scene in gallery.scenes:
        paint = gallery.paint
        rows.append(
            [
                Tile(scene.picture, "the scene whose edges and colours are used"),
                Tile(np.where(edges(scene.picture), 255, 0).astype(np.uint8), "canny hint"),
                Tile(blocks(scene.picture), "colour hint"),
                Tile(paint(scene), scene.caption),
                Tile(paint(scene, {"canny": 1.0}), "canny"),
                Tile(paint(scene, {"color": 1.0}), "colour"),
                Tile(paint(scene, BOTH), "canny and colour"),
                *(Tile(paint_styled(gallery, scene, s), f"canny, style {s}") for s in world.STYLES),
            ]
        )
    return rows


def blocks(picture: np.ndarray) -> np.ndarray:
    """The colour hint of a picture."""
    side = picture.shape[0]
    small = cv2.resize(picture, (side // RATIO, side // RATIO), interpolation=cv2.INTER_CUBIC)
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_NEAREST)


def blend_sheet(gallery: Gallery) -> Rows:
    """From the edges of one drawing to those of another: weights 1 - a and a of one canny control."""
    names = ("circle", "star")
    drawings = [outline(kind) for kind in names]
    uploaded = [gallery.studio.upload(f"blend_{n}", d) for n, d in zip(names, drawings, strict=True)]
    row = [Tile(drawings[0], "canny A")]
    for step in range(BLEND_STEPS):
        a = step / (BLEND_STEPS - 1)
        pair = zip(uploaded, (1 - a, a), strict=True)
        controls = tuple(Control("canny_control", file, weight=w) for file, w in pair)
        picture = gallery.studio.paint(Painting(BLEND_CAPTION, controls, normalize=True))
        one, other = (edge_f1(picture, drawing > 0) for drawing in drawings)
        row.append(Tile(picture, f"a = {a:.2f}; F1 with A {one:.2f}, with B {other:.2f}"))
    return [[*row, Tile(drawings[1], "canny B")]]


BLEND_CAPTION = "a large red star on a white background"


def outline(kind: str) -> np.ndarray:
    """Edge map `(256, 256)` of one large thing in the middle."""
    return np.where(edges(world.drawing(kind)), 255, 0).astype(np.uint8)


def masks_sheet(gallery: Gallery) -> Rows:
    """Inpainting the middle, and outpainting around it."""
    middle = centre_mask()
    rows = []
    for scene in gallery.scenes[:2]:
        row = [Tile(scene.picture, scene.caption)]
        for name, mask in (("inpainting", middle), ("outpainting", ~middle)):
            cut = np.where(mask[..., None], 0, scene.picture).astype(np.uint8)
            row += [Tile(cut, f"{name} hint"), Tile(gallery.inpaint(scene, mask, name), name)]
        rows.append(row)
    return rows


SKETCHES = {
    "house": (
        "a large red house on snow under an evening sky",
        "a large blue house on grass under a blue sky",
    ),
    "star": ("a large yellow star on a purple background", "a large white star on sand under a dark sky"),
}


def sketch_sheet(gallery: Gallery) -> Rows:
    """Drawings by hand, roughly, as hints of the canny control."""
    rows = []
    for kind, captions in SKETCHES.items():
        drawing = sketch(kind)
        file = gallery.studio.upload(f"sketch_{kind}", drawing)
        controls = (Control("canny_control", file),)
        pictures = [Tile(gallery.studio.paint(Painting(text, controls)), text) for text in captions]
        rows.append([Tile(drawing, "sketch"), *pictures])
    return rows


def sketch(kind: str) -> np.ndarray:
    """The outline of a thing, drawn with a shaking hand: white on black, `(256, 256)`."""
    rng = np.random.default_rng(5)
    shake = [cv2.GaussianBlur(rng.normal(0, 60, (256, 256)).astype(np.float32), (0, 0), 12) for _ in range(2)]
    rows, columns = np.mgrid[0:256, 0:256].astype(np.float32)
    return cv2.remap(outline(kind), columns + shake[0], rows + shake[1], cv2.INTER_NEAREST)


SHEETS: dict[str, tuple[str, Callable[[Gallery], Rows]]] = {
    "controls": ("SCEdit in ComfyUI: canny, colour, both, and styles", controls_sheet),
    "blend": ("From one edge map to another by weight", blend_sheet),
    "masks": ("Inpainting and outpainting", masks_sheet),
    "sketch": ("Sketch to image", sketch_sheet),
}


# --- command line ----------------------------------------------------------------------------------------


def check(gallery: Gallery) -> None:
    """Controls at weight 0 give the picture without them, and at weight 1 another one."""
    scene = gallery.scenes[0]
    plain = gallery.paint(scene)
    if (gallery.paint(scene, {"canny": 0.0, "color": 0.0}) != plain).any():
        raise DemoError("controls at weight 0 changed the picture")
    for hint in ("canny", "color"):
        if (gallery.paint(scene, {hint: 1.0}) == plain).all():
            raise DemoError(f"the {hint} control changed nothing")


def make_sheets(gallery: Gallery, out: Path) -> None:
    """Write all sheets and say where they are."""
    out.mkdir(parents=True, exist_ok=True)
    for name, (title, build) in SHEETS.items():
        began = time.monotonic()
        file = out / f"{name}.jpg"
        sheet(title, build(gallery)).save(file, quality=88)
        print(f"  {file}  ({time.monotonic() - began:.0f} s)", flush=True)


def print_figures(gallery: Gallery, figures: Iterable[Figure]) -> None:
    """Print a table of figures."""
    print(f"  {len(gallery.scenes)} held-out scenes, 20 steps, fixed seeds", flush=True)
    for figure in figures:
        mark = "met" if figure.is_met else "NOT MET"
        print(f"  {figure.name:<38}{figure.value:<32}{figure.aim:<20}{mark}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Paint with the sandbox's trained miniature model.")
    parser.add_argument("--comfyui", type=Path, required=True, help="ComfyUI's folder")
    parser.add_argument("--base", type=Path, required=True, help="ComfyUI's base directory, written to")
    parser.add_argument("--models", type=Path, required=True, help="folder with the sandbox's models")
    parser.add_argument("--out", type=Path, required=True, help="where the sheets go")
    parser.add_argument("--measure", action="store_true", help="print figures in place of making sheets")
    parser.add_argument("--retrain", action="store_true", help="train a style by the workflow and compare it")
    options = parser.parse_args()
    exit_on_terminate()
    try:
        with ComfyServer(options.comfyui, base=options.base, models=options.models) as server:
            print(f"  ComfyUI runs at {server.url}", flush=True)
            gallery = Gallery(Studio(server), MEASURED if options.measure or options.retrain else SHOWN)
            check(gallery)
            if options.measure:
                print_figures(gallery, [*measure_all(gallery), *measure_composition(gallery)])
            elif options.retrain:
                print_figures(gallery, retrain(server, gallery))
            else:
                make_sheets(gallery, options.out)
    except (DemoError, PromptError, ServerError) as error:
        print(f"The demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print("The demo succeeded.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs the bundled canny + colour workflow in a real ComfyUI and shows what each control does to the picture.

    python sandbox/demo.py --comfyui PATH --base FOLDER --models FOLDER --out FOLDER

One graph, five runs over ComfyUI's HTTP interface: with both controls, with each, with none, and with both at
weight 0. Exit status 1 if a run fails, a control changes nothing, or weight 0 changes anything.
"""

import argparse
import copy
import io
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageDraw, ImageFont, ImageStat
from server import ComfyServer, PromptError, ServerError, exit_on_terminate
from workflow import Prompt, WorkflowError, nodes_of_class, replace_values, to_prompt

SANDBOX = Path(__file__).resolve().parent
PHOTO = SANDBOX / "photo.jpg"
WORKFLOW = SANDBOX.parent / "example_workflows" / "scedit_canny_color.json"
CHECKPOINT = "scedit_sandbox.safetensors"
CANNY, COLOR = "SCEditCanny", "SCEditColor"
CONDITION, COMPOSE, APPLY = "SCEditCondition", "SCEditComposeConditions", "SCEditApplyConditions"

BASE, BOTH, ZERO = "without control", "canny and colour", "both at weight 0"
CANNY_ONLY, COLOR_ONLY = "canny only", "colour only"


class DemoError(RuntimeError):
    """The pictures are not what the nodes promise."""


# --- the five graphs -------------------------------------------------------------------------------------


def without_controls(prompt: Prompt) -> Prompt:
    """The graph with SCEditApplyConditions taken out: what it was fed goes straight on."""
    changed = copy.deepcopy(prompt)
    for node_id in nodes_of_class(changed, APPLY):
        model = changed.pop(node_id)["inputs"]["model"]
        for node in changed.values():
            node["inputs"] = {
                name: model if _is_link(value, node_id) else value for name, value in node["inputs"].items()
            }
    return changed


def with_only(prompt: Prompt, preprocessor: str) -> Prompt:
    """The graph with those conditions alone whose hint comes from this preprocessor."""
    changed = copy.deepcopy(prompt)
    for node_id in nodes_of_class(changed, COMPOSE):
        inputs = changed[node_id]["inputs"]
        slots = [name for name in inputs if name.startswith("conditions.")]
        sources = [inputs.pop(name) for name in slots]
        kept = [source for source in sources if preprocessor in _classes_above(prompt, source[0])]
        inputs.update(zip(slots, kept, strict=False))  # the first sockets, without a gap
    return changed


def at_weight_zero(prompt: Prompt) -> Prompt:
    """The whole graph with every weight 0; weights that add up to 0 cannot be normalized."""
    return replace_values(prompt, {(CONDITION, "weight"): 0.0, (COMPOSE, "normalize"): False})


def _is_link(value: Any, node_id: str) -> bool:
    return isinstance(value, list) and value[0] == node_id


def _classes_above(prompt: Prompt, node_id: str) -> set[str]:
    node = prompt[node_id]
    above = [value[0] for value in node["inputs"].values() if isinstance(value, list)]
    return {node["class_type"]}.union(*(_classes_above(prompt, source) for source in above))


RUNS: dict[str, Callable[[Prompt], Prompt]] = {
    BOTH: copy.deepcopy,
    BASE: without_controls,
    CANNY_ONLY: lambda prompt: with_only(prompt, CANNY),
    COLOR_ONLY: lambda prompt: with_only(prompt, COLOR),
    ZERO: at_weight_zero,
}


# --- running them ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pictures:
    """The hints and the results by run."""

    canny: Image.Image
    color: Image.Image
    results: dict[str, Image.Image]


def run_all(server: ComfyServer) -> Pictures:
    workflow = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    prompt = replace_values(
        to_prompt(workflow, server.object_info()),
        {
            ("CheckpointLoaderSimple", "ckpt_name"): CHECKPOINT,
            ("LoadImage", "image"): server.upload_image(PHOTO),
        },
    )
    shown, results = {}, {}
    for name, build in RUNS.items():
        start = time.monotonic()
        outputs = server.execute(build(prompt), timeout=600)
        results[name] = _shown_by(server, prompt, outputs, "SaveImage")
        shown[name] = outputs
        print(f"  ran {name}: {time.monotonic() - start:.1f} s", flush=True)
    hints = [_shown_by(server, prompt, shown[BOTH], kind) for kind in (CANNY, COLOR)]
    return Pictures(*hints, results)


def _shown_by(server: ComfyServer, prompt: Prompt, outputs: dict[str, Any], class_type: str) -> Image.Image:
    for node_id in nodes_of_class(prompt, class_type):
        for ref in outputs.get(node_id, {}).get("images") or []:
            return Image.open(io.BytesIO(server.fetch_image(ref))).convert("RGB")
    raise DemoError(f"{class_type} showed no picture")


def differences(results: dict[str, Image.Image]) -> dict[str, float]:
    """Mean absolute difference to the picture without control, in levels of 255."""
    base = results[BASE]
    changed = {
        name: ImageChops.difference(picture, base) for name, picture in results.items() if name != BASE
    }
    return {name: sum(ImageStat.Stat(picture).mean) / 3 for name, picture in changed.items()}


def same(one: Image.Image, other: Image.Image) -> bool:
    """Equal in every pixel."""
    return ImageChops.difference(one, other).getbbox() is None


def check(results: dict[str, Image.Image], table: dict[str, float]) -> None:
    if not same(results[ZERO], results[BASE]):
        raise DemoError(f"controls at weight 0 changed the picture (by {table[ZERO]:.4f} levels on average)")
    for name in (CANNY_ONLY, COLOR_ONLY, BOTH):
        if table[name] == 0:
            raise DemoError(f"{name!r} changed nothing")
    for single in (CANNY_ONLY, COLOR_ONLY):
        if same(results[BOTH], results[single]):
            raise DemoError(f"{BOTH!r} gives the same picture as {single!r}: one control is lost")


# --- the contact sheet -----------------------------------------------------------------------------------

TITLE = "SCEdit in ComfyUI: one graph, two controls"
PLAIN_WORDS = (
    "Made by the sandbox: a miniature model with random, untrained weights. The pictures show that the "
    "wiring works and that each control acts; they say nothing about quality."
)
CELL, GAP, MARGIN = 360, 24, 40
COLUMNS = 4
INK, FAINT, PAPER, FRAME = "#1b1f24", "#57606a", "#ffffff", "#eef1f4"


@dataclass(frozen=True)
class Tile:
    picture: Image.Image
    caption: str
    note: str


def tiles(photo: Image.Image, pictures: Pictures, table: dict[str, float]) -> list[list[Tile]]:
    def result(name: str, caption: str) -> Tile:
        note = f"changed by {table[name]:.1f} of 255 levels" if name in table else "the base picture"
        return Tile(pictures.results[name], caption, note)

    return [
        [
            Tile(photo, "Photo", "input of both preprocessors"),
            Tile(pictures.canny, "Canny hint", "edges of the photo"),
            Tile(pictures.color, "Colour hint", "colours of the photo, coarse"),
        ],
        [
            result(BASE, "Without control"),
            result(CANNY_ONLY, "Canny only"),
            result(COLOR_ONLY, "Colour only"),
            result(BOTH, "Canny and colour"),
        ],
    ]


def contact_sheet(rows: list[list[Tile]], table: dict[str, float], zero_is_exact: bool) -> Image.Image:
    title, plain, caption, note = (ImageFont.load_default(size) for size in (34, 18, 21, 16))
    width = 2 * MARGIN + COLUMNS * CELL + (COLUMNS - 1) * GAP
    heading = _wrap(PLAIN_WORDS, plain, width - 2 * MARGIN)
    top = MARGIN + 48 + 26 * len(heading) + GAP
    row_height = CELL + 62
    sheet = Image.new("RGB", (width, top + len(rows) * row_height + (len(rows) - 1) * GAP + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), TITLE, INK, title)
    draw.multiline_text((MARGIN, MARGIN + 52), "\n".join(heading), FAINT, plain, spacing=8)
    for i, row in enumerate(rows):
        for j, tile in enumerate(row):
            left, upper = MARGIN + j * (CELL + GAP), top + i * (row_height + GAP)
            sheet.paste(_fitted(tile.picture), (left, upper))
            draw.text((left, upper + CELL + 8), tile.caption, INK, caption)
            draw.text((left, upper + CELL + 36), tile.note, FAINT, note)
    verdict = "equals the base picture" if zero_is_exact else "does NOT equal the base picture"
    closing = f"The run at weight 0 {verdict}, pixel by pixel."
    _draw_table(draw, table, closing, (MARGIN + 3 * (CELL + GAP), top))
    return sheet


def _fitted(picture: Image.Image) -> Image.Image:
    """The whole picture in the middle of a square cell; small ones keep sharp pixels."""
    scale = CELL / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    cell = Image.new("RGB", (CELL, CELL), FRAME)
    cell.paste(picture.resize(size, method), ((CELL - size[0]) // 2, (CELL - size[1]) // 2))
    return cell


def _draw_table(
    draw: ImageDraw.ImageDraw, table: dict[str, float], closing: str, corner: tuple[int, int]
) -> None:
    """The measured differences, in the cell that no picture needs."""
    left, top = corner
    heading, text = ImageFont.load_default(21), ImageFont.load_default(18)
    draw.rectangle((left, top, left + CELL - 1, top + CELL - 1), FRAME)
    draw.text((left + 20, top + 20), "Difference to the base picture", INK, heading)
    draw.text((left + 20, top + 50), "mean of all pixels, in levels of 255", FAINT, text)
    for i, (name, value) in enumerate(table.items()):
        y = top + 100 + 40 * i
        draw.text((left + 20, y), name, INK, text)
        draw.text((left + CELL - 20, y), f"{value:.2f}", INK, text, anchor="ra")
    lines = _wrap(closing, text, CELL - 40)
    draw.multiline_text((left + 20, top + 110 + 40 * len(table)), "\n".join(lines), FAINT, text, spacing=8)


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


# --- command line ----------------------------------------------------------------------------------------


def save(photo: Image.Image, pictures: Pictures, table: dict[str, float], out: Path) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    files = {"photo": photo, "canny_hint": pictures.canny, "color_hint": pictures.color, **pictures.results}
    for name, picture in files.items():
        picture.save(out / f"{name.replace(' ', '_')}.png")
    sheet = out / "contact_sheet.png"
    exact = same(pictures.results[ZERO], pictures.results[BASE])
    contact_sheet(tiles(photo, pictures, table), table, exact).save(sheet)
    return sheet


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Run the bundled workflow on the sandbox and show the result."
    )
    parser.add_argument("--comfyui", type=Path, required=True, help="ComfyUI's folder")
    parser.add_argument("--base", type=Path, required=True, help="ComfyUI's base directory, written to")
    parser.add_argument("--models", type=Path, required=True, help="the folder make_models.py wrote to")
    parser.add_argument("--out", type=Path, required=True, help="where the pictures go")
    options = parser.parse_args()
    exit_on_terminate()
    try:
        with ComfyServer(options.comfyui, base=options.base, models=options.models) as server:
            print(f"  ComfyUI runs at {server.url}", flush=True)
            pictures = run_all(server)
        table = differences(pictures.results)
        sheet = save(Image.open(PHOTO).convert("RGB"), pictures, table, options.out)
        print("  mean difference to the picture without control, in levels of 255:")
        for name, value in table.items():
            print(f"    {name:<18}{value:8.3f}")
        print(f"  pictures: {sheet}")
        check(pictures.results, table)
    except (DemoError, PromptError, ServerError, WorkflowError) as error:
        print(f"The demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print("The demo succeeded.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

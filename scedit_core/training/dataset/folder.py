"""A folder of pictures, captions and hints, read for training."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL.Image import Resampling

from ...annotators.drawn.canny import canny
from ...annotators.drawn.color import color
from ...annotators.drawn.random_mask import random_mask
from ...annotators.drawn.sketch import sketch
from ...errors import SCEditError, listed, shown
from ...files.names import existing_parts, leads_out
from .buckets import Crop, Sizing
from .captions import read_caption, with_trigger
from .pictures import PICTURE_SUFFIXES, is_picture, load_picture, size_or_reason

NO_HINT, READY_HINT = "none", "from folder"
SAME_ASPECT = 0.02  # hints made at a multiple of 8 pixels differ a little from their picture

Annotator = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _random_canny(picture: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    return canny(picture, int(draw.integers(50, 101)), int(draw.integers(200, 351)))


def _random_color(picture: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    return color(picture, int(draw.integers(48, 97)))


def _random_cutout(picture: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    height, width = picture.shape[:2]
    mask = random_mask(height, width, draw)
    return np.where(mask[..., None] > 0, np.uint8(0), picture)


def _random_sketch(picture: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    # the paper trains none; this is the node's range in which drawings neither vanish nor show their paper
    return sketch(picture, draw.uniform(0.15, 0.5))


# RGB picture (H, W, 3) to hint, both uint8; canny, color and masks drawn as in the authors' training
ANNOTATORS: Mapping[str, Annotator] = {
    "canny": _random_canny,
    "color": _random_color,
    "masked image": _random_cutout,
    "sketch": _random_sketch,
}


@dataclass(frozen=True)
class FolderSettings:
    """What to make of a folder. `resolution` is in pixels; `hint_variants` drawings are made per picture."""

    hint: str = NO_HINT
    hint_folder: str = "hints"
    resolution: int = 512
    buckets: bool = True
    trigger: str = ""
    caption_when_missing: str = ""
    hint_variants: int = 1
    seed: int = 0
    enlarge: bool = True

    def __post_init__(self) -> None:
        known = (NO_HINT, *ANNOTATORS, READY_HINT)
        if self.hint not in known:
            raise SCEditError(f"hint is one of {', '.join(known)}, got '{self.hint}'; choose one of them")
        if self.hint_variants < 1:
            raise SCEditError(f"hint_variants is at least 1, got {self.hint_variants}; give each picture one")

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height that a picture of this size is trained at."""
        return Sizing(self.resolution, self.buckets, self.enlarge).size(width, height)


@dataclass(frozen=True)
class Triplet:
    """A picture, with its caption and its ready hint where it has them."""

    picture: Path
    caption: Path | None
    hint: Path | None


@dataclass(frozen=True)
class Folder:
    """Pictures with what belongs to them, in natural order, and what is left over, by name."""

    triplets: tuple[Triplet, ...]
    lone_captions: tuple[str, ...]
    lone_hints: tuple[str, ...]
    not_read: tuple[str, ...]


def natural_order(name: str) -> tuple[int | str, ...]:
    """Sort key by which img2 comes before img10, whatever the case."""
    parts = re.split(r"(\d+)", name.casefold())  # text and digits in turns, text first
    return tuple(int(part) if i % 2 else part for i, part in enumerate(parts))


def below(root: Path, name: str) -> Path:
    """The folder of this name below a root, with either slash. Raises SCEditError if it leads out."""
    parts = existing_parts(name)
    if not parts:
        raise SCEditError(
            f"'{shown(name)}' is not the name of a folder below '{shown(root.name)}'; use a name such as "
            "'hints'"
        )
    path = root.joinpath(*parts)
    if leads_out(root, path):
        raise SCEditError(
            f"'{shown(name)}' is a link that leads out of '{shown(root.name)}'; copy the folder, or name the "
            "place that it leads to for 'scedit_datasets' in extra_model_paths.yaml"
        )
    return path


def scan(folder: Path, hint_folder: str | None = None) -> Folder:
    """Match pictures, captions and, if the folder of them is named, ready hints by their stems.

    Raises SCEditError for a folder without pictures, and if hints are missing or not one per stem.
    """
    files, folders = _listing(folder)
    pictures = [file for file in files if is_picture(file)]
    if not pictures:
        inside = f"; there may be some in its folders: {listed(folders)}" if folders else ""
        raise SCEditError(
            f"no pictures in '{folder.name}'{inside}; put {', '.join(PICTURE_SUFFIXES)} files there"
        )
    captions = {_stem(file): file for file in files if file.suffix.lower() == ".txt"}
    hints = _hints(below(folder, hint_folder), pictures) if hint_folder is not None else {}
    stems = {_stem(picture) for picture in pictures}
    known = {*pictures, *captions.values()}
    read = () if hint_folder is None else below(folder, hint_folder).relative_to(folder).parts[:1]
    return Folder(
        triplets=tuple(Triplet(p, captions.get(_stem(p)), hints.get(_stem(p))) for p in pictures),
        lone_captions=tuple(file.name for stem, file in captions.items() if stem not in stems),
        lone_hints=tuple(file.name for stem, file in hints.items() if stem not in stems),
        not_read=(*(f.name for f in files if f not in known), *(f"{f}/" for f in folders if f not in read)),
    )


def caption_texts(folder: Folder, settings: FolderSettings) -> list[str]:
    """One caption per picture, with the trigger. Raises SCEditError if any has neither file nor stand-in."""
    missing = [triplet.picture.name for triplet in folder.triplets if triplet.caption is None]
    stand_in = settings.caption_when_missing
    if missing and not stand_in.strip():
        raise SCEditError(
            f"{len(missing)} of {len(folder.triplets)} pictures have no caption ({listed(missing)}); write a "
            ".txt file of the same name for each, or fill in caption_when_missing"
        )
    texts = (read_caption(t.caption) if t.caption else stand_in for t in folder.triplets)
    return [with_trigger(text, settings.trigger) for text in texts]


def plan_crops(
    folder: Folder, settings: FolderSettings, tick: Callable[[], None] = lambda: None
) -> list[Crop]:
    """Crop of each picture; every file is read once, `tick` is called after each picture.

    Raises SCEditError that names all files that cannot be read, or a hint of another shape.
    """
    crops, broken = [], []
    for triplet in folder.triplets:
        files = [triplet.picture, *([triplet.hint] if triplet.hint else [])]
        sizes = [size_or_reason(file) for file in files]
        broken += [size for size in sizes if isinstance(size, str)]
        found = [size for size in sizes if not isinstance(size, str)]
        if len(found) == len(files):
            _check_shapes(triplet, found)
            crops.append(Crop(found[0], settings.size(*found[0])))
        tick()
    if broken:
        raise SCEditError(f"{len(broken)} files cannot be read: {listed(broken)}; replace or remove them")
    return crops


def draw_hint(kind: str, picture: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A hint of a picture, both RGB uint8 (H, W, 3), with settings or a mask drawn at random."""
    return ANNOTATORS[kind](picture, generator)


def draw_hints(kind: str, picture: np.ndarray, name: bytes, *, seed: int, variants: int) -> list[np.ndarray]:
    """Several hints of a picture, which depend on its name and the seed alone, not on other pictures."""
    generator = np.random.default_rng([seed, zlib.crc32(name)])
    return [draw_hint(kind, picture, generator) for _ in range(variants)]


def load_hints(
    triplet: Triplet, crop: Crop, picture: np.ndarray, settings: FolderSettings
) -> np.ndarray | None:
    """Hints (V, H, W, 3), uint8, of a cropped picture; None without hints."""
    if settings.hint == NO_HINT:
        return None
    if triplet.hint is not None:
        # as hints are scaled when a control is applied; Lanczos would ring at the edges
        return load_picture(triplet.hint, crop, Resampling.BILINEAR)[None]
    name, how = _stem(triplet.picture).encode(), {"seed": settings.seed, "variants": settings.hint_variants}
    return np.stack(draw_hints(settings.hint, picture, name, **how))


def describe_folder(
    folder: Folder, crops: Sequence[Crop], captions: Sequence[str], settings: FolderSettings
) -> str:
    """What was found, for people: counts, sizes and everything that they may want to mend."""
    files = [triplet.picture.name for triplet in folder.triplets]
    counts: dict[tuple[int, int], int] = {}
    for crop in crops:
        counts[crop.size] = counts.get(crop.size, 0) + 1
    sizes = [f"{w} x {h}: {n}" for (w, h), n in sorted(counts.items(), key=lambda item: -item[1])]
    notes = {
        "without caption file": [t.picture.name for t in folder.triplets if t.caption is None],
        "empty captions": [file for file, text in zip(files, captions, strict=True) if not text],
        "captions without picture": folder.lone_captions,
        "hints without picture": folder.lone_hints,
        "not read": folder.not_read,
        "enlarged by more than a tenth": [f for f, c in zip(files, crops, strict=True) if c.scale > 1.1],
        "more than a quarter cut off": [f for f, c in zip(files, crops, strict=True) if c.lost > 0.25],
    }
    each = f", {settings.hint_variants} per picture" if settings.hint in ANNOTATORS else ""
    lines = [f"{len(files)} pictures", f"sizes: {', '.join(sizes)}", f"hints: {settings.hint}{each}"]
    return "\n".join(lines + [f"{note} ({len(n)}): {listed(n)}" for note, n in notes.items() if n])


def _listing(folder: Path) -> tuple[list[Path], list[str]]:
    """Files, and names of folders, in natural order; hidden ones are left out."""
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: (natural_order(entry.stem), entry.name))
    except OSError as error:
        raise SCEditError(f"folder '{folder.name}' cannot be read ({error}); choose another") from error
    seen = [entry for entry in entries if not entry.name.startswith(".")]
    return [entry for entry in seen if entry.is_file()], [entry.name for entry in seen if entry.is_dir()]


def _stem(file: Path) -> str:
    # macOS writes accents as characters of their own
    return unicodedata.normalize("NFC", file.stem)


def _hints(folder: Path, pictures: Sequence[Path]) -> dict[str, Path]:
    """Ready hints by stem. Raises SCEditError if a picture has none, or two."""
    if not folder.is_dir():
        raise SCEditError(
            f"no folder '{folder.name}' beside the pictures; make it, with a hint of the same name per "
            "picture, or choose another kind of hint"
        )
    hints: dict[str, Path] = {}
    for file in filter(is_picture, _listing(folder)[0]):
        other = hints.setdefault(_stem(file), file)
        if other != file:
            raise SCEditError(f"'{other.name}' and '{file.name}' are hints of one picture; keep one")
    missing = [picture.name for picture in pictures if _stem(picture) not in hints]
    if missing:
        raise SCEditError(
            f"{len(missing)} of {len(pictures)} pictures have no hint in '{folder.name}' "
            f"({listed(missing)}); add a hint of the same name for each"
        )
    return hints


def _check_shapes(triplet: Triplet, sizes: Sequence[tuple[int, int]]) -> None:
    """Refuse a hint whose aspect is not its picture's."""
    (width, height), (hint_width, hint_height) = sizes[0], sizes[-1]
    if triplet.hint is not None and abs(hint_width * height / (hint_height * width) - 1) > SAME_ASPECT:
        raise SCEditError(
            f"hint '{triplet.hint.name}' is {hint_width} x {hint_height}, its picture "
            f"'{triplet.picture.name}' {width} x {height}; make the hint from the whole picture"
        )

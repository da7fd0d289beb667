"""What preparing and reading a data set costs: pictures per second, memory, bytes per example.

    python dev.py bench dataset_cost [--examples 50000] [--threads 2] [--svg FOLDER --most 9000]

Memory is the peak of a process of its own that prepares, or reads in random order, 1,000 synthetic examples
of 64 x 64 and then `--examples` of them. Speed is that of preparing pictures with canny and color at
256 x 256 by the sandbox's VAE, with `--threads` for the VAE, against the same steps one after the other by
OpenCV and the VAE with one thread, which writes nothing.

`--pictures` takes captioned pictures of yours in place of crops of the sandbox's photo. `--svg` takes
drawings, such as the 8,121 of Debian's package `openclipart-svg` (apt install openclipart-svg; they lie in
/usr/share/openclipart/svg) and draws those that have a title, some 50 a second; it needs `pip install
cairosvg`. Neither is installed from here. With `--drawn FOLDER` they are kept, and not drawn again.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from process_memory import resident

REPOSITORY = Path(__file__).resolve().parents[1]
FEW, SIDE = 1_000, 256
PLAIN = 200  # pictures that the plain steps are timed with
# what cairosvg raises for drawings that are damaged
DAMAGED = (ArithmeticError, AttributeError, LookupError, OSError, SyntaxError, TypeError, ValueError)


def core() -> None:
    """Make `scedit_core` importable by its name, without a host."""
    sys.path.insert(0, str(REPOSITORY / "tests"))
    from support import load_package

    load_package("scedit_core", REPOSITORY / "scedit_core")


def write_tar(file: Path, count: int) -> None:
    """A source of so many small pictures with captions."""
    buffer = io.BytesIO()
    Image.open(REPOSITORY / "sandbox" / "photo.jpg").convert("RGB").resize((64, 64)).save(buffer, "JPEG")
    with file.open("wb") as archive:
        for number in range(count):
            for ending, content in (("jpg", buffer.getvalue()), ("txt", f"picture {number}".encode())):
                info = tarfile.TarInfo(f"{number:07d}.{ending}")
                info.size = len(content)
                archive.write(info.tobuf(tarfile.USTAR_FORMAT) + content + b"\0" * (-len(content) % 512))
        archive.write(b"\0" * 1024)


def means(pictures: np.ndarray) -> np.ndarray:
    """In the place of a VAE, which takes the same memory whatever the number of pictures."""
    count, height, width, _ = pictures.shape
    blocks = pictures.reshape(count, height // 8, 8, width // 8, 8, 3).mean((2, 4)) / 255
    return np.concatenate([blocks, blocks[..., :1]], axis=3).transpose(0, 3, 1, 2).astype(np.float32)


def child(kind: str, source: Path, target: Path) -> None:
    """Prepare or read a set; prints the peak of memory and the seconds that it took."""
    core()
    from scedit_core.training.dataset.shards import open_dataset
    from scedit_core.training.dataset.shards.drawing import PrepareSettings
    from scedit_core.training.dataset.shards.places import open_sources
    from scedit_core.training.dataset.shards.prepare import Device, Watch, prepare

    began = time.perf_counter()
    if kind == "prepare":
        settings = PrepareSettings(hints=("canny", "color"), resolution=64)
        prepare(target, open_sources(source), settings, Device(means, "means", 4), Watch())
    else:
        dataset = open_dataset(target)
        order = list(range(len(dataset)))
        random.Random(0).shuffle(order)
        for number in order[:FEW]:  # as many of both sets: what counts is what lies behind them
            dataset.read(number)
    print(resident("VmHWM"), time.perf_counter() - began)


def memory(most: int) -> None:
    """Print what few and many examples take."""
    rows: dict[str, list[tuple[int, float]]] = {"prepare": [], "read": []}
    with tempfile.TemporaryDirectory() as folder:
        for count in (FEW, most):
            source, target = Path(folder, f"tars{count}"), Path(folder, f"set{count}")
            source.mkdir()
            write_tar(source / "0.tar", count)
            for kind, row in rows.items():
                command = [sys.executable, __file__, "--child", kind, str(source), str(target)]
                told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
                row.append((int(told[0]), float(told[1]) / (count if kind == "prepare" else FEW)))
            size = sum(file.stat().st_size for file in target.iterdir()) / count
            print(f"{count:,} examples of 64 x 64, two hints: {size:,.0f} bytes each on disk")
    for kind, ((few, quick), (many, slow)) in rows.items():
        print(
            f"{kind}: {few / 1e6:.0f} MB with {FEW:,}, {many / 1e6:.0f} MB with {most:,}: "
            f"{many / few - 1:+.1%}; {quick * 1e3:.2f} and {slow * 1e3:.2f} ms each"
        )


def crops(folder: Path, count: int) -> None:
    """Crops of the sandbox's photo, with captions."""
    photo = Image.open(REPOSITORY / "sandbox" / "photo.jpg").convert("RGB").resize((1024, 1024))
    draw = np.random.default_rng(0)
    for number in range(count):
        left, top = draw.integers(0, 400, 2)
        photo.crop((left, top, left + 600, top + 480)).save(folder / f"{number}.jpg", quality=92)
        (folder / f"{number}.txt").write_text(f"part {number} of a photo")


def drawings(folder: Path, svg: Path, most: int) -> None:
    """Drawings that have a title, on white, with the title as caption."""
    try:
        import cairosvg
    except ImportError:
        sys.exit("--svg draws with cairosvg: pip install cairosvg")
    files = sorted(svg.rglob("*.svg"))
    if not files:
        sys.exit(f"no drawings in {svg}: apt install openclipart-svg, and name /usr/share/openclipart/svg")
    done = 0
    for file in files:
        title = re.search(r"<(?:svg:|dc:)?title[^>]*>\s*([^<]+?)\s*<", file.read_text("utf-8", "replace"))
        if title is None:
            continue
        made, caption = folder / f"{done}.png", folder / f"{done}.txt"
        if not caption.exists():
            try:
                cairosvg.svg2png(
                    url=str(file), write_to=str(made), output_height=384, background_color="white"
                )
            except DAMAGED:
                made.unlink(missing_ok=True)
                continue  # of so many old files a few are damaged
            caption.write_text(title.group(1), encoding="utf-8")
        done += 1
        if done == most:
            return


class Pace:
    """Prints how fast a preparation is, now and then; a `Watch`."""

    def __init__(self) -> None:
        self._began, self._cores = time.perf_counter(), time.process_time()
        self.each = 0.0

    def tick(self) -> None:
        """Nothing."""

    def found(self, pictures: int) -> None:
        """Nothing."""

    def done(self, number: int, total: int, _last: object) -> None:
        """Print how many pictures a second are done, and the seconds of all cores that one takes."""
        self.each = (time.perf_counter() - self._began) / number
        if number % 250 == 0 or number == total:
            cores = (time.process_time() - self._cores) / number
            print(f"{number} of {total}: {1 / self.each:.2f} per second, {cores:.3f} s of all cores each")
            sys.stdout.flush()


def speed(folder: Path, threads: int, target: Path) -> None:
    """Print pictures per second of preparing a folder, and of the plain steps one after the other."""
    import comfy_vae

    encode, device = comfy_vae.load()
    from scedit_core.training.dataset.shards.drawing import PrepareSettings
    from scedit_core.training.dataset.shards.places import open_sources
    from scedit_core.training.dataset.shards.prepare import prepare

    files = sorted(folder.rglob("*.txt"))
    some = files[:: -(-len(files) // PLAIN)]
    settings = PrepareSettings(hints=("canny", "color"), resolution=SIDE, buckets=False)
    with torch.inference_mode():
        torch.set_num_threads(1)
        plain, plain_cores = timed(lambda: [None for _ in plain_steps(some, encode)])
        torch.set_num_threads(threads)
        plain_each = plain / len(some)
        print(f"one thread of OpenCV and the VAE: {1 / plain_each:.2f} pictures per second", flush=True)
        print(f"{plain_cores / len(some):.3f} s of all cores each, of {len(some)} pictures", flush=True)
        torch.set_num_threads(threads)
        pace = Pace()
        report = prepare(target, open_sources(folder), settings, device, pace)
    print(report.text())
    print(f"ratio {plain_each / pace.each:.2f}")


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds that something takes, and those of all cores, which a busy machine changes less."""
    began, cores = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - cores


def plain_steps(files: Sequence[Path], encode: Callable[[np.ndarray], np.ndarray]) -> Iterator[None]:
    """Read, crop, draw and encode each picture, and write nothing."""
    import cv2

    cv2.setNumThreads(1)
    for file in files:
        picture = next(cv2.imread(str(p)) for p in file.parent.glob(f"{file.stem}.*") if p.suffix != ".txt")
        height, width = picture.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = cv2.resize(
            picture[top : top + side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_LANCZOS4
        )
        square = cv2.cvtColor(square, cv2.COLOR_BGR2RGB)
        cv2.Canny(square, 100, 200)
        small = cv2.resize(square, (SIDE // 64, SIDE // 64), interpolation=cv2.INTER_CUBIC)
        cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
        encode(square[None])
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=50_000)
    parser.add_argument("--pictures", type=Path, help="a folder of captioned pictures to prepare")
    parser.add_argument("--svg", type=Path, help="a folder of drawings to draw and prepare")
    parser.add_argument("--drawn", type=Path, help="a folder to keep the drawings in")
    parser.add_argument("--set", type=Path, help="a folder to keep the data set in")
    parser.add_argument("--most", type=int, default=200, help="pictures or drawings to prepare (200)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of the VAE (all cores)")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        kind, *places = given.child
        child(kind, *map(Path, places))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = given.pictures or given.drawn or Path(made)
        if given.svg:
            folder.mkdir(exist_ok=True)
            drawings(folder, given.svg, given.most)
        elif not given.pictures:
            crops(folder, given.most)
        speed(folder, given.threads, given.set or Path(made, "set"))
    if given.examples > FEW:
        memory(given.examples)


if __name__ == "__main__":
    main()

"""Pictures become a data set on disk, or the one that is there is brought up to date.

Two walks over the sources: the first tells what is new, changed or gone, without reading a picture; the
second draws what is new in worker threads, ahead of the VAE, and writes it. In memory is only what is on its
way, some 50 bytes of each picture, and the names of one folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ....errors import SCEditError, shown
from ....hint import PIXELS_PER_LATENT
from .ahead import batches, drawn_ahead
from .changes import clear_away, drop, entries_of, whole_shards
from .drawing import NET_HINTS, Drawn, PrepareSettings
from .lock import alone_in
from .manifest import Head, Manifest, is_set, read_manifest
from .packing import Prepared, to_png
from .plan import make_plan
from .report import Report
from .sources import LeftOut, Sources
from .writer import DatasetWriter

Pixels = np.ndarray
_MOST_NUMBER = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Device:
    """What runs on the device: functions of RGB uint8 pictures (N, H, W, 3), at most `batch` at once.

    `encode` gives latents (N, C, H / 8, W / 8); each of `nets` a kind of hint, shaped as the pictures.
    `vae` tells the VAE from others, whatever the precision it runs in.
    """

    encode: Callable[[Pixels], np.ndarray]
    vae: str
    latent_channels: int
    nets: Mapping[str, Callable[[Pixels], Pixels]] = field(default_factory=dict)
    batch: int = 8


class Watch:
    """Told how far a preparation is; what a method raises ends it, and what is done is kept."""

    def tick(self) -> None:
        """Called often, between two small pieces of work."""

    def found(self, pictures: int) -> None:
        """Called now and then while the pictures are counted."""

    def done(self, number: int, total: int, last: tuple[Drawn, Prepared]) -> None:
        """So many of the new examples are written; `last` is one of them."""


def prepare(
    target: Path, sources: Sources, settings: PrepareSettings, device: Device, watch: Watch
) -> Report:
    """Have the data set in `target` hold the pictures of `sources`, and only those; what was done.

    What is there and unchanged is not touched. Raises SCEditError if the set there was made with another VAE,
    resolution or kinds of hints, if there are no pictures or captions, if the disk is full, and if another
    process prepares the same set.
    """
    missing = [kind for kind in settings.hints if kind in NET_HINTS and kind not in device.nets]
    if missing:
        raise SCEditError(f"no net draws the hint '{missing[0]}' here; leave it out")
    with alone_in(target, watch.tick) as check:
        return _prepared(target, sources, settings, device, watch, check)


def _prepared(
    target: Path,
    sources: Sources,
    settings: PrepareSettings,
    device: Device,
    watch: Watch,
    check: Callable[[], None],
) -> Report:
    """The same, where `check` raises SCEditError once the set is another process's to change."""

    def tick() -> None:
        """Look whether it is to end."""
        check()
        watch.tick()

    head = _head(settings, device)
    manifest = _going_on(target, head)
    manifest, wrong = whole_shards(target, manifest, tick)
    entries, left_out = entries_of(target, manifest), LeftOut()
    plan = make_plan(sources, settings, entries, left_out, watch.found)
    report = Report(made_again=tuple(wrong), left_out=left_out, without_caption=plan.without_caption)
    report.removed, report.kept = int((~plan.keep).sum()), int(plan.keep.sum())
    writer = DatasetWriter(target, manifest, check)
    try:
        drop(writer, plan.keep, tick)
        with writer:
            wanted = (one for one in sources.walk(LeftOut()) if plan.take(one))
            drawn = drawn_ahead(wanted, settings, left_out, tick)
            for one, prepared in _encoded(drawn, settings, device, left_out):
                writer.add(prepared)
                report.add(one)
                watch.done(report.added, plan.total, (one, prepared))
    finally:
        check()
        clear_away(target, writer.manifest)
    report.finish(writer.manifest, entries_of(target, writer.manifest))
    return report


def _head(settings: PrepareSettings, device: Device) -> Head:
    return Head(settings.resolution, settings.buckets, settings.hints, device.vae, device.latent_channels)


def _going_on(target: Path, head: Head) -> Manifest:
    """The set in a folder, or an empty one. Raises SCEditError if it is not made as `head` says."""
    if not is_set(target):
        return Manifest(head, ())
    manifest = read_manifest(target)
    there = manifest.head
    for name, before, now in (
        ("resolution", there.resolution, head.resolution),
        ("buckets", there.buckets, head.buckets),
        ("hints", ", ".join(there.hints) or "none", ", ".join(head.hints) or "none"),
        ("VAE", there.vae[:12], head.vae[:12]),
        ("latent channels", there.latent_channels, head.latent_channels),
    ):
        if before != now:
            raise SCEditError(
                f"the data set '{shown(target.name)}' was made with {name} {before}, now it is {now}; give "
                "the new set another name, or delete the folder of the old one"
            )
    return manifest


def _encoded(
    drawn: Iterator[Drawn], settings: PrepareSettings, device: Device, left_out: LeftOut
) -> Iterator[tuple[Drawn, Prepared]]:
    """What the device makes of pictures, several of one size at once."""
    for batch in batches(drawn, device.batch):
        pictures = np.stack([one.picture for one in batch])
        latents = device.encode(pictures)
        _check_shape(latents, pictures, device)
        found = {kind: device.nets[kind](pictures) for kind in settings.hints if kind in NET_HINTS}
        for number, one in enumerate(batch):
            if not np.abs(latents[number]).max() <= _MOST_NUMBER:
                left_out.add(f"'{shown(one.source.name)}' (its latent holds NaN or more than float16 can)")
                continue
            drawings = {kind: (to_png(hints[number]),) for kind, hints in found.items()}
            hints = tuple({**one.hints, **drawings}[kind] for kind in settings.hints)
            name, sizes = one.source.name, one.crop.sizes
            yield one, Prepared(name, one.stamp, latents[number], one.caption, hints, sizes)


def _check_shape(latents: np.ndarray, pictures: np.ndarray, device: Device) -> None:
    """Refuse latents that are no SD or SDXL model's."""
    height, width = (side // PIXELS_PER_LATENT for side in pictures.shape[1:3])
    if latents.shape != (len(pictures), device.latent_channels, height, width):
        raise SCEditError(
            f"the VAE makes latents of shape {tuple(latents.shape)} of {len(pictures)} pictures; expected "
            f"{device.latent_channels} channels of {height} x {width}: use the VAE of an SD or SDXL model"
        )

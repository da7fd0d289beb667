"""The weight files of the annotators: which they are, who publishes them, and where they may lie already."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import SCEditError

_MODELSCOPE = "modelscope.cn/models/iic/scepter_scedit (annotator/ckpts)"


@dataclass(frozen=True)
class WeightFile:
    """A published file: `path` in a repository on Hugging Face at a pinned revision, `name` in our folder.

    `size` is in bytes; None where only its megabytes are published. `elsewhere` is a second source.
    """

    name: str
    megabytes: int
    size: int | None
    sha256: str
    repo: str
    revision: str
    path: str
    elsewhere: str = ""

    def source(self) -> str:
        """Where users can get it themselves, as part of a sentence."""
        sources = f"huggingface.co/{self.repo}" + (f" or {self.elsewhere}" if self.elsewhere else "")
        return f"'{self.path}' from {sources}"


def _annotator(name: str, size: int, sha256: str, elsewhere: str = _MODELSCOPE) -> WeightFile:
    repo, revision = "lllyasviel/Annotators", "982e7edaec38759d914a963c48c4726685de7d96"
    return WeightFile(name, round(size / 1e6), size, sha256, repo, revision, name, elsewhere)


HED_WEIGHTS = _annotator(
    "ControlNetHED.pth", 29_444_406, "5ca93762ffd68a29fee1af9d495bf6aab80ae86f08905fb35472a083a4c7a8fa"
)
DEPTH_WEIGHTS = _annotator(
    "dpt_hybrid-midas-501f0c75.pt",
    492_757_791,
    "501f0c75b3bca7daec6b3682c5054c09b366765aef6fa3a09d03a5cb4b230853",
)
BODY_WEIGHTS = _annotator(
    "body_pose_model.pth", 209_267_595, "25a948c16078b0f08e236bda51a385d855ef4c153598947c28c0d47ed94bb746"
)
HAND_WEIGHTS = _annotator(
    "hand_pose_model.pth", 147_341_049, "b76b00d1750901abd07b9f9d8c98cc3385b8fe834a26d4b4f0aad439e75fc600"
)
FACE_WEIGHTS = _annotator(
    "facenet.pth",
    153_718_792,
    "8beb52e548624ffcc4aed12af7aee7dcbfaeea420c75609fee999fe7add79d43",
    elsewhere="",
)
SEGMENTATION_WEIGHTS = WeightFile(
    name="upernet-convnext-small.bin",
    megabytes=328,
    size=None,
    sha256="76c163aa531ab7edfb3a77bbcc039e340645aa0ffe2b0ffcfc68755f550c76ea",
    repo="openmmlab/upernet-convnext-small",
    revision="550b68d291f9a7e4874065c6eec0676b2ba821e6",
    path="pytorch_model.bin",
)


def find_weights(file: WeightFile, own: Sequence[Path], others: Sequence[Path] = ()) -> Path | None:
    """Where a file lies: in our own folders, in Hugging Face's cache, or in the folders of other packs.

    Nothing is looked up in a network.
    """
    places = (
        *(folder / name for folder in own for name in (file.name, f"{file.repo}/{file.path}")),
        *_in_hub_cache(file),
        *(folder / file.repo / file.path for folder in others),
    )
    return next((place for place in places if os.path.isfile(place)), None)


def _in_hub_cache(file: WeightFile) -> Iterator[Path]:
    """The file in every revision of its repository that Hugging Face's cache holds, the pinned one first."""
    snapshots = hub_cache() / f"models--{file.repo.replace('/', '--')}" / "snapshots"
    yield snapshots / file.revision / file.path
    if os.path.isdir(snapshots):
        yield from (
            Path(revision, file.path) for revision in sorted(os.scandir(snapshots), key=lambda r: r.name)
        )


def hub_cache() -> Path:
    """The folder in which Hugging Face's libraries keep what they downloaded."""
    given = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if given:
        return Path(given).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("HF_HOME") or f"{caches}/huggingface").expanduser() / "hub"


def missing_weights(file: WeightFile, own: Sequence[Path]) -> SCEditError:
    """The error for a file that is nowhere and may not be downloaded."""
    folders = " or ".join(map(str, own))
    return SCEditError(
        f"the weights {file.name} ({file.megabytes} MB) are not on this computer; switch 'download' on, or "
        f"get {file.source()} and put the file as {file.name} into {folders}"
    )

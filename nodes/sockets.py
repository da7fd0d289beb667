"""The pack's own socket types."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ..scedit_core.training.dataset.shards import StoredDataset

TUNER = io.Custom("SCEDIT_TUNER")
CONTROL = io.Custom("SCEDIT_CONTROL")
CONDITION = io.Custom("SCEDIT_CONDITION")
DATASET = io.Custom("SCEDIT_DATASET")


@dataclass(frozen=True, eq=False)
class HostedDataset:
    """A data set on disk, and the text encoder for its captions, if one was given."""

    folder: Path
    stored: StoredDataset
    clip: Any = None

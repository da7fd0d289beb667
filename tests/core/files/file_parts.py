"""A whole tuner file of few bytes, and its parts, from which broken and hostile ones are put together."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import torch

Case = tuple[str, Path]
WIDTHS = (16, 8, 8, 8)


def weights() -> dict[str, torch.Tensor]:
    """A whole SC-Tuner in the layout of scepter."""
    torch.manual_seed(0)
    layers = {}
    for block, width in enumerate(WIDTHS):
        for ln, (out, into) in ((1, (4, width)), (2, (width, 4))):
            layers[f"lsc_identity.{block}.tuner_op.ln{ln}.weight"] = torch.randn(out, into)
            layers[f"lsc_identity.{block}.tuner_op.ln{ln}.bias"] = torch.randn(out)
    return layers


KEY = next(iter(weights()))


def written(file: Path, content: bytes) -> Path:
    """A file with this content."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def split(whole: bytes) -> tuple[dict, bytes]:
    """Header and body of a safetensors file."""
    size = int.from_bytes(whole[:8], "little")
    return json.loads(whole[8 : 8 + size]), whole[8 + size :]


def joined(header: dict | bytes, body: bytes, size: int | None = None) -> bytes:
    """A safetensors file of these parts; `size` stands in for the header's true length."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + body

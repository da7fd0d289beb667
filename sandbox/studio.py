"""Pictures made by a running ComfyUI: upload, paint, fetch."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from graphs import SAVE, STEPS, Control, Graph, Painting, Strip, graph, halves_graph, strip_graph
from PIL import Image

__all__ = ["Studio"]


class Studio:
    """Paints in a ComfyServer; what was painted or uploaded once is not made again."""

    def __init__(self, server: Any, steps: int = STEPS) -> None:
        self._server = server
        self._steps = steps
        self._painted: dict[Painting, np.ndarray] = {}
        self._uploaded: set[str] = set()

    def upload(self, name: str, picture: np.ndarray) -> str:
        """Put a picture uint8 `(H, W, 3)` or `(H, W)` into the input folder; its name there."""
        if name not in self._uploaded:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder, f"{name}.png")
                Image.fromarray(picture).save(file)
                self._server.upload_image(file)
            self._uploaded.add(name)
        return f"{name}.png"

    def paint(self, painting: Painting) -> np.ndarray:
        """The picture, uint8 `(256, 256, 3)`."""
        if painting not in self._painted:
            (self._painted[painting],) = self._pictures(graph(painting))
        return self._painted[painting]

    def paint_strip(self, strip: Strip) -> list[np.ndarray]:
        """The pictures of a strip, each uint8 `(256, 256, 3)`."""
        return self._pictures(strip_graph(strip))

    def paint_halves(self, captions: Sequence[str], controls: Sequence[Control]) -> np.ndarray:
        """A picture of two halves, each with its caption and its control, uint8 `(256, 256, 3)`."""
        (picture,) = self._pictures(halves_graph(captions, controls))
        return picture

    def _pictures(self, nodes: Graph) -> list[np.ndarray]:
        nodes["sampler"]["inputs"]["steps"] = self._steps
        outputs = self._server.execute(nodes)
        files = [self._server.fetch_image(image) for image in outputs[SAVE]["images"]]
        return [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in files]

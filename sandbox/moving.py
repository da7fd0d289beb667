"""A video of the sandbox's world: a circle that goes from left to right."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import world

__all__ = ["FRAMES", "write_video"]

# each uint8 (256, 256, 3); what leaves at one side would come in at the other, but the circle stays inside
FRAMES = [np.roll(world.drawing("circle"), right, axis=1) for right in (-50, -25, 0, 25, 50)]


def write_video(file: Path) -> None:
    """Write the frames as an MP4, eight a second."""
    with av.open(str(file), "w") as container:
        stream = container.add_stream("h264", rate=8)
        stream.width = stream.height = world.SIZE
        stream.pix_fmt = "yuv420p"
        for frame in FRAMES:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())

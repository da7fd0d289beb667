"""What captions tell SDXL of the sizes of their pictures; other models do not look at it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# the picture's own size, what is cut off from its left and top, and the size at which it is seen
SIZE_NAMES = ("width", "height", "crop_w", "crop_h", "target_width", "target_height")


def dropped(empty: Any, captions: Sequence[Any]) -> list[Any]:
    """For each caption the empty one with the sizes of its picture, which stay when a text is dropped."""
    sizes = [{name: known[name] for name in SIZE_NAMES if name in known} for _, known in captions]
    # one for all pictures of the same sizes: the model's host prepares each caption once
    made = {repr(told): [empty[0], {**empty[1], **told}] for told in sizes}
    return [made[repr(told)] for told in sizes]

"""OpenCV, imported on first use, so that a broken install does not keep the pack from loading."""

from __future__ import annotations

from types import ModuleType

from ..errors import SCEditError


def load_opencv() -> ModuleType:
    """The cv2 module. Raises SCEditError with the remedy where it cannot be imported."""
    try:
        import cv2
    except ImportError as error:
        raise SCEditError(
            f"OpenCV cannot be imported ({error}); install it into ComfyUI's Python with "
            "'pip install opencv-python-headless' and start ComfyUI again"
        ) from error
    return cv2

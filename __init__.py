"""SCEdit for ComfyUI: SC-Tuners and CSC-Tuners on the skip connections of a diffusion U-Net."""

from .nodes import comfy_entrypoint

WEB_DIRECTORY = "./web"

__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]

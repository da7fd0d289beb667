"""The pack's own socket types."""

from comfy_api.latest import io

TUNER = io.Custom("SCEDIT_TUNER")
CONTROL = io.Custom("SCEDIT_CONTROL")
CONDITION = io.Custom("SCEDIT_CONDITION")

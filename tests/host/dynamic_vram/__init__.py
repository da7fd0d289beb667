"""A node pack that has a ComfyUI server on a CPU load models as on NVIDIA: with dynamic VRAM.

The switch for it, --enable-dynamic-vram, asks for a card and ends the server without one. These are the two
lines of main.py that it leads to.
"""

import comfy.memory_management
import comfy.model_patcher

comfy.model_patcher.CoreModelPatcher = comfy.model_patcher.ModelPatcherDynamic
comfy.memory_management.aimdo_enabled = True

NODE_CLASS_MAPPINGS = {}

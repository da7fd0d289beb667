"""Readies comfy-aimdo before ComfyUI imports what uses it, as main.py does where there is a card."""

import comfy_aimdo.control

comfy_aimdo.control.init()

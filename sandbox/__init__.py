"""A miniature model for trying and testing this repository; not part of the published node pack.

In ComfyUI's custom_nodes it teaches the stock loaders to read the checkpoint that train_base.py made. It
adds no nodes.
"""

from .model import register

register()

NODE_CLASS_MAPPINGS = {}

"""A miniature model for trying and testing this repository; not part of the published node pack.

In ComfyUI's custom_nodes it teaches the stock loaders to read the checkpoint that train_base.py made, and
brings its models, two pictures and the template scedit_sandbox. It adds no nodes.
"""

from .bring import bring
from .model import register

register()
bring()

NODE_CLASS_MAPPINGS = {}

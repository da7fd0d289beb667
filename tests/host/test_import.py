"""What ComfyUI's start takes on with the pack: counted in a fresh process that starts as ComfyUI does."""

from __future__ import annotations

import json
import subprocess
import sys

from support import COMFYUI, REPOSITORY

START = """
import asyncio, json, sys
sys.path.insert(0, sys.argv[1])
import comfy.cli_args
comfy.cli_args.args.cpu = True
import utils.extra_config
import comfy_api.latest, comfy_config.config_parser, execution, nodes, server
for name in [name for name in sys.modules if name.split(".")[0] in sys.argv[3:]]:
    del sys.modules[name]  # ComfyUI's own start has brought some of them; who asks for them now is seen
before = set(sys.modules)
is_loaded = asyncio.run(nodes.load_custom_node(sys.argv[2], module_parent="custom_nodes"))
ours = [name for name in nodes.NODE_CLASS_MAPPINGS if name.startswith("SCEdit")]
for name in ours:
    nodes.NODE_CLASS_MAPPINGS[name].INPUT_TYPES()
print(json.dumps([is_loaded, ours, sorted({*sys.modules} - before)]))
"""
HEAVY = ["controlnet_aux", "cv2", "matplotlib", "scipy", "skimage", "timm", "transformers"]


def test_the_whole_pack_brings_in_nothing_but_itself_at_start():
    command = [sys.executable, "-W", "ignore", "-c", START, COMFYUI, str(REPOSITORY), *HEAVY]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    is_loaded, nodes, modules = json.loads(run.stdout.splitlines()[-1])
    assert is_loaded, run.stderr
    assert len(nodes) > 20
    own = str(REPOSITORY).replace(".", "_x_")  # how ComfyUI names a pack
    assert sum(name.startswith(own) for name in modules) > 50
    foreign = [name for name in modules if not name.startswith(own)]
    assert [name for name in foreign if name.split(".")[0] not in sys.stdlib_module_names] == []

"""Seconds that ComfyUI's start takes longer with this pack, and the modules that it brings in.

    python dev.py bench import_cost [--rounds 5] [--device cuda]

Every round is a process of its own that starts as ComfyUI does: its nodes, its extra nodes, then this pack
through ComfyUI's own loader, which asks for all nodes and their inputs. Only the pack's part is timed. The
first round compiles it and is told apart; the others find it compiled, as every later start does, and their
median should stay below 0.3 s.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from host_start import add_device_option

REPOSITORY = Path(__file__).resolve().parents[1]
MOST = 0.3  # seconds

ROUND = """
import asyncio, json, sys, time
sys.path.insert(0, sys.argv[1])
import comfy.cli_args
comfy.cli_args.args.cpu = sys.argv[3] == "cpu"
import utils.extra_config
import nodes
asyncio.run(nodes.init_builtin_extra_nodes())
before, start = set(sys.modules), time.perf_counter()
is_loaded = asyncio.run(nodes.load_custom_node(sys.argv[2], module_parent="custom_nodes"))
seconds = time.perf_counter() - start
own = sys.argv[2].replace(".", "_x_")  # how ComfyUI names a pack
foreign = sorted(name for name in {*sys.modules} - before if not name.startswith(own))
print(json.dumps([is_loaded, seconds, foreign]))
"""


def one_round(comfyui: str, device: str, bytecode: Path) -> tuple[float, list[str]]:
    """Seconds of a start, and the modules that were not there before and are not ours."""
    command = [sys.executable, "-W", "ignore", "-c", ROUND, comfyui, str(REPOSITORY), device]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(bytecode)
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    is_loaded, seconds, modules = json.loads(run.stdout.splitlines()[-1])
    if not is_loaded:
        raise SystemExit(f"ComfyUI did not load the pack:\n{run.stderr}")
    return seconds, modules


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    add_device_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        start = partial(one_round, os.environ["COMFYUI_PATH"], options.device, Path(folder))
        first, *rounds = [start() for _ in range(1 + options.rounds)]
    print(f"first start, which compiles the pack: {first[0]:.3f} s")
    times = sorted(seconds for seconds, _ in rounds)
    print("rounds:", " ".join(f"{seconds:.3f}" for seconds in times), "s")
    print("modules beside the pack's own:", ", ".join(rounds[0][1]) or "none")
    median = statistics.median(times)
    print(f"median {median:.3f} s, {'below' if median < MOST else 'ABOVE'} {MOST} s")


if __name__ == "__main__":
    main()

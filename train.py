"""Train styles and controls from a file, in one process or in many, without ComfyUI's page.

    python train.py run JOB.toml        train; the same command goes on after a break
    python train.py prepare JOB.toml    make the data set of a job first: once, for any number of runs
    python train.py evaluate JOB.toml   measure whether what was learnt works, on pictures it has not seen
    python train.py export JOB.toml     put what was learnt into ComfyUI's models/scedit

A job is a text file that says what is trained, on which checkpoint, from which pictures: copy one of
example_jobs and change it, or have the node 'Export Training Job (SCEdit)' write one. 'run --help' explains
every key. Models are loaded by ComfyUI, whose folder is found where this pack lies in its custom_nodes, or
named by --comfyui or COMFYUI_PATH. ComfyUI itself is not started, and nothing goes online.

    torchrun --nproc-per-node=4 train.py run JOB.toml

trains on four graphics cards of one machine. Ctrl+C, SIGTERM or a file named 'stop' in the folder of results
ends a run after its step, with all that it takes to go on.

It ends with 0 if the job is done or was stopped by that file, 1 if it cannot be done (a sentence says why),
2 for a command that it does not know, and 128 + n for signal n.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

REPO = Path(__file__).resolve().parent
PACK = "scedit_pack"


def open_pack() -> ModuleType:
    """Make the pack importable as PACK without its nodes, which would bring all of ComfyUI; its core."""
    # where Python finds what a script imports, this folder's nodes would hide ComfyUI's
    sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != REPO]
    for name, folder in ((PACK, REPO), (f"{PACK}.nodes", REPO / "nodes")):
        if name not in sys.modules:
            module = ModuleType(name)
            module.__path__ = [str(folder)]
            sys.modules[name] = module
    return importlib.import_module(f"{PACK}.scedit_core")


def part(name: str) -> Any:
    """A module of the pack."""
    return importlib.import_module(f"{PACK}.{name}")


def run(job: Any, options: argparse.Namespace) -> int:
    """Train; 0 unless a signal ended it."""
    jobs = part("nodes.training.jobs.running")
    asked = part("nodes.training.jobs.asked").Asked(job.output / "stop")
    jobs.run_job(job, options.job, asked, say)
    return 0 if asked.signal is None else 128 + asked.signal


def prepare(job: Any, _options: argparse.Namespace) -> int:
    """Make the data set, in one process."""
    if os.environ.get("RANK", "0") == "0":
        part("nodes.training.jobs.preparing").prepare_job(job, say)
    return 0


def evaluate(job: Any, _options: argparse.Namespace) -> int:
    """Measure the newest tuners, in one process."""
    if os.environ.get("RANK", "0") == "0":
        part("nodes.evaluation.job").evaluate_job(job, say)
    return 0


def export(job: Any, options: argparse.Namespace) -> int:
    """Bring the newest tuners where they are used."""
    exporting = part("nodes.training.jobs.exporting")
    for target in exporting.export_job(job, options.to, options.layout, options.dtype):
        say(f"wrote {target}")
    return 0


def say(line: str) -> None:
    """A line for whoever looks at the terminal."""
    print(line, flush=True)


def keys() -> str:
    """Every key of a job file, as text."""
    parts, lines = part("scedit_core.training.job.parts"), ["The keys of a job file, with their defaults:"]
    for name, kind in parts.PARTS.items():
        lines += ["", f"[{name}]  {' '.join(kind.__doc__.split())}"]
        for key, one in part("scedit_core.training.job.keys").keys_of(kind):
            lines += [f"  {key}", *(f"      {line}" for line in one.explained(90))]
    return "\n".join(lines)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """What the command line asks for."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="train.py", description=__doc__, formatter_class=plain)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    helps = {
        "run": "train what a job says, or go on with it",
        "prepare": "make the data set of a job",
        "evaluate": "measure whether a job's newest tuners work: figures, a sheet, and a verdict",
        "export": "put what a job learnt into models/scedit",
    }
    for name, words in helps.items():
        command = commands.add_parser(name, help=words, description=words, formatter_class=plain)
        command.add_argument("job", type=Path, metavar="JOB.toml", help="the job's file")
        command.add_argument("--comfyui", metavar="FOLDER", help="ComfyUI's folder, the one of its main.py")
        command.add_argument("--cpu", action="store_true", help="compute on the CPU, though there is a card")
        if name == "export":
            command.add_argument("--to", type=Path, metavar="FOLDER", help="in place of models/scedit")
            command.add_argument("--layout", choices=("SCEdit", "scepter"), default="SCEdit")
            command.add_argument("--dtype", choices=("as trained", "fp16", "bf16"), default="as trained")
        else:
            command.epilog = keys()
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None, ready: Callable[[], object] = lambda: None) -> int:
    """Do what a command line asks for; `ready` is called once ComfyUI can be imported."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    signal.signal(signal.SIGTERM, _leave)
    try:
        core = open_pack()
        options = parse(arguments)
    except ModuleNotFoundError as error:
        return _fail(f"{error}; start train.py with the Python that runs ComfyUI")
    host = part("nodes.training.jobs.host")
    try:
        job = part("scedit_core.training.job").read_job(options.job)
        host.open_comfyui(host.find_comfyui(options.comfyui), on_cpu=options.cpu)
        ready()
        return COMMANDS[options.command](job, options)
    except core.SCEditError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _fail("interrupted", 128 + signal.SIGINT)


COMMANDS = {"run": run, "prepare": prepare, "evaluate": evaluate, "export": export}


def _fail(sentence: str, status: int = 1) -> int:
    print(f"train.py: {sentence}", file=sys.stderr, flush=True)
    return status


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())

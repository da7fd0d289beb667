"""The Python environment in .venv, and the packages in it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from pathlib import Path

from .places import REPO, VENV, WORK
from .processes import run_logged, works
from .progress import say

TORCH = ["torch==2.14.1", "torchvision==0.29.1"]
# ComfyUI imports torchaudio; without its dependencies, because it asks for an older torch than it works with.
TORCHAUDIO = ["--no-deps", "torchaudio==2.11.0"]


def venv_program(name: str) -> Path:
    return VENV / "Scripts" / f"{name}.exe" if os.name == "nt" else VENV / "bin" / name


def make_venv() -> None:
    python = venv_program("python")
    if python.exists() and works([python, "-c", "import pip"]):
        return
    run_logged([sys.executable, "-m", "venv", "--clear", VENV], "venv")


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
        # Not compiled: of the 17,000 files a third is ever imported, and compiled then.
        run_logged([*pip, "--no-compile", *request], f"pip-{layer}-{number}")
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

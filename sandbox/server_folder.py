"""What a server's base directory holds: its folders, copies of our packs, settings. Standard library only."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
DEFAULT_BASE = REPO / ".comfyui" / "base"
PACK = "ComfyUI-SCEdit"
SANDBOX = "scedit_sandbox"
PACK_CONTENT = (
    "__init__.py",
    "nodes",
    "scedit_core",
    "web",
    "locales",
    "example_workflows",
    "subgraphs",
    "example_jobs",
    "train.py",
    "pyproject.toml",
)
SANDBOX_CONTENT = ("__init__.py", "bring.py", "model.py", "photo.jpg", "scene.png", "example_workflows")
BASE_FOLDERS = ("models", "input", "output", "custom_nodes", "user", "temp")


def prepare_base(base: Path, packs: Sequence[Path]) -> None:
    """Make the folders, and bring in this pack, the sandbox and further packs as they are now."""
    for name in BASE_FOLDERS:
        (base / name).mkdir(parents=True, exist_ok=True)
    # Copies: links need special rights on Windows.
    pack = _emptied(base / "custom_nodes" / PACK)
    for name in PACK_CONTENT:
        _copy(REPO / name, pack / name)
    sandbox = _emptied(base / "custom_nodes" / SANDBOX)
    for name in SANDBOX_CONTENT:
        _copy(REPO / "sandbox" / name, sandbox / name)
    for folder in packs:
        _copy(folder, _emptied(base / "custom_nodes" / folder.name))


def skip_introduction(base: Path) -> None:
    """On a first visit the page covers its graph with a browser of templates; here it has one to show."""
    settings = base / "user" / "default" / "comfy.settings.json"
    if not settings.exists():
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(json.dumps({"Comfy.TutorialCompleted": True}), encoding="utf-8")


def _emptied(folder: Path) -> Path:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    return folder


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    elif source.is_file():
        shutil.copy2(source, target)


def write_model_paths(base: Path, models: Path) -> Path:
    """A configuration by which ComfyUI finds the folders of another models folder; where it is."""
    folders = {entry.name: entry.name for entry in models.iterdir() if entry.is_dir()}
    config = base / "extra_model_paths.yaml"
    # JSON is YAML, and escapes whatever a path may hold.
    config.write_text(
        json.dumps({"shared": {"base_path": str(models), **folders}}, indent=2), encoding="utf-8"
    )
    return config

"""ComfyUI as a library: found, and told what it would read off its command line. Nothing of it runs before.

Neither its main.py nor its server is imported, and no node of it or of other packs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ....scedit_core import SCEditError
from ....scedit_core.errors import shown

_EXTRA = "extra_model_paths.yaml"
PACK = Path(__file__).resolve().parents[3]


def find_comfyui(given: str | None) -> Path:
    """ComfyUI's folder: as given, of COMFYUI_PATH, or the one in whose custom_nodes this pack lies."""
    asked = given or os.environ.get("COMFYUI_PATH")
    if asked:
        folder = Path(asked).expanduser().resolve()
        if not _is_comfyui(folder):
            raise SCEditError(
                f"{shown(asked, 400)} is no ComfyUI folder: it has no comfy folder beside a folder_paths.py; "
                "give the folder that holds ComfyUI's main.py"
            )
        return folder
    around = PACK.parent.parent
    if PACK.parent.name == "custom_nodes" and _is_comfyui(around):
        return around
    raise SCEditError(
        "ComfyUI was not found: this pack lies in no custom_nodes folder; give ComfyUI's folder by --comfyui "
        "or in COMFYUI_PATH"
    )


def open_comfyui(folder: Path, *, on_cpu: bool) -> None:
    """Make ComfyUI's modules importable, set up for this process, with the folders of its models known."""
    sys.path.insert(0, str(folder))
    import torch

    if torch.cuda.is_available() and not on_cpu:
        number, cards = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if number >= cards:
            raise SCEditError(
                f"process {number} of this computer has no graphics card to itself: there are {cards}; start "
                f"at most {cards} processes, --nproc-per-node={cards}"
            )
        # before ComfyUI looks at the current card; all stay visible, as their direct links need it
        torch.cuda.set_device(number)
    from comfy.cli_args import args

    args.cpu = on_cpu or not _has_card()
    base = PACK.parent.parent
    if PACK.parent.name == "custom_nodes" and base != folder and (base / "models").is_dir():
        args.base_directory = str(base)  # as ComfyUI's desktop application has it
    args.disable_pinned_memory = True  # each process would take most of the machine's memory for it
    from utils.extra_config import load_extra_path_config

    for place in dict.fromkeys((folder, Path(args.base_directory or folder))):
        if (place / _EXTRA).is_file():
            load_extra_path_config(str(place / _EXTRA))
    from ...files.folders import register_annotator_folder, register_tuner_folder

    register_tuner_folder()
    register_annotator_folder()


def _is_comfyui(folder: Path) -> bool:
    return (folder / "folder_paths.py").is_file() and (folder / "comfy").is_dir()


def _has_card() -> bool:
    """Whether PyTorch has something else than a CPU to compute on."""
    import torch

    kinds = (torch.cuda, getattr(torch.backends, "mps", None), getattr(torch, "xpu", None))
    return any(kind is not None and kind.is_available() for kind in kinds)

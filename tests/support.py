"""Finds the authors' reference values and imports parts of the repository by path."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType

REPOSITORY = Path(__file__).resolve().parents[1]
COMFYUI = os.environ.get("COMFYUI_PATH", "")  # without it the tests that need one are left out


def load_module(name: str, file: Path, folder: Path | None = None) -> ModuleType:
    """Import a file under a name of our choosing, as a package if `folder` is given.

    The repository must not be on sys.path: its `nodes` would hide ComfyUI's.
    """
    locations = [str(folder)] if folder else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=locations)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def load_package(name: str, folder: Path) -> ModuleType:
    """Import a folder with an __init__.py under a name of our choosing."""
    return load_module(name, folder / "__init__.py", folder)


def chromium() -> str | None:
    """Path of a Chromium for the browser tests, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM_PATH") or next(filter(None, map(shutil.which, names)), None)


class Golden:
    """The authors' values: `index` describes them, `path` finds a file of the set."""

    def __init__(self) -> None:
        whole = Path(os.environ.get("SCEDIT_GOLDEN", REPOSITORY.parent / "shared" / "golden"))
        self.folder = whole if (whole / "index.json").is_file() else REPOSITORY / "tests" / "golden"
        self.index = json.loads((self.folder / "index.json").read_text(encoding="utf-8"))

    def path(self, relative: str) -> Path:
        """A file of the set."""
        return self.folder / relative

    def tuner(self, name: str) -> Path:
        """A folder that holds this tuner, in whichever layout is there."""
        entry = self.index["tuners"][name]
        folders = (
            [layout["folder"] for layout in entry["layouts"]] if "layouts" in entry else [entry["folder"]]
        )
        return next(self.path(folder) for folder in folders if self.path(folder).is_dir())

    def has_tuner(self, name: str) -> bool:
        """True if some layout of this tuner is there."""
        try:
            self.tuner(name)
        except StopIteration:
            return False
        return True

    def has(self, case: dict) -> bool:
        """True if everything that a case needs is there."""
        if not all(map(self.has_tuner, case_tuners(case))):
            return False
        return (
            self.path(case["expected"]).is_file()
            and self.path(f"inputs/{case['inputs']}.safetensors").is_file()
        )

    def cases(self) -> list[dict]:
        """All cases whose files are there."""
        return [case for case in self.index["cases"] if self.has(case)]


def case_tuners(case: dict) -> list[str]:
    """Names of all tuners that take part in a case."""
    styles = case["sc"]["tuners"] if case.get("sc") else []
    return [*styles, *(control["tuner"] for control in case["controls"])]


GOLDEN = Golden()


def fork() -> int:
    """os.fork for processes with PyTorch: 0 in the child.

    There PyTorch makes its pool of threads anew at the next call that asks for it. Two threads that ask at
    once may find none ("Invalid thread pool"), so it is asked for before there is a second.
    """
    import torch

    pid = os.fork()
    if pid == 0:
        torch.set_num_threads(1)
    return pid

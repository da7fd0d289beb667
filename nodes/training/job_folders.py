"""Folders of training jobs: where they are made, which are listed, and where a name leads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import folder_paths

from ...scedit_core import SCEditError
from ...scedit_core.errors import shown
from ...scedit_core.files.names import existing_parts, leads_out
from ...scedit_core.training.dataset.folder import natural_order
from ..files.folders import new_file

FOLDER_KEY = "scedit_jobs"  # in extra_model_paths.yaml
NONE_YET = "no jobs yet: export one and press R"
_DEEPEST = 3  # folders below a root in which a job may lie


def new_job(name: str) -> Path:
    """The folder of a new job in output/scedit_jobs. Raises SCEditError for a name that leads elsewhere."""
    return new_file(_own(), name, "")


def job_names() -> list[str]:
    """Folders that hold a job, below all roots, with forward slashes; NONE_YET alone if there are none."""
    found = {
        os.path.relpath(place, root).replace(os.sep, "/")
        for root in _roots()
        for place in _jobs(str(root), _DEEPEST)
    }
    return sorted(found - {"."}, key=natural_order) or [NONE_YET]


def job_path(name: str) -> Path:
    """A job's folder by its listed name. Raises SCEditError naming the places searched."""
    parts, roots = existing_parts(name), _roots()
    for root in roots if parts else ():
        path = root.joinpath(*parts)
        if os.path.isfile(path / "job.toml") and not leads_out(root, path):
            return path
    raise SCEditError(
        f"no job '{shown(name)}' in {shown(' or '.join(map(str, roots)), 500)}; export one, or name the "
        "folder of your jobs for 'scedit_jobs' in extra_model_paths.yaml, and press R"
    )


def _own() -> Path:
    return Path(folder_paths.get_output_directory(), FOLDER_KEY)


def _roots() -> list[Path]:
    """Where jobs are exported to, and the folders that extra_model_paths.yaml gives, such as shared disks."""
    paths, _ = folder_paths.folder_names_and_paths.get(FOLDER_KEY, ([], set()))
    return [_own(), *map(Path, paths)]


def _jobs(place: str, deep: int) -> Iterator[str]:
    """Folders with a job; what lies inside of one, its data set for instance, is not looked at."""
    if os.path.isfile(os.path.join(place, "job.toml")):
        yield place
        return
    try:
        with os.scandir(place) as entries:
            folders = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for folder in folders if deep else ():
        yield from _jobs(folder, deep - 1)

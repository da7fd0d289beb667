"""The node that writes a training as a job, to be run by train.py here or elsewhere."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import io

from ...scedit_core import SCEditError
from ...scedit_core.errors import shown
from ...scedit_core.files.describe import sha256
from ...scedit_core.files.durable import write_whole
from ...scedit_core.training.job import Job, job_text
from ...scedit_core.training.job.keys import keys_of
from ...scedit_core.training.job.packing import pack_dataset
from ...scedit_core.training.job.parts import PARTS
from ...scedit_core.training.job.reading import job_of
from ..sockets import DATASET, HostedDataset
from ..telling import say, told
from ..widgets import OPTIONAL, about, choice, switch, text, whole
from .job_folders import new_job
from .widgets import encoder_inputs, job_inputs, learning_inputs, shape_inputs, tuning_inputs

PACK = Path(__file__).resolve().parents[2]


class SCEditExportTrainingJob(io.ComfyNode):
    """Writes a training as a folder with all its settings, and shows the command that runs it: on this
    computer without ComfyUI's page, or on many."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **about(cls, "Export Training Job", "training"),
            is_experimental=True,
            is_output_node=True,
            inputs=[
                DATASET.Input("dataset", tooltip="The pictures, from 'Prepare Dataset (SCEdit)'."),
                io.Combo.Input(  # without a default: the list changes with the files
                    "checkpoint",
                    options=folder_paths.get_filename_list("checkpoints"),
                    tooltip="The model to train on. Its name and SHA-256 go into the job, not the file.",
                ),
                choice("kind", ("csc", "sc"), "csc: a control for each hint of the data set. sc: a style."),
                text("name", "my_control", "Name of the job: a folder in output/scedit_jobs."),
                *learning_inputs(10_000),
                *shape_inputs(),
                *encoder_inputs(),
                *tuning_inputs(),
                *job_inputs(),
                switch(
                    "pack_data",
                    False,
                    "Put the data set into the job's folder, to take all of it elsewhere. Off: the job names "
                    "the place where it lies.",
                    **OPTIONAL,
                ),
                whole(
                    "processes",
                    1,
                    (1, 4096),
                    "How many graphics cards of one computer the command that is shown is for.",
                    **OPTIONAL,
                ),
            ],
            outputs=[
                io.String.Output(display_name="job", tooltip="Its name, for 'Watch Training Job (SCEdit)'."),
                io.String.Output(
                    display_name="command", tooltip="The command that runs it on this computer."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        dataset: HostedDataset,
        checkpoint: str,
        name: str,
        pack_data: bool = False,
        processes: int = 1,
        **widgets: Any,
    ) -> io.NodeOutput:
        folder = new_job(name)
        data = "dataset" if pack_data else str(dataset.folder.absolute())
        job = _job(folder, checkpoint, data, dataset, widgets)
        if pack_data:
            pack_dataset(dataset.folder, folder / "dataset")
        write_whole(folder / "job.toml", job_text(job).encode())
        command = command_for(folder / "job.toml", processes)
        report = f"job: {folder}\nrun it by:\n{command}"
        say(report, is_last=True)
        return io.NodeOutput(name.strip(), command, ui=told(report))


def _job(folder: Path, checkpoint: str, data: str, dataset: HostedDataset, widgets: dict[str, Any]) -> Job:
    """The job that the widgets describe, read as its file will be, so that it is refused now if at all."""
    path = folder_paths.get_full_path("checkpoints", checkpoint)
    if path is None:
        raise SCEditError(
            f"no checkpoint '{shown(checkpoint)}' is there any more; press R and choose another"
        )
    stored = dataset.stored
    if widgets["kind"] == "csc" and not stored.hints:
        raise SCEditError(
            f"the data set '{shown(dataset.folder.name)}' holds no hints, which a control learns to follow; "
            "prepare one with a kind of hint, or set kind to sc"
        )
    tables: dict[str, dict[str, Any]] = {
        "model": {"checkpoint": checkpoint, "sha256": sha256(Path(path))},
        "data": {"dataset": data, "hints": list(stored.hints), "resolution": stored.resolution},
        "run": {"name": folder.name, "output": "."},
    }
    tables["tuner"] = {"kind": widgets.pop("kind")}
    for part in ("tuner", "training", "run"):
        keys = dict(keys_of(PARTS[part]))
        given = {key: widgets[key] for key in keys if key in widgets}
        tables[part] = {**tables.get(part, {}), **given}
    lines = (line.strip() for line in widgets.get("prompts", "").splitlines())
    tables["run"]["prompts"] = [line for line in lines if line]
    return job_of(tables, folder)


def command_for(job: Path, processes: int) -> str:
    """What runs a job on this computer, to be pasted into a terminal."""
    many = f"-m torch.distributed.run --standalone --nproc-per-node={processes} "
    start = many if processes > 1 else ""
    comfyui = Path(str(folder_paths.__file__)).resolve().parent
    is_found = PACK.parent.name == "custom_nodes" and PACK.parent.parent == comfyui
    where = "" if is_found else f" --comfyui {quoted(comfyui)}"
    return f"{quoted(sys.executable)} {start}{quoted(PACK / 'train.py')} run {quoted(job)}{where}"


def quoted(path: str | Path) -> str:
    """A path as a terminal reads it: of Windows, and of others."""
    return f'"{path}"' if sys.platform == "win32" else shlex.quote(str(path))

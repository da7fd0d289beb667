"""Job files as people write them, read strictly: every key is known, of its kind and in its range."""

from __future__ import annotations

import difflib
import importlib
import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ...errors import SCEditError, shown, some
from ...files.names import new_parts
from ...spec import EncoderSize
from ..dataset.buckets import bucket_size
from ..dataset.folder import READY_HINT
from ..dataset.shards.drawing import NET_HINTS
from .keys import keys_of
from .parts import MOST_CONTROLS, PARTS, Job, blocks_of, with_strength

_MOST_BYTES = 1_000_000


def read_job(path: Path) -> Job:
    """The job of a file. Raises SCEditError, in one sentence that names file and key, for anything else."""
    name = shown(path.name)
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise SCEditError(
            f"there is no job file at {shown(path, 400)} that can be read ({error.strerror or error}); copy "
            "one of example_jobs and change it, or export one by 'Export Training Job (SCEdit)'"
        ) from error
    if len(content) > _MOST_BYTES:
        raise SCEditError(f"'{name}' is larger than {_MOST_BYTES:,} bytes, and no job file is; give another")
    try:
        return parse_job(content.decode("utf-8-sig"), path.absolute().parent)
    except UnicodeDecodeError as error:
        raise SCEditError(f"'{name}' is no text in UTF-8 ({error.reason}); save it as UTF-8") from error
    except SCEditError as error:
        raise SCEditError(f"'{name}': {error}") from error


def parse_job(text: str, folder: Path) -> Job:
    """The job of a text in TOML, whose relative paths begin in `folder`."""
    toml = _toml()
    try:
        tables = toml.loads(text)
    except (ValueError, RecursionError) as error:  # the first: what is no TOML, and numbers without end
        raise SCEditError(
            f"this is no TOML: {shown(str(error))}; texts stand in quotes, and Windows paths in single ones, "
            r"such as 'D:\pictures'"
        ) from error
    return job_of(tables, folder)


def job_of(tables: Mapping[str, Any], folder: Path) -> Job:
    """The job of tables of keys, by the names of its parts. Raises SCEditError as for a file."""
    _check_known(tables.keys(), PARTS, "the job has a part [{}]")
    for name in PARTS:
        if not isinstance(tables.get(name, {}), Mapping):
            raise SCEditError(f"{name} is a part of a job: write [{name}], and its keys in the lines below")
    kind = tables.get("tuner", {}).get("kind", "sc")
    parts: dict[str, Any] = {name: _part(name, tables.get(name, {}), kind) for name in PARTS}
    job = Job(**parts, folder=folder)
    _check(job)
    return job


def _toml() -> ModuleType:
    """What reads TOML: Python's own, or the package it came from where Python is older than that."""
    name = "tomllib" if sys.version_info >= (3, 11) else "tomli"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise SCEditError(
            f"job files are TOML, which Python reads from 3.11 on; for this one install '{name}' with 'pip "
            f"install {name}'"
        ) from error


def _part(name: str, given: Mapping[str, Any], kind: Any) -> Any:
    keys = dict(keys_of(PARTS[name]))
    _check_known(given.keys(), keys, f"[{name}] has a key '{{}}'")
    values = {}
    for key, one in keys.items():
        if key in given:
            values[key] = one.checked(f"[{name}] {key}", given[key])
        elif one.is_needed:
            raise SCEditError(f"[{name}] {key} is missing; write it down: {one.says}")
        else:
            values[key] = one.usual(kind)
    return PARTS[name](**values)


def _check_known(given: Collection[str], known: Collection[str], what: str) -> None:
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, list(known), 1)
            advice = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
            raise SCEditError(f"{what.format(shown(name))}, which no job has; {advice}")


def _check(job: Job) -> None:
    """What no key tells alone."""
    if len(new_parts(job.run.name)) > 1:
        raise SCEditError(
            f"[run] name is a name without folders, got '{shown(job.run.name)}'; name the folder in output"
        )
    if job.model.sha256 and not re.fullmatch(r"[0-9a-fA-F]{64}", job.model.sha256):
        raise SCEditError(
            f"[model] sha256 has 64 letters and digits from 0 to f, got '{shown(job.model.sha256)}'; leave "
            "it empty to take whatever file has that name"
        )
    teacher = job.teacher
    for given in (*job.model.loras, *teacher.loras, *teacher.tuners, *teacher.controlnet):
        with_strength(given)
    EncoderSize(job.tuner.kernel)
    blocks_of(job.tuner.blocks)
    bucket_size(1, 1, job.data.resolution)
    _check_data(job)


def _check_data(job: Job) -> None:
    """Whether there are pictures, and hints where there have to be some and nowhere else."""
    data, kind = job.data, job.tuner.kind
    if not data.folder and not data.dataset:
        raise SCEditError(
            '[data] names nothing to learn from; write folder = "..." for pictures, or dataset = "..." '
            "for what 'train.py prepare' made"
        )
    if kind == "sc" and data.hints and not data.dataset:
        raise SCEditError(
            f"[data] hints are {some(data.hints)}, but a style (kind sc) has none; remove them, or train a "
            'control: kind = "csc"'
        )
    if kind == "csc" and not data.hints and not data.dataset:
        raise SCEditError('[data] hints is empty, but a control follows one; write hints = ["canny"]')
    by_nets = [hint for hint in data.hints if hint in NET_HINTS]
    if by_nets and not data.dataset:
        raise SCEditError(
            f"[data] hints names {by_nets[0]}, which a net finds when a data set is prepared; write where it "
            "is to lie, such as dataset = \"dataset\", and run 'train.py prepare' first"
        )
    if len(data.hints) > MOST_CONTROLS:
        raise SCEditError(
            f"[data] hints names {len(data.hints)} kinds, at most {MOST_CONTROLS} are trained together; take "
            "some away"
        )
    if data.hints.count(READY_HINT) > 1:
        raise SCEditError(f"[data] hints names '{READY_HINT}' twice, but there is one hint_folder; keep one")

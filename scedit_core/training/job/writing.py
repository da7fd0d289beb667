"""Job files as they are written: every key, with what it is for in the line above it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from ...errors import SCEditError
from .keys import keys_of
from .parts import PARTS, Job, with_strength


def job_text(job: Job) -> str:
    """A job as TOML from which `parse_job` makes the same one."""
    lines = []
    for name, part in PARTS.items():
        lines += [f"# {' '.join((part.__doc__ or '').split())}", f"[{name}]", ""]
        for key, one in keys_of(part):
            lines += [f"# {one.says}", f"{key} = {_value(getattr(getattr(job, name), key))}", ""]
    return "\n".join(lines)


def with_whole_paths(job: Job) -> Job:
    """The same job, to be read from any folder."""

    def whole(given: str) -> str:
        return str(job.path(given)) if given else given

    def named(given: str) -> str:
        """Whole if it is a file of the job's folder; else it is one of ComfyUI's."""
        name, _ = with_strength(given)
        return f"{whole(name)}{given.removeprefix(name)}" if name and job.path(name).is_file() else given

    def all_named(given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(named, given))

    teacher = job.teacher
    data, held_out = (
        replace(part, folder=whole(part.folder), dataset=whole(part.dataset))
        for part in (job.data, job.evaluate)
    )
    return replace(
        job,
        model=replace(job.model, checkpoint=named(job.model.checkpoint), loras=all_named(job.model.loras)),
        teacher=replace(
            teacher,
            checkpoint=named(teacher.checkpoint),
            loras=all_named(teacher.loras),
            tuners=all_named(teacher.tuners),
            controlnet=all_named(teacher.controlnet),
        ),
        tuner=replace(job.tuner, start=tuple(map(whole, job.tuner.start))),
        data=data,
        evaluate=held_out,
        run=replace(job.run, output=str(job.output)),
    )


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    return f"[{', '.join(map(_text, value))}]"


def _text(value: str) -> str:
    """A basic string of TOML, whose escapes are those of JSON but for one letter that TOML escapes too."""
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise SCEditError("a text of the job holds half a character, which no file can; write it again")
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

"""Job files as they are written: every key, with what it is for in the line above it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from ...errors import SCEditError
from .keys import keys_of
from .parts import PARTS, Job


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

    is_file = job.path(job.model.checkpoint).is_file()
    checkpoint = whole(job.model.checkpoint) if is_file else job.model.checkpoint
    data, held_out = (
        replace(part, folder=whole(part.folder), dataset=whole(part.dataset))
        for part in (job.data, job.evaluate)
    )
    return replace(
        job,
        model=replace(job.model, checkpoint=checkpoint),
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

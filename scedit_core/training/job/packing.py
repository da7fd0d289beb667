"""A data set in the folder of a job, so that the job can be taken elsewhere as one folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ...errors import SCEditError
from ...files.durable import PART, beside, folders_for, not_written, put_in_place
from ..dataset.shards.manifest import read_manifest, write_manifest


def pack_dataset(source: Path, target: Path) -> None:
    """Have `target` hold the data set of `source`: shards are never changed, so those there are taken as they
    are, and on one disk they take no room twice. Raises SCEditError if it cannot be written.
    """
    manifest = read_manifest(source)
    for shard in manifest.shards:
        _bring(source / shard.name, target / shard.name)
        if (source / shard.index_name).is_file():  # else it is made again from the shard
            _bring(source / shard.index_name, target / shard.index_name)
    write_manifest(target, manifest)  # last: what it does not name does not count


def _bring(file: Path, target: Path) -> None:
    if target.is_file() and target.stat().st_size == file.stat().st_size:
        return
    part = beside(target, PART)
    try:
        with folders_for(target):
            try:
                try:
                    os.link(file, part)
                except OSError:  # another disk, or one without links
                    shutil.copyfile(file, part)
                put_in_place(part, target)
            finally:
                part.unlink(missing_ok=True)
    except FileNotFoundError as error:
        raise SCEditError(
            f"'{file.name}' of the data set is missing; run 'Prepare Dataset' again, which makes its "
            "examples anew"
        ) from error
    except OSError as error:
        raise not_written(target, error) from error

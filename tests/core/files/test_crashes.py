"""Saves that are cut short by a kill or by the power leave a whole old or a whole new tuner."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import crash_tools
import pytest
from crash_tools import KINDS, read_version
from power_tools import Disk
from support import REPOSITORY

ROUNDS = "12"  # by hand: PYTHONPATH=. python tests/core/files/crash_tools.py --rounds 200


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_process_that_is_killed_while_it_saves_leaves_a_whole_tuner():
    command = [sys.executable, crash_tools.__file__, "--rounds", ROUNDS]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    run = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("always whole") == len(KINDS)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which file a descriptor is")
@pytest.mark.parametrize("kind", KINDS)
def test_a_power_cut_at_any_step_leaves_a_whole_tuner(kind, tmp_path, monkeypatch):
    name, save, _ = KINDS[kind]
    root, known = tmp_path / "disk", [0]
    root.mkdir()
    save(1, root / name)

    def check(left: Path) -> None:
        assert read_version(left / name) in known

    disk = Disk(root, monkeypatch, check)
    for number in (2, 3, 4):
        known[:] = [number - 1, number]
        save(number, root / name)
        known[:] = [number]
        disk.cut()  # once it returned, the new one is there to stay
    assert disk.cuts > 20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which file a descriptor is")
@pytest.mark.parametrize("kind", KINDS)
def test_a_first_save_in_new_folders_is_there_or_not_at_all(kind, tmp_path, monkeypatch):
    name, save, read = KINDS[kind]
    root = tmp_path / "disk"
    root.mkdir()

    def check(left: Path) -> None:
        if (left / "new" / "deep" / name).exists():
            assert read(left / "new" / "deep" / name) == 1

    disk = Disk(root, monkeypatch, check)
    save(1, root / "new" / "deep" / name)
    disk.cut()
    assert read(disk.copy / "new" / "deep" / name) == 1


def test_the_simulated_power_cut_finds_what_was_not_synced(tmp_path, monkeypatch):
    root = tmp_path / "disk"
    root.mkdir()
    found = []
    disk = Disk(root, monkeypatch, lambda left: found.append(sorted(path.name for path in left.iterdir())))
    (root / "part").write_bytes(b"content")
    os.replace(root / "part", root / "whole")
    assert found == [[], ["whole"]]
    assert (disk.copy / "whole").read_bytes() == b""
    shutil.rmtree(disk.copy)

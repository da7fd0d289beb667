"""The check for a machine with a card, here on the CPU at a tiny size: the same path, both modes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support import REPOSITORY

CHECK = REPOSITORY / "benchmarks" / "gpu_check.py"
CHECKS = ("parity", "exactness", "training", "load")
# what costs once each: that takes a CPU long enough
COSTS = ("dynamic step sd15", "dynamic train sdxl", "dynamic compiled sd15")


def run_check(folder: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit status, what was written as JSON, and the table."""
    command = [sys.executable, str(CHECK), "--device", "cpu", "--json", str(folder / "out.json"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=700, check=False)
    assert (folder / "out.json").is_file(), done.stderr[-2000:]
    return done.returncode, json.loads((folder / "out.json").read_text(encoding="utf-8")), done.stdout


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, Any], str]:
    """What the check finds; one base of each kind of cost is enough, they differ in sizes alone."""
    return run_check(tmp_path_factory.mktemp("gpu"), "--budget", "600", "--sections", *CHECKS, *COSTS)


def test_all_checks_pass_and_nothing_is_left_out(found):
    status, written, table = found
    bad = [row for row in written["rows"] if row["state"] not in ("ok", "measured")]
    assert bad == []
    assert status == 0
    assert "all checks passed" in table


def test_it_says_how_each_process_holds_weights(found):
    starts = {row["patcher"]: row["said"] for row in found[1]["rows"] if row["section"] == "start"}
    assert starts == {"dynamic": "lazy layers, static patcher", "static": "static patcher"}


def test_both_modes_find_the_same(found):
    rows = [row for row in found[1]["rows"] if row["section"].startswith(CHECKS)]
    counts = Counter((row["section"], row["what"]) for row in rows)
    assert set(counts.values()) == {2}
    said = {(row["patcher"], row["section"], row["what"]): row["said"] for row in rows}
    changes = {key: text.rpartition("by ")[2] for key, text in said.items() if "changes the latents" in text}
    assert changes
    for (_, section, what), change in changes.items():
        assert change == changes["dynamic", section, what]


def test_every_variant_has_a_time(found):
    measured = {
        (row["section"], row["what"]): row["numbers"]
        for row in found[1]["rows"]
        if row["state"] == "measured"
    }
    assert {what for section, what in measured if section == "step sd15"} == {
        "U-Net alone",
        "SC-Tuner",
        "CSC-Tuner",
        "SC-Tuner and 2 CSC-Tuners",
        "ControlNet",
    }
    assert {"full tuning", "ControlNet", "LoRA rank 64", "SC-Tuner, all", "CSC-Tuner, cheap"} <= {
        what for section, what in measured if section == "train sdxl"
    }
    assert all(numbers["ms"] > 0 and numbers["peak_mb"] >= 0 for numbers in measured.values())


def test_what_there_is_no_time_for_is_named_and_no_success(tmp_path):
    status, written, table = run_check(tmp_path, "--budget", "0.5")
    assert status == 1
    assert {row["state"] for row in written["rows"]} == {"not run"}
    assert len(written["rows"]) == 26
    assert "some checks were not run" in table

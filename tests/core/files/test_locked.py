"""Files and folders that may not be read, and those that ask for too much: said as they are."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from file_parts import joined, weights
from safetensors.torch import save, save_file
from small_tuners import CSC, refusal, sc_weights
from support import REPOSITORY

from scedit_core import load_checkpoint, save_checkpoint
from scedit_core.files.limits import MOST_HEADER

needs_unix = pytest.mark.skipif(not hasattr(os, "setuid"), reason="there are no such permissions")


def as_nobody(*paths: Path) -> list[str]:
    """What loading comes to for a user who owns nothing: a sentence, or the number of tensors."""
    code = (
        f"import os, sys; sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from scedit_core import SCEditError, load_checkpoint\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "for path in sys.argv[1:]:\n"
        "    try: print(len(load_checkpoint(path).state_dict()))\n"
        "    except SCEditError as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, *map(str, paths)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody can reach."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def _adapters(folder: Path) -> tuple[Path, ...]:
    for name in ("0_SwiftSCETuning", "1_SwiftLoRA"):
        (folder / name).mkdir(parents=True)
        (folder / name / "adapter_model.safetensors").write_bytes(save(weights()))
    return folder / "0_SwiftSCETuning", folder / "1_SwiftLoRA"


@needs_unix
def test_what_may_not_be_read_is_called_locked_and_hides_nothing_else(public):
    save_file(weights(), public / "tuner.safetensors")
    torch.save(weights(), public / "tuner.bin")
    _, other = _adapters(public / "one")
    both = _adapters(public / "none")
    for path in (public / "tuner.safetensors", public / "tuner.bin", other, *both):
        path.chmod(0)
    *files, one, none = as_nobody(
        public / "tuner.safetensors", public / "tuner.bin", public / "one", public / "none"
    )
    assert all("is locked: it may not be read" in said for said in files)
    assert one == str(len(weights()))
    assert "0_SwiftSCETuning, 1_SwiftLoRA in it may not be read" in none
    for path in (other, *both):
        path.chmod(0o755)


ONE = torch.zeros(1)
TOO_MUCH = {
    "too many tensors": ({f"t{i}": ONE for i in range(10_001)}, ["10001 tensors"]),
    "a wide stem": (
        CSC
        | {
            "pre_hint_blocks.0.weight": torch.zeros(20_000, 3, 3, 3),
            "pre_hint_blocks.0.bias": torch.zeros(20_000),
            "pre_hint_blocks.2.weight": torch.zeros(4, 20_000, 3, 3),
        },
        ["a stem of widths (3, 20000, 4,", "more memory than a computer has"],
    ),
    "a wide kernel": (
        {
            key: value.repeat(1, 1, 101, 101) if "dense" in key and "weight" in key else value
            for key, value in CSC.items()
        },
        ["dense convs of size 101"],
    ),
    "a wide skip": (
        sc_weights()
        | {
            "lsc_identity.0.tuner_op.ln1.weight": torch.zeros(4, 5_000),
            "lsc_identity.0.tuner_op.ln2.weight": torch.zeros(5_000, 4),
            "lsc_identity.0.tuner_op.ln2.bias": torch.zeros(5_000),
        },
        ["a tuner of rank 4 for 5000 channels"],
    ),
    "a high rank": (
        sc_weights()
        | {
            "lsc_identity.0.tuner_op.ln1.weight": torch.zeros(1_000, 16),
            "lsc_identity.0.tuner_op.ln1.bias": torch.zeros(1_000),
            "lsc_identity.0.tuner_op.ln2.weight": torch.zeros(16, 1_000),
        },
        ["a tuner of rank 1000 for 16 channels"],
    ),
}


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
@pytest.mark.parametrize(("content", "words"), TOO_MUCH.values(), ids=TOO_MUCH.keys())
def test_what_asks_for_more_than_any_tuner_needs_is_refused(tmp_path, content, words, suffix):
    file = tmp_path / f"tuner.{suffix}"
    file.write_bytes(save({key: value.clone() for key, value in content.items()}))
    if suffix == "bin":
        torch.save(content, file)
    said = refusal(file)
    assert not [word for word in words if word not in said], said


def test_a_header_larger_than_any_is_not_looked_into(tmp_path):
    file = tmp_path / "tuner.safetensors"
    file.write_bytes(joined(b"{" + b" " * MOST_HEADER, b""))
    assert f"at most {MOST_HEADER} are read" in refusal(file)


def test_strides_and_flags_without_end_are_not_looked_into(tmp_path):
    torch.save(CSC, tmp_path / "tuner.bin")
    (tmp_path / "configuration.json").write_text('{"INPUT_DOWN_FLAG": [' + "true," * 140_000 + "false]}")
    assert "a U-Net with 140001 skips, at most 100" in refusal(tmp_path / "tuner.bin")
    (tmp_path / "configuration.json").unlink()
    tuners = load_checkpoint(tmp_path / "tuner.bin")
    save_checkpoint(tuners, tmp_path / "own.safetensors")
    content = (tmp_path / "own.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + size].replace(b'"1,2,1,1"', b'"' + b"1," * 500_000 + b'1"')
    (tmp_path / "own.safetensors").write_bytes(joined(header, content[8 + size :]))
    assert load_checkpoint(tmp_path / "own.safetensors").spec == tuners.spec

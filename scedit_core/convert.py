"""Any tuner file to this pack's safetensors or to the authors' published layout; no number changes.

python -m scedit_core.convert SOURCE TARGET [--layout SCEdit|scepter]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from .errors import SCEditError, shown
from .files.checkpoint import Checkpoint, build_tuners, read_checkpoint, save_checkpoint
from .files.describe import sha256
from .files.published import write_published

OWN, PUBLISHED = "SCEdit", "scepter"
LAYOUTS = (OWN, PUBLISHED)


def convert(source: Path, target: Path, layout: str = OWN) -> Checkpoint:
    """Write what `source` holds to a file (SCEdit) or a folder (scepter); what was read is returned.

    Tensors keep every byte. Raises SCEditError for what cannot be read, and for tuners that the layout asked
    for has no place for.
    """
    checkpoint = read_checkpoint(source)
    tuners = build_tuners(checkpoint.spec, device=torch.device("meta"))
    tuners.load_state_dict(dict(checkpoint.state_dict), assign=True)
    if layout == PUBLISHED:
        write_published(tuners, target)
    else:
        save_checkpoint(tuners, target, {**_origin(checkpoint), **checkpoint.metadata})
    return checkpoint


def check_range(weights: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    """Raise SCEditError if these weights would become infinite in another dtype, as above 65,504 in fp16."""
    most = torch.finfo(dtype).max
    for key, value in weights.items():
        low, high = map(float, torch.aminmax(value)) if value.numel() else (0.0, 0.0)
        largest, name = max(-low, high), str(dtype).removeprefix("torch.")
        if largest > most:
            raise SCEditError(
                f"{shown(key)} has weights up to {largest:.3g}, and {name} ends at {most:.5g}; save them as "
                "bf16 or as trained"
            )


def _origin(checkpoint: Checkpoint) -> dict[str, str]:
    """Where a converted file comes from, for its metadata."""
    return {"scedit.converted_from": checkpoint.format_name, "scedit.source_sha256": sha256(checkpoint.path)}


def main(arguments: list[str] | None = None) -> int:
    """Convert one file from the command line; 1 if it cannot be done."""
    description = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m scedit_core.convert", description=description)
    parser.add_argument("source", type=Path, help="tuner file or published folder")
    parser.add_argument("target", type=Path, help="file to write, or folder for the layout scepter")
    parser.add_argument("--layout", choices=LAYOUTS, default=OWN)
    options = parser.parse_args(arguments)
    try:
        checkpoint = convert(options.source, options.target, options.layout)
    except SCEditError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{checkpoint.format_name} -> {options.layout}: {options.target}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

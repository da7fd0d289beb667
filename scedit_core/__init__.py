"""SCEdit: edits of a diffusion U-Net's skip connections (arXiv 2312.11392). Needs torch, not ComfyUI."""

from .control import CSCTunerSet
from .edit import PreparedEdit, SkipEdit, edit_encoder, edit_skip, prepare_edit
from .errors import SCEditError
from .files.checkpoint import (
    Checkpoint,
    build_tuners,
    fill_tuners,
    load_checkpoint,
    read_checkpoint,
    read_tuners,
    save_checkpoint,
)
from .spec import EncoderSize, TunerSpec
from .tuner import SCTunerSet
from .unet import SkipLayout

__all__ = [
    "CSCTunerSet",
    "Checkpoint",
    "EncoderSize",
    "PreparedEdit",
    "SCEditError",
    "SCTunerSet",
    "SkipEdit",
    "SkipLayout",
    "TunerSpec",
    "build_tuners",
    "edit_encoder",
    "edit_skip",
    "fill_tuners",
    "load_checkpoint",
    "prepare_edit",
    "read_checkpoint",
    "read_tuners",
    "save_checkpoint",
]

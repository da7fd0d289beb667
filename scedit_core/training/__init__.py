"""Training of SC-Tuners and CSC-Tuners (arXiv 2312.11392, Section 3); knows nothing of ComfyUI."""

from .config import TrainConfig
from .data import Batch, Example, TrainingSet
from .describe import describe
from .loop import Trainer, train
from .objective import BaseModel, denoising_loss
from .state import load_state, save_state

__all__ = [
    "BaseModel",
    "Batch",
    "Example",
    "TrainConfig",
    "Trainer",
    "TrainingSet",
    "denoising_loss",
    "describe",
    "load_state",
    "save_state",
    "train",
]

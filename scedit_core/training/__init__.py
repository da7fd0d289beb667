"""Training of SC-Tuners and CSC-Tuners (arXiv 2312.11392, Section 3); knows nothing of ComfyUI."""

from .config import TrainConfig
from .dataset.examples import Batch, Example, TrainingSet
from .loop import Trainer, train
from .metadata import describe
from .objective import BaseModel, denoising_loss
from .state import load_state, save_state
from .teacher import Teacher, Teaching

__all__ = [
    "BaseModel",
    "Batch",
    "Example",
    "Teacher",
    "Teaching",
    "TrainConfig",
    "Trainer",
    "TrainingSet",
    "denoising_loss",
    "describe",
    "load_state",
    "save_state",
    "train",
]

"""Where things lie: in the repository, and in the two folders that dev.py makes."""

from __future__ import annotations

from pathlib import Path

REPO = Path(__file__).absolute().parents[1]
VENV = REPO / ".venv"
WORK = REPO / ".comfyui"
LOGS = WORK / "logs"
BYTECODE = WORK / "bytecode"
BASE = WORK / "base"
MODELS = BASE / "models"
SANDBOX = REPO / "sandbox"

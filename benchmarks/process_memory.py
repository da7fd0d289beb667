"""Memory of this process, as Linux tells it."""

from __future__ import annotations

from pathlib import Path


def resident(field: str) -> int:
    """Bytes of this process: VmRSS now, VmHWM at most since the peak was forgotten."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def forget_peak() -> None:
    """Let VmHWM begin again from what is resident now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

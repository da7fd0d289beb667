"""What to do about a failed installation, by what its log says."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from .places import REPO


def remedy(log_text: str, log_file: Path) -> str:
    """What to do about a failed installation, guessed from its log."""
    if re.search(r"No space left|Errno 28|not enough space", log_text):
        free = shutil.disk_usage(REPO).free / 1e9
        return f"The disk is full ({free:.1f} GB free). About 9 GB are needed; free some and run this again."
    if re.search(r"NewConnectionError|name resolution|getaddrinfo|timed out|ProxyError|SSLError", log_text):
        return (
            "The package index cannot be reached. Check the network; behind a proxy set HTTPS_PROXY, "
            "for another index set PIP_INDEX_URL. Then run this again: what is done stays done."
        )
    if re.search(r"No matching distribution|Could not find a version", log_text):
        version = ".".join(map(str, sys.version_info[:2]))
        return (
            f"The package index has no such version for Python {version} on this system. Delete .venv and "
            "run dev.py with another Python (best 3.11 to 3.13), or set another index in PIP_INDEX_URL."
        )
    if "ensurepip" in log_text:
        return "This Python lacks its venv part: install it (on Debian and Ubuntu: the package python3-venv)."
    return f"Read {log_file}, then run this again: what is done stays done."

"""Whether a tag is that of this version: of `version` in pyproject.toml, with a section in CHANGELOG.md.

    python3 .ci/check_tag.py v0.1.0

Ends with status 1 and a sentence if it is not. Standard library only.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]


def fault(tag: str) -> str | None:
    """What keeps the tag from being published; None if nothing does."""
    project = (REPO / "pyproject.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"$', project, flags=re.MULTILINE)
    if version is None:
        return "pyproject.toml has no version; set it in [project]"
    if tag != f"v{version[1]}":
        return f"the tag is {tag}, pyproject.toml has version {version[1]}; tag the commit as v{version[1]}"
    changes = (REPO / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    if f"## {version[1]}" not in changes:
        return f"CHANGELOG.md has no section '## {version[1]}'; say there what changed"
    return None


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(fault(sys.argv[1]))

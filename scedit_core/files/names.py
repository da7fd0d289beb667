"""Names that a user, or the graph of a stranger, gives to files and folders: where they may lead."""

from __future__ import annotations

import os
import re
from pathlib import Path, PureWindowsPath

from ..errors import SCEditError, shown
from .limits import MOST_NAME

# Names that are devices on Windows, whatever stands behind a dot.
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE)
# What no name may hold on one system or another.
_RESERVED = re.compile(r'[<>:"|?*]')


def existing_parts(name: object) -> tuple[str, ...]:
    """Parts of the name of something that may lie below a folder, with either slash; none if it cannot.

    That leaves out what leads elsewhere: absolute names, drives, shares, `..`, devices of Windows; and what
    is no text.
    """
    if not isinstance(name, str) or "\0" in name or not _is_text(name):
        return ()
    slashed = name.replace("\\", "/")
    parts = tuple(part for part in slashed.split("/") if part not in ("", "."))
    leads_out = slashed.startswith("/") or any(map(_leads_out, parts))
    return () if leads_out else parts


def new_parts(name: object) -> tuple[str, ...]:
    """Parts of a name for something new, which every system can hold. Raises SCEditError for others."""
    parts = existing_parts(name.strip() if isinstance(name, str) else name)
    reason = "it leads elsewhere or is empty" if not parts else next(filter(None, map(_fault, parts)), None)
    if reason is not None:
        raise SCEditError(
            f"'{shown(name)}' is no name for a file here ({reason}); use letters, numbers, - and _, with / "
            "between folders"
        )
    return parts


def leads_out(root: Path, path: Path) -> bool:
    """Whether a link on the way from a folder to a path below it leads out of the folder."""
    # realpath, since Path.resolve raises on links that go round in circles
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _leads_out(part: str) -> bool:
    is_drive = bool(PureWindowsPath(part).drive) or part.endswith(":")
    return part == ".." or not part.strip() or is_drive or _DEVICE.fullmatch(part) is not None


def _fault(part: str) -> str | None:
    """What keeps a part of a name from being one everywhere; None if nothing does."""
    if _RESERVED.search(part) or not part.isprintable():
        return "it holds characters that not every system allows"
    if part != part.strip(". "):
        return "a part of it begins or ends with a dot or a space"
    size = len(part.encode())
    return f"a part of it has {size} bytes, at most {MOST_NAME} fit" if size > MOST_NAME else None

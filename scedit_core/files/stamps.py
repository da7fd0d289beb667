"""Whether a file that is mapped into memory is still the one that was mapped."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import SCEditError, shown


@dataclass(frozen=True)
class Stamp:
    """What a file was like when it was read: which it is, its size, and when it was written to."""

    path: Path
    identity: tuple[int, int]
    content: tuple[int, int]

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """The stamp of a file now. Raises OSError if it is gone."""
        found = os.stat(path)
        return cls(path, (found.st_dev, found.st_ino), (found.st_size, found.st_mtime_ns))

    def check(self) -> None:
        """Raise SCEditError if the file was written over in place.

        Its weights would be others, or end the process where it became shorter. A file that was replaced or
        deleted does no harm: what was mapped stays what it was.
        """
        try:
            now = Stamp.of(self.path)
        except OSError:
            return
        if now.identity == self.identity and now.content != self.content:
            raise SCEditError(
                f"'{shown(self.path.name)}' was written over after it was loaded; run the graph again to "
                "load the new file, or start ComfyUI with --disable-mmap if that happens often"
            )

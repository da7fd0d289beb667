"""A power cut, as the worst file system allows: what was not brought to the disk is not there afterwards.

Every fsync of a file keeps its content then, every fsync of a folder the names in it then. At each step of a
save (an fsync, a renaming, a removal) two disks are possible: one on which everything that was not synced is
lost, and one on which all names came through by themselves, but content only where it was synced.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Disk:
    """What would be left of a folder, at every step of what is done in it."""

    def __init__(self, root: Path, monkeypatch: Any, check: Callable[[Path], None]) -> None:
        self.root, self.copy, self.check, self.cuts = root, root.with_name(f"{root.name}-cut"), check, 0
        self.contents: dict[int, bytes] = {}
        self.names: dict[int, dict[str, int]] = {}
        for path in (root, *root.rglob("*")):  # what lies there long enough is on the disk
            self._keep(path)
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._synced)
        for name in ("replace", "rename", "unlink", "rmdir"):
            monkeypatch.setattr(os, name, self._watched(getattr(os, name)))

    def _keep(self, path: Path) -> None:
        if path.is_dir():
            self.names[path.stat().st_ino] = {child.name: child.lstat().st_ino for child in path.iterdir()}
        else:
            self.contents[path.stat().st_ino] = path.read_bytes()

    def _synced(self, descriptor: int) -> None:
        self._fsync(descriptor)
        self._keep(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        self.cut()

    def _watched(self, call: Callable[..., None]) -> Callable[..., None]:
        def watched(*arguments: Any, **named: Any) -> None:
            call(*arguments, **named)
            if Path(os.fspath(arguments[0])).is_relative_to(self.root):
                self.cut()

        return watched

    def cut(self) -> None:
        """Let `check` look at both disks that a power cut might leave now."""
        for are_names_through in (False, True):
            self._rebuild(are_names_through)
            self.check(self.copy)
            self.cuts += 1

    def _rebuild(self, are_names_through: bool) -> None:
        if self.copy.exists():
            shutil.rmtree(self.copy)
        nodes = {path.lstat().st_ino: path for path in (self.root, *self.root.rglob("*"))}
        self._place(self.root.stat().st_ino, self.copy, nodes, are_names_through)

    def _place(self, node: int, target: Path, nodes: dict[int, Path], are_names_through: bool) -> None:
        path = nodes.get(node)
        is_folder = node in self.names or (path is not None and path.is_dir())
        if not is_folder:
            target.write_bytes(self.contents.get(node, b""))  # an empty file is what a name alone leaves
            return
        target.mkdir()
        names = self.names.get(node, {})
        if are_names_through and path is not None:
            names = {child.name: child.lstat().st_ino for child in path.iterdir()}
        for name, child in names.items():
            self._place(child, target / name, nodes, are_names_through)

"""Downloads of weight files, which the user asks for by a switch: there whole and checked, or not at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ..errors import SCEditError, shown
from .weights import WeightFile

Progress = Callable[[int, int], None]
"""Told bytes that are here and bytes in all; what it raises ends the download, which can go on later."""

_HUB = "https://huggingface.co"
_CHUNK = 1 << 20
_ATTEMPTS = 5
_BROKEN = (OSError, http.client.HTTPException)  # OSError has URLError, TimeoutError and broken connections


def download_weights(file: WeightFile, folder: Path, progress: Progress, *, patience: float = 30) -> Path:
    """Fetch a file into a folder and return its path; `patience` is how long a silence may last, in seconds.

    What is not whole yet has `.part` behind its name and goes on from there the next time. It gets its own
    name once its SHA-256 is that of the published file. Raises SCEditError where that does not come about.
    """
    target, part = folder / file.name, folder / f"{file.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(file, part, progress, patience)
        _check(file, part)
        part.replace(target)
    except _BROKEN as error:
        raise SCEditError(
            f"{file.name} could not be downloaded to {folder} ({shown(str(error)) or type(error).__name__}); "
            f"run again to go on where it stopped, or get {file.source()} and put it there as {file.name}"
        ) from error
    return target


def _fetch(file: WeightFile, part: Path, progress: Progress, patience: float) -> None:
    """Bring the part up to the whole file, with as many new attempts as bring anything new."""
    attempts = _ATTEMPTS
    while True:
        before = _size(part)
        try:
            if _is_whole(file, part) or _append(file, part, progress, patience):
                return
            raise http.client.IncompleteRead(b"")
        except _BROKEN as error:
            attempts = _ATTEMPTS if _size(part) > before else attempts - 1
            if attempts == 0 or not _may_pass(error):
                raise


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _is_whole(file: WeightFile, part: Path) -> bool:
    return file.size is not None and _size(part) == file.size


def _may_pass(error: Exception) -> bool:
    """True for what another attempt may cure: the network and the server's bad moments, but not our disk."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code == 429 or error.code >= 500
    is_network = isinstance(error, (urllib.error.URLError, TimeoutError, ConnectionError))
    return is_network or isinstance(error, http.client.HTTPException)


def _append(file: WeightFile, part: Path, progress: Progress, patience: float) -> bool:
    """Ask for what the part lacks and write it behind; true if the answer was the rest of the file."""
    start = _size(part)
    request = urllib.request.Request(_url(file), headers={"Range": f"bytes={start}-"} if start else {})
    try:
        answer = urllib.request.build_opener().open(request, timeout=patience)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        return _is_all(part, error.headers.get("Content-Range", ""))
    with answer:
        goes_on = answer.status == 206
        total = (start if goes_on else 0) + int(answer.headers.get("Content-Length") or file.size or 0)
        _check_room(part.parent, total - start)
        with part.open("ab" if goes_on else "wb") as written:
            return _copy(answer, written, total, progress)


def _is_all(part: Path, content_range: str) -> bool:
    """After an answer that there is no more: true if the part is as long as the file, else it is deleted."""
    if content_range == f"bytes */{_size(part)}":
        return True
    part.unlink()
    return False


def _copy(answer: BinaryIO, written: BinaryIO, total: int, progress: Progress) -> bool:
    """Write an answer down as it comes in, up to a file of `total` bytes; true if that is reached."""
    while written.tell() < total and (chunk := answer.read(min(_CHUNK, total - written.tell()))):
        written.write(chunk)
        progress(written.tell(), total)
    return written.tell() == total


def _url(file: WeightFile) -> str:
    """Address of a file at its pinned revision, on the hub or on the mirror that HF_ENDPOINT names."""
    hub = (os.environ.get("HF_ENDPOINT") or _HUB).rstrip("/")
    if urllib.parse.urlsplit(hub).scheme not in ("http", "https"):
        raise SCEditError(f"HF_ENDPOINT is {hub}, which is no http or https address; correct or remove it")
    return f"{hub}/{file.repo}/resolve/{file.revision}/{urllib.parse.quote(file.path)}"


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise SCEditError(
            f"{folder} has {free / 1e6:.0f} MB left and the download needs {needed / 1e6:.0f} MB; make "
            "room there"
        )


def _check(file: WeightFile, part: Path) -> None:
    """Throw away what is not the published file."""
    digest = hashlib.sha256()
    with part.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest() == file.sha256:
        return
    size = _size(part)
    part.unlink()
    raise SCEditError(
        f"what was downloaded as {file.name} is another file ({size} bytes, SHA-256 "
        f"{digest.hexdigest()[:12]}..., expected {file.sha256[:12]}...) and was deleted; run again, or get "
        f"{file.source()} by hand"
    )

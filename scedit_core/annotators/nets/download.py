"""Downloads of weight files, which the user asks for by a switch: there whole and checked, or not at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

from ...errors import SCEditError, shown
from ...files.durable import PART, beside, put_in_place
from .weights import WeightFile

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Told bytes that are here and bytes in all, several times a second even while nothing comes; what it raises
ends the download, which can go on later."""

_HUB = "https://huggingface.co"
_CHUNK = 1 << 20
_ATTEMPTS = 5
_POLL = 0.2  # seconds between two looks at whether the user cancelled
_LEFT_ALONE = 600  # seconds after which nobody writes to a part any more: its process was killed
_BROKEN = (OSError, http.client.HTTPException)  # OSError has URLError, TimeoutError and broken connections


def download_weights(file: WeightFile, folder: Path, progress: Progress, *, patience: float = 30) -> Path:
    """Fetch a file into a folder and return its path; `patience` is how long a silence may last, in seconds.

    An incomplete file is kept as `.part`, and the next download continues it. While it is written it has a
    name of its own, so that processes that fetch the same file do not meet. It gets its final name once its
    SHA-256 is that of the published file. Raises SCEditError if the download fails.
    """
    target = folder / file.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = _claimed(file, folder)
        try:
            _fetch(file, part, progress, patience)
            _check(file, part)
            _put(part, target)
        finally:
            if part.exists():
                part.replace(_kept(file, folder))
    except _BROKEN as error:
        raise SCEditError(
            f"{file.name} could not be downloaded to {folder} ({shown(str(error)) or type(error).__name__}); "
            f"run again to go on where it stopped, or get {file.source()} and put it there as {file.name}"
        ) from error
    return target


def _kept(file: WeightFile, folder: Path) -> Path:
    """Where a part lies between two downloads."""
    return folder / f"{file.name}{PART}"


def _claimed(file: WeightFile, folder: Path) -> Path:
    """A path that this process alone writes to; what an earlier download left is moved there."""
    own = beside(folder / file.name, PART)
    old = time.time() - _LEFT_ALONE
    killed = (part for part in folder.glob(f"{file.name}.*{PART}") if part.stat().st_mtime < old)
    for left in (_kept(file, folder), *killed):
        try:
            left.rename(own)  # of several processes, one succeeds
            break
        except (FileNotFoundError, PermissionError):
            continue
    return own


def _put(part: Path, target: Path) -> None:
    """Give a part that is whole the name of the file."""
    try:
        put_in_place(part, target)
    except PermissionError:  # on Windows, where another process has put it there and reads it
        if not target.is_file():
            raise
        part.unlink(missing_ok=True)


def _fetch(file: WeightFile, part: Path, progress: Progress, patience: float) -> None:
    """Complete the part. An attempt that brought anything does not count as failed."""
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
    """Download what the part lacks and append it; true if the answer was the rest of the file."""
    start, expected = _size(part), file.size or file.megabytes * 1_000_000
    request = urllib.request.Request(_url(file), headers={"Range": f"bytes={start}-"} if start else {})
    opener = urllib.request.build_opener()
    try:
        answer = _awaited(lambda: opener.open(request, timeout=patience), lambda: progress(start, expected))
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        return _is_all(part, error.headers.get("Content-Range", ""))
    goes_on, told = answer.status == 206, _length(answer.headers.get("Content-Length"))
    most = file.size or 2 * expected  # whatever the server sends
    total = most if told is None else min(most, (start if goes_on else 0) + told)
    _check_room(part.parent, total - start)
    with part.open("ab" if goes_on else "wb") as written:
        is_whole = _copy(answer, written, total, progress)
    answer.close()
    return is_whole or (told is None and file.size is None)


def _length(header: str | None) -> int | None:
    """Bytes that an answer says it has, or None."""
    if header is not None and not (header.isascii() and header.isdigit() and len(header) <= 18):
        raise http.client.HTTPException(f"the server says that its answer has '{header}' bytes")
    return None if header is None else int(header)


def _is_all(part: Path, content_range: str) -> bool:
    """After an answer that there is no more: true if the part is as long as the file, else it is deleted."""
    if content_range == f"bytes */{_size(part)}":
        return True
    part.unlink()
    return False


def _copy(answer: BinaryIO, written: BinaryIO, total: int, progress: Progress) -> bool:
    """Write an answer down as it comes in, up to a file of `total` bytes; true if that is reached."""
    while (done := written.tell()) < total:
        wanted = min(_CHUNK, total - done)
        chunk = _awaited(lambda wanted=wanted: answer.read(wanted), lambda done=done: progress(done, total))
        if not chunk:
            return False
        written.write(chunk)
        progress(written.tell(), total)
    return True


class _Call(threading.Thread, Generic[T]):
    """A call that may wait for the network, in a thread of its own, so that the node can be cancelled."""

    def __init__(self, function: Callable[[], T]) -> None:
        super().__init__(daemon=True)
        self._function = function
        self.results: list[T] = []
        self.error: Exception = http.client.HTTPException("the connection failed")

    def run(self) -> None:
        """Make the call, and keep its result or its error."""
        try:
            self.results.append(self._function())
        except _BROKEN as error:
            self.error = error
        except ValueError as error:  # of an address that the server redirects to
            self.error = http.client.HTTPException(str(error))


def _awaited(function: Callable[[], T], poll: Callable[[], None]) -> T:
    """What a call returns; `poll` is called again and again meanwhile, and ends the wait if it raises."""
    call = _Call(function)
    call.start()
    call.join(_POLL)
    while call.is_alive():
        poll()
        call.join(_POLL)
    if not call.results:
        raise call.error
    return call.results[0]


def _url(file: WeightFile) -> str:
    """Address of a file at its pinned revision, on the hub or on the mirror that HF_ENDPOINT names."""
    hub = (os.environ.get("HF_ENDPOINT") or _HUB).rstrip("/")
    if not _is_web_address(hub):
        raise SCEditError(
            f"HF_ENDPOINT is '{shown(hub)}', which is no http or https address; correct or remove it"
        )
    return f"{hub}/{file.repo}/resolve/{file.revision}/{urllib.parse.quote(file.path)}"


def _is_web_address(address: str) -> bool:
    """True for http or https, a host and perhaps a port, in characters that a request may have."""
    try:
        parts = urllib.parse.urlsplit(address)
        host = (parts.hostname or "").encode("idna")
        is_whole = bool(host) and parts.port != 0
    except ValueError:  # UnicodeError is one
        return False
    is_plain = address.isascii() and address.isprintable() and not set(' "<>\\^`{|}') & set(address)
    return is_whole and is_plain and parts.scheme in ("http", "https")


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

"""A stand-in for Hugging Face's hub on this machine, whose behaviour a test chooses."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from scedit_core.annotators.nets.download import Progress, download_weights
from scedit_core.annotators.nets.weights import WeightFile

BODY = bytes(range(256)) * 12_000  # 3 MB: several chunks
FILE = WeightFile(
    name="net.pth",
    megabytes=3,
    size=len(BODY),
    sha256=hashlib.sha256(BODY).hexdigest(),
    repo="them/nets",
    revision="a" * 40,
    path="net.pth",
    elsewhere="modelscope.cn/models/them/nets",
)

Behaviour = Callable[[Any, int], None]
"""Answers a request, given its handler and its number."""


class Hub:
    """A server that does what `behave` does with each request, and remembers them."""

    def __init__(self, body: bytes) -> None:
        self.requests: list[tuple[str, str | None]] = []
        self.behave: Behaviour = partial(serve, body=body)
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.requests.append((self.path, self.headers.get("Range")))
                hub.behave(self, len(hub.requests))

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.released = threading.Event()
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"

    def stop(self) -> None:
        """End it, and all answers that are under way."""
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


def serve(handler: Any, _count: int, *, body: bytes, upto: int | None = None) -> None:
    """Answer as the hub does, with ranges; `upto`: break off there."""
    start = int((handler.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
    if start >= len(body):
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{len(body)}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    handler.send_response(206 if start else 200)
    handler.send_header("Content-Length", str(len(body) - start))
    handler.end_headers()
    handler.wfile.write(body[start:upto])


def stall(hub: Hub) -> Behaviour:
    """Send a little, then nothing."""

    def behave(handler: Any, count: int) -> None:
        if count == 1:
            serve(handler, count, body=BODY, upto=5000)
            handler.wfile.flush()
        hub.released.wait(10)

    return behave


def download(folder: Path, file: WeightFile = FILE, progress: Progress = lambda done, total: None) -> Path:
    """Download with little patience."""
    return download_weights(file, folder, progress, patience=0.3)

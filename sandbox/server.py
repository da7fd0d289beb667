"""Runs a real ComfyUI with this node pack and the sandbox in it, on the CPU, and talks to it over HTTP.

    python sandbox/server.py --comfyui PATH [--port 8188]

ComfyUI's own folder is only read: models, pictures, settings and node packs live in a base directory of ours.
Standard library only.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

from server_answers import PromptError, ServerError, raise_execution_error, validation_error
from server_folder import DEFAULT_BASE, PACK, SANDBOX, prepare_base, skip_introduction, write_model_paths
from server_start import environment, free_port, is_taken

__all__ = ["ComfyServer", "PromptError", "ServerError", "exit_on_terminate"]

FIRST_GRAPH = f"template=scedit_sandbox&source={SANDBOX}"

START_TIMEOUT = 240.0  # seconds; the first start on a slow disk compiles and reads about 1 GB
STOP_TIMEOUT = 15.0
LOG_LINES = 25


class ComfyServer:
    """`with ComfyServer(comfyui) as server: outputs = server.execute(prompt)`.

    base: where models, input, output, user settings and the copies of our packs go.
    models: a further models folder, for a base directory that shares another one's models.
    packs: folders of further node packs to bring in, each by its own name.
    flags: further options of ComfyUI's; none lets it use a card.
    """

    def __init__(
        self,
        comfyui: Path,
        *,
        base: Path = DEFAULT_BASE,
        models: Path | None = None,
        port: int | None = None,
        python: str = sys.executable,
        packs: Sequence[Path] = (),
        flags: Sequence[str] = ("--cpu",),
    ) -> None:
        self.packs = tuple(packs)
        self.comfyui = comfyui.resolve()
        self.base = base.resolve()
        self.models = models.resolve() if models else self.base / "models"
        self.port = port
        self.log_file = self.base / "server.log"
        self._python = python
        self._flags = flags
        self._process: subprocess.Popen[bytes] | None = None
        # A proxy set for the web must not get to see requests to this machine.
        self._http: OpenerDirector = build_opener(ProxyHandler({}))

    def __enter__(self) -> ComfyServer:
        if not (self.comfyui / "main.py").is_file():
            raise ServerError(f"{self.comfyui} is no ComfyUI folder: it has no main.py")
        if self.port and is_taken(self.port):
            raise ServerError(f"port {self.port} is in use on this machine; choose another one")
        prepare_base(self.base, self.packs)
        self.port = self.port or free_port()
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.base,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl+C reaches us alone; we stop it
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End the server process, by force if it does not end by itself."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def wait(self) -> int:
        """Block until the server process ends by itself; its exit status."""
        if self._process is None:
            raise ServerError("ComfyUI is not running")
        return self._process.wait()

    def log_text(self) -> str:
        """Everything ComfyUI has written so far."""
        text = self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.is_file() else ""
        return re.sub(r"\x1b\[[0-9;]*m", "", text)  # ComfyUI colours its log

    def object_info(self) -> dict[str, Any]:
        """ComfyUI's list of node classes."""
        return self._json("/object_info")

    def execute(self, prompt: dict[str, Any], timeout: float = 300.0) -> dict[str, Any]:
        """Run an API-format prompt; what each node showed, by node id. PromptError if anything went wrong."""
        prompt_id = self._submit(prompt)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            entry = self._json(f"/history/{prompt_id}").get(prompt_id)
            if entry is not None:
                raise_execution_error(entry)
                return entry["outputs"]
            self._check_alive()
            time.sleep(0.1)
        self.interrupt()
        raise ServerError(f"ComfyUI did not finish the prompt within {timeout:.0f} s; it was interrupted")

    def interrupt(self) -> None:
        """Cancel what is running, as the user's button does."""
        self._request("/interrupt", body=b"{}")

    def is_busy(self) -> bool:
        """Whether a prompt is running or waiting."""
        return any(self._json("/queue").values())

    def fetch_image(self, ref: dict[str, str]) -> bytes:
        """The file behind an image reference such as outputs[node_id]["images"][0]."""
        query = {key: ref.get(key, "") for key in ("filename", "subfolder", "type")}
        return self._request(f"/view?{urlencode(query)}")

    def upload_image(self, path: Path) -> str:
        """Put a picture into ComfyUI's input folder; the name that LoadImage knows it by."""
        boundary = uuid.uuid4().hex
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{path.name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        answer = self._request("/upload/image", body, f"multipart/form-data; boundary={boundary}")
        return json.loads(answer)["name"]

    def _command(self) -> list[str]:
        command = [self._python, str(self.comfyui / "main.py"), *self._flags]
        command += ["--listen", "127.0.0.1", "--port", str(self.port)]
        command += ["--base-directory", str(self.base)]
        # The default database lies in ComfyUI's own folder, which stays as it is.
        command += ["--database-url", "sqlite:///:memory:"]
        # A ComfyUI of the user's may know further packs through its extra_model_paths.yaml: load ours alone.
        names = (PACK, SANDBOX, *(folder.name for folder in self.packs))
        command += ["--disable-all-custom-nodes", "--whitelist-custom-nodes", *names]
        command += ["--disable-auto-launch", "--disable-api-nodes", "--preview-method", "none"]
        command += ["--use-pytorch-cross-attention"]  # on a CPU a quarter faster than ComfyUI's default
        if self.models != self.base / "models":
            command += ["--extra-model-paths-config", str(write_model_paths(self.base, self.models))]
        return command

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            self._check_alive()
            if time.monotonic() > deadline:
                raise ServerError(f"ComfyUI did not answer within {START_TIMEOUT:.0f} s.\n{self._log_tail()}")
            time.sleep(0.2)
        self._check_alive()
        if "(IMPORT FAILED)" in self.log_text():
            raise ServerError(f"ComfyUI could not import a node pack.\n{self._log_tail()}")

    def _answers(self) -> bool:
        try:
            self._http.open(f"{self.url}/system_stats", timeout=5).close()
        except OSError:  # refused, reset or timed out: not ready yet
            return False
        return True

    def _check_alive(self) -> None:
        if self._process is None:
            raise ServerError("ComfyUI is not running")
        status = self._process.poll()
        if status is not None:
            raise ServerError(f"ComfyUI stopped with status {status}.\n{self._log_tail()}")

    def _log_tail(self) -> str:
        lines = self.log_text().splitlines()[-LOG_LINES:]
        return "\n".join([f"The last lines of {self.log_file}:", *(f"  {line}" for line in lines)])

    def _submit(self, prompt: dict[str, Any]) -> str:
        request = Request(f"{self.url}/prompt", json.dumps({"prompt": prompt}).encode(), _JSON_HEADERS)
        try:
            with self._http.open(request, timeout=60) as response:
                answer = json.load(response)
        except HTTPError as error:
            raise validation_error(json.loads(error.read())) from error
        except URLError as error:
            self._check_alive()
            raise ServerError(f"ComfyUI does not answer at {self.url}: {error.reason}") from error
        if answer["node_errors"]:  # ComfyUI would run the outputs that are valid and drop the others
            raise validation_error(answer)
        return answer["prompt_id"]

    def _json(self, path: str) -> Any:
        return json.loads(self._request(path))

    def _request(self, path: str, body: bytes | None = None, content_type: str = "application/json") -> bytes:
        request = Request(self.url + path, body, {"Content-Type": content_type} if body else {})
        try:
            with self._http.open(request, timeout=120) as response:
                return response.read()
        except HTTPError as error:
            raise ServerError(f"ComfyUI answered {path} with status {error.code}") from error
        except OSError as error:
            self._check_alive()
            raise ServerError(f"ComfyUI does not answer {path}: {error}") from error


_JSON_HEADERS = {"Content-Type": "application/json"}


def exit_on_terminate() -> None:
    """Let SIGTERM unwind this process, so that the `with` block of a ComfyServer stops ComfyUI."""

    def leave(signum: int, _frame: FrameType | None) -> None:
        sys.exit(128 + signum)

    signal.signal(signal.SIGTERM, leave)


def main() -> int:
    parser = argparse.ArgumentParser(description="Run ComfyUI with this node pack and the sandbox.")
    parser.add_argument("--comfyui", type=Path, required=True, help="ComfyUI's folder")
    parser.add_argument(
        "--base", type=Path, default=DEFAULT_BASE, help="models, pictures and settings go here"
    )
    parser.add_argument("--port", type=int, default=8188)
    options = parser.parse_args()
    exit_on_terminate()
    skip_introduction(options.base)
    try:
        with ComfyServer(options.comfyui, base=options.base, port=options.port) as server:
            print(f"Open  {server.url}/?{FIRST_GRAPH}")
            print("and press Run: the graph that opens paints with the sandbox's model.")
            print("Ctrl+C stops ComfyUI.")
            print(f"Models folder:  {server.models}")
            print(f"Log:            {server.log_file}", flush=True)
            server.wait()
            raise ServerError(f"ComfyUI stopped by itself.\n{server._log_tail()}")
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped")
        return 0


if __name__ == "__main__":
    sys.exit(main())

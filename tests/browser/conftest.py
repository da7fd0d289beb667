"""The real frontend in a headless Chromium, served by a real ComfyUI with the pack."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import REPOSITORY, chromium

COMFYUI = os.environ.get("COMFYUI_PATH", "")
CHROMIUM = chromium()

# Without ComfyUI or a browser there is nothing to test here; the header of the run says so.
collect_ignore_glob = [] if COMFYUI and CHROMIUM else ["test_*.py"]

# Keep the browser from calling home: this machine may have no network, and tests need none.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_READY = """window.app?.extensionManager && window.app.graph && window.LiteGraph
    && Object.keys(LiteGraph.registered_node_types).some(name => name.startsWith("SCEdit"))"""

if COMFYUI and CHROMIUM:
    sys.path.insert(0, str(REPOSITORY / "tests" / "host"))
    from playwright.sync_api import sync_playwright
    from server_tools import server_module


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A running ComfyUI with the pack; its models folder is empty."""
    base = tmp_path_factory.mktemp("browser_base")
    user = base / "user" / "default"
    user.mkdir(parents=True)
    # what a user who has been here before has; a first visit opens the template browser over everything
    (user / "comfy.settings.json").write_text(json.dumps({"Comfy.TutorialCompleted": True}), encoding="utf-8")
    with server_module.ComfyServer(Path(COMFYUI), base=base) as running:
        shutil.copy(Path(COMFYUI) / "input" / "example.png", base / "input")
        yield running


@pytest.fixture(scope="session")
def page(server: Any) -> Iterator[Any]:
    """The frontend, loaded and ready."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS))
        opened = browser.new_page(viewport={"width": 1800, "height": 1000})
        opened.goto(server.url)
        opened.wait_for_function(_READY, timeout=120_000)
        yield opened
        browser.close()

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
from support import COMFYUI, REPOSITORY, chromium

CHROMIUM = chromium()

# Without ComfyUI or a browser there is nothing to test here; the header of the run says so.
collect_ignore_glob = [] if COMFYUI and CHROMIUM else ["test_*.py"]

if COMFYUI and CHROMIUM:
    sys.path.insert(0, str(REPOSITORY / "tests" / "host"))
    from PIL import Image
    from playwright.sync_api import sync_playwright
    from screen_tools import BROWSER_FLAGS, Screen, wait_until_ready
    from server_tools import PHOTO, server_module, world


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A running ComfyUI with the pack, the sandbox's models and four pictures to train on."""
    base = tmp_path_factory.mktemp("browser_base")
    models = Path(os.environ.get("SCEDIT_SANDBOX_MODELS", REPOSITORY / "sandbox" / "models"))
    user = base / "user" / "default"
    user.mkdir(parents=True)
    # what a user who has been here before has; a first visit opens the template browser over everything
    (user / "comfy.settings.json").write_text(json.dumps({"Comfy.TutorialCompleted": True}), encoding="utf-8")
    write_pictures(base / "input" / "four")
    with server_module.ComfyServer(Path(COMFYUI), base=base, models=models) as running:
        shutil.copy(Path(COMFYUI) / "input" / "example.png", base / "input")
        shutil.copy(PHOTO, base / "input")
        yield running


def write_pictures(folder: Path) -> None:
    """Four drawn scenes of 64 pixels with captions."""
    folder.mkdir(parents=True)
    for seed in range(4):
        scene = world.scene(seed)
        Image.fromarray(scene.picture).resize((64, 64)).save(folder / f"{seed}.png")
        (folder / f"{seed}.txt").write_text(scene.caption, encoding="utf-8")


@pytest.fixture(scope="session")
def page(server: Any) -> Iterator[Any]:
    """The frontend, loaded and ready."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(BROWSER_FLAGS))
        context = browser.new_context(
            viewport={"width": 1800, "height": 1000}, permissions=["clipboard-read", "clipboard-write"]
        )
        opened = context.new_page()
        opened.goto(server.url)
        wait_until_ready(opened)
        yield opened
        browser.close()


@pytest.fixture(scope="module", params=[False, True], ids=["canvas", "vue"])
def screen(page: Any, server: Any, request: pytest.FixtureRequest) -> Screen:
    """What is on the screen, in each renderer of the frontend."""
    return Screen(page, server, vue=request.param)

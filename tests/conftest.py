"""Makes `scedit_core` importable by its name and hands out the authors' reference values."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support import GOLDEN, REPOSITORY, Golden, chromium, load_package

if "scedit_core" not in sys.modules:
    load_package("scedit_core", REPOSITORY / "scedit_core")

# Sums are grouped by threads: one number of them makes the same rounding everywhere, and two keep a small
# machine that also runs a server from spinning.
torch.set_num_threads(2)


@pytest.fixture(autouse=True, scope="module")
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """Networks this small train several times faster in one thread: in what a module makes first, too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if "training" in request.path.parts else before)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def golden() -> Golden:
    """The authors' values."""
    return GOLDEN


@pytest.fixture(scope="session")
def net_weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where tests keep weights for the nets that find hints; they are large and do not stay."""
    folder = tmp_path_factory.mktemp("net_weights")
    yield folder
    for file in folder.iterdir():
        file.unlink()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests that ask for `golden_case` once for each case."""
    if "golden_case" in metafunc.fixturenames:
        cases = GOLDEN.cases()
        metafunc.parametrize("golden_case", cases, ids=[case["name"] for case in cases])


def pytest_report_header() -> list[str]:
    """Say whether the tests that need a ComfyUI and a browser are part of this run."""
    found = os.environ.get("COMFYUI_PATH")
    lines = [f"ComfyUI: {found or 'COMFYUI_PATH is not set, tests/host and tests/browser are left out'}"]
    if found and chromium() is None:
        lines.append("browser: no chromium found and CHROMIUM_PATH is not set, tests/browser is left out")
    return lines

"""A real ComfyUI in this process, with the pack loaded the way ComfyUI loads packs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support import COMFYUI, GOLDEN, REPOSITORY, load_package

ON_CARD = os.environ.get("SCEDIT_TEST_DEVICE") == "cuda"  # of this machine, with ComfyUI as main.py starts it
PACK = "scedit_pack"

# Without ComfyUI there is nothing to test here; the header of the run says so.
collect_ignore_glob = [] if COMFYUI else ["*.py"]

if COMFYUI:
    sys.path.insert(0, COMFYUI)
    if ON_CARD:
        sys.path.append(str(REPOSITORY / "benchmarks"))
        from host_start import start

        start("cuda")
        import torch

        # Tests compare runs whose batches differ, which other kernels compute: with TF32 convolutions, which
        # ComfyUI leaves switched on, they are 1e-3 apart.
        torch.backends.cudnn.allow_tf32 = False
    elif find_spec("comfy_aimdo"):  # newer ComfyUIs; main.py does it before anything of ComfyUI is imported
        import comfy_aimdo.control

        comfy_aimdo.control.init()
    import comfy.cli_args

    comfy.cli_args.args.cpu = not ON_CARD
    import comfy.memory_management
    import comfy.model_patcher
    import folder_paths
    import utils.extra_config  # noqa: F401 - as main.py does: later nodes.py has comfy/utils.py answer to this name
    from host_tools import as_found, load, tiny_model
    from server_tools import PHOTO, server_module, studio_module


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The pack, with the golden tuners in its model folder."""
    folder_paths.models_dir = str(tmp_path_factory.mktemp("models"))
    folder_paths.set_temp_directory(str(tmp_path_factory.mktemp("temp")))
    module = load_package(PACK, REPOSITORY)
    module.nodes.register_tuner_folder()
    module.nodes.register_annotator_folder()
    folder_paths.add_model_folder_path("scedit", str(GOLDEN.path("tuners")))
    return module


@pytest.fixture(scope="session")
def nodes(pack: ModuleType) -> dict[str, Any]:
    """Node classes by id."""
    return {node.define_schema().node_id: node for node in pack.nodes.NODES}


@pytest.fixture(scope="session", params=["static", "dynamic"])
def host_mode(request: pytest.FixtureRequest) -> str:
    """How ComfyUI started: "dynamic" as on NVIDIA by default, with dynamic VRAM, "static" as elsewhere.

    Dynamic is what main.py sets when it finds a card: layers have no weights until they are filled, files are
    mapped by comfy-aimdo, and the patcher is ModelPatcherDynamic, which stands aside for the plain one where
    the device is a CPU. So one thing is left that no CPU can run: weights paged in during a step.
    """
    return request.param


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Have ComfyUI in the mode that a test asks for before anything of the test is made; else static."""
    is_dynamic = (
        getattr(item, "callspec", None) is not None and item.callspec.params.get("host_mode") == "dynamic"
    )
    patcher = comfy.model_patcher
    comfy.memory_management.aimdo_enabled = is_dynamic
    patcher.CoreModelPatcher = patcher.ModelPatcherDynamic if is_dynamic else patcher.ModelPatcher


@pytest.fixture(scope="session")
def model(host_mode: str) -> Any:
    """The golden U-Net with six skips as a MODEL. Shared: the pack never changes a MODEL it is given."""
    return tiny_model()


@pytest.fixture(scope="session")
def tuner(host_mode: str, nodes: dict[str, Any]) -> Any:
    """An SC-Tuner for the golden U-Net."""
    return load(nodes, "SCEditLoadSCTuner", "sc_full")


@pytest.fixture(scope="session")
def control(host_mode: str, nodes: dict[str, Any]) -> Any:
    """A CSC-Tuner for the golden U-Net."""
    return load(nodes, "SCEditLoadCSCTuner", "csc_k1")


@pytest.fixture(scope="session")
def other_control(host_mode: str, nodes: dict[str, Any]) -> Any:
    """Another CSC-Tuner for the golden U-Net."""
    return load(nodes, "SCEditLoadCSCTuner", "csc_s07")


@pytest.fixture(scope="session")
def sandbox_models() -> Path:
    """Models folder of the sandbox: the one the caller brought, or the repository's own."""
    return Path(os.environ.get("SCEDIT_SANDBOX_MODELS", REPOSITORY / "sandbox" / "models"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, sandbox_models: Path) -> Iterator[Any]:
    """A running ComfyUI with the pack and the sandbox; its own models folder is empty for tests to fill."""
    base = tmp_path_factory.mktemp("base")
    with server_module.ComfyServer(Path(COMFYUI), base=base, models=sandbox_models) as running:
        yield running


@pytest.fixture(scope="session")
def studio(server: Any) -> Any:
    """Paints with the sandbox's model; what one test has painted, the next gets at once.

    In half of the demo's steps, which its figures survive: most of a test's time goes into them.
    """
    return studio_module.Studio(server, steps=10)


@pytest.fixture(scope="session")
def photo(server: Any) -> str:
    """Name of the demo's photo in the server's input folder."""
    return server.upload_image(PHOTO)


@pytest.fixture
def output(tmp_path: Path, pack: Any) -> Iterator[Path]:
    """Output folder of this test; what it saves among the tuners is gone after it."""
    before = folder_paths.get_output_directory()
    folder_paths.set_output_directory(str(tmp_path / "output"))
    with as_found(Path(folder_paths.models_dir, "scedit")):
        yield tmp_path / "output"
    folder_paths.set_output_directory(before)


@pytest.fixture
def sc(host_mode: str, nodes: dict[str, Any]) -> Any:
    """The node that trains styles."""
    return nodes["SCEditTrainSCTuner"]


@pytest.fixture
def csc(host_mode: str, nodes: dict[str, Any]) -> Any:
    """The node that trains controls."""
    return nodes["SCEditTrainCSCTuner"]

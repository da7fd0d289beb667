"""The rules of the house that no linter knows: who may import whom, and what shipped code never does."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import REPOSITORY

HOST = {"comfy", "comfy_api", "comfy_execution", "folder_paths", "nodes", "server"}
HEAVY = {"cv2", "controlnet_aux", "transformers", "timm"}
NETWORK = {"aiohttp", "ftplib", "http", "httpx", "requests", "socket", "urllib"}
PROCESSES = {"subprocess", "multiprocessing"}
# The one file that goes online: to fetch weights, and only where a node's `download` switch is on.
DOWNLOADS = REPOSITORY / "scedit_core" / "annotators" / "download.py"
SHARED_BY_NODES = {
    "captions",
    "detecting",
    "folders",
    "hints",
    "host_model",
    "hosting",
    "inputs",
    "kinds",
    "model_sketch",
    "patch",
    "paths",
    "preview",
    "scedit_core",
    "sockets",
    "step",
    "telling",
    "training_checks",
    "training_inputs",
    "training_patch",
    "training_run",
    "training_view",
}
LONGEST_FUNCTION = 60


def python_files(place: str = ".") -> list[Path]:
    """Python files below a folder of the repository; environments and caches lie in hidden folders."""
    found = []
    for folder, folders, names in os.walk(REPOSITORY / place):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(folder) / name for name in names if name.endswith(".py")]
    return sorted(found)


EVERYTHING = python_files()
CORE = python_files("scedit_core")
NODES = python_files("nodes")
SHIPPED = [REPOSITORY / "__init__.py", *NODES, *CORE]


def each(files: list[Path]) -> pytest.MarkDecorator:
    """Run a test once for each file."""
    return pytest.mark.parametrize("file", files, ids=[str(f.relative_to(REPOSITORY)) for f in files])


def nodes_of(file: Path, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
    """Syntax of these kinds in a file."""
    return (node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, kinds))


def imports(file: Path) -> list[tuple[int, str]]:
    """Level (0 is absolute) and dotted name of everything that a file imports."""
    found = []
    for node in nodes_of(file, ast.Import, ast.ImportFrom):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif node.module is None:
            found += [(node.level, alias.name) for alias in node.names]
        else:
            found.append((node.level, node.module))
    return found


def roots(file: Path) -> set[str]:
    """Packages that a file imports absolutely."""
    return {name.split(".")[0] for level, name in imports(file) if level == 0}


def called(node: ast.Call) -> str:
    """Name of what a call calls, as written."""
    return ast.unparse(node.func)


@each(CORE)
def test_the_core_knows_nothing_of_the_host(file):
    assert not roots(file) & HOST
    depth = len(file.relative_to(REPOSITORY).parts) - 1
    assert not [name for level, name in imports(file) if level > depth]


@each(SHIPPED)
def test_imports_inside_the_pack_are_relative(file):
    inside = {"scedit_core", "sandbox", *(f.stem for f in NODES)} - {"__init__"}
    assert not roots(file) & inside


@each([file for file in NODES if file.name != "__init__.py"])
def test_node_files_import_the_core_and_what_nodes_share_but_not_each_other(file):
    inside = {name.split(".")[0] for level, name in imports(file) if level}
    assert inside <= SHARED_BY_NODES


@each([file for file in CORE if not {"annotators", "training"} & set(file.parts)])
def test_the_hot_path_needs_neither_einops_nor_opencv(file):
    assert not roots(file) & {"einops", *HEAVY}


@each(NODES)
def test_importing_the_nodes_asks_for_no_heavy_package(file):
    assert not roots(file) & HEAVY


def test_importing_the_core_loads_no_host_and_no_heavy_package():
    annotators = [f"scedit_core.annotators.{f.stem}" for f in CORE if f.parent.name == "annotators"]
    parts = ", ".join(["scedit_core", *(name for name in annotators if not name.endswith("__init__"))])
    code = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); import {parts}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in run.stdout.split()}
    assert "scedit_core" in loaded
    assert not loaded & {*HOST, *HEAVY}


@each(EVERYTHING)
def test_functions_fit_on_a_screen(file):
    functions = nodes_of(file, ast.FunctionDef, ast.AsyncFunctionDef)
    sizes = {node.name: node.end_lineno - node.lineno + 1 for node in functions}
    assert {name: size for name, size in sizes.items() if size > LONGEST_FUNCTION} == {}


@each(EVERYTHING)
def test_loading_is_strict(file):
    for call in nodes_of(file, ast.Call):
        if called(call).endswith("load_state_dict"):
            assert not [k for k in call.keywords if k.arg == "strict" and ast.unparse(k.value) != "True"]
            assert len(call.args) <= 1


@each(SHIPPED)
def test_shipped_code_runs_no_text_and_no_process_and_asks_no_network(file):
    assert not roots(file) & ({*PROCESSES} if file == DOWNLOADS else {*NETWORK, *PROCESSES})
    calls = {called(call) for call in nodes_of(file, ast.Call)}
    assert not calls & {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}


@each(SHIPPED)
def test_shipped_code_has_nobody_else_read_a_pickle(file):
    assert not roots(file) & {"pickle", "joblib", "shelve", "dill", "marshal"}
    calls = {called(call) for call in nodes_of(file, ast.Call)}
    assert not calls & {"torch.load", "torch.jit.load", "np.load", "numpy.load"}


@each(SHIPPED)
def test_shipped_code_raises_instead_of_asserting_and_silences_nothing(file):
    assert not list(nodes_of(file, ast.Assert))
    caught = {h.type and ast.unparse(h.type) for h in nodes_of(file, ast.ExceptHandler)}
    assert not caught & {None, "Exception", "BaseException"}


def test_the_pack_starts_in_a_few_lines_and_without_the_older_protocol():
    source = (REPOSITORY / "__init__.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) < 15
    assert "comfy_entrypoint" in source
    assert "NODE_CLASS_MAPPINGS" not in source  # ComfyUI would then never ask for the entry point


def listed_nodes() -> list[str]:
    """Names of the classes in NODES of nodes/__init__.py."""
    for node in nodes_of(REPOSITORY / "nodes" / "__init__.py", ast.Assign, ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if [ast.unparse(target) for target in targets] == ["NODES"]:
            return [ast.unparse(element) for element in node.value.elts]
    return []


def node_ids() -> dict[str, str]:
    """Id that each node class gives in its schema."""
    ids = {}
    for cls in (cls for file in NODES for cls in nodes_of(file, ast.ClassDef)):
        for call in (call for call in ast.walk(cls) if isinstance(call, ast.Call)):
            if called(call).endswith("Schema"):
                ids[cls.name] = next(ast.literal_eval(k.value) for k in call.keywords if k.arg == "node_id")
    return ids


def test_every_node_is_listed_and_has_its_class_name_as_id():
    listed, ids = listed_nodes(), node_ids()
    assert listed
    assert sorted(listed) == sorted(set(listed))
    assert {name: ids.get(name) for name in listed} == {name: name for name in listed}
    assert set(ids) == set(listed)
    assert all(name.startswith("SCEdit") for name in listed)

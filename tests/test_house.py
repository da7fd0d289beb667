"""The rules of the house that no linter knows: who may import whom, and what shipped code never does."""

from __future__ import annotations

import ast
import importlib.util
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
DOWNLOADS = REPOSITORY / "scedit_core" / "annotators" / "nets" / "download.py"
# Of nodes/: what every room may use beside its own modules and the core; nobody uses another's nodes.
SHARED = {
    "acting",
    "sampling",
    "search_words",
    "sockets",
    "telling",
    "widgets",
    "files.folders",
    "files.hosted",
    "files.presets",
    "hints.kinds",
    "hints.nets",
    "patching.captions",
    "patching.conditions",
    "patching.patch",
    "patching.probe",
    "patching.prompts",
    "training.base_model",
    "training.jobs.material",
    "training.material",
}
ROOMS = {"analysis", "evaluation", "files", "hints", "patching", "schedules", "training"}
# What no file outside of a room may name, and the rooms that may: how the host has its U-Net patched.
PATCH_PROTOCOL = {"set_model_patch", "add_wrapper_with_key", "output_block_patch", "input_block_patch"}
# What scripts import beside packages and the host: the pack, the browser's tools, what few machines have.
THEIRS = {"cairosvg", "h5py", "scedit_pack", "screen_tools"}
LONGEST_FUNCTION, LONGEST_FILE = 40, 300


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
SCRIPTS = python_files("benchmarks") + python_files("sandbox")
SHIPPED = [REPOSITORY / "__init__.py", REPOSITORY / "train.py", *NODES, *CORE]


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


def imported_in_nodes(file: Path) -> set[str]:
    """Modules of nodes/ that a file of it imports, by their dotted names below it."""
    place = file.relative_to(REPOSITORY).parts[:-1]
    found = set()
    for node in nodes_of(file, ast.ImportFrom):
        base = [*place[: len(place) - node.level + 1], *(node.module or "").split(".")] if node.level else []
        if base[:1] == ["nodes"]:
            named = [name for name in base[1:] if name]
            found |= {".".join(named)} if named else {alias.name for alias in node.names}
    return found


def has_nodes(file: Path) -> bool:
    """Whether a file defines nodes of the pack."""
    return any(cls.name.startswith("SCEdit") for cls in nodes_of(file, ast.ClassDef))


@each([file for file in NODES if file.name != "__init__.py"])
def test_a_room_imports_the_core_itself_and_what_all_share_and_never_nodes(file):
    place = file.relative_to(REPOSITORY / "nodes").parts
    own = {name for name in imported_in_nodes(file) if place[0] in ROOMS and name.startswith(f"{place[0]}.")}
    assert imported_in_nodes(file) - own <= SHARED
    assert not [n for n in own if has_nodes(REPOSITORY / "nodes" / f"{n.replace('.', '/')}.py")]


@each([file for file in NODES if not {"patching", "training"} & set(file.parts)])
def test_one_room_knows_how_the_host_has_its_unet_patched(file):
    words = {node.value for node in nodes_of(file, ast.Constant) if isinstance(node.value, str)}
    words |= {node.attr for node in nodes_of(file, ast.Attribute)}
    assert not words & (PATCH_PROTOCOL if file.name != "hosted.py" else {"output_block_patch"})


@each([file for file in CORE if not {"annotators", "training"} & set(file.parts)])
def test_the_hot_path_needs_neither_einops_nor_opencv(file):
    assert not roots(file) & {"einops", *HEAVY}


@each(NODES)
def test_importing_the_nodes_asks_for_no_heavy_package(file):
    assert not roots(file) & HEAVY


def test_importing_the_core_loads_no_host_and_no_heavy_package():
    files = [f.relative_to(REPOSITORY).with_suffix("") for f in CORE if "annotators" in f.parts]
    parts = ", ".join(["scedit_core", *(".".join(f.parts) for f in files if f.name != "__init__")])
    code = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); import {parts}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in run.stdout.split()}
    assert "scedit_core" in loaded
    assert not loaded & {*HOST, *HEAVY}


@each(EVERYTHING)
def test_files_are_read_in_one_sitting_and_functions_fit_on_a_screen(file):
    assert len(file.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    functions = nodes_of(file, ast.FunctionDef, ast.AsyncFunctionDef)
    sizes = {f.name: f.end_lineno - f.lineno + 1 for f in functions if f.name != "define_schema"}  # lists
    assert {name: size for name, size in sizes.items() if size > LONGEST_FUNCTION} == {}


@each(sorted((REPOSITORY / "web" / "js").glob("*.js")))
def test_scripts_of_the_frontend_are_as_short(file):
    assert len(file.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


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


def test_every_node_is_listed():
    listed = listed_nodes()
    classes = [cls.name for file in NODES for cls in nodes_of(file, ast.ClassDef)]
    assert sorted(listed) == sorted(set(listed))
    # those of single hints are made from a table, and listed together
    assert {*listed} - {"*HINT_NODES"} == {n for n in classes if n.startswith("SCEdit")} - {"SCEditExtension"}


@each(SCRIPTS)
def test_scripts_import_from_each_other_what_is_there(file):
    """No test starts most of them, and pyright does not know where their neighbours lie."""
    beside = {script.stem: script for script in SCRIPTS}
    for root in roots(file) - beside.keys() - HOST - sys.stdlib_module_names:
        assert importlib.util.find_spec(root) or root in THEIRS, f"there is no {root}"
    for node in nodes_of(file, ast.ImportFrom):
        if isinstance(node, ast.ImportFrom) and node.module in beside:
            assert {one.name for one in node.names} <= set(names_of(beside[node.module]))


def names_of(file: Path) -> Iterator[str]:
    """What a file defines, sets or imports."""
    for node in nodes_of(file, ast.FunctionDef, ast.ClassDef, ast.alias, ast.Name):
        yield getattr(node, "asname", None) or getattr(node, "name", None) or getattr(node, "id", "")


@each(python_files("tests"))
def test_nothing_is_imported_from_a_conftest(file):
    """There are several of that name: which one is found depends on what was loaded before."""
    assert "conftest" not in roots(file)

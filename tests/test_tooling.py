"""What a contributor meets first: dev.py, CONTRIBUTING.md, checks and workflows; and what is published."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml  # transformers of requirements.txt brings it
from support import REPOSITORY, load_module

PAGE = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = {"<Id>": "SCEditCanny", "<code>": "zh"}  # one of each
SUFFIXES = (".js", ".json", ".md", ".py", ".toml", ".txt", ".yml")
MADE_BY_DEV = {".comfyui", ".venv", "output"}
SHIPPED = {
    ".comfyignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "SECURITY.md", "__init__.py",
    "example_jobs", "example_workflows", "locales", "nodes", "pyproject.toml", "requirements.txt",
    "scedit_core", "subgraphs", "train.py", "web",
}  # fmt: skip
FORMS = [path for path in (REPOSITORY / ".github" / "ISSUE_TEMPLATE").iterdir() if path.stem != "config"]


def example(text: str) -> str:
    """A place as CONTRIBUTING.md writes it, with one of each in place of <Id> and <code>."""
    for mark, one in EXAMPLES.items():
        text = text.replace(mark, one)
    return text


def places() -> list[str]:
    """Files and folders that CONTRIBUTING.md names in backticks or links to."""
    quoted = re.findall(r"(?<!`)`([^`\s]+)`(?!`)", PAGE)
    linked = re.findall(r"\]\((?!https?:)([^)\s]+)\)", PAGE)
    return sorted({*linked, *(text for text in quoted if "/" in text or text.endswith(SUFFIXES))})


@pytest.mark.parametrize("place", places())
def test_places_that_are_named_exist(place):
    assert (REPOSITORY / example(place)).exists()


NAMED = re.findall(r"`(\w+)`\s+(?:in|of)\s+`([^`\s]+)`", PAGE)


@pytest.mark.parametrize(("name", "place"), NAMED, ids=[name for name, _ in NAMED])
def test_what_is_named_beside_a_place_is_there(name, place):
    assert re.search(rf"\b{name}\b", (REPOSITORY / place).read_text(encoding="utf-8"))


def test_dev_py_starts_before_any_package_is_installed_and_has_the_commands_that_are_named():
    command = [sys.executable, "-S", str(REPOSITORY / "dev.py"), "--help"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    offered = re.search(r"\{([\w,-]+)\}", run.stdout)
    assert offered
    named = set(re.findall(r"dev\.py ([\w-]+)", PAGE))
    assert len(named) > 5
    assert named <= set(offered[1].split(","))


ENVIRONMENT = """
import subprocess, sys
from tooling.processes import clean_environment
code = "import json, sys; print(json.dumps([sys.pycache_prefix, sys.dont_write_bytecode]))"
subprocess.run([sys.executable, "-c", code], env=clean_environment(), check=True)
"""


@pytest.mark.parametrize("value", ["", "1"])
def test_what_dev_py_runs_keeps_its_bytecode_in_our_folder_whatever_the_user_has_set(value):
    """Packages are installed without any: each start would compile all that it imports again."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": value, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", ENVIRONMENT]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert json.loads(run.stdout) == [str(REPOSITORY / ".comfyui" / "bytecode"), False]


def test_ruff_before_a_commit_is_the_ruff_of_the_checks():
    required = re.search(r"^ruff==(.+)$", (REPOSITORY / "requirements-dev.txt").read_text(), re.MULTILINE)
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert required
    assert [repo["rev"] for repo in hooks["repos"]] == [f"v{required[1]}"]


def steps(workflow: Path) -> list[dict]:
    """All steps of a workflow, and its jobs, which may be workflows themselves."""
    jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"].values()
    return [step for job in jobs for step in (job, *job.get("steps", ()))]


@pytest.mark.parametrize("name", ["publish", "tests"])
def test_a_workflow_runs_what_is_there_and_actions_that_nobody_can_change(name):
    found = steps(REPOSITORY / ".github" / "workflows" / f"{name}.yml")
    used = [step["uses"] for step in found if "uses" in step]
    local = [use for use in used if use.startswith("./")]
    assert all((REPOSITORY / use).is_file() for use in local)
    assert [use for use in used if use not in local and not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", use)] == []
    scripts = [word for step in found for word in step.get("run", "").split() if word.startswith(".ci/")]
    assert len(scripts) == 1
    assert (REPOSITORY / scripts[0]).is_file()


def test_the_cache_of_packages_goes_by_all_files_that_say_what_is_installed():
    found = steps(REPOSITORY / ".github" / "workflows" / "tests.yml")
    setup = next(step for step in found if "cache" in step.get("with", {}))
    named = setup["with"]["cache-dependency-path"].split()
    assert {"requirements.txt", "requirements-dev.txt"} < set(named)
    assert all((REPOSITORY / name).is_file() for name in named)


@pytest.mark.parametrize("form", FORMS, ids=[form.stem for form in FORMS])
def test_a_form_for_issues_is_one(form):
    content = yaml.safe_load(form.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= content.keys()
    asked = [part for part in content["body"] if part["type"] != "markdown"]
    assert len({part["id"] for part in asked}) == len(asked)
    assert all(part["attributes"]["label"] for part in asked)
    assert any(part.get("validations", {}).get("required") for part in asked)


VERSION = re.search(r'^version = "(.+)"$', (REPOSITORY / "pyproject.toml").read_text(), re.MULTILINE)[1]
check = load_module("scedit_check_tag", REPOSITORY / ".ci" / "check_tag.py")


def test_the_tag_of_this_version_may_be_published():
    assert check.fault(f"v{VERSION}") is None


@pytest.mark.parametrize("tag", [VERSION, f"v{VERSION}.1", f"V{VERSION}", "v", "main", ""])
def test_another_tag_is_refused(tag):
    assert check.fault(tag) == (
        f"the tag is {tag}, pyproject.toml has version {VERSION}; tag the commit as v{VERSION}"
    )


@pytest.mark.parametrize(
    ("project", "changes", "words"),
    [
        ('version = "2.0.0"', "# Changelog\n\n## 1.0.0", "has no section '## 2.0.0'"),
        ('version = "2.0.0"', "## 2.0.0.1", "has no section"),
        ('name = "scedit"', "## 2.0.0", "has no version"),
    ],
)
def test_a_version_that_is_not_written_down_is_refused(project, changes, words, tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text(project)
    (tmp_path / "CHANGELOG.md").write_text(changes)
    monkeypatch.setattr(check, "REPO", tmp_path)
    assert words in check.fault("v2.0.0")


def test_what_is_published_is_what_users_need():
    git = shutil.which("git")
    if git is None or not (REPOSITORY / ".git").exists():
        pytest.skip("what is published is what git tracks, and this is no checkout of it")
    run = subprocess.run([git, "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    lines = (REPOSITORY / ".comfyignore").read_text(encoding="utf-8").splitlines()
    left_out = [line for line in lines if not line.startswith("#")]
    # without a slash in front a name is left out at any depth: docs/ would take the help pages along
    assert [line for line in left_out if not re.fullmatch(r"/[\w.-]+/?", line)] == []
    names = {line.strip("/") for line in left_out}
    tracked = {line.split("/")[0] for line in run.stdout.splitlines()}
    assert tracked - names == SHIPPED
    assert names <= tracked | MADE_BY_DEV

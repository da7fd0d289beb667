"""The plan of the house: the files, functions and tests that docs/architecture.md names are there."""

from __future__ import annotations

import ast
import re

import pytest
from support import REPOSITORY

PLAN = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
WALKS = dict(re.findall(r"^## Walk \d: (.+?)\n(.+?)(?=^## )", PLAN, re.M | re.S))
STEP = re.compile(r"^\| (\d?) ?\| `([\w/]+\.py)` \| `([\w.]+)` \|", re.M)
MOST_FILES = {"a skip": 4, "a weight file": 6, "a training step": 6}


def defined_in(path: str) -> set[str]:
    """Functions and classes of a file, methods with the name of their class before them."""
    found = set()
    for node in ast.parse((REPOSITORY / path).read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return found


@pytest.mark.parametrize("walk", MOST_FILES)
def test_a_walk_is_as_short_as_it_says_and_leads_through_what_is_there(walk):
    steps = STEP.findall(WALKS[walk])
    assert len(steps) == WALKS[walk].count("\n| ") - 1  # every row but the head
    numbers = [int(number) for number, _, _ in steps if number]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) <= MOST_FILES[walk]
    assert [f"{path}: {name}" for _, path, name in steps if name not in defined_in(path)] == []


def test_every_file_that_the_plan_names_is_there():
    named = set(re.findall(r"`((?:nodes|scedit_core|tests)/[\w/.]+)`", PLAN))
    assert [path for path in sorted(named) if not (REPOSITORY / path).exists()] == []

"""Help pages and translations keep up with the nodes: every node, input and error, in every language."""

from __future__ import annotations

import ast
import json
import re

import pytest
from support import REPOSITORY

PAGES = {"en": "web/docs/{}.md", "zh": "web/docs/{}/zh.md"}
LANGUAGES = ("en", "zh", "zh-TW", "ja", "ko")
LINKS = {
    "https://github.com/Mikubill/sd-webui-controlnet",
    "https://modelscope.cn/models/iic/scepter_scedit",
    "https://huggingface.co/scepter-studio/scepter_scedit",
    "https://arxiv.org/abs/2312.11392",
}
I18N_SYNTAX = set("{}@|")  # ComfyUI's frontend reads these as references to other texts
TREES = [
    ast.parse(file.read_text(encoding="utf-8"))
    for folder in ("nodes", "scedit_core")
    for file in sorted((REPOSITORY / folder).rglob("*.py"))
]
# every text of the code; those of f-strings come in pieces, cut where a value stands
CONSTANTS = [n.value for tree in TREES for n in ast.walk(tree) if isinstance(n, ast.Constant)]
TEXTS = {value for value in CONSTANTS if isinstance(value, str)}


def locale(language: str, name: str = "nodeDefs") -> dict:
    """A file of translations; a byte order mark is an error here as it is in ComfyUI."""
    return json.loads((REPOSITORY / "locales" / language / f"{name}.json").read_bytes().decode("utf-8"))


NODES = sorted(locale("en"))  # a test that has ComfyUI compares this with the nodes


def leaves(texts: dict) -> list[str]:
    """All texts of nested dictionaries."""
    return [leaf for t in texts.values() for leaf in (leaves(t) if isinstance(t, dict) else [t])]


@pytest.mark.parametrize("language", PAGES)
@pytest.mark.parametrize("node", NODES)
def test_a_help_page_quotes_errors_as_they_are(node, language):
    page = (REPOSITORY / PAGES[language].format(node)).read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\s)]+", page)) <= LINKS
    errors = re.findall(r"^- `([^`]+)`[:\uff1a]", page, flags=re.MULTILINE)
    assert errors
    pieces = [piece.strip() for error in errors for piece in error.split("…")]
    assert [piece for piece in pieces if not any(piece in text for text in TEXTS)] == []


def pictures(language: str, node: str) -> list[str]:
    """Paths of the pictures that a help page shows; ComfyUI's frontend takes them from the folder `docs`."""
    page = (REPOSITORY / PAGES[language].format(node)).read_text(encoding="utf-8")
    return re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page)


@pytest.mark.parametrize("node", NODES)
def test_pictures_of_a_help_page_are_small_and_the_same_in_both_languages(node):
    shown = pictures("en", node)
    assert pictures("zh", node) == shown
    assert [path for path in shown if (REPOSITORY / "web" / "docs" / path).stat().st_size > 60_000] == []


def test_every_picture_is_shown_and_carries_its_licence():
    folder = REPOSITORY / "web" / "docs" / "pictures"
    shown = {path for node in NODES for path in pictures("en", node)}
    assert {f"pictures/{file.name}" for file in folder.iterdir()} - {"pictures/LICENSE.txt"} == shown
    assert "CC0 1.0" in (folder / "LICENSE.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_locale_has_the_nodes_and_inputs_of_the_english_one_and_no_empty_text(language):
    translated, english = locale(language), locale("en")
    assert translated.keys() == english.keys()
    for node, texts in english.items():
        assert translated[node]["inputs"].keys() == texts["inputs"].keys()
        assert translated[node]["outputs"].keys() == texts["outputs"].keys()
    texts = leaves(translated) + leaves(locale(language, "main"))
    assert [text for text in texts if not text.strip() or set(text) & I18N_SYNTAX] == []

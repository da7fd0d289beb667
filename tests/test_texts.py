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
    "https://modelscope.cn/models/iic/scepter_scedit",
    "https://huggingface.co/scepter-studio/scepter_scedit",
    "https://arxiv.org/abs/2312.11392",
}
I18N_SYNTAX = set("{}@|")  # ComfyUI's frontend reads these as references to other texts
SOURCES = [
    file for folder in ("nodes", "scedit_core") for file in sorted((REPOSITORY / folder).rglob("*.py"))
]
TREES = [ast.parse(file.read_text(encoding="utf-8")) for file in SOURCES]
# every text of the code; those of f-strings come in pieces, cut where a value stands
CONSTANTS = [n.value for tree in TREES for n in ast.walk(tree) if isinstance(n, ast.Constant)]
TEXTS = {value for value in CONSTANTS if isinstance(value, str)}


def calls(tree: ast.AST, ending: str) -> list[ast.Call]:
    """Calls of what is written with this ending."""
    return [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func).endswith(ending)]


def argument(call: ast.Call, name: str) -> ast.expr | None:
    """What a call gives for a keyword."""
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


FUNCTIONS = {f.name: f for tree in TREES for f in tree.body if isinstance(f, ast.FunctionDef)}


def input_ids(expression: ast.expr) -> list[str]:
    """Ids of inputs: of a list of them, of a call of an Input, or of a function that makes some."""
    if isinstance(expression, ast.List):
        return [name for element in expression.elts for name in input_ids(element)]
    if isinstance(expression, ast.Starred):
        return input_ids(expression.value)
    assert isinstance(expression, ast.Call), ast.unparse(expression)
    function = FUNCTIONS.get(ast.unparse(expression.func))
    if function is not None:
        returned = next(n.value for n in ast.walk(function) if isinstance(n, ast.Return))
        is_told_an_id = bool(expression.args) and isinstance(expression.args[0], ast.Constant)
        if isinstance(returned, ast.List) or not is_told_an_id:
            return input_ids(returned)
    # its own id, or the one that the function it calls is told
    return [ast.literal_eval(expression.args[0])]


SCHEMAS = {
    ast.literal_eval(argument(schema, "node_id")): input_ids(argument(schema, "inputs"))
    for tree in TREES
    for schema in calls(tree, "io.Schema")
}
# settings of the kinds that 'Any Hint' offers; the frontend writes their names behind that of the choice
KINDS = [kind for tree in TREES for kind in calls(tree, "HintKind")]
NESTED = {"SCEditPreprocess": {name for kind in KINDS for name in input_ids(kind.args[0])}}


def locale(language: str, name: str = "nodeDefs") -> dict:
    """A file of translations; a byte order mark is an error here as it is in ComfyUI."""
    return json.loads((REPOSITORY / "locales" / language / f"{name}.json").read_bytes().decode("utf-8"))


def leaves(texts: dict) -> list[str]:
    """All texts of nested dictionaries."""
    return [leaf for t in texts.values() for leaf in (leaves(t) if isinstance(t, dict) else [t])]


def test_every_input_and_output_has_a_tooltip():
    parts = [call for tree in TREES for end in (".Input", ".Output") for call in calls(tree, end)]
    tips = {ast.unparse(call): argument(call, "tooltip") for call in parts}
    assert [call for call, tip in tips.items() if tip is None or ast.unparse(tip) == "''"] == []


@pytest.mark.parametrize("language", PAGES)
@pytest.mark.parametrize("node", SCHEMAS)
def test_a_help_page_names_every_input_and_quotes_errors_as_they_are(node, language):
    page = (REPOSITORY / PAGES[language].format(node)).read_text(encoding="utf-8")
    names = [*SCHEMAS[node], *NESTED.get(node, ())]
    assert [name for name in names if f"`{name}`" not in page] == []
    assert set(re.findall(r"https?://[^\s)]+", page)) <= LINKS
    errors = re.findall(r"^- `([^`]+)`[:\uff1a]", page, flags=re.MULTILINE)
    assert errors
    pieces = [piece.strip() for error in errors for piece in error.split("…")]
    assert [piece for piece in pieces if not any(piece in text for text in TEXTS)] == []


def pictures(language: str, node: str) -> list[str]:
    """Paths of the pictures that a help page shows; ComfyUI's frontend takes them from the folder `docs`."""
    page = (REPOSITORY / PAGES[language].format(node)).read_text(encoding="utf-8")
    return re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page)


@pytest.mark.parametrize("node", SCHEMAS)
def test_pictures_of_a_help_page_are_small_and_the_same_in_both_languages(node):
    shown = pictures("en", node)
    assert pictures("zh", node) == shown
    assert [path for path in shown if (REPOSITORY / "web" / "docs" / path).stat().st_size > 60_000] == []


def test_every_picture_is_shown_and_carries_its_licence():
    folder = REPOSITORY / "web" / "docs" / "pictures"
    shown = {path for node in SCHEMAS for path in pictures("en", node)}
    assert {f"pictures/{file.name}" for file in folder.iterdir()} - {"pictures/LICENSE.txt"} == shown
    assert "CC0 1.0" in (folder / "LICENSE.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_locale_has_the_nodes_and_inputs_of_the_schema_and_no_empty_text(language):
    translated = locale(language)
    for node, texts in locale("en").items():
        assert translated[node]["inputs"].keys() == texts["inputs"].keys()
        assert translated[node]["outputs"].keys() == texts["outputs"].keys()
    sockets = re.compile(r"(conditions_condition|hints_hint)\d+")  # those that the Autogrow input makes
    inputs = {n: {i for i in t["inputs"] if not sockets.fullmatch(i)} for n, t in translated.items()}
    nested = {node: {f"condition_{name}" for name in names} for node, names in NESTED.items()}
    assert inputs == {node: set(ids) | nested.get(node, set()) for node, ids in SCHEMAS.items()}
    texts = leaves(translated) + leaves(locale(language, "main"))
    assert [text for text in texts if not text.strip() or set(text) & I18N_SYNTAX] == []


def test_english_texts_are_those_of_the_nodes():
    # the name that ComfyUI gives an unnamed output; and of a socket, for which the page takes a name in the
    # schema before any translation
    assert set(leaves(locale("en"))) - TEXTS == {"MODEL", "hint image"}

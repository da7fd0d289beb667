"""What nodes say of themselves: tooltips, help pages and translations name what their schemas have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from comfy_api.latest import io
from support import REPOSITORY
from test_texts import NODES, PAGES, leaves, locale

SOCKETS = re.compile(
    r"(conditions_condition|hints_hint|images_image)\d+"
)  # those that the Autogrow input makes


def inputs_of(node: Any) -> Iterator[tuple[str, Any]]:
    """Inputs by the name under which the frontend translates them: a choice's own stand behind it."""
    for one in node.define_schema().inputs:
        yield one.id, one
        if isinstance(one, io.DynamicCombo.Input):
            yield from ((f"{one.id}_{inner.id}", inner) for option in one.options for inner in option.inputs)
        if isinstance(one, io.Autogrow.Input):
            yield f"{one.id}_{one.template.input.id}0", one.template.input


def texts_of(node: Any) -> set[str]:
    """All that a node's schema says."""
    schema = node.define_schema()
    parts = [*(one for _, one in inputs_of(node)), *schema.outputs]
    names = {text for one in parts for text in (one.display_name, one.tooltip, one.id)}
    return {schema.display_name, schema.description, *names} - {None}


def test_the_translations_are_of_these_nodes_which_are_called_by_their_ids(nodes):
    assert sorted(nodes) == NODES
    assert {name: node.__name__ for name, node in nodes.items()} == {name: name for name in nodes}
    assert all(name.startswith("SCEdit") for name in nodes)


def test_every_input_and_output_has_a_tooltip(nodes):
    parts = [one for node in nodes.values() for _, one in inputs_of(node)]
    parts += [one for node in nodes.values() for one in node.define_schema().outputs]
    assert [one.id for one in parts if not one.tooltip] == []


@pytest.mark.parametrize("language", PAGES)
@pytest.mark.parametrize("node", NODES)
def test_a_help_page_names_every_input(nodes, node, language):
    page = (REPOSITORY / PAGES[language].format(node)).read_text(encoding="utf-8")
    names = {one.id for name, one in inputs_of(nodes[node]) if not SOCKETS.fullmatch(name)}
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []


@pytest.mark.parametrize("node", NODES)
def test_the_translations_have_the_inputs_of_the_schema(nodes, node):
    translated = {name for name in locale("en")[node]["inputs"] if not SOCKETS.fullmatch(name)}
    assert translated == {name for name, _ in inputs_of(nodes[node]) if not SOCKETS.fullmatch(name)}


def test_english_texts_are_those_of_the_nodes(nodes):
    said = {text for node in nodes.values() for text in texts_of(node)}
    # the names that ComfyUI gives unnamed outputs; and of a socket, for which the page takes a name in the
    # schema before any translation
    assert set(leaves(locale("en"))) - said == {"MODEL", "CONDITIONING", "hint image"}

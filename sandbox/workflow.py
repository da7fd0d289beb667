"""Turns a workflow as the editor saves it into the prompt that `POST /prompt` takes.

ComfyUI's server has no such conversion: the web page does it. This follows the page's `graphToPrompt`
(frontend 1.47), with the server's own node list (`/object_info`) as the source of widget order and defaults.
Text is taken as written: `{a|b}` choices and `%date%` marks, which the page fills in, stay as they are.
Standard library only.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from workflow_links import BYPASSED, MUTED, VIRTUAL, Graph, Literal, WorkflowError
from workflow_specs import (
    UNSUPPORTED_WIDGETS,
    WIDGET_DEFAULTS,
    NodeInfo,
    Spec,
    autogrow_names,
    choices_of,
    companions,
    default_of,
    grouped_inputs,
    is_of_kind,
    kind_of,
    options_of,
    ordered_inputs,
)

__all__ = ["WorkflowError", "nodes_of_class", "replace_values", "to_prompt"]

Prompt = dict[str, dict[str, Any]]


def to_prompt(workflow: dict[str, Any], object_info: dict[str, NodeInfo]) -> Prompt:
    """The API-format prompt of a UI-format workflow, as the editor would send it."""
    graph = Graph.of(workflow)
    prompt: Prompt = {}
    for node_id, node in graph.nodes.items():
        if node["type"] in VIRTUAL or node.get("mode", 0) in (MUTED, BYPASSED):
            continue
        info = object_info.get(node["type"])
        if info is None:
            raise WorkflowError(f"{_title(node)}: this ComfyUI has no node class of that name")
        prompt[node_id] = {
            "class_type": node["type"],
            "inputs": _node_inputs(graph, node, info),
            "_meta": {"title": node.get("title") or info.get("display_name") or node["type"]},
        }
    return prompt


def replace_values(prompt: Prompt, values: dict[tuple[str, str], Any]) -> Prompt:
    """A copy of `prompt` with the input of every node of a class set: {(class_type, input): value}."""
    changed = copy.deepcopy(prompt)
    for (class_type, name), value in values.items():
        node_ids = nodes_of_class(changed, class_type)
        if not node_ids:
            raise WorkflowError(f"the workflow has no {class_type} node whose {name!r} could be set")
        for node_id in node_ids:
            changed[node_id]["inputs"][name] = value
    return changed


def nodes_of_class(prompt: Prompt, class_type: str) -> list[str]:
    """Ids of the nodes of one class, in the prompt's order."""
    return [node_id for node_id, node in prompt.items() if node["class_type"] == class_type]


def _node_inputs(graph: Graph, node: dict[str, Any], info: NodeInfo) -> dict[str, Any]:
    reader = _WidgetReader(node)
    inputs = {name: _wrapped(value) for name, value in reader.read(info).items()}
    known = reader.names
    for slot in node.get("inputs") or []:
        if slot.get("link") is None:
            continue
        if slot["name"] not in known:
            raise WorkflowError(
                f"{_title(node)}: the class has no input {slot['name']!r}, but a link goes there"
            )
        source = graph.source_of(slot)
        if isinstance(source, Literal):
            inputs[slot["name"]] = _wrapped(source.value)
        elif source is not None:
            inputs[slot["name"]] = [source.node_id, source.slot]
    return inputs


def _wrapped(value: Any) -> Any:
    # A bare list in a prompt means a link, so the page and the server wrap list values.
    return {"__value__": value} if isinstance(value, list) else value


def _title(node: dict[str, Any]) -> str:
    return f"node {node.get('id')} ({node.get('type')})"


@dataclass
class _WidgetReader:
    """Walks one node's inputs in the page's order and takes the stored widget values one by one."""

    node: dict[str, Any]
    names: set[str] = field(default_factory=set)
    _stored: list[Any] = field(default_factory=list)
    _values: dict[str, Any] = field(default_factory=dict)

    def read(self, info: NodeInfo) -> dict[str, Any]:
        stored = self.node.get("widgets_values") or []
        if not isinstance(stored, list):
            raise WorkflowError(f"{_title(self.node)}: widgets_values is not a list")
        self._stored = list(stored)
        for name, spec in ordered_inputs(info):
            self._input(name, spec)
        # Left-over values are no error: display nodes keep what they showed last, and the page ignores it.
        return self._values

    def _take(self, default: Any = None) -> Any:
        value = self._stored.pop(0) if self._stored else default
        return copy.deepcopy(value)

    def _input(self, name: str, spec: Spec) -> None:
        kind, options = kind_of(spec), options_of(spec)
        self.names.add(name)
        if kind == "COMFY_AUTOGROW_V3":
            self.names.update(f"{name}.{slot}" for slot in autogrow_names(options["template"]))
        elif kind in UNSUPPORTED_WIDGETS:
            raise WorkflowError(f"{_title(self.node)}: cannot convert the {kind} widget {name!r}")
        elif kind == "IMAGECOMPARE":
            self._values[name] = copy.deepcopy(WIDGET_DEFAULTS[kind])  # never stored
        elif kind in WIDGET_DEFAULTS and not options.get("forceInput"):
            self._widget(name, spec)

    def _widget(self, name: str, spec: Spec) -> None:
        kind, default = kind_of(spec), default_of(spec)
        value = self._take(default)
        if value is None and choices_of(spec):
            value = default
        if not is_of_kind(value, kind):
            raise WorkflowError(
                f"{_title(self.node)}: {name!r} takes {kind}, the workflow has {value!r}; its widget values "
                "do not line up with this ComfyUI's node, so save the workflow again"
            )
        self._values[name] = value
        for _ in range(companions(name, spec)):
            self._take()
        if kind == "COMFY_DYNAMICCOMBO_V3":
            for sub_name, sub_spec in self._dynamic_inputs(name, spec, value):
                self._input(f"{name}.{sub_name}", sub_spec)

    def _dynamic_inputs(self, name: str, spec: Spec, key: str) -> Iterator[tuple[str, Spec]]:
        for option in options_of(spec)["options"]:
            if option["key"] == key:
                yield from grouped_inputs(option["inputs"])
                return
        raise WorkflowError(
            f"{_title(self.node)}: {name!r} offers {choices_of(spec)}, the workflow has {key!r}"
        )

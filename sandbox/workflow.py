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

__all__ = ["WorkflowError", "nodes_of_class", "replace_values", "to_prompt"]

Spec = list[Any]  # one input of /object_info: [type or list of choices, options]
NodeInfo = dict[str, Any]
Prompt = dict[str, dict[str, Any]]

MUTED, BYPASSED = 2, 4
NOTES = frozenset({"Note", "MarkdownNote"})
VIRTUAL = NOTES | {"Reroute", "PrimitiveNode"}

# What the page puts into a widget when neither the workflow nor the node says anything.
WIDGET_DEFAULTS: dict[str, Any] = {
    "INT": 0,
    "FLOAT": 0,
    "STRING": "",
    "BOOLEAN": False,
    "COMBO": None,
    "COMFY_DYNAMICCOMBO_V3": None,
    "MARKDOWN": "",
    "TEXTAREA": "",
    "COLOR": "#000000",
    "COLORS": [],
    "RANGE": {"min": 0, "max": 1},
    "BOUNDING_BOX": {"x": 0, "y": 0, "width": 512, "height": 512},
    "IMAGECOMPARE": ["", ""],
}
VALUE_TYPES: dict[str, type | tuple[type, ...]] = {
    "INT": (int, float),
    "FLOAT": (int, float),
    "STRING": str,
    "BOOLEAN": bool,
}
# These draw or record in the page in ways of their own; the bundled workflows need none of them.
UNSUPPORTED_WIDGETS = frozenset(
    {
        "AUDIO_RECORD",
        "AUDIO_UI",
        "BOUNDING_BOXES",
        "CHART",
        "CURVE",
        "GALLERIA",
        "LOAD_3D",
        "LOAD_3D_ANIMATION",
        "PAINTER",
        "PREVIEW_3D",
        "WEBCAM",
    }
)


class WorkflowError(ValueError):
    """The workflow cannot be converted; the message says which node and why."""


def to_prompt(workflow: dict[str, Any], object_info: dict[str, NodeInfo]) -> Prompt:
    """The API-format prompt of a UI-format workflow, as the editor would send it."""
    graph = _Graph.of(workflow)
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


# --- links -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Output:
    node_id: str
    slot: int


@dataclass(frozen=True)
class _Literal:
    value: Any


_Source = _Output | _Literal | None


@dataclass(frozen=True)
class _Graph:
    nodes: dict[str, dict[str, Any]]
    links: dict[int, list[Any]]  # [id, origin node, origin slot, target node, target slot, type]

    @classmethod
    def of(cls, workflow: dict[str, Any]) -> "_Graph":
        if not all(isinstance(workflow.get(part), list) for part in ("nodes", "links")):
            raise WorkflowError("not a workflow as the editor saves it: it needs lists of nodes and links")
        if (workflow.get("definitions") or {}).get("subgraphs"):
            raise WorkflowError("the workflow has subgraphs, which cannot be converted: unpack them first")
        if not all(isinstance(link, list) for link in workflow["links"]):
            raise WorkflowError("links must be lists of six, as the editor's Save writes them")
        return cls(
            nodes={str(node["id"]): node for node in workflow["nodes"]},
            links={link[0]: link for link in workflow["links"]},
        )

    def source_of(
        self, slot: dict[str, Any], wanted: str | None = None, passed: tuple[Any, ...] = ()
    ) -> _Source:
        """What feeds an input slot, looking through bypassed, Reroute and Primitive nodes."""
        if slot.get("link") is None:
            return None
        link = self.links.get(slot["link"])
        if link is None or str(link[1]) not in self.nodes:
            raise WorkflowError(f"input {slot.get('name')!r}: link {slot['link']} leads nowhere")
        if link[0] in passed:
            raise WorkflowError(f"input {slot.get('name')!r}: its link runs in a circle")
        wanted = slot.get("type", "*") if wanted is None else wanted
        return self._resolve(self.nodes[str(link[1])], link[2], wanted, (*passed, link[0]))

    def _resolve(self, node: dict[str, Any], slot: int, wanted: str, passed: tuple[Any, ...]) -> _Source:
        if node["type"] == "PrimitiveNode":
            values = node.get("widgets_values") or []
            return _Literal(values[0]) if values else None
        if node.get("mode", 0) == MUTED or node["type"] in NOTES:
            return None
        inputs = node.get("inputs") or []
        if node.get("mode", 0) == BYPASSED:
            index = _bypass_index(node, slot, wanted)
            return None if index is None else self.source_of(inputs[index], passed=passed)
        if node["type"] == "Reroute":
            return self.source_of(inputs[0], wanted, passed) if inputs else None
        return _Output(str(node["id"]), slot)


def _bypass_index(node: dict[str, Any], slot: int, wanted: str) -> int | None:
    """Which input a bypassed node hands on: the same slot if the types fit, else the first that fits."""
    types = [entry.get("type", "*") for entry in node.get("inputs") or []]
    if not types:
        return None
    if wanted in ("*", ""):
        return slot if slot < len(types) else 0
    offered = node["outputs"][slot].get("type", "*")
    if slot < len(types) and _fit(types[slot], offered) and _fit(types[slot], wanted):
        return slot
    if wanted in types:
        return types.index(wanted)
    return next((i for i, kind in enumerate(types) if _fit(kind, offered) and _fit(kind, wanted)), None)


def _fit(one: Any, other: Any) -> bool:
    if one in ("*", "", 0, None) or other in ("*", "", 0, None):
        return True
    return bool(set(str(one).lower().split(",")) & set(str(other).lower().split(",")))


# --- one node --------------------------------------------------------------------------------------------


def _node_inputs(graph: _Graph, node: dict[str, Any], info: NodeInfo) -> dict[str, Any]:
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
        if isinstance(source, _Literal):
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
        for name, spec in _ordered_inputs(info):
            self._input(name, spec)
        # Left-over values are no error: display nodes keep what they showed last, and the page ignores it.
        return self._values

    def _take(self, default: Any = None) -> Any:
        value = self._stored.pop(0) if self._stored else default
        return copy.deepcopy(value)

    def _input(self, name: str, spec: Spec) -> None:
        kind, options = _kind(spec), _options(spec)
        self.names.add(name)
        if kind == "COMFY_AUTOGROW_V3":
            self.names.update(f"{name}.{slot}" for slot in _autogrow_names(options["template"]))
        elif kind in UNSUPPORTED_WIDGETS:
            raise WorkflowError(f"{_title(self.node)}: cannot convert the {kind} widget {name!r}")
        elif kind == "IMAGECOMPARE":
            self._values[name] = copy.deepcopy(WIDGET_DEFAULTS[kind])  # never stored
        elif kind in WIDGET_DEFAULTS and not options.get("forceInput"):
            self._widget(name, spec)

    def _widget(self, name: str, spec: Spec) -> None:
        kind, default = _kind(spec), _default(spec)
        value = self._take(default)
        if value is None and _choices(spec):
            value = default
        if not _is_of_kind(value, kind):
            raise WorkflowError(
                f"{_title(self.node)}: {name!r} takes {kind}, the workflow has {value!r}; its widget values "
                "do not line up with this ComfyUI's node, so save the workflow again"
            )
        self._values[name] = value
        for _ in range(_companions(name, spec)):
            self._take()
        if kind == "COMFY_DYNAMICCOMBO_V3":
            for sub_name, sub_spec in self._dynamic_inputs(name, spec, value):
                self._input(f"{name}.{sub_name}", sub_spec)

    def _dynamic_inputs(self, name: str, spec: Spec, key: str) -> Iterator[tuple[str, Spec]]:
        for option in _options(spec)["options"]:
            if option["key"] == key:
                yield from _grouped_inputs(option["inputs"])
                return
        raise WorkflowError(
            f"{_title(self.node)}: {name!r} offers {_choices(spec)}, the workflow has {key!r}"
        )


# --- /object_info ----------------------------------------------------------------------------------------


def _ordered_inputs(info: NodeInfo) -> Iterator[tuple[str, Spec]]:
    groups, order = info.get("input") or {}, info.get("input_order") or {}
    for group in ("required", "optional"):
        specs = groups.get(group) or {}
        names = [name for name in order.get(group, specs) if name in specs]
        for name in [*names, *(name for name in specs if name not in names)]:
            yield name, specs[name]


def _grouped_inputs(groups: dict[str, dict[str, Spec]]) -> Iterator[tuple[str, Spec]]:
    for group in ("required", "optional"):
        yield from (groups.get(group) or {}).items()


def _kind(spec: Spec) -> str:
    if isinstance(spec[0], list):
        return "COMBO"
    return _options(spec).get("widgetType") or spec[0]


def _options(spec: Spec) -> dict[str, Any]:
    return spec[1] if len(spec) > 1 and spec[1] else {}


def _choices(spec: Spec) -> list[Any]:
    if isinstance(spec[0], list):
        return spec[0]
    if _kind(spec) == "COMFY_DYNAMICCOMBO_V3":
        return [option["key"] for option in _options(spec)["options"]]
    return _options(spec).get("options") or [] if _kind(spec) == "COMBO" else []


def _default(spec: Spec) -> Any:
    choices = _choices(spec)
    fallback = choices[0] if choices else WIDGET_DEFAULTS[_kind(spec)]
    return _options(spec).get("default", fallback)


def _is_of_kind(value: Any, kind: str) -> bool:
    if isinstance(value, bool):  # to Python, a bool is an int too
        return kind not in ("INT", "FLOAT", "STRING")
    return isinstance(value, VALUE_TYPES.get(kind, object))


def _companions(name: str, spec: Spec) -> int:
    """How many further stored values follow: the page's "control after generate" and its kind."""
    kind, options = _kind(spec), _options(spec)
    if kind == "BOUNDING_BOX":
        return 4  # x, y, width and height once more
    controlled = options.get("control_after_generate")
    if kind == "INT" and controlled is None:
        controlled = name in ("seed", "noise_seed")
    if not controlled or kind not in ("INT", "FLOAT", "COMBO"):
        return 0
    return 2 if kind == "COMBO" and not options.get("multi_select") else 1  # combos have a filter text too


def _autogrow_names(template: dict[str, Any]) -> list[str]:
    return template.get("names") or [f"{template['prefix']}{i}" for i in range(template["max"])]

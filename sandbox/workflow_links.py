"""Where the links of a workflow come from, as the page follows them. Standard library only."""

from dataclasses import dataclass
from typing import Any

MUTED, BYPASSED = 2, 4
NOTES = frozenset({"Note", "MarkdownNote"})
VIRTUAL = NOTES | {"Reroute", "PrimitiveNode"}


class WorkflowError(ValueError):
    """The workflow cannot be converted; the message says which node and why."""


@dataclass(frozen=True)
class Output:
    """A slot of a node that runs."""

    node_id: str
    slot: int


@dataclass(frozen=True)
class Literal:
    """A value that a Primitive node gives."""

    value: Any


Source = Output | Literal | None


@dataclass(frozen=True)
class Graph:
    """The nodes and links of a workflow, by their ids."""

    nodes: dict[str, dict[str, Any]]
    links: dict[int, list[Any]]  # [id, origin node, origin slot, target node, target slot, type]

    @classmethod
    def of(cls, workflow: dict[str, Any]) -> "Graph":
        """The graph of a workflow that can be converted; WorkflowError for others."""
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
    ) -> Source:
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

    def _resolve(self, node: dict[str, Any], slot: int, wanted: str, passed: tuple[Any, ...]) -> Source:
        if node["type"] == "PrimitiveNode":
            values = node.get("widgets_values") or []
            return Literal(values[0]) if values else None
        if node.get("mode", 0) == MUTED or node["type"] in NOTES:
            return None
        inputs = node.get("inputs") or []
        if node.get("mode", 0) == BYPASSED:
            index = _bypass_index(node, slot, wanted)
            return None if index is None else self.source_of(inputs[index], passed=passed)
        if node["type"] == "Reroute":
            return self.source_of(inputs[0], wanted, passed) if inputs else None
        return Output(str(node["id"]), slot)


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

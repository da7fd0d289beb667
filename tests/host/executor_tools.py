"""ComfyUI's own executor in this process, on prompts of one node of ours, and what comes of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import comfy.model_management
import execution
from comfy_api.latest import io
from odd_values import Case, Slot, slots
from server import PromptServer

import nodes as comfy_nodes

PATIENCE = 2.0  # seconds until a run is cancelled, as a user cancels a training of ten million steps
LONGEST = 1000  # characters of a sentence; paths are long
ERROR = "SCEditError"


class SCEditTestValue:
    """A node that puts out what a test gave it."""

    VALUES: dict[str, Any] = {}  # noqa: RUF012 - as ComfyUI's older protocol keeps what belongs to a class
    RETURN_TYPES = ("*",)
    FUNCTION = "value"
    CATEGORY = "test"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """The key of the value."""
        return {"required": {"key": ("STRING", {})}}

    def value(self, key: str) -> tuple[Any]:
        """The value."""
        return (self.VALUES[key],)


class SCEditTestValues(SCEditTestValue):
    """The same, as a list of values."""

    OUTPUT_IS_LIST = (True,)


class SCEditTestSink:
    """A node that has others run."""

    RETURN_TYPES = ()
    FUNCTION = "take"
    CATEGORY = "test"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """Anything."""
        return {"required": {"anything": ("*", {})}}

    def take(self, anything: Any) -> tuple[()]:
        """Nothing is done."""
        return ()


OMITTED = object()  # a good value for what is left open

TEST_NODES = {node.__name__: node for node in (SCEditTestValue, SCEditTestValues, SCEditTestSink)}


class Executor:
    """Runs a node with one odd value; `good` has values by type, and by name where no default will do."""

    def __init__(self, nodes: Mapping[str, Any], good: Mapping[str, Any]) -> None:
        comfy_nodes.NODE_CLASS_MAPPINGS |= {**nodes, **TEST_NODES}
        self._nodes, self._good = nodes, good
        PromptServer(asyncio.new_event_loop())
        self._thread = ThreadPoolExecutor(1)
        none = {"ram": 0, "ram_inactive": 0, "lru": 0}
        self._executor = execution.PromptExecutor(
            PromptServer.instance, cache_type=execution.CacheType.NONE, cache_args=none
        )

    def close(self) -> None:
        """Leave the process as it was."""
        self._thread.shutdown()
        PromptServer.instance.loop.close()
        del PromptServer.instance
        for name in (*self._nodes, *TEST_NODES):
            del comfy_nodes.NODE_CLASS_MAPPINGS[name]

    def good_case(self, node: Any) -> Case:
        """A node with good values alone."""
        first = slots(node)[0]
        return Case(node.__name__, first, self._good_value(node, first), first.type in self._good)

    def outcome(self, case: Case, patience: float = PATIENCE) -> str:
        """`done`, `cancelled`, `refused` by us or by `the host`, or else what went wrong, in words."""
        # in a thread as ComfyUI does it: this one may have an event loop, as a browser's driver has
        return self._thread.submit(self._outcome, case, patience).result()

    def _outcome(self, case: Case, patience: float) -> str:
        prompt = self._prompt(case)
        try:
            is_valid, *_ = asyncio.run(execution.validate_prompt("odd", prompt, None))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the host's
            return f"the host: {type(error).__name__} while it looked at the prompt: {error}"
        if not is_valid:
            return "the host"
        timer = threading.Timer(patience, comfy.model_management.interrupt_current_processing)
        timer.start()
        try:
            self._executor.execute(prompt, "odd", {}, ["sink"])
        finally:
            timer.cancel()
        return _ending(self._executor.status_messages[-1])

    def _prompt(self, case: Case) -> dict[str, Any]:
        """The node with good values but for one, and a node that wants its first output."""
        node = self._nodes[case.node]
        prompt: dict[str, Any] = {
            "sink": {"class_type": "SCEditTestSink", "inputs": {"anything": ["node", 0]}}
        }
        inputs: dict[str, Any] = {}
        SCEditTestValue.VALUES = {}
        for slot in slots(node):
            if case.slot.name == slot.name or any(
                inputs.get(name, case.slot.chosen.get(name)) != value for name, value in slot.chosen.items()
            ):
                continue
            value = case.slot.chosen.get(slot.name, self._good_value(node, slot))
            if value is OMITTED:
                continue
            inputs[slot.name] = self._linked(prompt, slot.name, value) if slot.type in self._good else value
        value = case.value
        inputs[case.slot.name] = self._linked(prompt, case.slot.name, value) if case.is_linked else value
        prompt["node"] = {"class_type": case.node, "inputs": inputs}
        return prompt

    def _good_value(self, node: Any, slot: Slot) -> Any:
        own = self._good.get(f"{node.__name__}.{slot.name}")
        value = self._good.get(slot.name, self._good.get(slot.type)) if own is None else own
        if value is None and isinstance(slot.input, io.WidgetInput):
            value = slot.input.default
        return slot.input.options[0] if value is None and isinstance(slot.input, io.Combo.Input) else value

    def _linked(self, prompt: dict[str, Any], name: str, value: Any) -> list[Any]:
        SCEditTestValue.VALUES[name] = value
        prompt[name] = {"class_type": "SCEditTestValue", "inputs": {"key": name}}
        return [name, 0]


def _ending(message: tuple[str, dict[str, Any]]) -> str:
    """What became of a run, from the last message to the frontend."""
    event, facts = message
    if event in ("execution_success", "execution_interrupted"):
        return {"execution_success": "done"}.get(event, "cancelled")
    sentence = facts["exception_message"].strip()
    is_plain = sentence.isprintable() and len(sentence) <= LONGEST
    if facts["exception_type"].split(".")[-1] == ERROR and is_plain:
        return "refused"
    return f"{facts['exception_type']}: {sentence[:300]!a} in {facts['node_type']}"

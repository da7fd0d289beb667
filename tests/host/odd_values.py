"""Extreme and wrong values for every input of every node, made from its schema.

An odd value comes as a constant in the prompt, where JSON has such a thing, and over a link, which ComfyUI
checks by the name of its type alone: nodes of type "*" put out whatever they like.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from comfy_api.latest import io

NAN, INFINITE = float("nan"), float("inf")

ANYTHING = (
    None,
    5,
    -1.5,
    NAN,
    True,
    "text",
    "",
    b"bytes",
    [],
    [1],
    {},
    {"a": 1},
    (),
    object(),
    torch.zeros(2),
    int,
)
INTS = (0, -1, 1, 2**31, -(2**31) - 1, 2**63, 2**64, 10**30, -(10**30), 1.5, NAN, INFINITE, "5")
FLOATS = (0.0, -0.0, NAN, INFINITE, -INFINITE, 1e308, -1e308, 5e-324, 10**400, "0.5")
STRINGS = (
    " ", "\0", "\n", "\ud800", "a" * 10_000, "é" * 300, "..", "../x", "//etc/x", "\\\\server\\share", "C:foo",
    "NUL", "x.", "%s{0}", "0, 1, 2", "-1", "99999999999999999999",
)  # fmt: skip


def _pictures() -> list[torch.Tensor]:
    """Images that are none, or are extreme."""
    return [
        torch.zeros(0, 8, 8, 3), torch.zeros(1, 0, 8, 3), torch.zeros(1, 8, 0, 3), torch.zeros(1, 8, 8, 0),
        torch.zeros(8, 8, 3), torch.zeros(1, 1, 8, 8, 3), torch.zeros(1, 8, 8, 2), torch.zeros(1, 8, 8, 5),
        torch.zeros(()), torch.full((1, 8, 8, 3), NAN), torch.full((1, 8, 8, 3), -INFINITE),
        torch.full((1, 8, 8, 3), 3e38), torch.full((1, 8, 8, 3), -5.0), torch.zeros(1, 1, 1, 3),
        torch.rand(1, 1, 4096, 3), torch.rand(1, 4096, 1, 3), torch.rand(2, 3, 70, 4), torch.rand(1, 9, 9, 1),
        torch.ones(1, 8, 8, 3, dtype=torch.bool), torch.ones(1, 8, 8, 3, dtype=torch.uint8),
        torch.ones(1, 8, 8, 3, dtype=torch.float64), torch.ones(1, 8, 8, 3, dtype=torch.bfloat16),
        torch.ones(1, 8, 8, 3, dtype=torch.complex64), torch.ones(1, 8, 8, 3, device="meta"),
        torch.ones(1, 8, 8, 3).to_sparse(), torch.rand(1, 3, 8, 8).movedim(1, -1), torch.rand(40, 8, 8, 3),
    ]  # fmt: skip


def _masks() -> list[torch.Tensor]:
    """Masks that are none, or are extreme."""
    return [
        torch.zeros(0, 8, 8), torch.zeros(1, 0, 8), torch.zeros(8), torch.zeros(()), torch.zeros(1, 8, 8, 1),
        torch.full((1, 8, 8), NAN), torch.full((8, 8), INFINITE), torch.full((1, 8, 8), 3e38),
        torch.ones(1, 1), torch.ones(1, 16_384, 1), torch.ones(5, 33, 90), torch.ones(1, 8, 8).bool(),
        torch.ones(1, 8, 8, dtype=torch.complex64), torch.ones(1, 8, 8, device="meta"),
        torch.ones(1, 8, 8).to_sparse(),
    ]  # fmt: skip


def _latents() -> list[Any]:
    """Latents that a model of four channels cannot be trained on, or hardly."""
    shapes = [
        (1, 16, 4, 4),
        (1, 4, 1, 1),
        (1, 4, 2, 3),
        (1, 4, 3, 8, 8),
        (4, 8, 8),
        (0, 4, 8, 8),
        (1, 4, 0, 8),
        (),
    ]
    samples = [torch.zeros(shape) for shape in shapes]
    samples += [
        torch.full((1, 4, 8, 8), NAN),
        torch.zeros(1, 4, 8, 8, dtype=torch.int64),
        torch.zeros(1, 4, 8, 8).bool(),
    ]
    samples += [
        torch.zeros(1, 4, 8, 8, dtype=torch.complex64),
        torch.zeros(1, 4, 8, 8, device="meta"),
        5,
        None,
    ]
    return [{"samples": value} for value in samples]


def _conditionings() -> list[Any]:
    """Prompts that are none, or another model's."""
    shapes = [(1, 7, 3), (7, 16), (1, 0, 16), (0, 7, 16), ()]
    odd = [torch.zeros(shape) for shape in shapes]
    odd += [torch.full((1, 7, 16), NAN), torch.zeros(1, 7, 16, dtype=torch.complex64), 5, None]
    return [
        [],
        [[]],
        [5],
        [[torch.zeros(1, 7, 16)]],
        *([[value, {}]] for value in odd),
        [[torch.zeros(1, 7, 16), 5]],
    ]


OF_TYPE: dict[str, Any] = {
    "INT": lambda: INTS,
    "FLOAT": lambda: FLOATS,
    "STRING": lambda: STRINGS,
    "BOOLEAN": lambda: (0, 1, 2, "false"),
    "IMAGE": _pictures,
    "MASK": _masks,
    "LATENT": _latents,
    "CONDITIONING": _conditionings,
}


@dataclass(frozen=True)
class Slot:
    """An input as a prompt names it, and what is chosen elsewhere for it to be there."""

    name: str
    input: io.Input
    chosen: Mapping[str, Any]

    @property
    def type(self) -> str:
        """The host's word for what it takes."""
        return self.input.get_io_type()


@dataclass(frozen=True)
class Case:
    """A node with one odd value, as a constant or over a link."""

    node: str
    slot: Slot
    value: Any
    is_linked: bool

    def __str__(self) -> str:
        is_tensor = isinstance(self.value, torch.Tensor)
        shown = f"{tuple(self.value.shape)} {self.value.dtype}" if is_tensor else ascii(self.value)
        return f"{self.node}.{self.slot.name} {'<-' if self.is_linked else '='} {shown[:60]}".replace(
            "\n", " "
        )


def slots(node: Any) -> list[Slot]:
    """All inputs of a node, also those that come and go with a choice."""
    found = []
    for one in node.define_schema().inputs:
        if isinstance(one, io.Autogrow.Input):
            found.append(Slot(f"{one.id}.{one.template.prefix}0", one.template.input, {}))
        elif isinstance(one, io.DynamicCombo.Input):
            keys = [option.key for option in one.options]
            found.append(Slot(one.id, io.Combo.Input(one.id, options=keys), {}))
            found += [
                Slot(f"{one.id}.{inner.id}", inner, {one.id: option.key})
                for option in one.options
                for inner in option.inputs
            ]
        else:
            found.append(Slot(one.id, one, {}))
    return found


def odd_values(slot: Slot, things: Mapping[str, Any]) -> list[Any]:
    """Extreme values of a slot's type, and values of every other; `things` are good ones by type."""
    own = list(OF_TYPE.get(slot.type, tuple)())
    if isinstance(slot.input, (io.Int.Input, io.Float.Input)):
        low, high = slot.input.min, slot.input.max
        own += [low, high, low - 1, high + 1]
    if isinstance(slot.input, io.Combo.Input):
        own += [*slot.input.options, *STRINGS]
    return [*own, *ANYTHING, *(value for kind, value in things.items() if kind not in slot.type)]


def cases(node: Any, things: Mapping[str, Any]) -> Iterator[Case]:
    """All odd values of a node's inputs, over a link and, where a prompt can hold them, as a constant."""
    for slot in slots(node):
        for value in odd_values(slot, things):
            yield Case(node.__name__, slot, value, is_linked=True)
            if _is_json(value):
                yield Case(node.__name__, slot, value, is_linked=False)


def _is_json(value: Any) -> bool:
    try:
        return not isinstance(value, tuple) and json.loads(json.dumps(value)) is not ...
    except TypeError:
        return False

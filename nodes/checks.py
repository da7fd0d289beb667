"""What a node may be handed, checked against its schema before it runs.

ComfyUI checks what is typed into widgets. Of what comes over a link it knows the name of the type alone, and
it does not look at a constant where a link belongs: a prompt written by hand, or another pack's node of type
"*", may bring whatever it likes.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..scedit_core import SCEditError
from ..scedit_core.errors import shown, some
from ..scedit_core.spec import KIND_WORDS
from .files.hosted import HostedTuners
from .patching.conditions import Condition
from .sockets import CONDITION, CONTROL, DATASET, TUNER, HostedDataset

_MOST_NAMED = 12  # choices in a sentence


def checked(node: type[io.ComfyNode]) -> type[io.ComfyNode]:
    """The node, whose `execute` now refuses what its schema does not allow, with an SCEditError."""
    run: Callable[..., io.NodeOutput] = node.execute.__func__

    looked_up = inspect.signature(node.validate_inputs).parameters  # names of files, by the node itself

    @functools.wraps(run)
    def execute(cls: type[io.ComfyNode], **inputs: Any) -> io.NodeOutput:
        schema = cls.SCHEMA or cls.define_schema()
        unknown = inputs.keys() - {one.id for one in schema.inputs}
        if unknown:
            raise SCEditError(f"this node has no input {some(unknown)}; remove the link, or update the pack")
        given = {name: value for name, value in inputs.items() if not _is_nothing(value)}
        for one in schema.inputs:
            if one.id in looked_up and isinstance(given.get(one.id), str):
                _check_kind(one.id, (io.String.io_type,), given[one.id])
            elif isinstance(one, io.DynamicCombo.Input) and one.id not in inputs:
                _check(one, {one.id: {}}, schema.is_input_list)  # the host leaves out what is not offered
            elif one.id in inputs and not (one.optional and one.id not in given and _is_socket(one)):
                _check(one, inputs, schema.is_input_list)
        return run(cls, **given)

    node.execute = classmethod(execute)
    return node


def _is_nothing(value: Any) -> bool:
    """What comes of an input whose link brought nothing."""
    return value is None or (
        isinstance(value, list) and len(value) > 0 and all(each is None for each in value)
    )


def _is_socket(one: io.Input) -> bool:
    return not isinstance(one, (io.WidgetInput, io.Autogrow.Input, io.DynamicCombo.Input))


def _check(one: io.Input, inputs: Mapping[str, Any], is_list: bool) -> None:
    """One input of a node, or of a choice made in it."""
    if isinstance(one, io.Autogrow.Input):
        rows = _nested(one.id, inputs)
        for name in rows:
            if not _is_nothing(rows[name]):  # a row that is not connected
                _check_values(name, one.template.input, rows[name], is_list)
    elif isinstance(one, io.DynamicCombo.Input):
        nested = _nested(one.id, inputs)
        options = {option.key: option.inputs for option in one.options}
        _check_choice(one.id, nested.get(one.id), list(options))
        for inner in options[nested[one.id]]:
            if nested.get(inner.id) is not None or not inner.optional:
                _check(inner, {inner.id: None, **nested}, is_list)
    else:
        _check_values(one.id, one, inputs[one.id], is_list)


def _nested(name: str, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an input with further inputs holds."""
    value = inputs[name]
    if not isinstance(value, Mapping):
        raise SCEditError(f"{name} holds further inputs by name, got {_described(value)}; connect those")
    return value


def _check_values(name: str, one: io.Input, value: Any, is_list: bool) -> None:
    """One value, or each of a list where a node takes lists."""
    if is_list and not isinstance(value, list):
        raise SCEditError(f"{name} comes as a list, got {_described(value)}; connect a node's output")
    if is_list and not value and isinstance(one, io.WidgetInput):
        raise SCEditError(f"{name} has no value: an empty list came in; set it, or connect what has one")
    for each in value if is_list else [value]:
        _check_value(name, one, each)


def _check_value(name: str, one: io.Input, value: Any) -> None:
    if isinstance(one, io.Combo.Input):
        _check_choice(name, value, one.options)
    elif isinstance(one, io.Int.Input):
        is_whole = isinstance(value, Integral) and not isinstance(value, bool)
        if not is_whole or not one.min <= value <= one.max:
            raise SCEditError(
                f"{name} is a whole number from {one.min} to {one.max}, got {_described(value)}; change it"
            )
    else:
        _check_kind(name, one.get_io_type().split(","), value)


def _check_kind(name: str, kinds: Sequence[str], value: Any) -> None:
    if set(kinds) <= _KINDS.keys() and not any(_KINDS[kind][1](value) for kind in kinds):
        wanted = " or ".join(_KINDS[kind][0] for kind in kinds)
        raise SCEditError(f"{name} takes {wanted}, got {_described(value)}; connect or set another")


def _check_choice(name: str, value: Any, options: list[str]) -> None:
    if not isinstance(value, str) or value not in options:
        known = ", ".join(map(shown, options[:_MOST_NAMED]))
        known += f" and {len(options) - _MOST_NAMED} more" if len(options) > _MOST_NAMED else ""
        raise SCEditError(f"{name} is one of {known}, got {_described(value)}; choose one of them")


def _described(value: Any) -> str:
    """What came, for a sentence."""
    if value is None:
        return "nothing"
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and {value.dtype} on {value.device}"
    if isinstance(value, (str, int, float)):
        return f"'{shown(str(value), 60)}'" if isinstance(value, str) else shown(repr(value), 40)
    return f"a value of type {shown(type(value).__name__)}"


def _is_plain(value: Any) -> bool:
    """A tensor with real numbers in it."""
    is_plain = isinstance(value, Tensor) and value.layout == torch.strided
    return is_plain and not (value.is_complex() or value.is_meta or value.is_quantized)


def _is_latent(value: Any) -> bool:
    return isinstance(value, Mapping) and _is_plain(value.get("samples"))


def _is_conditioning(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, (list, tuple))
        and len(entry) == 2
        and _is_plain(entry[0])
        and isinstance(entry[1], Mapping)
        for entry in value
    )


def _is_finite(value: Any) -> bool:
    try:
        return isinstance(value, Real) and math.isfinite(value)
    except OverflowError:  # a whole number beyond all fractions
        return False


def _is_text(value: Any) -> bool:
    """A text without the half characters that no file and no net can hold."""
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _is_hosted(kind: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, HostedTuners) and value.patcher.model.spec.kind == kind


def _is_vae(value: Any) -> bool:
    """What encodes and decodes: texts and bytes do one of the two, and a CLIP tokenizes too."""
    return hasattr(value, "encode") and hasattr(value, "decode") and not hasattr(value, "tokenize")


def _is_bundle(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(one, Condition) for one in value)


# what the host calls a type: what it is, and whether a value is one
_KINDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    io.Float.io_type: ("a finite number", _is_finite),
    io.String.io_type: ("a text in UTF-8", _is_text),
    io.Boolean.io_type: ("true or false", lambda value: isinstance(value, (bool, int))),
    io.Image.io_type: ("an IMAGE", _is_plain),
    io.Mask.io_type: ("a MASK", _is_plain),
    io.Latent.io_type: ("a LATENT", _is_latent),
    io.Conditioning.io_type: ("a CONDITIONING", _is_conditioning),
    io.Model.io_type: (
        "a MODEL",
        lambda value: hasattr(value, "model") and hasattr(value.model, "model_config"),
    ),
    io.Clip.io_type: ("a CLIP", lambda value: hasattr(value, "encode_from_tokens_scheduled")),
    io.Vae.io_type: ("a VAE", _is_vae),
    io.ClipVision.io_type: (
        "a CLIP_VISION",
        lambda value: hasattr(value, "encode_image") and hasattr(value, "model"),
    ),
    TUNER.io_type: (KIND_WORDS["sc"], _is_hosted("sc")),
    CONTROL.io_type: (KIND_WORDS["csc"], _is_hosted("csc")),
    CONDITION.io_type: ("conditions of 'Condition' or 'Compose Conditions'", _is_bundle),
    DATASET.io_type: ("a data set of 'Prepare Dataset'", lambda value: isinstance(value, HostedDataset)),
}

"""What a node's class says of its inputs (`/object_info`), as the page reads it. Standard library only."""

from collections.abc import Iterator
from typing import Any

Spec = list[Any]  # one input of /object_info: [type or list of choices, options]
NodeInfo = dict[str, Any]

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


def ordered_inputs(info: NodeInfo) -> Iterator[tuple[str, Spec]]:
    """All inputs of a class in the order of its widgets: the required ones first."""
    groups, order = info.get("input") or {}, info.get("input_order") or {}
    for group in ("required", "optional"):
        specs = groups.get(group) or {}
        names = [name for name in order.get(group, specs) if name in specs]
        for name in [*names, *(name for name in specs if name not in names)]:
            yield name, specs[name]


def grouped_inputs(groups: dict[str, dict[str, Spec]]) -> Iterator[tuple[str, Spec]]:
    """The same of a choice that brings inputs of its own."""
    for group in ("required", "optional"):
        yield from (groups.get(group) or {}).items()


def kind_of(spec: Spec) -> str:
    """The type by which the page chooses a widget."""
    if isinstance(spec[0], list):
        return "COMBO"
    return options_of(spec).get("widgetType") or spec[0]


def options_of(spec: Spec) -> dict[str, Any]:
    """What a spec says beside its type."""
    return spec[1] if len(spec) > 1 and spec[1] else {}


def choices_of(spec: Spec) -> list[Any]:
    """What a combo offers; empty for other widgets."""
    if isinstance(spec[0], list):
        return spec[0]
    if kind_of(spec) == "COMFY_DYNAMICCOMBO_V3":
        return [option["key"] for option in options_of(spec)["options"]]
    return options_of(spec).get("options") or [] if kind_of(spec) == "COMBO" else []


def default_of(spec: Spec) -> Any:
    """What a new widget holds."""
    choices = choices_of(spec)
    fallback = choices[0] if choices else WIDGET_DEFAULTS[kind_of(spec)]
    return options_of(spec).get("default", fallback)


def is_of_kind(value: Any, kind: str) -> bool:
    """Whether a stored value is one that this kind of widget stores."""
    if isinstance(value, bool):  # to Python, a bool is an int too
        return kind not in ("INT", "FLOAT", "STRING")
    return isinstance(value, VALUE_TYPES.get(kind, object))


def companions(name: str, spec: Spec) -> int:
    """How many further stored values follow: the page's "control after generate" and its kind."""
    kind, options = kind_of(spec), options_of(spec)
    if kind == "BOUNDING_BOX":
        return 4  # x, y, width and height once more
    controlled = options.get("control_after_generate")
    if kind == "INT" and controlled is None:
        controlled = name in ("seed", "noise_seed")
    if not controlled or kind not in ("INT", "FLOAT", "COMBO"):
        return 0
    return 2 if kind == "COMBO" and not options.get("multi_select") else 1  # combos have a filter text too


def autogrow_names(template: dict[str, Any]) -> list[str]:
    """All slots that an Autogrow input may have."""
    return template.get("names") or [f"{template['prefix']}{i}" for i in range(template["max"])]

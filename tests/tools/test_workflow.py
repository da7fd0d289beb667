"""The conversion of editor workflows into API prompts, on a node list cut down to what each fact needs."""

import sys
from typing import Any

import pytest
from support import REPOSITORY, load_module

# Last: with the repository's root or the sandbox first on sys.path, our nodes/ would hide ComfyUI's nodes.py.
sys.path.append(str(REPOSITORY / "sandbox"))
module = load_module("scedit_sandbox_workflow", REPOSITORY / "sandbox" / "workflow.py")

IMAGE = ["IMAGE", {}]


def _info(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    inputs = {"required": required, "optional": optional or {}}
    return {
        "input": inputs,
        "input_order": {key: list(inputs[key]) for key in inputs},
        "display_name": "Shown",
    }


AUTOGROW = {"template": {"input": {"required": {"image": IMAGE}}, "prefix": "image", "min": 1, "max": 4}}
BY_SIDE = {"required": {"side": ["INT", {"default": 512}], "mode": [["a", "b"], {}]}}
BY_FACTOR = {"required": {"factor": ["FLOAT", {"default": 1.0}]}}
DYNAMIC = {"options": [{"key": "by side", "inputs": BY_SIDE}, {"key": "by factor", "inputs": BY_FACTOR}]}
OBJECT_INFO = {
    "Load": _info({"name": [["a.png", "b.png"], {"image_upload": True}]}),
    "Invert": _info({"image": IMAGE}),
    "Mix": _info({"mask": ["MASK"], "image": IMAGE}),
    "Sampler": _info(
        {
            "image": IMAGE,
            "seed": ["INT", {"control_after_generate": True}],
            "steps": ["INT", {"default": 20}],
            "method": ["COMBO", {"options": ["euler", "heun"]}],
        },
        {"text": ["STRING", {"forceInput": True}], "strength": ["FLOAT", {"default": 1.0}]},
    ),
    "Batch": _info({"images": ["COMFY_AUTOGROW_V3", AUTOGROW]}),
    "Resize": _info({"image": IMAGE, "resize": ["COMFY_DYNAMICCOMBO_V3", DYNAMIC], "crop": ["BOOLEAN", {}]}),
    "Palette": _info({"colours": ["COLORS", {}]}),
    "Curve": _info({"curve": ["CURVE", {}]}),
}


def _node(number: int, kind: str, inputs: list[Any], values: Any = None, mode: int = 0) -> dict[str, Any]:
    slots = [{"name": name, "type": "IMAGE", "link": link} for name, link in inputs]
    node = {"id": number, "type": kind, "inputs": slots, "outputs": [{"type": "IMAGE"}], "mode": mode}
    return node if values is None else {**node, "widgets_values": values}


def _workflow(nodes: list[Any], *links: list[Any]) -> dict[str, Any]:
    return {"nodes": nodes, "links": [[*link, "IMAGE"] for link in links]}


def _inputs(workflow: dict[str, Any], node_id: int) -> dict[str, Any]:
    return module.to_prompt(workflow, OBJECT_INFO)[str(node_id)]["inputs"]


LOAD = _node(1, "Load", [], ["b.png", "image"])
SAMPLER_VALUES = [42, "randomize", 8, "heun", 0.5]


def test_widgets_follow_the_nodes_order_and_skip_companion_values():
    workflow = _workflow([LOAD, _node(2, "Sampler", [("image", 10)], SAMPLER_VALUES)], [10, 1, 0, 2, 0])
    expected = {"image": ["1", 0], "seed": 42, "steps": 8, "method": "heun", "strength": 0.5}
    assert _inputs(workflow, 1) == {"name": "b.png"}
    assert _inputs(workflow, 2) == expected


def test_class_and_title_go_into_the_prompt():
    prompt = module.to_prompt(_workflow([{**LOAD, "title": "Photo"}, _node(2, "Invert", [])]), OBJECT_INFO)
    assert prompt["1"]["class_type"] == "Load"
    assert prompt["1"]["_meta"] == {"title": "Photo"}
    assert prompt["2"]["_meta"] == {"title": "Shown"}


def test_missing_widget_values_become_defaults():
    assert _inputs(_workflow([_node(2, "Sampler", [])]), 2) == {
        "seed": 0,
        "steps": 20,
        "method": "euler",
        "strength": 1.0,
    }


def test_left_over_widget_values_are_ignored():
    assert _inputs(_workflow([_node(1, "Load", [], ["a.png", "image", "shown last"])]), 1) == {
        "name": "a.png"
    }


def test_a_link_beats_the_value_of_a_converted_widget():
    sampler = _node(2, "Sampler", [("steps", 10)], SAMPLER_VALUES)
    assert _inputs(_workflow([LOAD, sampler], [10, 1, 0, 2, 0]), 2)["steps"] == ["1", 0]


def test_primitive_gives_its_value():
    primitive = _node(3, "PrimitiveNode", [], [7, "fixed"])
    sampler = _node(2, "Sampler", [("seed", 10)], SAMPLER_VALUES)
    workflow = _workflow([primitive, sampler], [10, 3, 0, 2, 0])
    assert _inputs(workflow, 2)["seed"] == 7
    assert "3" not in module.to_prompt(workflow, OBJECT_INFO)


def test_reroutes_are_looked_through():
    nodes = [
        LOAD,
        _node(2, "Reroute", [("", 10)]),
        _node(3, "Reroute", [("", 11)]),
        _node(4, "Invert", [("image", 12)]),
    ]
    workflow = _workflow(nodes, [10, 1, 0, 2, 0], [11, 2, 0, 3, 0], [12, 3, 0, 4, 0])
    assert _inputs(workflow, 4) == {"image": ["1", 0]}
    assert set(module.to_prompt(workflow, OBJECT_INFO)) == {"1", "4"}


def test_bypassed_node_hands_on_its_first_input_of_the_type():
    mix = _node(2, "Mix", [("mask", None), ("image", 10)], mode=4)
    mix["inputs"][0]["type"] = "MASK"
    workflow = _workflow([LOAD, mix, _node(3, "Invert", [("image", 11)])], [10, 1, 0, 2, 1], [11, 2, 0, 3, 0])
    assert _inputs(workflow, 3) == {"image": ["1", 0]}
    assert "2" not in module.to_prompt(workflow, OBJECT_INFO)


def test_bypassed_node_without_a_fitting_input_cuts_the_link():
    workflow = _workflow(
        [_node(1, "Load", [], mode=4), _node(2, "Invert", [("image", 10)])], [10, 1, 0, 2, 0]
    )
    assert _inputs(workflow, 2) == {}


def test_muted_node_and_links_to_it_are_left_out():
    workflow = _workflow([{**LOAD, "mode": 2}, _node(2, "Invert", [("image", 10)])], [10, 1, 0, 2, 0])
    assert module.to_prompt(workflow, OBJECT_INFO).keys() == {"2"}
    assert _inputs(workflow, 2) == {}


def test_notes_are_left_out():
    workflow = _workflow([LOAD, _node(2, "Note", [], ["hello"]), _node(3, "MarkdownNote", [], ["# hello"])])
    assert module.to_prompt(workflow, OBJECT_INFO).keys() == {"1"}


def test_autogrow_inputs_keep_their_dotted_names_and_empty_slots_vanish():
    batch = _node(2, "Batch", [("images.image0", 10), ("images.image1", 11), ("images.image2", None)])
    workflow = _workflow([LOAD, batch], [10, 1, 0, 2, 0], [11, 1, 0, 2, 1])
    assert _inputs(workflow, 2) == {"images.image0": ["1", 0], "images.image1": ["1", 0]}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            ["by side", 256, "b", True],
            {"resize": "by side", "resize.side": 256, "resize.mode": "b", "crop": True},
        ),
        (["by factor", 2.5, True], {"resize": "by factor", "resize.factor": 2.5, "crop": True}),
        (None, {"resize": "by side", "resize.side": 512, "resize.mode": "a", "crop": False}),
    ],
)
def test_dynamic_combo_brings_the_widgets_of_its_choice(values: Any, expected: dict[str, Any]):
    assert _inputs(_workflow([_node(1, "Resize", [], values)]), 1) == expected


def test_list_values_are_wrapped_so_that_they_are_not_taken_for_links():
    colours = ["#ff0000", "#00ff00"]
    assert _inputs(_workflow([_node(1, "Palette", [], [colours])]), 1) == {"colours": {"__value__": colours}}


CIRCLE = _node(1, "Reroute", [("", 10)])
BAD = [
    (_workflow([_node(1, "Gone", [])]), r"node 1 \(Gone\).*no node class"),
    (_workflow([_node(1, "Curve", [])]), "CURVE"),
    (_workflow([_node(1, "Sampler", [], ["euler", 20])]), "'seed' takes INT.*'euler'.*line up"),
    (_workflow([_node(1, "Sampler", [], [True])]), "'seed' takes INT"),
    (_workflow([_node(1, "Sampler", [], {"seed": 1})]), "not a list"),
    (_workflow([_node(1, "Resize", [], ["by luck"])]), "by side.*by luck"),
    (_workflow([LOAD, _node(2, "Invert", [("picture", 10)])], [10, 1, 0, 2, 0]), "no input 'picture'"),
    (_workflow([LOAD, _node(2, "Batch", [("image0", 10)])], [10, 1, 0, 2, 0]), "no input 'image0'"),
    (_workflow([_node(2, "Invert", [("image", 10)])]), "link 10 leads nowhere"),
    (_workflow([_node(2, "Invert", [("image", 10)])], [10, 9, 0, 2, 0]), "link 10 leads nowhere"),
    (
        _workflow(
            [_node(1, "Reroute", [("", 10)]), _node(2, "Invert", [("image", 11)])],
            [10, 1, 0, 1, 0],
            [11, 1, 0, 2, 0],
        ),
        "circle",
    ),
    ({"nodes": [], "links": [], "definitions": {"subgraphs": [{}]}}, "subgraphs"),
    ({"nodes": [], "links": [{"id": 1}]}, "lists of six"),
    ({"1": {"class_type": "Load", "inputs": {}}}, "not a workflow"),
]


@pytest.mark.parametrize(("workflow", "words"), BAD)
def test_what_cannot_be_converted_is_named(workflow: dict[str, Any], words: str):
    with pytest.raises(module.WorkflowError, match=words):
        module.to_prompt(workflow, OBJECT_INFO)


def test_replace_values_sets_every_node_of_the_class_in_a_copy():
    prompt = module.to_prompt(_workflow([LOAD, {**LOAD, "id": 2}, _node(3, "Invert", [])]), OBJECT_INFO)
    changed = module.replace_values(prompt, {("Load", "name"): "new.png"})
    assert [changed[key]["inputs"]["name"] for key in ("1", "2")] == ["new.png", "new.png"]
    assert prompt["1"]["inputs"]["name"] == "b.png"
    assert module.nodes_of_class(changed, "Load") == ["1", "2"]


def test_replace_values_refuses_a_class_that_is_not_there():
    with pytest.raises(module.WorkflowError, match="no Load node whose 'name'"):
        module.replace_values({}, {("Load", "name"): "new.png"})

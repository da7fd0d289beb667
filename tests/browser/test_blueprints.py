"""The blueprints in `subgraphs/`: found in the frontend, put on the canvas, and run on the sandbox."""

import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from screen_tools import Screen
from server_tools import CHECKPOINT, measure, pixels, world
from support import REPOSITORY
from workflow_meanings import follows_colors, follows_edges, is_filled, is_night
from workflow_tools import HOLE, SCENE

BLUEPRINTS = sorted((REPOSITORY / "subgraphs").glob("*.json"))
SCREENSHOTS = os.environ.get("SCEDIT_SCREENSHOTS")
# what the toy model is made for
TOY = {
    "prompt": SCENE.caption,
    "negative_prompt": "",
    "checkpoint": CHECKPOINT,
    "width": world.SIZE,
    "height": world.SIZE,
    "steps": 6,
    "cfg": 1.5,
    "seed": 1,
}
OWN = {
    "Canny + colour (SCEdit)": {"color_blocks": measure.RATIO},
    "Style (SCEdit)": {"style": "night"},
}

# as a click in the node library does, and then a picture for each socket and one for the result
PLACE = """([name, photo, values]) => {
    const {config} = document.getElementById("vue-app").__vue_app__;
    const library = config.globalProperties.$pinia._s.get("subgraph");
    const listed = library.subgraphBlueprints.find(blueprint => blueprint.display_name === name);
    const {nodes, definitions} = library.getBlueprint(listed.name);
    app.graph.clear();
    const items = {nodes, subgraphs: definitions.subgraphs};
    const placed = app.canvas._deserializeItems(items, {position: [500, 0]});
    const [node] = placed.nodes.values();
    const add = (type, place) => {
        const added = LiteGraph.createNode(type);
        app.graph.add(added);
        added.pos = place;
        return added;
    };
    const source = add("LoadImage", [0, 0]), shown = add("PreviewImage", [1100, 0]);
    source.widgets.find(widget => widget.name === "image").value = photo;
    for (const [socket, slot] of [["photo", 0], ["mask", 1]]) {
        const at = node.inputs.findIndex(input => input.name === socket);
        if (at >= 0) source.connect(slot, node, at);
    }
    node.connect(0, shown, 0);
    for (const [widget, value] of Object.entries(values))
        node.widgets.find(({name}) => name === widget).value = value;
    return {id: node.id, show: shown.id, description: listed.description, category: listed.category};
}"""
POSTED = "async () => (await app.graphToPrompt()).output"


@pytest.fixture(scope="module")
def photo(server):
    """The scene with a hole in its alpha, in the server's input folder."""
    picture = np.dstack([SCENE.picture, np.where(HOLE, 0, 255).astype(np.uint8)])
    Image.fromarray(picture).save(server.base / "input" / "scene_with_hole.png")
    return "scene_with_hole.png"


def place(screen, blueprint, photo, **values):
    """Put it on the empty canvas; the prompt that would be posted, and what is known of the node."""
    given = [blueprint.stem, photo, {**TOY, **OWN.get(blueprint.stem, {}), **values}]
    screen.page.evaluate("vue => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', vue)", screen.vue)
    node = screen.page.evaluate(PLACE, given)
    screen.page.wait_for_timeout(200)
    if SCREENSHOTS:
        screen.fit()
        screen.save_picture(Path(SCREENSHOTS) / f"{blueprint.stem}.{screen.name}.png")
    return screen.page.evaluate(POSTED), node


def by_title(posted):
    """The values in a prompt, whatever numbers its nodes have."""
    return {
        (entry["class_type"], entry["_meta"]["title"]): {
            name: value for name, value in entry["inputs"].items() if not isinstance(value, list)
        }
        for entry in posted.values()
    }


def painted(server, posted, node):
    """The picture that a posted prompt shows, uint8 (H, W, 3)."""
    return pixels(server, server.execute(posted), str(node["show"]))


def test_the_server_lists_them_as_those_of_this_pack(page):
    listed = page.evaluate("async () => (await fetch('/api/global_subgraphs')).json()").values()
    ours = [entry for entry in listed if entry["info"]["node_pack"] == "custom_nodes.ComfyUI-SCEdit"]
    assert sorted(entry["name"] for entry in ours) == [path.stem for path in BLUEPRINTS]
    assert len(BLUEPRINTS) == 4


@pytest.mark.parametrize("blueprint", BLUEPRINTS, ids=[path.stem for path in BLUEPRINTS])
def test_a_blueprint_is_one_node_that_posts_the_same_in_both_renderers(page, server, blueprint, photo):
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    (canvas, node), (vue, _) = (
        place(Screen(page, server, vue=vue), blueprint, photo) for vue in (False, True)
    )
    assert node["category"] == "Subgraph Blueprints/SCEdit"
    assert node["description"]
    assert page.evaluate("app.graph.nodes.length") == 3
    assert by_title(canvas) == by_title(vue)
    values = [value for inputs in by_title(canvas).values() for value in inputs.values()]
    assert [value for value in TOY.values() if value not in values] == []
    assert errors == []


MEANINGS = {
    "Canny control (SCEdit)": [follows_edges],
    "Canny + colour (SCEdit)": [follows_edges, follows_colors],
    "Style (SCEdit)": [is_night],
    "Inpaint (SCEdit)": [is_filled],
}


@pytest.fixture(scope="module")
def plain(page, server, photo):
    """What the model paints at strength 0, uint8 (H, W, 3): the same for all that begin with noise alone."""

    @cache
    def paint(keeps_photo):
        name = "Inpaint (SCEdit)" if keeps_photo else "Canny control (SCEdit)"
        blueprint = REPOSITORY / "subgraphs" / f"{name}.json"
        return painted(server, *place(Screen(page, server, vue=False), blueprint, photo, strength=0.0))

    return paint


@pytest.mark.parametrize("blueprint", BLUEPRINTS, ids=[path.stem for path in BLUEPRINTS])
def test_a_blueprint_paints_what_it_is_for(page, server, blueprint, photo, plain):
    picture = painted(server, *place(Screen(page, server, vue=False), blueprint, photo))
    for meaning in MEANINGS[blueprint.stem]:
        meaning([picture], plain(keeps_photo=meaning is is_filled))


@pytest.mark.parametrize("blueprint", BLUEPRINTS, ids=[path.stem for path in BLUEPRINTS])
def test_a_blueprint_is_laid_out_from_left_to_right(blueprint):
    text = blueprint.read_text(encoding="utf-8")
    assert "\\\\" not in text, "backslashes in a name work on one system only"
    (inside,) = json.loads(text)["definitions"]["subgraphs"]
    boxes = {node["id"]: (*node["pos"], *node["size"]) for node in inside["nodes"]}
    for link in inside["links"]:
        if {link["origin_id"], link["target_id"]} <= boxes.keys():
            (x, _, width, _), (left, *_) = boxes[link["origin_id"]], boxes[link["target_id"]]
            assert x + width <= left or x == left, f"a wire runs back: {link}"

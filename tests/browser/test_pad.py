"""The pad of Mix Conditions moves a line of weights, and nothing else."""

import json

import pytest
from screen_tools import prompt
from support import REPOSITORY

# lines that the node reads to the same rows: tests/host/test_mix.py
LINES = json.loads((REPOSITORY / "tests" / "weights.json").read_text(encoding="utf-8"))
MIXER = 10
WITH = """async ([text, given]) => {
    const module = await import("/extensions/ComfyUI-SCEdit/js/scedit_weights.js");
    return new Function("given", ...Object.keys(module), text)(given, ...Object.values(module));
}"""


def compute(page, text, given=None):
    """What a piece of script makes of the pad's arithmetic."""
    return page.evaluate(WITH, [text, given])


def test_a_line_of_weights_is_read_as_the_node_reads_it(page):
    texts = [*LINES["read"], *LINES["refused"]]
    read = compute(page, "return given.map(text => readWeights(text)?.map(r => [r.weight, r.isOn]))", texts)
    assert read == [*LINES["read"].values(), *(None for _ in LINES["refused"])]
    assert compute(page, "return writeWeights(readWeights('0.50,off .25;1e-9'))") == "0.5, off 0.25, 0"


SHARES = """const found = [];
for (let count = 2; count <= 16; count++) {
    const corners = cornersOf(count);
    const side = (k, part) => [0, 1].map(axis =>
        (1 - part) * corners[k][axis] + part * corners[(k + 1) % count][axis]);
    const places = [[0, 0], ...corners, ...corners.map((_, k) => side(k, 0.25))];
    for (let k = 0; k < 60; k++) places.push(nearestInside([Math.sin(k * k), Math.cos(7 * k)], corners));
    found.push({corners, shares: places.map(place => [place, sharesAt(place, corners)])});
}
return found;"""


def test_shares_are_exact_at_corners_and_on_sides_and_their_mean_is_the_place(page):
    for case in compute(page, SHARES):
        corners, (middle, *others) = case["corners"], case["shares"]
        count = len(corners)
        assert middle[1] == pytest.approx([1 / count] * count, abs=1e-9)
        assert [shares for _, shares in others[:count]] == [
            [float(k == corner) for k in range(count)] for corner in range(count)
        ]
        for k, (_, shares) in enumerate(others[count : 2 * count]):
            ends = {k: 0.75, (k + 1) % count: 0.25} if count > 2 else {0: [0.75, 0.25][k], 1: [0.25, 0.75][k]}
            assert shares == pytest.approx([ends.get(corner, 0) for corner in range(count)], abs=1e-9)
        for place, shares in others:
            assert sum(shares) == pytest.approx(1)
            assert min(shares) >= 0
            mean = [
                sum(s * corner[axis] for s, corner in zip(shares, corners, strict=True)) for axis in (0, 1)
            ]
            assert mean == pytest.approx(place, abs=1e-9)


def test_rounded_shares_still_add_up_to_one(page):
    assert compute(page, "return inThousandths([1/3, 1/3, 1/3])") == [0.334, 0.333, 0.333]
    for count in range(2, 17):
        parts = compute(page, f"return inThousandths(sharesAt([0.21, 0.13], cornersOf({count})))")
        assert sum(round(1000 * part) for part in parts) == 1000


def mixer(rows, weights=""):
    """Two controls in turn on as many rows, mixed."""
    conditions = {f"conditions.condition{k}": [str(20 + k), 0] for k in range(rows)}
    return prompt(
        n1=("SCEditLoadCSCTuner", {"tuner_name": "canny_control"}),
        n2=("SCEditLoadCSCTuner", {"tuner_name": "color_control"}),
        n3=("LoadImage", {"image": "photo.jpg"}),
        n10=("SCEditMixConditions", {**conditions, "weights": weights, "strength": 1.0}),
        n11=("PreviewAny", {"source": ["10", 0]}),
        **{
            f"n{20 + k}": (
                "SCEditCondition",
                {"control": [str(1 + k % 2), 0], "image": ["3", 0], "weight": 1.0},
            )
            for k in range(rows)
        },
    )


def weights(screen, node=MIXER):
    return screen.value(node, "weights")


PLACE = """([node, k]) => {
    const pad = [...document.querySelectorAll(".scedit-pad")].find(pad => pad.checkVisibility()
        && (node == null || pad.closest(`[data-node-id='${node}']`) || !LiteGraph.vueNodesMode));
    const svg = pad.querySelector("svg"), box = svg.getBoundingClientRect(), [, , w, h] =
        svg.getAttribute("viewBox").split(" ").map(Number), scale = Math.min(box.width / w, box.height / h);
    const line = pad.querySelector(".shape").getAttribute("points");
    const points = line.split(" ").map(point => point.split(",").map(Number));
    const [x, y] = k == null ? [0, 0] : points[k];
    return [box.x + box.width / 2 + x * scale, box.y + box.height / 2 + y * scale];
}"""


def place(screen, corner=None, node=None):
    """Where a corner of the pad is on the page, or its middle."""
    return screen.page.evaluate(PLACE, [node, corner])


def drag(screen, *corners):
    """Press in the middle of the pad and go along these corners."""
    mouse = screen.page.mouse
    mouse.move(*place(screen))
    mouse.down()
    for corner in corners:
        mouse.move(*place(screen, corner), steps=4)
    mouse.up()
    screen.page.wait_for_timeout(100)


def show(screen, rows, text=""):
    screen.open(mixer(rows, text))
    screen.look_at(MIXER)
    screen.page.wait_for_timeout(300)


def test_the_handle_moves_the_weights_that_are_posted_and_undo_and_reload_keep_them(screen):
    show(screen, 3)
    assert "Σα = 3" in screen.words()
    drag(screen, 0, 1)
    assert weights(screen) == "0, 1, 0"
    drag(screen)
    assert [float(weight) for weight in weights(screen).split(", ")] == pytest.approx([1 / 3] * 3, abs=0.01)
    screen.page.keyboard.press("Control+Z")
    screen.page.wait_for_timeout(900)
    assert weights(screen) == "0, 1, 0"
    # the pad that is seen is that of the node which undo has made
    corner = 2 if screen.vue else 0  # a prompt that has been run shows nothing again
    expected = "0, 0, 1" if screen.vue else "1, 0, 0"
    drag(screen, corner)
    assert weights(screen) == expected
    with screen.page.expect_request("**/api/prompt") as sent:
        assert screen.run() == "execution_success"
    posted = json.loads(sent.value.post_data)["prompt"]["10"]["inputs"]
    assert posted["weights"] == expected
    assert "scedit_pad" not in json.dumps(posted)
    assert "Σα = 1" in [text.splitlines()[0] for text in screen.texts()]
    screen.page.wait_for_timeout(1000)  # the frontend keeps drafts a little later
    screen.reload()
    assert weights(screen) == expected


def test_keys_move_the_handle_and_switch_rows(screen):
    show(screen, 2, "0.5, 0.5")
    keyboard, handle = screen.page.keyboard, screen.page.locator(".scedit-pad .handle:visible")
    handle.focus()
    keyboard.press("ArrowRight")
    assert weights(screen) == "0.49, 0.51"
    keyboard.press("Shift+ArrowDown")
    assert weights(screen) == "0.54, 0.46"
    assert handle.get_attribute("aria-valuetext") == "canny_control 0.54, color_control 0.46"
    keyboard.press("Home")
    assert weights(screen) == "0.5, 0.5"
    keyboard.press("Tab")
    keyboard.press("Space")
    assert weights(screen) == "off 0.5, 0.5"
    assert "Σα = 0.5" in screen.words()
    keyboard.press("Tab")
    keyboard.press("ArrowLeft")
    assert weights(screen) == "off 0.49, 0.5"
    keyboard.press("Shift+Tab")
    keyboard.press("Space")
    assert weights(screen) == "0.49, 0.5"


def test_typed_weights_are_shown_as_they_are_and_what_cannot_be_read_is_said(screen):
    show(screen, 4, "2, off 1, -0.5")
    assert "Σα = 2.5" in screen.words()  # the fourth has 1
    drag(screen, 0, 3)
    assert weights(screen) == "0, off 1, 0, 1"
    screen.page.evaluate("app.graph.getNodeById(10).widgets[0].value = 'half'")
    screen.page.wait_for_timeout(400)
    assert "weights cannot be read" in screen.words()


COPY = """() => {
    app.canvas.selectNode(app.graph.getNodeById(10));
    app.canvas.copyToClipboard();
    app.canvas.pasteFromClipboard();
    const pasted = app.graph.nodes.filter(node => node.comfyClass === "SCEditMixConditions").at(-1);
    pasted.pos = [3000, 3000];
    return pasted.id;
}"""
INTO_SUBGRAPH = """() => {
    const nodes = app.graph.nodes.filter(({type}) => type.startsWith("SCEdit"));
    const {node} = app.graph.convertToSubgraph(new Set(nodes));
    app.canvas.openSubgraph(node.subgraph, node);
}"""


def test_a_copy_has_a_pad_of_its_own_and_a_collapsed_node_comes_back_with_it(screen):
    show(screen, 3, "0.5, 0.3, 0.2")
    copy = screen.page.evaluate(COPY)
    assert weights(screen, copy) == "0.5, 0.3, 0.2"
    screen.page.evaluate("app.graph.getNodeById(10).collapse()")
    screen.page.wait_for_timeout(400)
    assert screen.page.locator(".scedit-pad svg:visible").count() == 0
    screen.page.evaluate("app.graph.getNodeById(10).collapse()")
    screen.look_at(MIXER)
    screen.page.wait_for_timeout(300)
    drag(screen, 1)
    assert (weights(screen), weights(screen, copy)) == ("0, 1, 0", "0.5, 0.3, 0.2")


def test_the_pad_works_at_twice_the_size_and_inside_a_subgraph(screen):
    show(screen, 4)
    screen.page.evaluate(INTO_SUBGRAPH)
    screen.page.wait_for_timeout(500)
    inside = screen.page.evaluate(
        "app.canvas.graph.nodes.find(node => node.comfyClass === 'SCEditMixConditions').id"
    )
    centre = """id => {
        const node = app.canvas.graph.getNodeById(id), {ds} = app.canvas;
        ds.scale = 2;
        ds.offset = [500 - node.pos[0], 150 - node.pos[1]].map((x, k) => x - [250, 100][k]);
        app.canvas.setDirty(true, true);
    }"""
    screen.page.evaluate(centre, inside)
    screen.page.wait_for_timeout(700)
    drag(screen, 0, 2)
    posted = screen.page.evaluate("app.graphToPrompt().then(p => p.output)")
    mixers = [entry for entry in posted.values() if entry["class_type"] == "SCEditMixConditions"]
    assert [entry["inputs"]["weights"] for entry in mixers] == ["0, 0, 1, 0"]
    screen.page.evaluate("app.canvas.setGraph(app.rootGraph ?? app.graph)")

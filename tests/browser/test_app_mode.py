"""App mode: the simplest template as a page of four inputs and a picture."""

import json

import pytest
from server_tools import CHECKPOINT
from support import REPOSITORY

TEMPLATE = REPOSITORY / "example_workflows" / "scedit_canny.json"
TOY = {
    "CheckpointLoaderSimple": {"ckpt_name": CHECKPOINT},
    "LoadImage": {"image": "photo.jpg"},
    "ImageScale": {"width": 64, "height": 64},
    "EmptyLatentImage": {"width": 64, "height": 64},
    "KSampler": {"steps": 2, "cfg": 1.5},
}
SET = """values => {
    for (const node of app.graph.nodes)
        for (const [name, value] of Object.entries(values[node.comfyClass] ?? {}))
            node.widgets.find(widget => widget.name === name).value = value;
}"""
PAGE = "[data-testid=linear-widgets]"
PICTURES = """() => [...document.querySelectorAll("img")]
    .filter(image => image.checkVisibility() && image.naturalWidth === 64).length"""


def toggle(screen):
    """From the graph to the app, or back."""
    screen.page.evaluate("app.extensionManager.command.execute('Comfy.ToggleLinear')")
    screen.page.wait_for_timeout(700)


@pytest.fixture
def graph_after(screen):
    """Back to the graph, whatever a test ends in."""
    yield
    if screen.page.locator(PAGE).count():
        toggle(screen)


def test_the_simplest_template_is_an_app_of_four_inputs_and_a_picture(screen, graph_after):
    screen.open(json.loads(TEMPLATE.read_text(encoding="utf-8")))
    screen.page.evaluate(SET, TOY)
    screen.open(screen.saved())  # again, so that no file is found missing
    toggle(screen)
    shown = screen.page.locator(PAGE).inner_text().split("\n")
    assert [name for name in shown if name != "photo.jpg"] == ["image", "text", "strength", "seed"]
    assert screen.page.evaluate(PICTURES) == 0
    assert screen.run() == "execution_success"
    screen.page.wait_for_function(f"({PICTURES})() > 0")
    toggle(screen)
    assert screen.page.locator(PAGE).count() == 0

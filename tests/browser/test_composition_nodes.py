"""Schedule, Blend Conditions, Skip Analysis and the list of presets, as they are used on the screen."""

import numpy as np
import pytest
from screen_tools import prompt

MODEL = {"n1": ("CheckpointLoaderSimple", {"ckpt_name": "scedit_sandbox.safetensors"})}


def widgets(screen, node):
    """Names of the widgets that a node has."""
    return screen.page.evaluate("id => app.graph.getNodeById(id).widgets.map(({name}) => name)", node)


def write(screen, node, widget, value):
    """Set a widget as typing into it does."""
    screen.page.evaluate(
        """([id, name, value]) => {
            const widget = app.graph.getNodeById(id).widgets.find(widget => widget.name === name);
            widget.value = value;
            widget.callback?.(value);
        }""",
        [node, widget, value],
    )
    screen.page.wait_for_timeout(100)


def test_schedule_shows_its_text_and_its_plot(screen):
    screen.open(prompt(
        **MODEL,
        n201=("SCEditSchedule", {
            "model": ["1", 0], "shape": "own text", "shape.text": "0:1, 0.4:1, 0.41:0, 0.42:1, 1:0.5",
            "steps": 4,
        }),
        n202=("PreviewAny", {"source": ["201", 0]}),
    ))  # fmt: skip
    assert {"shape", "shape.text", "scheduler", "steps"} <= set(widgets(screen, 201))
    screen.look_at(201)
    assert screen.run() == "execution_success"
    (text,) = screen.texts()
    assert text.startswith("0:1, 0.4:1, 0.41:0, 0.42:1, 1:0.5\nat the 4 steps: 1, ")
    assert "no step hears 0.41:0" in text
    ((width, height),) = screen.wait_for_pictures(201)
    assert width > height > 200
    write(screen, 201, "shape", "fade out")
    assert "shape.text" not in widgets(screen, 201)
    assert screen.run() == "execution_success"
    assert screen.texts()[0].startswith("0:1, 1:0")


SAMPLER = {"seed": 1, "steps": 3, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}


def blending(number, **settings):
    """A strip of three from canny to no control, in few steps; `number` is that of the node that blends."""
    return prompt(
        **MODEL,
        n2=("SCEditLoadCSCTuner", {"tuner_name": "canny_control"}),
        n3=("LoadImage", {"image": "photo.jpg"}),
        n4=("SCEditCanny", {"image": ["3", 0]}),
        n5=("SCEditCondition", {"control": ["2", 0], "image": ["4", 0], "weight": 1.0}),
        n6=("CLIPTextEncode", {"clip": ["1", 1], "text": "a red star"}),
        n7=("EmptyLatentImage", {"width": 64, "height": 64, "batch_size": 3}),
        n8=("LatentBatchSeedBehavior", {"samples": ["7", 0], "seed_behavior": "fixed"}),
        **{f"n{number}": ("SCEditBlendConditions", {"first": ["5", 0], **settings})},
        n10=("SCEditApplyConditions", {"model": ["1", 0], "conditions": [str(number), 0], "strength": 1.0}),
        n11=("KSampler", {
            "model": ["10", 0], "positive": ["6", 0], "negative": ["6", 0], "latent_image": ["8", 0],
            **SAMPLER,
        }),
        n12=("VAEDecode", {"samples": ["11", 0], "vae": ["1", 2]}),
        n13=("PreviewImage", {"images": ["12", 0]}),
    )  # fmt: skip


SLIDER = """id => {
    const node = app.graph.getNodeById(id), widget = node.widgets.find(({name}) => name === "blend");
    const {scale, offset} = app.canvas.ds, box = app.canvas.canvas.getBoundingClientRect();
    const at = [node.pos[0] + node.size[0] / 4 , node.pos[1] + widget.last_y + 10];
    return at.map((place, axis) => (place + offset[axis]) * scale + [box.x, box.y][axis]);
}"""


def move_slider(screen, node):
    """Press on the slider of `blend`, left of its middle."""
    screen.look_at(node)
    if screen.vue:
        slider = screen.page.locator(f"[data-node-id='{node}'] [role=slider]")
        slider.focus()
        for _ in range(5):
            screen.page.keyboard.press("ArrowLeft")
    else:
        screen.page.mouse.click(*screen.page.evaluate(SLIDER, node))
    screen.page.wait_for_timeout(200)


def test_blend_is_a_slider_and_a_switch_and_its_strip_is_seen(screen):
    number = 211
    screen.open(blending(number, blend=0.5, across_batch=True))
    assert widgets(screen, number) == ["blend", "across_batch"]
    assert screen.run() == "execution_success"
    screen.look_at(13)
    assert screen.wait_for_pictures(13, 3) == [(64, 64)] * 3
    strip = screen.picture(13)
    write(screen, number, "across_batch", False)
    move_slider(screen, number)
    assert 0 < screen.value(number, "blend") < 0.5
    assert screen.run() == "execution_success"
    screen.look_at(13)
    assert not np.array_equal(screen.picture(13), strip)


def test_skip_analysis_shows_its_sheet_and_its_figures(screen):
    number = 221
    screen.open(prompt(
        **MODEL,
        n2=("CLIPTextEncode", {"clip": ["1", 1], "text": "a red star"}),
        n3=("EmptyLatentImage", {"width": 64, "height": 64, "batch_size": 1}),
        **{f"n{number}": ("SCEditSkipAnalysis", {
            "model": ["1", 0], "positive": ["2", 0], "latent_image": ["3", 0], "seed": 1, "percent": 0.0,
            "scale": 0.5, "half": "deepest",
        })},
    ))  # fmt: skip
    assert {"seed", "percent", "scale", "half", "tuners"} <= set(widgets(screen, number))
    screen.look_at(number)
    assert screen.run() == "execution_success"
    (text,) = screen.texts()
    assert text.startswith("9 skips, at 0 of the denoising")
    assert text.count("variance of the last decoder output") == 3
    ((width, height),) = screen.wait_for_pictures(number)
    assert min(width, height) > 400


CHOICES = """id => {
    const list = app.graph.getNodeById(id).widgets.find(({name}) => name === "scedit_preset");
    return [list.value, list.options.values];
}"""


def choose(screen, node, preset):
    """Choose from the list: with the mouse where its elements are in the page, else as the canvas does."""
    if not screen.vue:
        write(screen, node, "scedit_preset", preset)
        return
    screen.page.locator(f"[data-node-id='{node}'] [role=combobox]").last.click()
    screen.page.get_by_role("option", name=preset).click()
    screen.page.wait_for_timeout(200)


def test_presets_are_chosen_from_a_list_that_writes_the_text(screen, presets):
    number = 231 + screen.vue  # the page keeps values of widgets by the number of their node
    screen.open(prompt(**{f"n{number}": ("SCEditCondition", {"weight": 1.0})}))
    screen.page.evaluate("app.refreshComboInNodes()")
    screen.page.wait_for_timeout(800)
    names = ["structure", "detail", "colour", "deep", "shallow", "soft lines"]
    assert screen.page.evaluate(CHOICES, number) == ["none", ["none", *names]]
    before = screen.page.evaluate("app.graphToPrompt().then(p => p.output)")
    assert "scedit_preset" not in str(before)
    if screen.vue:
        screen.page.get_by_text("Show advanced inputs").click()
    choose(screen, number, "soft lines")
    assert screen.value(number, "skip_weights") == "soft lines"
    saved = screen.saved()
    assert saved["nodes"][0]["widgets_values"] == [1, 0, 1, "", "soft lines", "", "balanced"]
    screen.open(saved)
    assert screen.page.evaluate(CHOICES, number) == ["soft lines", ["none", *names]]
    write(screen, number, "skip_weights", "0-3:0.5")
    assert screen.page.evaluate(CHOICES, number) == ["own weights", ["none", *names, "own weights"]]
    choose(screen, number, "none")
    assert screen.value(number, "skip_weights") == ""
    assert screen.page.evaluate("app.graphToPrompt().then(p => p.output)") == before


@pytest.fixture
def presets(server):
    """A preset of the user's own."""
    file = server.base / "models" / "scedit" / "presets.txt"
    file.parent.mkdir(exist_ok=True)
    file.write_text("soft lines: 1, 1, 0.5\n", encoding="utf-8")
    yield
    file.unlink()

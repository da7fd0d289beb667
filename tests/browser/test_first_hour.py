"""What a new user reads on the screen: errors, lists, titles, colours and what the search finds."""

import json
import re

import pytest
from screen_tools import prompt

PACK = "SCEdit"


def error_words(screen):
    """What the page says of an error, with its details opened."""
    screen.page.wait_for_timeout(500)
    details = screen.page.get_by_test_id("error-overlay-see-errors")
    if details.count():
        details.click()
        screen.settle(1200)
    return screen.words()


def wrong_family():
    """A control of SD's size on the sandbox's model, refused when it is applied."""
    return prompt(
        n1=("CheckpointLoaderSimple", {"ckpt_name": "scedit_sandbox.safetensors"}),
        n2=("SCEditLoadSCTuner", {"tuner_name": "of_sd.safetensors"}),
        n3=("SCEditApplySCTuner", {"model": ["1", 0], "tuner": ["2", 0], "strength": 1.0}),
        n4=("CLIPTextEncode", {"clip": ["1", 1], "text": ""}),
        n5=("EmptyLatentImage", {"width": 64, "height": 64, "batch_size": 1}),
        n6=("KSampler", {
            "model": ["3", 0], "positive": ["4", 0], "negative": ["4", 0], "latent_image": ["5", 0],
            "seed": 1, "steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
        }),
        n7=("VAEDecode", {"samples": ["6", 0], "vae": ["1", 2]}),
        n8=("PreviewImage", {"images": ["7", 0]}),
    )  # fmt: skip


def test_an_execution_error_begins_with_its_sentence(screen, tuner_of_sd):
    screen.open(wrong_family())
    assert screen.run() == "execution_error"
    said = screen.page.evaluate("window.ended[1]")
    assert said["exception_type"] == "SCEditError"
    sentence = f"'{tuner_of_sd}' was made for SD 1.5 / SD 2.x with skips (1280, "
    assert [text for text in screen.texts() if text.startswith(sentence)]
    shown = error_words(screen)
    assert "custom_nodes" not in shown.split("Stack Trace")[0]
    assert "scedit_core.errors" not in shown
    assert f"SCEditError: {sentence}" in shown


def test_each_loader_lists_its_own_kind_and_refuses_the_other_on_the_node(screen):
    screen.open(prompt(n1=("SCEditTunerInfo", {"tuner_name": "night"})))
    values = """name => {
        const node = LiteGraph.createNode(name), [widget] = node.widgets;
        return [widget.value, widget.options.values.slice()];
    }"""
    for loader, own, others in (
        ("SCEditLoadSCTuner", ["night", "watercolour", "sunset"], ["canny_control", "color_control"]),
        ("SCEditLoadCSCTuner", ["canny_control", "color_control"], ["night", "watercolour"]),
    ):
        first, listed = screen.page.evaluate(values, loader)
        assert first in listed
        assert set(own) <= set(listed)
        assert not set(others) & set(listed)
    graph = wrong_family()
    graph["2"]["inputs"]["tuner_name"] = "canny_control"
    screen.open(graph)
    screen.page.evaluate("app.queuePrompt(0)")
    screen.page.wait_for_timeout(500)
    told = "'canny_control' is a CSC-Tuner (control); load it with 'Load CSC-Tuner (SCEdit)'"
    assert screen.texts() == [told]
    screen.page.evaluate("app.graph.getNodeById(2).widgets[0].value = 'night'")
    assert screen.run() == "execution_success"
    assert screen.texts() == []


def test_without_a_training_folder_the_list_says_what_to_do(screen, no_folders):
    fresh = "name => LiteGraph.createNode(name).widgets[0].value"
    screen.page.evaluate("app.refreshComboInNodes()")
    screen.page.wait_for_timeout(1500)
    # numbers of their own: the page keeps values of widgets by the number of their node
    screen.open(prompt(n71=("SCEditTrainingFolder", {})))
    screen.look_at(71)
    listed = screen.value(71, "folder")
    assert listed == "no folders yet: make one in ComfyUI's input folder and press R"
    if screen.vue:
        assert "no folders yet" in screen.words()
    else:
        assert screen.page.evaluate(fresh, "SCEditTrainingFolder") == listed
    screen.open(prompt(
        n1=("CheckpointLoaderSimple", {"ckpt_name": "scedit_sandbox.safetensors"}),
        n72=("SCEditTrainingFolder", {"vae": ["1", 2], "clip": ["1", 1]}),
    ))  # fmt: skip
    screen.page.evaluate("app.queuePrompt(0)")
    screen.page.wait_for_timeout(500)
    assert len(screen.texts()) == 1
    assert screen.texts()[0].startswith("there is no folder with pictures in ")
    assert "yet; make one, put at least one picture into it (.bmp, " in screen.texts()[0]
    assert "folders without pictures are not listed (" in screen.texts()[0]
    assert "empty)" in screen.texts()[0]


LANGUAGES = ("en", "zh", "zh-TW", "ja", "ko")
TITLES = """async languages => {
    const texts = await (await fetch("/api/i18n")).json(), found = [];
    for (const language of languages)
        for (const [name, {display_name}] of Object.entries(texts[language].nodeDefs)) {
            if (!name.startsWith("SCEdit")) continue;
            const node = LiteGraph.createNode(name, display_name), context = app.canvas.ctx;
            context.font = node.titleFontStyle;
            const room = node.size[0] - 2 * LiteGraph.NODE_TITLE_HEIGHT;
            found.push([node.title, context.measureText(node.title).width, room]);
        }
    return found;
}"""


def test_a_fresh_node_is_as_wide_as_its_title_in_every_language(page):
    """As the canvas cuts titles; Nodes 2.0 takes the same widths, and its smaller letters fit into them."""
    titles = page.evaluate(TITLES, LANGUAGES)
    assert len(titles) == 36 * len(LANGUAGES)
    assert {"Masked Image Hint (SCEdit)", "遮罩图像提示图 (SCEdit)"} <= {title for title, *_ in titles}
    assert [title for title, needed, there in titles if needed > there] == []


def test_names_are_clear_in_english_and_hide_no_translation(page):
    """A socket's name in the schema would stand before that of any language."""
    names = """kind => LiteGraph.createNode(kind).inputs.map(({name, label, localized_name, widget}) =>
        [name, widget ? null : label ?? null, localized_name])"""
    found = {name: shown for name, _, shown in page.evaluate(names, "SCEditApplyCSCTuner")}
    assert found["image"] == "hint image"
    for kind in ("SCEditApplyCSCTuner", "SCEditCondition", "SCEditTrainSCTuner", "SCEditTrainCSCTuner"):
        assert [name for name, label, _ in page.evaluate(names, kind) if label and "." not in name] == []


def test_sockets_of_our_types_have_colours_of_their_own(screen):
    colours = """vue => ["SCEDIT_TUNER", "SCEDIT_CONTROL", "SCEDIT_CONDITION"].map(type => vue
        ? getComputedStyle(document.documentElement).getPropertyValue(`--color-datatype-${type}`).trim()
        : app.canvas.default_connection_color_byType[type])"""
    screen.open(
        prompt(n1=("SCEditLoadSCTuner", {}), n2=("SCEditLoadCSCTuner", {}), n3=("SCEditCondition", {}))
    )
    found = screen.page.evaluate(colours, screen.vue)
    assert len(set(found)) == 3
    assert all(re.fullmatch(r"#[0-9a-f]{6}", colour) for colour in found)
    for node, colour in zip((1, 2, 3), found, strict=True):
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        screen.look_at(node)
        assert (abs(screen.picture().astype(int) - wanted).max(-1) < 24).sum() > 20


def test_long_nodes_fold_what_is_advanced(screen):
    screen.open(prompt(n1=("SCEditTrainSCTuner", {})))
    screen.look_at(1)
    if screen.vue:
        assert "min_snr_gamma" not in screen.words()
        screen.page.get_by_text("Show advanced inputs").click()
        screen.page.wait_for_timeout(500)
        assert "min_snr_gamma" in screen.words()
        return
    visible = """() => {
        const node = app.graph.getNodeById(1);
        return node.widgets.filter(widget => node.isWidgetVisible(widget)).map(widget => widget.name);
    }"""
    assert "min_snr_gamma" not in screen.page.evaluate(visible)
    press = "app.graph.getNodeById(1).widgets.find(widget => widget.name === 'scedit_fold').callback()"
    before = screen.page.evaluate("app.graphToPrompt().then(p => p.output)")
    screen.page.evaluate(press)
    assert "min_snr_gamma" in screen.page.evaluate(visible)
    saved = screen.saved()
    screen.open(saved)
    assert "min_snr_gamma" in screen.page.evaluate(visible)
    assert screen.page.evaluate("app.graphToPrompt().then(p => p.output)") == before
    assert len(json.dumps(saved["nodes"][0]["widgets_values"])) > 0


WORDS = {
    "canny": ["Canny Hint", "Load CSC-Tuner", "Any Hint", "Apply CSC-Tuner"],
    "controlnet": ["Apply CSC-Tuner", "Apply Conditions", "Load CSC-Tuner"],
    "inpaint": ["Masked Image Hint", "Random Mask"],
    "openpose": ["Pose Hint", "Any Hint"],
    "线稿": ["Canny Hint", "Sketch Hint", "Load CSC-Tuner"],
    "风格": ["Load SC-Tuner", "Apply SC-Tuner", "Train SC-Tuner"],
    "線画": ["Canny Hint", "Sketch Hint"],
    "ポーズ": ["Pose Hint"],
    "学習": ["Train SC-Tuner", "Train CSC-Tuner", "Training Folder"],
}


def test_the_search_finds_what_people_type(page):
    """The words and the nodes that are to be among those found."""
    missing = {}
    page.evaluate("app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
    page.wait_for_timeout(1200)
    for word, nodes in WORDS.items():
        page.keyboard.press("Control+A")
        page.keyboard.type(word)
        page.wait_for_timeout(600)
        shown = page.evaluate("document.body.innerText")
        lost = [node for node in nodes if f"{node} ({PACK})" not in shown]
        missing |= {word: lost} if lost else {}
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    assert missing == {}


def test_a_photo_in_place_of_a_canny_hint_is_said_once_on_the_node(screen):
    graph = prompt(
        n1=("CheckpointLoaderSimple", {"ckpt_name": "scedit_sandbox.safetensors"}),
        n2=("SCEditLoadCSCTuner", {"tuner_name": "canny_control"}),
        n3=("LoadImage", {"image": "photo.jpg"}),
        n4=("SCEditCanny", {"image": ["3", 0]}),
        n5=("SCEditCondition", {"control": ["2", 0], "image": ["4", 0], "weight": 1.0}),
        n6=("SCEditComposeConditions", {"conditions.condition0": ["5", 0], "normalize": False}),
        n7=("SCEditApplyConditions", {"model": ["1", 0], "conditions": ["6", 0], "strength": 1.0}),
        n8=("SCEditSaveTuner", {
            "tuner": ["2", 0], "name": "beside", "if_exists": "replace it", "dtype": "as trained",
        }),
        n9=("PreviewAny", {"source": ["5", 0]}),
    )  # fmt: skip
    screen.open(graph)
    screen.run()
    assert not any("note:" in text for text in screen.texts())
    screen.page.evaluate("app.graph.getNodeById(4).mode = 4")  # bypassed: the photo goes through
    screen.run()
    notes = [text for text in screen.texts() if "note:" in text]
    assert len(notes) == 1
    assert "has colours, but 'canny_control' follows white edges on black" in notes[0]


@pytest.fixture
def tuner_of_sd(server):
    """Name of a style with the sizes of SD 1.5 and 2.x in the server's folder."""
    from scedit_core import SkipLayout, TunerSpec, build_tuners, save_checkpoint

    layout = SkipLayout.from_channels((1280,) * 5 + (640,) * 3 + (320,) * 4)
    folder = server.base / "models" / "scedit"
    folder.mkdir(exist_ok=True)
    save_checkpoint(build_tuners(TunerSpec.sc(layout, 160)), folder / "of_sd.safetensors")
    return "of_sd.safetensors"


@pytest.fixture
def no_folders(server):
    """An input folder without a folder of pictures, but an empty one."""
    held = server.base / "input" / "four"
    held.rename(server.base / "four")
    (server.base / "input" / "empty").mkdir()
    yield
    (server.base / "input" / "empty").rmdir()
    (server.base / "four").rename(held)

"""What nodes tell is read on the nodes themselves: during a run, after it, and in the graph opened again."""

import json
import time

from screen_tools import prompt

READING = {
    "SCEditTunerInfo": ({"tuner_name": "night"}, ["kind: SC-Tuner (style)", "SHA-256"]),
    "SCEditConvertTuner": (
        {"tuner_name": "night", "name": "converted", "layout": "SCEdit"},
        ["SCEdit SC-Tuner -> SCEdit", "converted"],
    ),
}


def read(**further):
    """A node of each kind that says what it has done."""
    nodes = {f"n{i}": (kind, inputs) for i, (kind, (inputs, _)) in enumerate(READING.items(), 1)}
    return prompt(**nodes, **further)


def save():
    return {
        "n3": ("SCEditLoadSCTuner", {"tuner_name": "night"}),
        "n4": ("SCEditSaveTuner", {
            "tuner": ["3", 0], "name": "saved", "if_exists": "replace it", "dtype": "as trained",
        }),
    }  # fmt: skip


def training(name, steps, preview_every=0, **settings):
    """A training on four pictures of 64 pixels."""
    return prompt(
        n1=("CheckpointLoaderSimple", {"ckpt_name": "scedit_sandbox.safetensors"}),
        n2=("SCEditTrainingFolder", {
            "folder": "four", "vae": ["1", 2], "clip": ["1", 1], "hint": "none", "resolution": 64,
        }),
        n3=("SCEditTrainSCTuner", {
            "model": ["1", 0], "latents": ["2", 0], "positive": ["2", 1], "name": name, "steps": steps,
            "batch_size": 1, "accumulation": 1, "preview_every": preview_every, "save_every": 0, **settings,
        }),
        n4=("PreviewImage", {"images": ["3", 1]}),
    )  # fmt: skip


def test_a_node_shows_its_text_and_keeps_it_in_the_saved_graph(screen):
    screen.open(read(**save()))
    assert screen.texts() == []  # a fresh node has no empty box
    assert screen.run() == "execution_success"
    words = [*(words for _, words in READING.values()), ["saved", "MB"]]
    shown = screen.texts()
    assert len(shown) == len(words)
    for expected in words:
        assert any(all(word in text for word in expected) for text in shown), (expected, shown)
    graph = screen.saved()
    screen.open(prompt(n1=("SCEditCanny", {})))
    assert screen.texts() == []
    screen.open(graph)
    assert sorted(screen.texts()) == sorted(shown)


def test_drawn_pictures_come_with_what_was_drawn(screen):
    screen.open(prompt(
        n1=("CheckpointLoaderSimple", {"ckpt_name": "scedit_sandbox.safetensors"}),
        n2=("SCEditDrawPictures", {
            "model": ["1", 0], "clip": ["1", 1], "vae": ["1", 2], "prompts": "a red circle\na blue star",
            "count": 1, "width": 64, "height": 64, "steps": 2, "hint": "canny",
        }),
    ))  # fmt: skip
    assert screen.run() == "execution_success"
    (text,) = screen.texts()
    assert "2 pictures of 64 x 64" in text
    assert screen.page.evaluate("app.nodeOutputs[2].images.length") == 2


def test_the_text_stays_when_the_page_is_loaded_again(screen):
    screen.open(read())
    screen.run()
    shown = screen.texts()
    assert len(shown) == len(READING)
    screen.page.wait_for_timeout(1000)  # the frontend keeps drafts a little later
    screen.reload()
    assert sorted(screen.texts()) == sorted(shown)


def test_a_long_text_scrolls_and_can_be_copied(screen):
    screen.open(prompt(n1=("SCEditTunerInfo", {"tuner_name": "night"})))
    screen.run()
    screen.look_at(1)
    box = screen.page.locator("textarea.scedit-text")
    assert box.evaluate("box => box.scrollHeight > 2 * box.clientHeight")
    scale = screen.page.evaluate("app.canvas.ds.scale")
    box.click()
    screen.page.mouse.wheel(0, 200)
    screen.page.wait_for_timeout(300)
    assert box.evaluate("box => box.scrollTop") > 0
    assert screen.page.evaluate("app.canvas.ds.scale") == scale
    screen.page.keyboard.press("Control+A")
    screen.page.keyboard.press("Control+C")
    assert screen.page.evaluate("navigator.clipboard.readText()") == screen.texts()[0]
    screen.page.keyboard.type("x")
    assert box.input_value() == screen.texts()[0]
    assert "SHA-256" in screen.texts()[0]


def test_a_prompt_is_the_same_with_the_text_and_without(screen):
    screen.open(read())
    before = screen.page.evaluate("app.graphToPrompt().then(p => p.output)")
    screen.run()
    assert screen.page.evaluate("app.graphToPrompt().then(p => p.output)") == before
    assert all("scedit_text" not in json.dumps(entry["inputs"]) for entry in before.values())


def has_plot(screen, node):
    """Whether a large white picture, as that of the losses is, is drawn on the node."""
    return int((screen.picture(node) > 245).all(-1).sum()) > 3000


def until(screen, condition, seconds):
    """Wait until something is to be seen, if it comes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not condition():
        screen.page.wait_for_timeout(200)


def test_training_shows_losses_beside_the_preview_while_it_runs_and_after(screen):
    screen.open(training(f"preview_{screen.name}", 3000, preview_every=3))
    screen.page.evaluate("app.graph.getNodeById(3).setSize([420, 1000])")
    screen.look_at(3)
    screen.start()
    until(screen, lambda: len(screen.pictures(3)) == 2 and has_plot(screen, 3), 30)
    assert len(screen.pictures(3)) == 2
    assert has_plot(screen, 3)
    screen.server.interrupt()
    assert screen.wait() == "execution_interrupted"
    assert len(screen.pictures(3)) == 2
    assert has_plot(screen, 3)


def test_training_says_how_it_ended(screen):
    name = f"ended_{screen.name}"
    screen.open(training(name, 3000))
    screen.start()
    screen.page.wait_for_function("""() => [...document.querySelectorAll("textarea.scedit-text")]
        .some(box => /step [1-9]\\d* of 3000/.test(box.value))""")
    report, running = sorted(screen.texts(), key=lambda text: "step" in text)
    assert report == "4 pictures\nsizes: 64 x 64: 4\nhints: none"
    assert "left" in running
    assert "GB of memory beside the model" in running
    screen.server.interrupt()
    assert screen.wait() == "execution_interrupted"
    stopped = next(text for text in screen.texts() if "stopped" in text)
    assert "left" not in stopped
    step = int(stopped.split("stopped at step ")[1].split(" of 3000, kept; run again to go on")[0])
    screen.open(training(name, step + 2))
    assert screen.run() == "execution_success"
    done = next(text for text in screen.texts() if "done" in text)
    assert f"goes on from step {step}" in done
    assert f"done, {step + 2} steps, " in done
    assert any("4 pictures" in text for text in screen.texts())
    screen.look_at(3)
    until(screen, lambda: len(screen.pictures(3)) == 1, 10)
    assert len(screen.pictures(3)) == 1  # no preview was asked for

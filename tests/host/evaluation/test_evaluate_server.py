"""Evaluate Tuner in a real server over HTTP, by its template: cancelled by the user, then run and saved."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from PIL import Image
from server_tools import Prompt, changed, pixels, server_module, world
from support import REPOSITORY
from workflow_tools import of_class, prompt_of

from scedit_core import read_checkpoint

TEMPLATE = REPOSITORY / "example_workflows" / "scedit_evaluate.json"


@pytest.fixture(scope="module")
def prompt(server: Any) -> Prompt:
    """The template on two held-out scenes and the sandbox's canny control."""
    folder = server.base / "input" / "held_out"
    folder.mkdir()
    for number, scene in enumerate(map(world.scene, world.HELD_OUT[:2])):
        Image.fromarray(scene.picture).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(scene.caption, encoding="utf-8")
    return prompt_of(TEMPLATE, server)


def test_an_evaluation_is_cancelled_and_then_run_saved_and_shown(server, prompt):
    def interrupt() -> None:
        time.sleep(2.0)
        server.interrupt()

    (evaluate,) = of_class(prompt, "SCEditEvaluateTuner")
    (keep,), (sheet,) = of_class(prompt, "SCEditSaveTuner"), of_class(prompt, "SaveImage")
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(server_module.ServerError, match="cancelled"):
        server.execute(changed(prompt, evaluate, steps=1000))
    thread.join()
    shown = server.execute(prompt)
    said = shown[evaluate]["text"][0].split("\n")[0]
    assert said.startswith("follows edges")
    assert (pixels(server, shown, sheet) == pixels(server, shown, evaluate)).all()
    name = prompt[keep]["inputs"]["name"]
    file = server.base / "models" / "scedit" / f"{name}.safetensors"
    assert read_checkpoint(file).metadata["scedit.eval.verdict"] == said
    info = {"class_type": "SCEditTunerInfo", "inputs": {"tuner_name": file.name}}
    assert f"\nmeasured: {said}\n" in server.execute({"info": info})["info"]["text"][0]
    file.unlink()

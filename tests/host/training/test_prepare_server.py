"""Preparing a data set through a real server over HTTP: cancelled by the user, gone on with, told of."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from folder_pictures import fill
from server_tools import CHECKPOINT, server_module

from scedit_core.training.dataset.shards import open_dataset

COUNT = 60


def prompt(name: str, **widgets: Any) -> dict[str, Any]:
    """Prepare the folder 'many' of the server's input folder."""
    return {
        "checkpoint": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": CHECKPOINT}},
        "prepare": {
            "class_type": "SCEditPrepareDataset",
            "inputs": {
                "folder": "many", "vae": ["checkpoint", 2], "clip": ["checkpoint", 1], "name": name,
                "hint0": "canny", "hint1": "color", "resolution": 64, "buckets": True, "trigger": "",
                **widgets,
            },
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def many(server: Any) -> Any:
    """A folder of pictures in the server's input folder."""
    return fill(server.base / "input" / "many", COUNT)


def test_a_cancelled_preparation_goes_on_where_it_was(server, many):
    target = server.base / "output" / "scedit_datasets" / "deep" / "set"

    def interrupt() -> None:
        while not list(target.glob("*.part")):
            time.sleep(0.02)
        time.sleep(0.3)
        server.interrupt()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(server_module.ServerError, match="cancelled"):
        server.execute(prompt("deep/set"))
    thread.join()
    kept = len(open_dataset(target))
    assert 0 < kept < COUNT
    (report,) = server.execute(prompt("deep/set"))["prepare"]["text"]
    assert f"added {COUNT - kept}, unchanged {kept}, removed or changed 0" in report
    dataset = open_dataset(target)
    captions = sorted(dataset.read(number).caption for number in range(COUNT))
    assert captions == sorted(f"picture {number}" for number in range(COUNT))
    assert dataset.hints == ("canny", "color")


def test_what_is_prepared_is_not_prepared_again_until_a_file_changes(server, many):
    first = server.execute(prompt("again"))["prepare"]
    assert len(first["images"]) == 1
    (report,) = server.execute(prompt("again"))["prepare"]["text"]  # once more, as the set is there now
    assert f"added 0, unchanged {COUNT}" in report
    server.execute(prompt("again"))
    assert server.log_text().count("SCEdit: 'again'") == 2
    (many / "0.txt").write_text("other words")
    (report,) = server.execute(prompt("again"))["prepare"]["text"]
    assert f"added 1, unchanged {COUNT - 1}, removed or changed 1" in report


def test_a_mistake_is_one_sentence_on_the_node(server, many):
    with pytest.raises(server_module.ServerError, match=r"made with resolution 64, now it is 128; give"):
        server.execute(prompt("again", resolution=128))
    with pytest.raises(server_module.ServerError, match=r"no folder 'gone'"):
        server.execute(prompt("again", folder="gone"))

"""A few random histories; `python dev.py bench histories` lives a thousand."""

from __future__ import annotations

from histories import lived
from support import GOLDEN
from test_neighbours import small_controlnet


def test_whatever_was_done_before_the_same_configuration_gives_the_same_picture(pack, host_mode):
    pack.nodes.files.folders.folder_paths.add_model_folder_path("scedit", str(GOLDEN.path("diffusers")))
    process = lived(pack, small_controlnet(), seed=1, numbers=range(8), again=4)
    assert process.findings == [], "\n".join(map(str, process.findings))
    assert process.counts.runs > 30
    assert process.counts.cancelled > 3

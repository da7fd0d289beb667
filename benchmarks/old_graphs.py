"""Graphs of earlier versions of this pack, run by their own code and by today's: are the results equal?

    python dev.py bench old_graphs COMMIT [COMMIT ...] [--write]

The graphs are the templates of each commit and forms that no template has, on the sandbox's miniature
model, of few pixels and steps. Both codes run in servers of the same ComfyUI on this machine, so that nothing
but the code differs. Prints for each graph whether latents and pictures are equal bit for bit, and if not by
how much they differ. `--write` keeps the graphs and latents of the first commit in tests/golden/graphs, with
which tests/host/test_old_graphs.py compares.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "tests" / "host")]

from old_graph_tools import FOLDER, LATENTS, PROMPTS, SCENE, SIDE, STEPS, ends, put_inputs, small
from server_tools import Prompt, base_prompt, changed, server_module

Ends = dict[str, dict[str, np.ndarray]]  # by graph and node
PACK = "ComfyUI-SCEdit"  # a further pack of this name takes the place of ours


def forms() -> Iterator[tuple[str, Prompt]]:
    """Graphs as scripts post them, with inputs that no template sets."""
    plain = changed(base_prompt(SCENE, size=SIDE), "sampler", steps=STEPS, cfg=1.5)
    mask = {"class_type": "ImageToMask", "inputs": {"image": ["photo", 0], "channel": "red"}}
    when = {"start_percent": 0.1, "end_percent": 0.8}
    window = changed(plain, "apply", **when, mask=["mask", 0], strength=0.7)
    yield "form: window and mask", {**window, "mask": mask}
    conditions = {
        "color": _node("SCEditColor", image=["photo", 0], ratio=32),
        "load2": _node("SCEditLoadCSCTuner", tuner_name="color_control"),
        "first": _node("SCEditCondition", control=["load", 0], image=["hint", 0], weight=0.75, **when),
        "second": _node("SCEditCondition", control=["load2", 0], image=["color", 0], weight=1.5),
        "both": _node(
            "SCEditComposeConditions",
            normalize=True,
            **{"conditions.condition0": ["first", 0], "conditions.condition1": ["second", 0]},
        ),
    }
    style = {
        "style": _node("SCEditLoadSCTuner", tuner_name="night"),
        "styled": _node(
            "SCEditApplySCTuner", model=["checkpoint", 0], tuner=["style", 0], strength=0.6, **when
        ),
    }
    applied = _node("SCEditApplyConditions", model=["styled", 0], conditions=["both", 0], strength=1.2)
    yield "form: style and two composed", {**plain, **conditions, **style, "apply": applied}
    batch = changed(changed(plain, "latent", batch_size=3), "apply", image=["two", 0])
    batch["hint2"] = _node("SCEditCanny", image=["photo", 0], low_threshold=20, high_threshold=60)
    batch["two"] = _node("ImageBatch", image1=["hint", 0], image2=["hint2", 0])
    yield "form: two hints for three", batch
    prompted = changed(plain, "sampler", model=["checkpoint", 0], positive=["steered", 0])
    prompted["first"] = conditions["first"]
    prompted["steered"] = _node(
        "SCEditApplyToPrompt", conditioning=["text", 0], conditions=["first", 0], strength=0.9
    )
    yield "form: a prompt's own", prompted


def _node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def checkout(commit: str, folder: Path) -> Path:
    """The files of a commit, as a node pack that takes the place of ours."""
    packed = subprocess.run(["git", "archive", commit], cwd=REPOSITORY, check=True, stdout=subprocess.PIPE)
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder / PACK, filter="data")
    return folder / PACK


def run(packs: tuple[Path, ...], prompts: dict[str, Prompt] | None) -> tuple[dict[str, Prompt], Ends]:
    """What these prompts end in, or the graphs of the pack itself if there are none yet."""
    models = Path(os.environ.get("SCEDIT_SANDBOX_MODELS", REPOSITORY / "sandbox" / "models"))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "base")
        comfyui = Path(os.environ["COMFYUI_PATH"])
        with server_module.ComfyServer(comfyui, base=place, models=models, packs=packs) as server:
            put_inputs(place)
            if prompts is None:
                prompts = graphs(packs[0], server.object_info())
            return prompts, {name: ends(server, prompt) for name, prompt in prompts.items()}


def graphs(pack: Path, known: dict[str, Any]) -> dict[str, Prompt]:
    """The templates of a checkout and the forms that its nodes know."""
    templates = sorted((pack / "example_workflows").glob("*.json"))
    found = {template.stem: small(template, known) for template in templates}
    for name, prompt in forms():
        if {entry["class_type"] for entry in prompt.values()} <= known.keys():
            found[name] = prompt
        else:
            print(f"  {name}: not there yet")
    return found


def compare(name: str, old: dict[str, np.ndarray], new: dict[str, np.ndarray]) -> bool:
    """Print how two results of a graph differ; True if they are equal bit for bit."""
    told = []
    for kind in ("latent", "picture"):
        pairs = [(old[node], new[node]) for node in old if node.startswith(kind)]
        changed_values = sum(int((one != other).sum()) for one, other in pairs)
        if changed_values:
            gap = max(float(np.abs(one.astype(float) - other).max()) for one, other in pairs)
            size = sum(one.size for one, _ in pairs)
            told.append(f"{kind}s differ in {changed_values / size:.1%} of their values, by up to {gap:.3g}")
    print(f"  {name:32}{'; '.join(told) or 'equal bit for bit'}")
    return not told


def write(commit: str, prompts: dict[str, Prompt], found: Ends) -> None:
    """Keep the graphs that sample, and their latents, but for trainings: seeds learn other tuners since."""
    FOLDER.mkdir(exist_ok=True)
    latents = {
        f"{name}/{node}": values
        for name, nodes in found.items()
        for node, values in nodes.items()
        if node.startswith("latent")
        and not any("Train" in each["class_type"] for each in prompts[name].values())
    }
    kept = {name: prompts[name] for name in prompts if any(key.startswith(f"{name}/") for key in latents)}
    PROMPTS.write_text(json.dumps({"commit": commit, "prompts": kept}, indent=1) + "\n", encoding="utf-8")
    save_file(latents, LATENTS)


def trains(prompt: Prompt) -> bool:
    """True if one of its nodes is a training."""
    return any("Train" in entry["class_type"] for entry in prompt.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commits", nargs="+", metavar="COMMIT", help="an earlier version of this repository")
    parser.add_argument("--write", action="store_true", help="keep the first one's results for the tests")
    options = parser.parse_args()
    for number, commit in enumerate(options.commits):
        print(f"{commit} and today's code")
        with tempfile.TemporaryDirectory() as folder:
            prompts, old = run((checkout(commit, Path(folder)),), None)
        if options.write and number == 0:
            write(commit, prompts, old)
        _, new = run((), prompts)
        equal = [compare(name, old[name], new[name]) for name in prompts]
        print(f"  {sum(equal)} of {len(equal)} graphs are equal bit for bit")


if __name__ == "__main__":
    main()

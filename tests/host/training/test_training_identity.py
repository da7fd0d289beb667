"""A training state belongs to the model with its LoRAs, merges, SCEdit tuners and other patches."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import comfy.sd
import pytest
import torch
from comfy_extras.nodes_freelunch import FreeU
from comfy_extras.nodes_hypertile import HyperTile
from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete, RescaleCFG
from comfy_extras.nodes_model_merging import ModelMergeSimple
from host_tools import picture, run, sample, tiny_model
from training_node_tools import SC, lists, train

LAYER = "diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q"
BESIDE = comfy.sd.load_bypass_lora_for_models  # a LoRA that is added in the forward pass, not to the weights


Wiring = Callable[[Any], Any]  # what a graph puts between the checkpoint and the training


def lora(strength: float = 0.5, seed: int = 0, load: Any = comfy.sd.load_lora_for_models) -> Wiring:
    """A LoRA of one layer."""
    draw = torch.Generator().manual_seed(seed)
    up, down = torch.randn(96, 4, generator=draw), torch.randn(4, 96, generator=draw)
    file = {f"{LAYER}.lora_up.weight": up, f"{LAYER}.lora_down.weight": down}
    return lambda model: load(model, None, file, strength, 0.0)[0]


def changed(block: str, seed: int = 0) -> Wiring:
    """Another checkpoint, whose weights differ a little in one block."""

    def change(_model: Any) -> Any:
        other = tiny_model()
        draw = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weights in other.model.diffusion_model.get_submodule(block).parameters():
                weights.add_(torch.randn(weights.shape, generator=draw), alpha=0.01)
        return other

    return change


def merged(ratio: float = 0.5, seed: int = 0) -> Wiring:
    """A merge with another checkpoint."""
    return lambda model: ModelMergeSimple().merge(model, changed("middle_block.0", seed)(model), ratio)[0]


def predicting(kind: str, zsnr: bool = False) -> Wiring:
    """What the network predicts, and whether its noise ends at no signal."""
    return lambda model: ModelSamplingDiscrete().patch(model, kind, zsnr)[0]


def tiled(size: int) -> Wiring:
    """Attention in tiles."""
    return lambda model: HyperTile.execute(model, size, 2, 1, False)[0]


def free(b2: float) -> Wiring:
    """FreeU."""
    return lambda model: FreeU.execute(model, 1.1, b2, 0.9, 0.2)[0]


def sampled(wiring: Wiring) -> Wiring:
    """The same after a sampling, in which patches may have changed what they remember."""

    def change(model: Any) -> Any:
        model = wiring(model)
        sample(model)
        return model

    return change


# what the host alone puts there
HOST_WIRINGS: dict[str, Wiring] = {
    "plain": lambda model: model,
    "reloaded": lambda _model: tiny_model(),
    "in bf16": lambda _model: tiny_model(dtype=torch.bfloat16),
    "in fp16": lambda _model: tiny_model(dtype=torch.float16),
    "input block": changed("input_blocks.3"),
    "middle block": changed("middle_block.1.transformer_blocks.0.ff"),
    "v-prediction": predicting("v_prediction"),
    "eps again": predicting("eps"),
    "zero SNR": predicting("eps", True),
    "LoRA": lora(),
    "LoRA, used": sampled(lora()),
    "LoRA, stronger": lora(0.51),
    "LoRA, another": lora(seed=1),
    "LoRA at 0": lora(0.0),
    "two LoRAs": lambda model: lora()(lora(seed=1)(model)),
    "LoRA beside": lora(load=BESIDE),
    "LoRA beside, used": sampled(lora(load=BESIDE)),
    "LoRA beside, stronger": lora(0.51, load=BESIDE),
    "LoRA beside, another": lora(seed=1, load=BESIDE),
    "merge": merged(),
    "merge, more": merged(0.51),
    "merge, another": merged(seed=1),
    "FreeU": free(1.2),
    "FreeU, used": sampled(free(1.2)),
    "FreeU, stronger": free(1.21),
    "tiles": tiled(256),
    "tiles, used": sampled(tiled(256)),
    "tiles, larger": tiled(512),
    "rescaled": lambda model: RescaleCFG().patch(model, 0.7)[0],
}


@pytest.fixture(scope="module")
def wired(nodes, tuner, control) -> dict[str, Wiring]:
    """All wirings by name: the host's, and those with tuners of ours."""

    def styled(**settings: Any) -> Wiring:
        return lambda model: run(nodes["SCEditApplySCTuner"], model=model, tuner=tuner, **settings)

    def controlled(seed: int = 0, **settings: Any) -> Wiring:
        apply, image = nodes["SCEditApplyCSCTuner"], picture(seed=seed)
        return lambda model: run(apply, model=model, control=control, image=image, **settings)

    return HOST_WIRINGS | {
        "style": styled(),
        "style, used": sampled(styled()),
        "style, stronger": styled(strength=1.01),
        "style, shorter": styled(end_percent=0.9),
        "style twice": lambda model: styled()(styled()(model)),
        "control": controlled(),
        "control, used": sampled(controlled()),
        "control, other hint": controlled(seed=1),
        "control, masked": controlled(mask=torch.ones(1, 64, 64)),
        "control, other mask": controlled(mask=torch.full((1, 64, 64), 0.5)),
    }


@pytest.fixture(scope="module")
def begun(nodes, model, wired, pack, tmp_path_factory) -> Callable[[str], Path]:
    """The state of a training of one step on a model wired in this way."""
    states: dict[str, Path] = {}

    def state(wiring: str) -> Path:
        if wiring not in states:
            import folder_paths

            with pytest.MonkeyPatch.context() as patch:
                folder = tmp_path_factory.mktemp("states")
                patch.setattr(folder_paths, "output_directory", str(folder))
                train(nodes["SCEditTrainSCTuner"], lists(wired[wiring](model)), SC, steps=1)
            states[wiring] = folder / "scedit_training" / "style.safetensors"
        return states[wiring]

    return state


def go_on(sc: Any, state: Path, model: Any, output: Path) -> None:
    """Take up the state, whose training is done already, with this model."""
    folder = output / "scedit_training"
    folder.mkdir(parents=True)
    shutil.copy(state, folder)
    assert train(sc, lists(model), SC, steps=1)[2] == 1


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("plain", "reloaded"),
        ("plain", "in bf16"),
        ("in bf16", "plain"),
        ("in bf16", "in fp16"),
        ("in fp16", "in bf16"),
        ("plain", "eps again"),
        ("plain", "rescaled"),
        ("plain", "LoRA at 0"),
        ("LoRA", "LoRA, used"),
        ("LoRA beside", "LoRA beside, used"),
        ("merge", "merge"),
        ("style", "style, used"),
        ("control", "control, used"),
        ("FreeU", "FreeU, used"),
        ("tiles", "tiles, used"),
    ],
)
def test_a_training_goes_on_with_the_same_model(first, then, sc, model, wired, begun, output):
    go_on(sc, begun(first), wired[then](model), output)


MODEL, LORAS, TUNERS, OTHERS = "the model is another", "LoRAs or merged", "SCEdit tuners", "other patches"


@pytest.mark.parametrize(
    ("first", "then", "words"),
    [
        ("plain", "input block", MODEL),
        ("plain", "middle block", MODEL),
        ("plain", "v-prediction", MODEL),
        ("plain", "zero SNR", MODEL),
        ("plain", "LoRA", LORAS),
        ("LoRA", "plain", LORAS),
        ("LoRA", "LoRA, stronger", LORAS),
        ("LoRA", "LoRA, another", LORAS),
        ("LoRA", "two LoRAs", LORAS),
        ("plain", "LoRA beside", LORAS),
        ("LoRA beside", "LoRA beside, stronger", LORAS),
        ("LoRA beside", "LoRA beside, another", LORAS),
        ("plain", "merge", LORAS),
        ("merge", "merge, more", LORAS),
        ("merge", "merge, another", LORAS),
        ("plain", "style", TUNERS),
        ("style", "plain", TUNERS),
        ("style", "style, stronger", TUNERS),
        ("style", "style, shorter", TUNERS),
        ("style", "style twice", TUNERS),
        ("style", "control", TUNERS),
        ("control", "control, other hint", TUNERS),
        ("control", "control, masked", TUNERS),
        ("control, masked", "control, other mask", TUNERS),
        ("plain", "FreeU", OTHERS),
        ("FreeU", "FreeU, stronger", OTHERS),
        ("tiles", "tiles, larger", OTHERS),
    ],
)
def test_a_training_is_not_continued_on_another_model(first, then, words, sc, model, wired, begun, output):
    with pytest.raises(ValueError, match=rf"holds 1 steps of another training: [^;]*{words}[^;]*; start"):
        go_on(sc, begun(first), wired[then](model), output)

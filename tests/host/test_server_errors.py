"""Bad input through a real server: one sentence in the execution error, and the server goes on working."""

import pickle
import zipfile
from pathlib import Path

import comfy.ldm.modules.diffusionmodules.mmdit as mmdit
import comfy.ops
import pytest
import torch
from safetensors.torch import save_file
from server_tools import base_prompt, changed, pixels, server_module

from scedit_core import SkipLayout, TunerSpec, build_tuners, save_checkpoint

SANDBOX = SkipLayout.from_channels((128, 128, 128, 128, 128, 64, 64, 64, 64))
SD15 = SkipLayout.from_channels((1280,) * 5 + (640,) * 3 + (320,) * 4)


def tensors(layout=SANDBOX):
    """State dict of a small, whole CSC-Tuner."""
    return dict(build_tuners(TunerSpec.csc(layout, 16)).state_dict())


class _Code:
    """A pickle that would write a file if it were run."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def write_other_family(folder):
    save_checkpoint(build_tuners(TunerSpec.csc(SD15, 160)), folder / "other.safetensors")
    return "other.safetensors"


def write_lora(folder):
    save_file({"lora_unet_mid_block.lora_up.weight": torch.zeros(4, 4)}, folder / "lora.safetensors")
    return "lora.safetensors"


def write_truncated(folder):
    save_file(tensors(), folder / "torn.safetensors")
    whole = (folder / "torn.safetensors").read_bytes()
    (folder / "torn.safetensors").write_bytes(whole[: len(whole) // 2])
    return "torn.safetensors"


def write_missing(folder):
    state = tensors()
    del state["tuners.3.up.bias"]
    save_file(state, folder / "missing.safetensors")
    return "missing.safetensors"


def write_extra(folder):
    save_file({**tensors(), "first_stage_model.weight": torch.zeros(1)}, folder / "extra.safetensors")
    return "extra.safetensors"


def write_nan(folder):
    state = tensors()
    state["tuners.0.down.weight"][0, 0] = torch.nan
    save_file(state, folder / "nan.safetensors")
    return "nan.safetensors"


def write_hostile(folder):
    with zipfile.ZipFile(folder / "hostile.bin", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(_Code(folder / "was_run")))
        archive.writestr("archive/version", "3")
    return "hostile.bin"


def write_empty_folder(folder):
    (folder / "nothing").mkdir(exist_ok=True)
    return "nothing"


def write_style(folder):
    save_checkpoint(build_tuners(TunerSpec.sc(SANDBOX)), folder / "style.safetensors")
    return "style.safetensors"


BAD_FILES = {
    write_other_family: [
        "other.safetensors",
        "1280",
        "SD 1.5 / SD 2.x",
        "(128, 128, 128",
        "load the checkpoint",
    ],
    write_lora: ["not an SCEdit tuner", "lora_unet_mid_block"],
    write_truncated: ["truncated", "get it again"],
    write_missing: ["missing", "tuners.3.up.bias"],
    write_extra: ["extra", "first_stage_model.weight"],
    write_nan: ["tuners.0.down.weight", "NaN"],
    write_hostile: ["refused", "could run code"],
    write_empty_folder: ["folder without tuner weights", "0_SwiftSCETuning"],
    write_style: ["is an SC-Tuner", "Load SC-Tuner"],
}


def sentence(server, prompt):
    """The one sentence with which the server fails."""
    with pytest.raises(server_module.PromptError) as caught:
        server.execute(prompt)
    message = caught.value.exception_message.strip()
    assert "\n" not in message
    assert "Traceback" not in message
    return message


@pytest.fixture(scope="module")
def tuner_folder(server):
    """The server's own folder for tuners, empty at its start."""
    return server.base / "models" / "scedit"


@pytest.mark.parametrize("write", BAD_FILES, ids=[write.__name__[6:] for write in BAD_FILES])
def test_a_bad_file_is_one_sentence(server, photo, tuner_folder, write):
    message = sentence(server, changed(base_prompt(photo), "load", tuner_name=write(tuner_folder)))
    assert all(word in message for word in BAD_FILES[write]), message
    assert not (tuner_folder / "was_run").exists()


@pytest.mark.parametrize("name", ["absent.safetensors", "../../checkpoints/scedit_sandbox.safetensors"])
def test_a_missing_file_names_the_folders_searched_and_the_sources(server, photo, name):
    message = sentence(server, changed(base_prompt(photo), "load", tuner_name=name))
    assert all(word in message for word in ["no tuner", name, "scedit", "ModelScope", "Hugging Face"]), (
        message
    )


def no_pixels(prompt):
    """A mask without pixels, from ComfyUI's own nodes."""
    prompt["solid"] = {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 64, "height": 64}}
    crop = {"mask": ["solid", 0], "x": 1000, "y": 0, "width": 8, "height": 8}
    prompt["no_pixels"] = {"class_type": "CropMask", "inputs": crop}
    return changed(prompt, "apply", mask=["no_pixels", 0])


BAD_INPUTS = {
    "strength NaN": (lambda p: changed(p, "apply", strength=float("nan")), ["strength", "finite", "nan"]),
    "mask without pixels": (no_pixels, ["mask", "at least one pixel"]),
    "window backwards": (
        lambda p: changed(p, "apply", start_percent=0.8, end_percent=0.2),
        ["start_percent", "in order", "0.8", "0.2"],
    ),
}


@pytest.mark.parametrize(("change", "words"), BAD_INPUTS.values(), ids=BAD_INPUTS.keys())
def test_a_bad_input_is_one_sentence(server, photo, change, words):
    message = sentence(server, change(base_prompt(photo)))
    assert all(word in message for word in words), message


def test_weights_that_add_up_to_zero_are_one_sentence(server, photo):
    prompt = base_prompt(photo)
    for number, weight in enumerate([1.0, -1.0]):
        row = {"control": ["load", 0], "image": ["hint", 0], "weight": weight}
        prompt[f"row{number}"] = {"class_type": "SCEditCondition", "inputs": row}
    rows = {f"conditions.condition{number}": [f"row{number}", 0] for number in range(2)}
    prompt["compose"] = {"class_type": "SCEditComposeConditions", "inputs": {**rows, "normalize": True}}
    prompt["apply"]["class_type"] = "SCEditApplyConditions"
    prompt["apply"]["inputs"] = {"model": ["checkpoint", 0], "conditions": ["compose", 0], "strength": 1.0}
    assert "add up to 0" in sentence(server, prompt)


def test_a_model_without_skips_is_one_sentence(server, photo):
    """A small diffusion transformer of SD 3's layout, loaded by ComfyUI's own loader."""
    network = mmdit.OpenAISignatureMMDITWrapper(
        input_size=None, pos_embed_scaling_factor=None, pos_embed_offset=None, pos_embed_max_size=16,
        patch_size=2, in_channels=16, depth=1, adm_in_channels=8, qkv_bias=True,
        context_embedder_config={
            "target": "torch.nn.Linear", "params": {"in_features": 8, "out_features": 64},
        },
        dtype=torch.float32, operations=comfy.ops.manual_cast,
    )  # fmt: skip
    folder = server.base / "models" / "diffusion_models"
    folder.mkdir(exist_ok=True)
    state = {key: torch.zeros(value.shape) for key, value in network.state_dict().items()}
    save_file(state, folder / "transformer.safetensors")
    prompt = base_prompt(photo)
    loader = {"unet_name": "transformer.safetensors", "weight_dtype": "default"}
    prompt["transformer"] = {"class_type": "UNETLoader", "inputs": loader}
    message = sentence(server, changed(prompt, "apply", model=["transformer", 0]))
    assert all(word in message for word in ["no U-Net skip connections", "SD 1.5"]), message


def test_the_server_goes_on_and_gives_the_same_picture_twice(server, photo):
    first = pixels(server, server.execute(base_prompt(photo)))
    other = pixels(server, server.execute(changed(base_prompt(photo), "sampler", seed=2)))
    again = pixels(server, server.execute(base_prompt(photo)))
    assert (first == again).all()
    assert (first != other).any()


def test_a_changed_file_is_loaded_again(server, photo, tuner_folder):
    prompt = changed(base_prompt(photo), "load", tuner_name="changing.safetensors")
    pictures = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        state = {key: torch.randn(value.shape) * 0.1 for key, value in tensors().items()}
        save_file(state, tuner_folder / "changing.safetensors")
        pictures.append(pixels(server, server.execute(prompt)))
    assert (pictures[0] != pictures[1]).any()


def test_a_name_with_backslashes_from_a_graph_saved_on_windows_is_found(server, photo, tuner_folder):
    (tuner_folder / "sub").mkdir(exist_ok=True)
    save_file(tensors(), tuner_folder / "sub" / "inner.safetensors")
    server.execute(changed(base_prompt(photo), "load", tuner_name="sub\\inner.safetensors"))

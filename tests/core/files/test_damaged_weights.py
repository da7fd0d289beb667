"""Tuners with a key, a shape or a number that is wrong, or beside a configuration of another one."""

import json

import pytest
import torch
from safetensors.torch import save_file
from small_tuners import CSC, SC, layer, refusal, without

from scedit_core import load_checkpoint, save_checkpoint

# torch.load remarks on sparse tensors before it refuses them.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

DOWN = "lsc_identity.0.tuner_op.ln1"
CONTROL_DOWN = "lsc_tuner_blocks.0.tuner_op.ln1"
WEIGHT = SC[f"{DOWN}.weight"]

# what was done to the file, its content, words of the message
DAMAGED = {
    "no bias": (without(SC, f"{DOWN}.bias"), ["missing keys", f"{DOWN}.bias"]),
    "no down weight": (without(SC, f"{DOWN}.weight"), ["missing keys", f"{DOWN}.weight"]),
    "no weights": (without(SC, "weight"), ["missing keys", f"{DOWN}.weight"]),
    "control without a bias": (
        without(CSC, f"{CONTROL_DOWN}.bias"),
        ["missing keys", f"{CONTROL_DOWN}.bias"],
    ),
    "no pre conv": (without(CSC, "pre_hint_blocks.4."), ["missing keys", "7 convs", "has 6 and 4"]),
    "no stem": (without(CSC, "pre_hint"), ["missing keys", "pre_hint_blocks"]),
    "no dense": (without(CSC, "dense_hint"), ["missing keys", "dense_hint_blocks"]),
    "no dense bias": (without(CSC, "blocks.1.1.bias"), ["missing keys", "dense_hint_blocks.1.1.bias"]),
    "no first dense": (without(CSC, "dense_hint_blocks.0."), ["other widths than its tuners", "[3]"]),
    "no dense at a halving": (without(CSC, "dense_hint_blocks.2."), ["missing keys", "at blocks [1]"]),
    "almost nothing": (
        without(CSC, "ln1", "ln2.weight", "blocks.1.", "blocks.2.1.", "blocks.3."),
        ["missing keys", f"{CONTROL_DOWN}.weight"],
    ),
    "extra key": (SC | {"epoch": torch.ones(1)}, ["extra keys", "epoch"]),
    "key with a newline": (SC | {"a\nb": torch.ones(1)}, ["extra keys", r"a\nb"]),
    "block out of range": (
        SC | {"lsc_identity.100.tuner_op.ln1.bias": torch.ones(4)},
        ["extra keys", ".100."],
    ),
    "both kinds": (SC | CSC, ["extra keys", "lsc_identity.0"]),
    "a LoRA": (
        layer("lora_unet_down_blocks_0_attentions_0_proj_in.lora_down", 4, 320),
        ["not an SCEdit tuner", "lora_unet_down_blocks_0", "trained with SCEdit"],
    ),
    "a U-Net": (
        layer("model.diffusion_model.input_blocks.0.0", 320, 4, 3, 3),
        ["not an SCEdit tuner", "model.diffusion_model.input_blocks"],
    ),
    "a ControlNet": (layer("control_model.zero_convs.0.0", 320, 320, 1, 1), ["not an SCEdit tuner"]),
    "wrong bias": (SC | {f"{DOWN}.bias": torch.zeros(5)}, [f"{DOWN}.bias", "(5,)", "ask for (4,)"]),
    "transposed": (
        SC | {f"{DOWN}.weight": WEIGHT.T.contiguous()},
        [f"{DOWN}.bias has shape (4,)", "ask for (16,)", "damaged or mixed"],
    ),
    "one size": (SC | {f"{DOWN}.weight": torch.ones(4)}, ["has shape (4,)", "expected 2 sizes"]),
    "no size": (SC | {f"{DOWN}.weight": torch.ones(())}, ["has shape ()", "expected 2 sizes"]),
    "zero size": (SC | {f"{DOWN}.weight": torch.ones(0, 16)}, ["has shape (0, 16)", "above 0"]),
    "conv for linear": (SC | {f"{DOWN}.weight": WEIGHT[..., None, None]}, ["has shape (4, 16, 1, 1)"]),
    "linear for conv": (
        CSC | {"pre_hint_blocks.2.weight": torch.ones(4, 4)},
        ["hint_encoder.pre.1.weight has shape (4, 4)", "expected 4 sizes"],
    ),
    "large stem conv": (
        CSC | {"pre_hint_blocks.2.weight": torch.ones(4, 4, 5, 5)},
        ["pre_hint_blocks.2.weight has shape (4, 4, 5, 5)", "ask for (4, 4, 3, 3)"],
    ),
    "grey hint": (
        CSC | {"pre_hint_blocks.0.weight": torch.ones(4, 1, 3, 3)},
        ["reads 1 channels", "expected 3 (RGB)"],
    ),
    "even kernel": (
        CSC | {key: CSC[key].repeat(1, 1, 2, 2) for key in CSC if "dense" in key and "weight" in key},
        ["dense convs of size 2", "an odd size"],
    ),
    "mixed kernels": (
        CSC | {"dense_hint_blocks.1.1.weight": torch.ones(8, 8, 3, 3)},
        ["dense_hint_blocks.1.1.weight has shape (8, 8, 3, 3)", "ask for (8, 8, 1, 1)"],
    ),
    "NaN": (
        SC | {f"{DOWN}.weight": WEIGHT * torch.nan},
        [f"{DOWN}.weight", "NaN or infinite", "earlier save"],
    ),
    "one Inf": (
        SC | {f"{DOWN}.bias": torch.tensor([0, 0, torch.inf, 0])},
        [f"{DOWN}.bias", "NaN or infinite"],
    ),
    "Inf against Inf": (
        SC | {f"{DOWN}.bias": torch.tensor([0, -torch.inf, torch.inf, 0]).half()},
        [f"{DOWN}.bias", "NaN or infinite"],
    ),
    "NaN in 8 bits": (
        SC | {f"{DOWN}.bias": torch.tensor([0, 0, torch.nan, 0]).to(torch.float8_e4m3fn)},
        [f"{DOWN}.bias", "NaN or infinite"],
    ),
    "whole numbers": (SC | {f"{DOWN}.weight": WEIGHT.int()}, [f"{DOWN}.weight", "int32", "floating point"]),
    "complex": (SC | {f"{DOWN}.weight": WEIGHT + 0j}, ["complex64", "floating point"]),
    "powers of two": (
        SC | {f"{DOWN}.weight": WEIGHT.abs().to(torch.float8_e8m0fnu)},
        ["float8_e8m0fnu", "8, 16, 32 or 64 bits"],
    ),
    "sparse": (SC | {f"{DOWN}.weight": WEIGHT.to_sparse()}, ["torch._utils._rebuild_sparse_tensor"]),
    "meta": (SC | {f"{DOWN}.weight": WEIGHT.to("meta")}, ["_rebuild_meta_tensor_no_storage"]),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_weights_are_refused_by_name(name, tmp_path):
    weights, words = DAMAGED[name]
    torch.save(weights, tmp_path / "tuner.bin")
    message = refusal(tmp_path / "tuner.bin")
    for word in words:
        assert word in message
    if name not in ("sparse", "meta"):
        save_file({key: value.contiguous() for key, value in weights.items()}, tmp_path / "tuner.safetensors")
        assert refusal(tmp_path / "tuner.safetensors") == message.replace("tuner.bin", "tuner.safetensors")


def control_config(flags) -> bytes:
    """A published configuration that states where the U-Net halves, in input order."""
    return json.dumps({"CONTROL_MODEL": {"INPUT_DOWN_FLAG": flags}}).encode()


@pytest.mark.parametrize(
    ("config", "named", "words"),
    [
        (b"", "configuration.json", "is not JSON"),
        (b'{"CONTROL_MODEL": {', "configuration.json", "is not JSON"),
        (b"\xff\xfe{}", "configuration.json", "is not JSON"),
        (b"[" * 100_000, "configuration.json", "is not JSON"),
        (control_config([False, False]), None, "a U-Net with 2 skips but has keys for 4"),
        (control_config([False, False, True] * 4), None, "with its configuration.json"),
    ],
    ids=["empty", "torn", "no_text", "nested", "too_few_skips", "too_many_skips"],
)
def test_a_configuration_that_is_broken_or_of_another_tuner_is_refused(config, named, words, tmp_path):
    torch.save(CSC, tmp_path / "tuner.bin")
    (tmp_path / "configuration.json").write_bytes(config)
    assert words in refusal(tmp_path / "tuner.bin", named)


@pytest.mark.parametrize("flags", ["no", None, {}, [], [0, 0, 1, 0], [[True]] * 4, ["false"] * 4, 7], ids=str)
def test_flags_of_a_wrong_type_are_passed_over_for_what_the_widths_tell(flags, tmp_path):
    torch.save(CSC, tmp_path / "tuner.bin")
    (tmp_path / "configuration.json").write_bytes(control_config(flags))
    assert load_checkpoint(tmp_path / "tuner.bin").spec.hint.strides == (1, 2, 1, 1)


@pytest.mark.parametrize(
    "config", [[], [1], "text", 3, None, {"CONTROL_MODEL": [1]}, {"CONTROL_MODEL": None}]
)
def test_a_configuration_of_another_form_is_passed_over(config, tmp_path):
    torch.save(CSC, tmp_path / "tuner.bin")
    (tmp_path / "configuration.json").write_text(json.dumps(config))
    assert load_checkpoint(tmp_path / "tuner.bin").spec.hint.strides == (1, 2, 1, 1)


def test_strides_of_our_own_metadata_that_do_not_fit_are_refused(tmp_path):
    torch.save(CSC, tmp_path / "tuner.bin")
    file = tmp_path / "ours.safetensors"
    save_checkpoint(load_checkpoint(tmp_path / "tuner.bin"), file)
    file.write_bytes(file.read_bytes().replace(b'"1,2,1,1"', b'"1,2,1"  '))
    assert "a U-Net with 3 skips but has keys for 4" in refusal(file)

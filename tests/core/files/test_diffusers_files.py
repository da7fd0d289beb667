"""Tuners trained on diffusers' U-Nets: the same weights, and the edits that their authors' code makes."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from support import GOLDEN
from training_tools import SmallModel, training_set

from scedit_core import (
    SCEditError,
    SkipEdit,
    SkipLayout,
    edit_encoder,
    edit_skip,
    load_checkpoint,
    prepare_edit,
    read_checkpoint,
    save_checkpoint,
)
from scedit_core.files.disk import read_tensors
from scedit_core.files.layouts import detect_format
from scedit_core.training import TrainConfig, Trainer

TOLERANCE = 5e-5
ENTRY = GOLDEN.index["diffusers"]
CASES = {
    case["name"]: case
    for case in ENTRY["cases"]
    if GOLDEN.path(f"{ENTRY['folder']}/{case['weights']}").is_file()
}
LAYERS = {"down": "ln1", "up": "ln2"}
LINEARS = {"down": "0", "mid": "2", "up": "4"}


def place(case: str, what: str):
    """A file of a case."""
    return GOLDEN.path(f"{ENTRY['folder']}/{CASES[case][what]}")


def cases_with(what: str) -> list[str]:
    """Names of the cases that have this file."""
    return [name for name in CASES if what in CASES[name] and place(name, what).is_file()]


def ldm_key(key: str) -> tuple[str, ...]:
    """Names that the reference may give one of our keys."""
    group, block, layer, leaf = key.split(".")
    if group == "tuners":
        linear = f"lsc_identity.{block}.model.{LINEARS[layer]}.{leaf}"
        return f"lsc_identity.{block}.tuner_op.{LAYERS.get(layer)}.{leaf}", linear
    return (f"input_blocks.{block}.tuner_op.{LAYERS[layer]}.{leaf}",)


@pytest.mark.parametrize("name", cases_with("ldm_equivalent"))
def test_weights_are_those_of_the_reference_under_our_names(name):
    wanted = load_file(place(name, "ldm_equivalent"))
    ours = read_checkpoint(place(name, "weights")).state_dict
    named = {next(n for n in ldm_key(key) if n in wanted): weights for key, weights in ours.items()}
    assert named.keys() == wanted.keys()
    assert all(torch.equal(named[key], wanted[key]) for key in wanted)


def test_the_same_tuner_made_on_a_pipeline_and_on_a_unet_is_the_same():
    pipeline, unet = (
        load_checkpoint(place(name, "weights"))
        for name in ("swift_decoder_pipe_regex_bin", "swift_decoder_unet_list_safetensors")
    )
    assert pipeline.spec == unet.spec
    first, second = pipeline.state_dict(), unet.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", [name for name in cases_with("expected") if "encoder" not in name])
def test_edited_skips_equal_those_of_the_reference(name):
    inputs = load_file(GOLDEN.path(f"inputs/{ENTRY['inputs']}.safetensors"))
    expected = load_file(place(name, "expected"))
    tuners = load_checkpoint(place(name, "weights"))
    assert len(tuners.spec.channels) == 6
    with torch.inference_mode():
        edit = prepare_edit(SkipEdit(tuners, CASES[name].get("scale", 1.0)), 16, 16, inputs["x"])
        for block in range(6):
            edited = edit_skip(inputs[f"skip.{block}"], block, [edit])
            assert (edited - expected[f"edited.{block}"]).abs().max() <= TOLERANCE, f"block {block}"


@pytest.mark.parametrize("name", CASES)
def test_keys_translate_there_and_back(name):
    keys = list(read_tensors(place(name, "weights")).tensors)
    detected = detect_format(keys)
    assert detected.format.name.startswith(CASES[name]["layout"])
    assert [detected.in_file(detected.canonical(key)) for key in keys] == keys
    assert len({detected.canonical(key) for key in keys}) == len(keys)


FAMILIES = {
    "SD 1.5 / SD 2.x": (1280,) * 5 + (640,) * 3 + (320,) * 4,
    "SDXL": (1280,) * 2 + (640,) * 3 + (320,) * 4,
    "KOALA": (1280, 640, 640, 320, 320, 320),
}
PER_LEVEL = {"SD 1.5 / SD 2.x": 3, "SDXL": 3, "KOALA": 2}


def layers(name: str, width: int, rank: int = 2) -> dict[str, torch.Tensor]:
    """Both layers of one adapter as ms-swift names them."""
    shapes = {
        "ln1.weight": (rank, width),
        "ln1.bias": (rank,),
        "ln2.weight": (width, rank),
        "ln2.bias": (width,),
    }
    return {f"{name}.scetuner_default.tuner_op.{leaf}": torch.rand(shape) for leaf, shape in shapes.items()}


def decoder(family: str, blocks) -> dict[str, torch.Tensor]:
    """A decoder-mode file of ms-swift for these output blocks."""
    tensors = {}
    for block in blocks:
        up, nth = divmod(block, PER_LEVEL[family])
        tensors |= layers(f"up_blocks.{up}.resnets.{nth}", FAMILIES[family][block])
    return tensors


@pytest.mark.parametrize("family", FAMILIES)
def test_the_resnets_of_every_family_are_counted_through(family, tmp_path):
    widths = FAMILIES[family]
    save_file(decoder(family, range(len(widths))), tmp_path / "tuner.safetensors")
    spec = read_checkpoint(tmp_path / "tuner.safetensors").spec
    assert spec.channels == dict(enumerate(widths))
    assert spec.families == [family]


@pytest.mark.parametrize(
    ("family", "blocks"),
    [
        ("SD 1.5 / SD 2.x", (0, 3, 6, 9)),
        ("SD 1.5 / SD 2.x", (0, 1, 3, 4, 11)),
        ("SDXL", (3, 4, 6)),
        ("KOALA", (1, 3)),
    ],
)
def test_gaps_are_counted_over_in_a_family_that_is_known(family, blocks, tmp_path):
    save_file(decoder(family, blocks), tmp_path / "tuner.safetensors")
    assert tuple(read_checkpoint(tmp_path / "tuner.safetensors").spec.channels) == blocks


ENCODERS = {
    # as ms-swift's documentation names the modules for SD 1.5, and the same for SDXL, whose first level has
    # no attention
    "SD 1.5 / SD 2.x": {
        "conv_in": 320,
        **{
            f"down_blocks.{level}.attentions.{nth}": w
            for level, w in enumerate((320, 640, 1280))
            for nth in (0, 1)
        },
        **{f"down_blocks.{level}.downsamplers.0": w for level, w in enumerate((320, 640, 1280))},
        **{f"down_blocks.3.resnets.{nth}": 1280 for nth in (0, 1)},
    },
    "SDXL": {
        "unet.conv_in": 320,
        **{f"unet.down_blocks.0.resnets.{nth}": 320 for nth in (0, 1)},
        **{
            f"unet.down_blocks.{level}.attentions.{nth}": w
            for level, w in ((1, 640), (2, 1280))
            for nth in (0, 1)
        },
        **{f"unet.down_blocks.{level}.downsamplers.0": w for level, w in ((0, 320), (1, 640))},
    },
}


@pytest.mark.parametrize("family", ENCODERS)
def test_encoder_tuners_count_input_blocks(family, tmp_path):
    tensors = {}
    for name, width in ENCODERS[family].items():
        tensors |= layers(name, width)
    save_file(tensors, tmp_path / "tuner.safetensors")
    checkpoint = read_checkpoint(tmp_path / "tuner.safetensors")
    spec = checkpoint.spec
    assert spec.channels == dict(enumerate(FAMILIES[family][::-1]))
    assert spec.place == "encoder"
    assert family in spec.families
    assert any("encoder" in note for note in checkpoint.notes)


def test_an_encoder_tuner_is_saved_and_loaded_as_ours(tmp_path):
    tuners = load_checkpoint(place("swift_encoder", "weights"))
    save_checkpoint(tuners, tmp_path / "ours.safetensors")
    ours = read_checkpoint(tmp_path / "ours.safetensors")
    assert ours.format_name == "SCEdit encoder tuner"
    assert ours.spec == tuners.spec
    assert ours.state_dict.keys() == tuners.state_dict().keys()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["down_blocks.0.resnets.0", "down_blocks.0.attentions.0"], ["input blocks [1] twice"]),
        (["down_blocks.0.resnets.0", "up_blocks.0.resnets.0"], ["extra keys", "down_blocks.0"]),
        (["mid_block.resnets.0"], ["not an SCEdit tuner", "mid_block"]),
    ],
)
def test_places_that_cannot_be_edited_are_refused(names, words, tmp_path):
    tensors = {}
    for name in names:
        tensors |= layers(name, 32)
    save_file(tensors, tmp_path / "tuner.safetensors")
    with pytest.raises(SCEditError) as caught:
        read_checkpoint(tmp_path / "tuner.safetensors")
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_tuner_between_resnet_and_attention_does_not_fit_a_model_that_has_the_attention(tmp_path):
    save_file(layers("down_blocks.0.resnets.0", 320), tmp_path / "tuner.safetensors")
    spec = read_checkpoint(tmp_path / "tuner.safetensors").spec
    depths = {"SD": [1] * 6 + [0, 0], "SDXL": [0, 0, 2, 2, 10, 10]}
    config = {"model_channels": 320, "num_res_blocks": [2, 2, 2], "channel_mult": [1, 2, 4]}
    spec.check_fits(SkipLayout.from_unet_config({**config, "transformer_depth": depths["SDXL"]}), "x")
    with pytest.raises(SCEditError, match="between their resnet and their attention"):
        spec.check_fits(SkipLayout.from_unet_config({**config, "transformer_depth": depths["SD"]}), "x")


def test_an_encoder_tuner_edits_what_the_encoder_passes_on_and_no_skip():
    tuners = load_checkpoint(place("swift_encoder", "weights"))
    h = torch.randn(1, 32, 4, 4)
    with torch.inference_mode():
        edit = prepare_edit(SkipEdit(tuners, 0.5), 4, 4, h)
        assert edit_skip(h, 0, [edit]) is h
        assert torch.equal(edit_encoder(h, 1, [edit]), h + 0.5 * tuners.delta(1, h))
        assert edit_encoder(h, 9, [edit]) is h


def test_a_training_does_not_start_from_a_tuner_of_the_encoder():
    encoder = load_checkpoint(place("swift_encoder", "weights"))
    with pytest.raises(SCEditError, match="a tuner of the encoder cannot be trained here"):
        Trainer([encoder], SmallModel(), training_set(), TrainConfig())

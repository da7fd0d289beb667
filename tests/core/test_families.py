"""U-Net families: which tuner fits which, told by sizes where they differ and by words where they do not."""

import json

import pytest
import torch
from safetensors.torch import save_file

from scedit_core import EncoderSize, SCEditError, SkipLayout, TunerSpec, build_tuners, read_checkpoint
from scedit_core import save_checkpoint as save
from scedit_core.files.describe import describe_checkpoint
from scedit_core.spec import StemSize, published_stem
from scedit_core.unet import stated_base

SD, XL = (1, 1, 1, 1, 1, 1, 0, 0), (0, 0, 2, 2, 10, 10)
SD_MULT, XL_MULT = (1, 2, 4, 4), (1, 2, 4)


def unet(context, mult=SD_MULT, blocks=2, depth=SD, channels=4) -> dict:
    """What ComfyUI knows of a U-Net of this family."""
    return {
        "model_channels": 320, "channel_mult": mult, "num_res_blocks": [blocks] * len(mult),
        "transformer_depth": depth, "context_dim": context, "in_channels": channels,
    }  # fmt: skip


MODELS = {
    "SD 1.5": unet(768),
    "SD 1.5 inpainting": unet(768, channels=9),
    "SD 1.5 instruct": unet(768, channels=8),
    "SD 2.0 and 2.1": unet(1024),
    "SD 2.0 inpainting": unet(1024, channels=9),
    "unCLIP": unet(1024),
    "SVD": unet(1024, channels=8),
    "SDXL": unet(2048, XL_MULT, depth=XL),
    "SDXL inpainting": unet(2048, XL_MULT, depth=XL, channels=9),
    "SSD-1B": unet(2048, XL_MULT, depth=(0, 0, 2, 2, 4, 4)),
    "Segmind Vega": unet(2048, XL_MULT, depth=(0, 0, 1, 1, 2, 2)),
    "KOALA 700M": unet(2048, XL_MULT, blocks=1, depth=(0, 2, 5)),
    "SDXL refiner": {**unet(1280, (1, 2, 4, 4), depth=(0, 0, 4, 4, 4, 4, 0, 0)), "model_channels": 384},
    "x4 upscaler": {**unet(1024, (1, 2, 2, 4), depth=SD, channels=7), "model_channels": 256},
}
LAYOUTS = {name: SkipLayout.from_unet_config(config) for name, config in MODELS.items()}
FAMILY = {
    **dict.fromkeys(MODELS, "SD 1.5 / SD 2.x"),
    **dict.fromkeys(("SDXL", "SDXL inpainting", "SSD-1B", "Segmind Vega"), "SDXL"),
    "KOALA 700M": "KOALA",
    "SDXL refiner": None,
    "x4 upscaler": None,
}
TUNERS = {name: LAYOUTS[name] for name in ("SD 1.5", "SDXL", "KOALA 700M", "SDXL refiner")}


@pytest.mark.parametrize("kind", ["sc", "csc"])
@pytest.mark.parametrize("tuner", TUNERS)
@pytest.mark.parametrize("model", MODELS)
def test_a_tuner_fits_the_models_that_have_its_skips_and_names_both_families_for_others(tuner, model, kind):
    spec = getattr(TunerSpec, kind)(TUNERS[tuner])
    if LAYOUTS[model].channels == TUNERS[tuner].channels:
        spec.check_fits(LAYOUTS[model], "mine")
        return
    with pytest.raises(SCEditError, match="'mine' was made for ") as caught:
        spec.check_fits(LAYOUTS[model], "mine")
    made, has = str(caught.value).split("but this model is")
    for name, sentence in ((tuner, made), (model, has)):
        if FAMILY[name]:
            words = {FAMILY[name], LAYOUTS[name].base}
            # the family first, then its numbers
            assert any(word and f" {word} with skips (" in sentence for word in words), sentence
        else:
            assert "SD" not in sentence
            assert " a U-Net with skips (" in sentence


def test_the_skips_of_a_few_blocks_name_all_families_that_have_them():
    assert TunerSpec("sc", {0: 1280}, {0: 4}).families == ["SD 1.5 / SD 2.x", "SDXL", "KOALA"]
    assert TunerSpec("sc", {3: 1280, 11: 320}, {3: 4, 11: 4}).families == ["SD 1.5 / SD 2.x"]
    few = TunerSpec("sc", {0: 1280, 1: 1280}, {0: 4, 1: 4})
    assert few.describe() == "SD 1.5 / SD 2.x or SDXL with skips (1280, 1280)"


WORDS = [
    ({"modelspec.architecture": "stable-diffusion-v1/scedit"}, {}, "SD 1.5"),
    ({"modelspec.architecture": "stable-diffusion-v2-768-v/scedit"}, {}, "SD 2.x"),
    ({"modelspec.architecture": "stable-diffusion-xl-v1-base/scedit"}, {}, None),
    ({"scedit.base": "SD20"}, {}, "SD 2.x"),
    ({"scedit.base": "SD15_instructpix2pix"}, {}, "SD 1.5"),
    ({"ss_base_model_version": "sd_v1"}, {}, "SD 1.5"),
    ({"scedit.family": "SD 2.x", "modelspec.architecture": "stable-diffusion-v1"}, {}, "SD 2.x"),
    ({}, {"BASE_MODEL": "SD2.1"}, "SD 2.x"),
    ({}, {"CONTROL_MODEL": {"NAME": "CSCTuners"}, "MODEL": {"PRETRAINED": ["sd-v1-5.ckpt"]}}, "SD 1.5"),
    ({}, {"NAME": "SD1.5 or SD2.1"}, None),
    ({}, {"PRE_HINT_OUT_CHANNELS": 256, "SCALE": 1.0}, None),
]


@pytest.mark.parametrize(("metadata", "config", "base"), WORDS)
def test_the_words_of_a_file_tell_sd_1_from_sd_2(metadata, config, base):
    assert stated_base(metadata, config) == base


def write(folder, metadata=None, config=None):
    """An SC-Tuner of SD's size and small ranks, with these words."""
    tuners = build_tuners(TunerSpec.sc(LAYOUTS["SD 1.5"], 160))
    state = {key.replace("tuners.", "lsc_identity."): t for key, t in tuners.state_dict().items()}
    named = {
        key.replace(".down.", ".tuner_op.ln1.").replace(".up.", ".tuner_op.ln2."): tensor
        for key, tensor in state.items()
    }
    save_file(named, folder / "style.safetensors", metadata)
    if config is not None:
        (folder / "configuration.json").write_text(json.dumps(config))
    return folder / "style.safetensors"


def test_a_file_that_says_sd_2_does_not_fit_sd_1_and_keeps_saying_so_when_saved(tmp_path):
    file = write(tmp_path, config={"BASE_MODEL": "SD2.1"})
    checkpoint = read_checkpoint(file)
    assert checkpoint.spec.families == ["SD 2.x"]
    assert checkpoint.notes == ()
    save(build_tuners(checkpoint.spec), tmp_path / "again.safetensors")
    for spec in (checkpoint.spec, read_checkpoint(tmp_path / "again.safetensors").spec):
        for model in ("SD 2.0 and 2.1", "SD 2.0 inpainting", "unCLIP", "SVD"):
            spec.check_fits(LAYOUTS[model], "style")
        for model in ("SD 1.5", "SD 1.5 instruct"):
            with pytest.raises(
                SCEditError, match=r"made for SD 2\.x with skips .*, but this model is SD 1\.5 "
            ):
                spec.check_fits(LAYOUTS[model], "style")


def test_a_file_that_does_not_say_loads_into_both_and_a_note_says_so(tmp_path):
    checkpoint = read_checkpoint(write(tmp_path))
    assert len(checkpoint.notes) == 1
    assert "SD 1.5 and SD 2.x have the same skips" in checkpoint.notes[0]
    for model in ("SD 1.5", "SD 2.0 and 2.1", "SVD"):
        checkpoint.spec.check_fits(LAYOUTS[model], "style")


def test_the_description_of_a_file_has_every_fact(golden, tmp_path):
    layout = SkipLayout.from_channels((1280, 640, 640, 320, 320, 320))
    encoder = EncoderSize(3, StemSize(0.5, 16))
    tuners = build_tuners(TunerSpec.csc(layout, 160, encoder=encoder), dtype=torch.float16)
    save(tuners, tmp_path / "control.safetensors", {"modelspec.title": "Edges\nof things", "a": "b" * 999})
    lines = describe_checkpoint(read_checkpoint(tmp_path / "control.safetensors")).splitlines()
    facts = dict(line.split(": ", 1) for line in lines)
    assert facts["kind"] == "CSC-Tuner (control)"
    assert facts["made for"] == "KOALA"
    assert facts["tuner op"] == "adapter"
    assert facts["skips (width > rank)"].startswith("0: 1280 > 8, 1: 640 > 4")
    assert facts["hint encoder"] == "k = 3, stem 3 8 8 16 16 48 48 16"
    count = sum(weights.numel() for weights in tuners.parameters())
    assert facts["parameters"] == f"{count:,} (float16)"
    assert facts["file"].endswith("SCEdit CSC-Tuner")
    assert len(facts["SHA-256"]) == 64
    assert facts["modelspec.title"] == "Edges of things"
    assert len(facts["a"]) < 400
    scale = describe_checkpoint(read_checkpoint(golden.tuner("csc_s07")))
    assert "SCALE in configuration.json: 0.7 (not applied" in scale


def test_untrained_controls_are_made_with_the_stems_of_the_published_ones():
    assert published_stem(LAYOUTS["SDXL"]) == StemSize(2.0, 320)
    assert published_stem(LAYOUTS["SD 1.5"]) == published_stem(LAYOUTS["KOALA 700M"]) == StemSize(1.0, 256)

"""Which skips a U-Net has, read from its config or guessed from widths alone."""

import pytest

from scedit_core import SCEditError, SkipLayout, TunerSpec


def unet(width: int, mults: list[int], res_blocks: int | list[int]) -> dict:
    """The part of an LDM U-Net config that decides its skips."""
    return {"model_channels": width, "channel_mult": mults, "num_res_blocks": res_blocks}


SD = unet(320, [1, 2, 4, 4], [2, 2, 2, 2])
SDXL = unet(320, [1, 2, 4], [2, 2, 2])

# config, channels in output order, blocks whose skip lies behind a halving
EQUAL_LEVELS = {
    "sd": (SD, (1280,) * 5 + (640,) * 3 + (320,) * 4, {2, 5, 8}),
    "sdxl": (SDXL, (1280,) * 2 + (640,) * 3 + (320,) * 4, {2, 5}),
    "koala": (unet(320, [1, 2, 4], [1, 1, 1]), (1280, 640, 640, 320, 320, 320), {1, 3}),
    "wide_start": (unet(32, [2, 4], 2), (128, 128, 64, 64, 64, 32), {2}),
    "flat": (unet(32, [1, 1, 2, 2], 2), (64,) * 5 + (32,) * 7, {2, 5, 8}),
}
UNEQUAL_LEVELS = {
    "thick_middle": (unet(32, [1, 2, 4], [1, 2, 1]), (128, 64, 64, 64, 32, 32, 32), {1, 4}),
    "thin_middle": (unet(32, [1, 2, 4], [2, 1, 2]), (128, 128, 64, 64, 32, 32, 32, 32), {2, 4}),
}
ALL = {**EQUAL_LEVELS, **UNEQUAL_LEVELS}


def halvings(layout: SkipLayout) -> set[int]:
    """Blocks whose skip lies behind a halving."""
    return {block for block, stride in enumerate(layout.strides) if stride == 2}


@pytest.mark.parametrize("name", ALL)
def test_a_config_tells_widths_and_halvings_of_every_skip(name):
    config, channels, halved = ALL[name]
    layout = SkipLayout.from_unet_config(config)
    assert layout.channels == channels
    assert halvings(layout) == halved
    assert set(layout.strides) <= {1, 2}


@pytest.mark.parametrize("name", EQUAL_LEVELS)
def test_one_number_of_res_blocks_counts_for_every_level(name):
    config, *_ = EQUAL_LEVELS[name]
    count = config["num_res_blocks"]
    once = {**config, "num_res_blocks": count if isinstance(count, int) else count[0]}
    each = {**config, "num_res_blocks": [once["num_res_blocks"]] * len(config["channel_mult"])}
    assert SkipLayout.from_unet_config(once) == SkipLayout.from_unet_config(each)


@pytest.mark.parametrize("name", ["sd15_6skip", "sd15_12skip"])
def test_the_golden_unets_have_the_skips_that_the_authors_recorded(golden, name):
    entry = golden.index["unets"][name]
    layout = SkipLayout.from_unet_config(entry["comfyui_unet_config"])
    assert list(layout.channels) == entry["output_skip_chans"]
    assert [stride == 2 for stride in reversed(layout.strides)] == entry["input_down_flag"]
    assert SkipLayout.from_channels(entry["output_skip_chans"]) == layout


@pytest.mark.parametrize("name", EQUAL_LEVELS)
def test_widths_alone_tell_the_halvings_of_unets_with_equal_levels(name):
    config, channels, _ = EQUAL_LEVELS[name]
    assert SkipLayout.from_channels(channels) == SkipLayout.from_unet_config(config)


@pytest.mark.parametrize(
    "channels",
    [
        *(channels for _, channels, _ in UNEQUAL_LEVELS.values()),
        (11, 7, 5),
        (320,),
        (),
    ],
)
def test_widths_that_no_equal_levels_make_are_refused(channels):
    with pytest.raises(SCEditError, match=r"equal levels.*configuration\.json"):
        SkipLayout.from_channels(channels)


@pytest.mark.parametrize(
    "config",
    [
        {"image_model": "flux", "in_channels": 16, "hidden_size": 3072, "depth": 19},
        {**SD, "channel_mult": None},
        {},
    ],
)
def test_a_model_without_skips_is_refused_and_the_remedy_named(config):
    with pytest.raises(SCEditError, match=r"no U-Net skip connections.*channel_mult.*load an SD 1\.5"):
        SkipLayout.from_unet_config(config)


def test_a_tuner_for_another_family_is_refused_with_both_skip_lists():
    sd, sdxl = SkipLayout.from_unet_config(SD), SkipLayout.from_unet_config(SDXL)
    for made_for, applied_to in ((sd, sdxl), (sdxl, sd)):
        for spec in (TunerSpec.sc(made_for), TunerSpec.csc(made_for)):
            with pytest.raises(SCEditError) as caught:
                spec.check_fits(applied_to, "style.bin")
            said = str(caught.value)
            for layout, family in ((sd, "SD 1.5 / SD 2.x"), (sdxl, "SDXL")):
                assert f"{family} with skips {layout.channels}" in said
            assert said.startswith("'style.bin' was made for ")


def test_a_tuner_of_some_blocks_fits_where_those_have_its_widths():
    sd = SkipLayout.from_unet_config(SD)
    TunerSpec.sc(sd, blocks=(0, 1, 8)).check_fits(sd, "few.bin")
    TunerSpec.sc(sd, blocks=(0, 1, 8)).check_fits(SkipLayout.from_unet_config(SDXL), "few.bin")
    with pytest.raises(SCEditError, match=r"made for SD 1.5 / SD 2.x with skips \{0: 1280, 11: 320\}"):
        TunerSpec.sc(sd, blocks=(0, 11)).check_fits(SkipLayout.from_unet_config(SDXL), "few.bin")


def test_a_control_that_halves_elsewhere_is_refused():
    layout = SkipLayout.from_unet_config(SD)
    moved = SkipLayout(layout.channels, (*layout.strides[1:], 1))
    with pytest.raises(SCEditError, match=r"before skips \[1, 4, 7\].*before skips \[2, 5, 8\]"):
        TunerSpec.csc(moved).check_fits(layout, "control.bin")

"""Sizes that must come out exactly: the paper's parameter counts and the authors' full-size key lists."""

import json
from itertools import pairwise
from math import prod

import pytest
import torch

from scedit_core import EncoderSize, SkipLayout, TunerSpec, build_tuners
from scedit_core.files.checkpoint import infer_spec
from scedit_core.files.layouts import detect_format
from scedit_core.spec import SD_STEM, SDXL_STEM, StemSize

SD = SkipLayout((1280,) * 5 + (640,) * 3 + (320,) * 4, (1, 1, 2) * 3 + (1, 1, 1))
SDXL = SkipLayout((1280,) * 2 + (640,) * 3 + (320,) * 4, (1, 1, 2) * 2 + (1, 1, 1))


@pytest.fixture(scope="module")
def manifests(golden) -> dict:
    """Keys and shapes of full-size tuners, by model family."""
    return json.loads(golden.path("manifests.json").read_text(encoding="utf-8"))


def parameters(spec: TunerSpec) -> int:
    """Number of weights of a tuner set, built without memory for them."""
    return sum(p.numel() for p in build_tuners(spec, device=torch.device("meta")).parameters())


def csc_parameters(layout: SkipLayout, kernel: int, stem: StemSize) -> int:
    """Number of weights of a CSC-Tuner of ratio 1, from the figure in the paper."""
    stem_convs = sum(after * (before * 9 + 1) for before, after in pairwise(stem.widths))
    path = (stem.widths[-1], *reversed(layout.channels))
    dense_convs = sum(after * (before * kernel**2 + 1) for before, after in pairwise(path))
    return stem_convs + dense_convs + sum(2 * width * (width + 1) for width in layout.channels)


@pytest.mark.parametrize(
    ("layout", "ratio", "blocks", "expected"),
    [
        (SD, 1, None, 19_680_000),
        (SD, 5, None, 3_943_680),
        (SD, 10, None, 1_976_640),
        (SD, 1, (0, 11), 3_484_800),
        (SD, 1, (0, 3, 6, 9, 11), 7_790_080),
        (SDXL, 1, None, 9_841_920),
    ],
)
def test_sc_tuners_have_the_papers_number_of_weights(layout, ratio, blocks, expected):
    assert parameters(TunerSpec.sc(layout, ratio, blocks)) == expected


@pytest.mark.parametrize(
    ("layout", "stem", "kernel", "expected"),
    [
        (SD, SD_STEM, 1, 28_824_400),
        (SD, SD_STEM, 3, 99_111_760),
        (SDXL, SDXL_STEM, 1, 14_800_480),
        (SDXL, SDXL_STEM, 3, 45_930_080),
    ],
)
def test_csc_tuners_have_the_papers_number_of_weights(layout, stem, kernel, expected):
    assert parameters(TunerSpec.csc(layout, encoder=EncoderSize(kernel, stem))) == expected
    assert csc_parameters(layout, kernel, stem) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (TunerSpec.sc(SD, 8, op="conv"), 22_129_200),
        (TunerSpec.csc(SD, blocks=(0, 3, 4, 6, 7, 9, 11)), 17_139_280),
        (TunerSpec.csc(SD, encoder=EncoderSize(is_dual=True)), 37_821_136),
    ],
    ids=["conv op", "indexes", "dual conv"],
)
def test_the_papers_variants_have_its_number_of_weights(spec, expected):
    assert parameters(spec) == expected


@pytest.mark.parametrize("name", ["sc_full", "sc_r01", "sc12_layers"])
def test_ranks_are_rounded_down_as_the_authors_round(golden, name):
    entry = golden.index["tuners"][name]
    layout = SkipLayout.from_channels(golden.index["unets"][entry["unet"]]["output_skip_chans"])
    blocks = entry["use_layers"] and tuple(entry["use_layers"])
    ranks = TunerSpec.sc(layout, 1 / entry["down_ratio"], blocks).ranks
    assert ranks == {int(block): rank for block, rank in entry["hidden_dims"].items()}


def test_stems_have_the_published_widths():
    assert SD_STEM.widths == (3, 16, 16, 32, 32, 96, 96, 256)
    assert SDXL_STEM.widths == (3, 32, 32, 64, 64, 192, 192, 320)


@pytest.mark.parametrize("family", ["sd15", "sd21", "sdxl"])
@pytest.mark.parametrize("listing", ["sc_scepter_keys", "sc_swift_keys", "csc_published_keys"])
def test_full_size_files_are_understood_from_keys_and_shapes(manifests, family, listing):
    manifest = manifests[family]
    shapes = manifest[listing]
    detected = detect_format(shapes)
    spec = infer_spec({detected.canonical(key): tuple(shape) for key, shape in shapes.items()})
    assert spec.kind == listing[: listing.index("_")]
    assert spec.channels == dict(enumerate(manifest["sc_dims"]))
    assert spec.ranks == spec.channels
    assert parameters(spec) == sum(map(prod, shapes.values()))
    if spec.hint is not None:
        assert spec.hint.features == tuple(manifest["sc_dims"])
        assert [stride == 2 for stride in reversed(spec.hint.strides)] == manifest["input_down_flag"]
        assert spec.hint.kernel == manifest["csc_config"]["DENSE_HINT_KERNAL"]


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("sd15", TunerSpec.csc(SD, encoder=EncoderSize(3))),
        ("sd21", TunerSpec.csc(SD, encoder=EncoderSize(3))),
        ("sdxl", TunerSpec.csc(SDXL, encoder=EncoderSize(3, SDXL_STEM))),
    ],
)
def test_a_published_control_is_the_one_that_we_would_make(manifests, family, expected):
    shapes = manifests[family]["csc_published_keys"]
    detected = detect_format(shapes)
    assert infer_spec({detected.canonical(key): tuple(shape) for key, shape in shapes.items()}) == expected

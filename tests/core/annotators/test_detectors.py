"""Hints that nets find: the same as controlnet-aux's on the same weights, and every edge in its place."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from detector_tools import SIZES, GlassDepth, GlassHED, GlassSegmentation, offset, scene, weight_file
from support import REPOSITORY

from scedit_core import SCEditError
from scedit_core.annotators.nets import weights as w
from scedit_core.annotators.nets.depth import build_depth, depth, depth_all
from scedit_core.annotators.nets.hed import build_hed, hed, hed_all
from scedit_core.annotators.nets.segmentation import build_segmentation, segmentation, segmentation_all
from scedit_core.annotators.nets.sizing import Look


@pytest.fixture(scope="module")
def hed_net(net_weights):
    """HED with random weights."""
    return build_hed(weight_file(net_weights, w.HED_WEIGHTS.name))


@pytest.fixture(scope="module")
def depth_net(net_weights):
    """MiDaS with random weights."""
    return build_depth(weight_file(net_weights, w.DEPTH_WEIGHTS.name))


@pytest.fixture(scope="module")
def segmentation_net(net_weights):
    """UperNet with random weights."""
    return build_segmentation(weight_file(net_weights, w.SEGMENTATION_WEIGHTS.name))


FUNCTIONS = {"hed": hed, "depth": depth, "segmentation": segmentation}
GLASS = {"hed": GlassHED, "depth": GlassDepth, "segmentation": GlassSegmentation}


@pytest.fixture(params=FUNCTIONS)
def dense(request):
    """Each annotator that says something of every pixel."""
    net = request.getfixturevalue(f"{request.param}_net")
    return lambda photo, **settings: FUNCTIONS[request.param](photo, net, **settings)


@pytest.fixture(params=FUNCTIONS)
def glass(request):
    """The same with nets that one can look through: what a map shows is where the photo has it."""
    net = GLASS[request.param]().requires_grad_(False)
    return lambda photo, **settings: FUNCTIONS[request.param](photo, net, **settings)


def test_hed_is_controlnet_auxs_and_inverted_by_default(hed_net):
    from controlnet_aux import HEDdetector

    photo = scene(64, 128)
    theirs = HEDdetector(hed_net)(photo, detect_resolution=64, image_resolution=64, output_type="np")
    assert theirs.std() > 5
    assert np.array_equal(hed(photo, hed_net, white_on_black=True), theirs)
    assert np.array_equal(hed(photo, hed_net), 255 - theirs)


def test_depth_is_controlnet_auxs(depth_net):
    from controlnet_aux import MidasDetector

    photo = scene(64, 128)
    theirs = MidasDetector(depth_net)(photo, detect_resolution=64, image_resolution=64)
    assert theirs.std() > 5
    assert np.array_equal(depth(photo, depth_net), theirs)
    assert (theirs.min(), theirs.max()) == (0, 255)


def test_segmentation_is_that_of_transformers_in_the_colours_of_controlnet_aux(segmentation_net):
    from controlnet_aux.util import ade_palette
    from transformers import SegformerImageProcessor

    photo = scene(64, 96)
    processor = SegformerImageProcessor(do_resize=False)
    output = segmentation_net(**processor(images=photo, return_tensors="pt"))
    labels = processor.post_process_semantic_segmentation(output, target_sizes=[(64, 96)])[0]
    assert len(labels.unique()) > 3
    theirs = np.array(ade_palette(), np.uint8)[labels.numpy()]
    assert (segmentation(photo, segmentation_net, resolution=0) == theirs).all(axis=-1).mean() > 0.999


@pytest.mark.parametrize("resolution", [0, 256])
@pytest.mark.parametrize("size", SIZES)
def test_a_mirrored_photo_gives_the_mirrored_map(glass, size, resolution):
    photo = scene(*size)
    there = glass(photo, resolution=resolution)
    back = glass(np.ascontiguousarray(photo[:, ::-1]), resolution=resolution)[:, ::-1]
    assert there.shape == photo.shape
    assert there.dtype == np.uint8
    assert (np.abs(there.astype(int) - back) <= 1).mean() > 0.999  # rounded down from one side or the other


@pytest.mark.parametrize("resolution", [0, 256])
@pytest.mark.parametrize("size", SIZES)
def test_a_shifted_photo_gives_the_shifted_map(glass, size, resolution):
    wide = scene(size[0], size[1] + 20)
    left = glass(np.ascontiguousarray(wide[:, 20:]), resolution=resolution)
    right = glass(np.ascontiguousarray(wide[:, :-20]), resolution=resolution)
    assert offset(left, right) == 20


@pytest.mark.parametrize("size", SIZES)
def test_all_maps_have_an_edge_where_the_photo_has_it(glass, size):
    height, width = size
    for edge in (width // 3, round(0.8 * width)):
        photo = np.full((height, width, 3), 20, np.uint8)
        photo[:, edge:] = 235
        row = glass(photo)[height // 2].astype(float).sum(axis=-1)
        middle = (row[:8].mean() + row[-8:].mean()) / 2
        crossing = np.flatnonzero(np.diff(row > middle))
        assert len(crossing) == 1
        assert abs(int(crossing[0]) + 1 - edge) <= 1


def test_the_real_net_mirrors_what_is_mirrored(hed_net):
    photo = scene(65, 97)
    there, back = hed(photo, hed_net), hed(np.ascontiguousarray(photo[:, ::-1]), hed_net)[:, ::-1]
    assert there.std() > 5
    assert np.abs(there.astype(int) - back).max() <= 1


@pytest.mark.parametrize("size", [(8, 8), (8, 40), (1, 1), (1, 3), (65, 7), (1200, 1000)])
def test_photos_of_every_size_have_maps_of_their_size(glass, size):
    assert glass(np.zeros((*size, 3), np.uint8), resolution=min(64, *size)).shape == (*size, 3)


def test_tiny_photos_pass_through_the_real_nets(dense):
    assert dense(scene(8, 8), resolution=0).shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("one", "together", "net"),
    [
        (hed, hed_all, GlassHED),
        (depth, depth_all, GlassDepth),
        (segmentation, segmentation_all, GlassSegmentation),
    ],
)
def test_photos_that_a_net_sees_together_give_what_each_gives_alone(one, together, net):
    photos = np.stack([scene(64, 97), scene(80, 97)[16:], np.zeros((64, 97, 3), np.uint8)])
    net = net().requires_grad_(False)
    alone = [one(photo, net, resolution=32) for photo in photos]
    assert np.array_equal(together(photos, net, resolution=32), np.stack(alone))


def test_flat_photos_are_no_error():
    assert depth(np.zeros((64, 64, 3), np.uint8), GlassDepth()).shape == (64, 64, 3)


def test_the_same_photo_gives_the_same_map_twice_and_stays_as_it_is(hed_net):
    photo = scene(40, 64)
    before = photo.copy()
    assert np.array_equal(hed(photo, hed_net, resolution=32), hed(photo, hed_net, resolution=32))
    assert np.array_equal(photo, before)


@pytest.mark.parametrize(
    ("look", "photo", "resolution", "size"),
    [
        (Look(16, 0), (333, 1001), 0, (336, 1008)),
        (Look(64, 0, most=1024), (4096, 4096), 0, (1024, 1024)),
        (Look(64, 0, most=1024), (333, 1001), 0, (320, 1024)),
        (Look(64, 0, most=1024), (4096, 4096), 2048, (2048, 2048)),
        (Look(32, 0), (1001, 333), 512, (1536, 512)),
        (Look(64, 0), (8, 8), 0, (64, 64)),
    ],
)
def test_the_short_side_is_the_resolution_and_both_are_multiples(look, photo, resolution, size):
    assert look.size(*photo, resolution) == size


def test_a_resolution_is_not_negative(hed_net):
    with pytest.raises(SCEditError, match="short side"):
        hed(scene(16, 16), hed_net, resolution=-1)


BROKEN = {
    "other weights": (lambda good: {"a.weight": torch.zeros(1)}, ["holds other weights", "a.weight"]),
    "one missing": (lambda good: dict(list(good.items())[1:]), ["missing: norm"]),
    "one too many": (lambda good: {**good, "more": torch.zeros(1)}, ["unknown: more"]),
    "other size": (lambda good: {**good, "norm": torch.zeros(3)}, ["other sizes", "norm"]),
    "no numbers": (lambda good: {**good, "norm": good["norm"].to("meta")}, ["refused", "meta_tensor"]),
    "whole numbers": (lambda good: {**good, "norm": good["norm"].int()}, ["no numbers", "norm"]),
    "no tensors": (lambda good: {"norm": subprocess.Popen}, ["refused"]),
}


@pytest.mark.parametrize(("change", "words"), BROKEN.values(), ids=BROKEN.keys())
def test_a_file_with_other_content_is_refused_with_words(net_weights, tmp_path, change, words):
    good = torch.load(weight_file(net_weights, w.HED_WEIGHTS.name), weights_only=True)
    torch.save(change(good), tmp_path / "ControlNetHED.pth")
    with pytest.raises(SCEditError) as caught:
        build_hed(tmp_path / "ControlNetHED.pth")
    assert all(word in str(caught.value) for word in ["ControlNetHED.pth", *words]), str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_torn_file_is_refused(net_weights, tmp_path):
    whole = weight_file(net_weights, w.HED_WEIGHTS.name).read_bytes()
    (tmp_path / "torn.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SCEditError, match=r"torn\.pth.*truncated"):
        build_hed(tmp_path / "torn.pth")


ABSENT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {'controlnet_aux', 'transformers'}:
            raise ModuleNotFoundError(f'No module named {name!r}')
sys.meta_path.insert(0, Absent())
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from scedit_core import SCEditError
from scedit_core.annotators.nets import depth, hed, pose, segmentation
for build in (hed.build_hed, depth.build_depth, pose.build_pose, segmentation.build_segmentation):
    try:
        build(Path('x'))
    except SCEditError as error:
        print(error)
"""


def test_without_the_libraries_there_is_one_sentence_with_the_remedy():
    command = [sys.executable, "-c", ABSENT, str(REPOSITORY)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    sentences = run.stdout.splitlines()
    assert len(sentences) == 4
    for sentence, package in zip(sentences, [*["controlnet-aux"] * 3, "transformers"], strict=True):
        assert sentence.startswith(f"{package} cannot be imported (No module named")
        assert f"pip install -U {package}" in sentence
    assert run.stderr == ""

"""A folder becomes latents, captions and hints of ComfyUI's own kinds."""

import os

import comfy.model_management
import comfy.sd
import folder_paths
import numpy as np
import pytest
import torch
from PIL import Image

WIDE, TALL = (192, 64), (64, 192)


@pytest.fixture
def pictures(tmp_path):
    """An input folder with two captioned pictures and their hints."""
    before = folder_paths.get_input_directory()
    folder_paths.set_input_directory(str(tmp_path))
    folder = tmp_path / "set" / "cats"
    (folder / "hints").mkdir(parents=True)
    for name, size in {"img10": WIDE, "img2": TALL}.items():
        pixels = np.random.default_rng(size).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
        Image.fromarray(pixels).save(folder / "hints" / f"{name}.png")
        (folder / f"{name}.txt").write_text(f"the (very: 1.5) {name}")
    yield folder
    folder_paths.set_input_directory(before)


@pytest.fixture
def node(nodes):
    """The folder node."""
    return nodes["SCEditTrainingFolder"]


def read(node, checkpoint, **widgets):
    """All outputs."""
    given = {"folder": "set/cats", "resolution": 128, "trigger": "<sce>", **widgets}
    with torch.inference_mode():
        return node.execute(**given, **checkpoint)


def test_lists_are_aligned_and_have_the_pictures_sizes(node, checkpoint, pictures):
    result = read(node, checkpoint, hint="from folder")
    latents, positive, empty, hints, report = result.args
    assert [latent["samples"].shape for latent in latents] == [(1, 4, 24, 8), (1, 4, 8, 24)]
    assert [tuple(hint.shape) for hint in hints] == [(1, 192, 64, 3), (1, 64, 192, 3)]
    for latent, hint in zip(latents, hints, strict=True):
        # each picture is its own hint here
        assert torch.equal(checkpoint["vae"].encode(hint), latent["samples"])
    assert len(positive) == 2
    assert len(empty) == 1
    assert report.startswith("2 pictures\nsizes: 64 x 192: 1, 192 x 64: 1\n")
    assert result.ui.as_dict() == {"text": (report,)}


def test_captions_are_encoded_with_the_trigger_and_their_brackets(node, checkpoint, pictures):
    _, positive, empty, hints, _ = read(node, checkpoint).args
    assert hints == []
    clip = checkpoint["clip"]
    with torch.inference_mode():
        # as ComfyUI writes brackets that are no weights
        text = r"<sce> the \(very: 1.5\) img2"
        plain = clip.encode_from_tokens_scheduled(clip.tokenize(text))
        nothing = clip.encode_from_tokens_scheduled(clip.tokenize(""))
    assert torch.equal(positive[0][0][0], plain[0][0])
    assert not torch.equal(positive[0][0][0], positive[1][0][0])
    assert torch.equal(empty[0][0], nothing[0][0])
    assert "width" not in empty[0][1]


def test_captions_carry_what_sdxl_is_told_of_a_picture(node, checkpoint, pictures):
    _, positive, _, _, _ = read(node, checkpoint, buckets=False, resolution=64).args
    sizes = ("width", "height", "crop_w", "crop_h", "target_width", "target_height")
    assert [tuple(entry[0][1][name] for name in sizes) for entry in positive] == [
        (64, 192, 0, 64, 64, 64),
        (192, 64, 64, 0, 64, 64),
    ]


def test_hints_are_drawn_at_the_size_of_the_crop(node, checkpoint, pictures):
    pytest.importorskip("cv2")
    _, _, _, hints, _ = read(
        node, checkpoint, hint="canny", hint_variants=3, buckets=False, resolution=64
    ).args
    assert [tuple(hint.shape) for hint in hints] == [(3, 64, 64, 3), (3, 64, 64, 3)]
    assert set(hints[0].unique().tolist()) == {0.0, 1.0}


DRAWN = ("canny", "color", "masked image", "sketch")
SHORT = {
    "steps": 1, "batch_size": 1, "accumulation": 1, "learning_rate": 1e-3, "seed": 0, "tuner_op": "adapter",
    "ratio": 1.0, "kernel": 1, "stem_ratio": 0.25, "hint_channels": 16, "memory": "full speed",
}  # fmt: skip


def test_every_kind_of_drawn_hint_teaches_a_control_of_its_own(
    nodes, node, model, checkpoint, pictures, tmp_path
):
    pytest.importorskip("cv2")
    before = folder_paths.get_output_directory()
    folder_paths.set_output_directory(str(tmp_path / "output"))
    caption = [[torch.zeros(1, 7, model.model.model_config.unet_config["context_dim"]), {}]]
    learnt = set()
    for kind in DRAWN:
        drawn = {"hint": kind, "hint_variants": 2, "buckets": False, "resolution": 64}
        latents, _, _, hints, report = read(node, checkpoint, **drawn).args
        assert f"hints: {kind}, 2 per picture" in report
        data = {"model": [model], "latents": latents, "positive": [caption], "hints": {"hint0": hints}}
        widgets = {name: [value] for name, value in ({"name": kind} | SHORT).items()}
        with torch.inference_mode():
            control, *_ = nodes["SCEditTrainCSCTuner"].execute(**data, **widgets).args
        weights = control.patcher.model.state_dict()
        assert all(value.isfinite().all() for value in weights.values())
        learnt.add(b"".join(value.float().numpy().tobytes() for value in weights.values()))
    folder_paths.set_output_directory(before)
    assert len(learnt) == len(DRAWN)


def test_the_node_offers_every_kind_that_is_drawn(node):
    (options,) = (i.options for i in node.define_schema().inputs if i.id == "hint")
    assert options == ["none", *DRAWN, "from folder"]


def test_the_fingerprint_changes_with_every_file(node, pictures):
    seen = [node.fingerprint_inputs(folder="set/cats", vae=None, clip=None, hint="from folder")]
    without_hints = node.fingerprint_inputs(folder="set/cats")

    def expect_change():
        seen.append(node.fingerprint_inputs(folder="set\\cats", hint="from folder"))
        assert len(set(seen)) == len(seen)

    assert node.fingerprint_inputs(folder="set/cats", hint="from folder") == seen[0]
    (pictures / "hints" / "img2.png").touch()
    expect_change()
    assert node.fingerprint_inputs(folder="set/cats") == without_hints  # of what it does not read
    (pictures / "img2.txt").write_text("another caption")
    expect_change()
    os.utime(pictures / "img2.png", ns=(1, 1))
    expect_change()
    (pictures / "hints" / "img2.png").rename(pictures / "hints" / "img3.png")
    expect_change()
    (pictures / "img10.png").unlink()
    expect_change()


def test_folders_are_found_in_the_input_folder_and_in_the_users_places(node, pictures, tmp_path, monkeypatch):
    for place in ("mine/dogs 2", "mine/dogs 10", "mine/empty"):
        (tmp_path / "elsewhere" / place).mkdir(parents=True)
    for place in ("mine/dogs 2", "mine/dogs 10"):
        Image.new("RGB", (64, 64)).save(tmp_path / "elsewhere" / place / "a.JPG")
    folder_paths.set_input_directory(str(pictures.parents[1] / "set"))
    places = ([str(tmp_path / "elsewhere")], set())
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "scedit_datasets", places)
    (options,) = (i.options for i in node.define_schema().inputs if i.id == "folder")
    assert options == ["cats", "cats/hints", "mine/dogs 2", "mine/dogs 10"]
    assert all(node.validate_inputs(folder=name) is True for name in options)
    assert node.validate_inputs(folder="mine\\dogs 2") is True


@pytest.mark.parametrize("name", ["../set", "/etc", "C:\\Windows", "set/../..", "gone", "."])
def test_folders_that_are_not_there_are_refused_before_the_run(node, pictures, name):
    assert "folder" in node.validate_inputs(folder=name)


def test_cancel_stops_between_pictures(node, checkpoint, pictures):
    comfy.model_management.interrupt_current_processing()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        read(node, checkpoint)

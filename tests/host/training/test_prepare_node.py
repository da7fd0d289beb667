"""Prepare Dataset in a real ComfyUI: what the VAE and the nets make of pictures, and what users are told."""

from __future__ import annotations

import shutil

import comfy.model_management
import comfy.sd
import folder_paths
import numpy as np
import pytest
import torch
from detector_tools import weight_file
from host_tools import run
from PIL import Image

WIDE, TALL = (192, 64), (64, 192)
GIVEN = {"folder": "set/cats", "name": "cats", "resolution": 128, "buckets": True, "trigger": "<sce>"}


@pytest.fixture
def pictures(tmp_path):
    """An input folder with captioned pictures, one of them a folder deeper."""
    before = folder_paths.get_input_directory()
    folder_paths.set_input_directory(str(tmp_path / "input"))
    folder = tmp_path / "input" / "set" / "cats"
    (folder / "deeper").mkdir(parents=True)
    for name, size in {"img10": WIDE, "img2": TALL, "deeper/img3": TALL}.items():
        pixels = np.random.default_rng(size).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(f"the {name}")
    yield folder
    folder_paths.set_input_directory(before)


@pytest.fixture
def node(nodes):
    """The node."""
    return nodes["SCEditPrepareDataset"]


def prepare(node, checkpoint, **widgets):
    """Data set and report."""
    with torch.inference_mode():
        return node.execute(**{**GIVEN, "hint0": "none", **widgets}, **checkpoint)


def test_a_set_holds_what_the_folder_node_puts_out(nodes, node, checkpoint, pictures, output):
    pytest.importorskip("cv2")
    how = {"resolution": 128, "trigger": "<sce>", "hint_variants": 2, "seed": 5}
    result = prepare(node, checkpoint, hint0="masked image", hint1="canny", **how)
    hosted, report = result.args
    assert hosted.folder == output / "scedit_datasets" / "cats"
    assert hosted.clip is checkpoint["clip"]
    assert hosted.stored.hints == ("masked image", "canny")
    assert report.startswith("3 examples in 1 shards")
    shown = result.ui
    assert shown["text"] == (report,)
    assert len(shown["images"]) == 1
    stored = {one.caption: one for one in map(hosted.stored.read, range(3))}
    assert sorted(stored) == ["<sce> the deeper/img3", "<sce> the img10", "<sce> the img2"]
    for number, kind in enumerate(("masked image", "canny")):
        with torch.inference_mode():
            latents, positive, _, hints, _ = (
                nodes["SCEditTrainingFolder"].execute(folder="set/cats", hint=kind, **how, **checkpoint).args
            )
        for name, latent, caption, hint in zip(("img2", "img10"), latents, positive, hints, strict=True):
            one = stored[f"<sce> the {name}"]
            assert torch.equal(one.latent, latent["samples"][0].half())
            assert torch.equal(one.hints[number].float() / 255, hint.movedim(-1, 1))
            assert one.sizes.items() <= caption[0][1].items()


def test_a_second_run_encodes_nothing_and_another_vae_is_refused(pack, node, checkpoint, pictures, output):
    prepare(node, checkpoint)
    print_of = pack.nodes.training.preparing.vae_fingerprint

    class Deaf:
        """A VAE that may not be used."""

        def __init__(self, scale):
            self.device, self.latent_channels = checkpoint["vae"].device, 4
            self.first_stage_model = torch.nn.Linear(2, 2)
            state = {
                key: value * scale for key, value in checkpoint["vae"].first_stage_model.state_dict().items()
            }
            self.first_stage_model.state_dict = lambda: state

        def encode(self, _pixels):
            raise AssertionError

        decode = encode

    _, report = prepare(node, {**checkpoint, "vae": Deaf(1)}).args
    assert "added 0, unchanged 3, removed or changed 0" in report
    assert print_of(Deaf(1)) != print_of(Deaf(2))
    with pytest.raises(pack.scedit_core.SCEditError, match=r"made with VAE .*another name"):
        prepare(node, {**checkpoint, "vae": Deaf(2)})


def test_a_vae_is_the_same_in_every_precision(pack, checkpoint):
    print_of, vae = pack.nodes.training.preparing.vae_fingerprint, checkpoint["vae"]
    wanted = print_of(vae)
    for dtype in (torch.bfloat16, torch.float32):

        class Loaded:
            class first_stage_model:
                @staticmethod
                def state_dict(dtype=dtype):
                    return {k: v.to(dtype) for k, v in vae.first_stage_model.state_dict().items()}

        assert print_of(Loaded) == wanted


def test_a_net_draws_for_a_set_what_its_node_draws(pack, nodes, node, checkpoint, pictures, output):
    file = weight_file(pack.nodes.files.folders.annotator_folder(), "ControlNetHED.pth")
    stored = prepare(node, checkpoint, hint0="hed", buckets=False).args[0].stored
    for one in map(stored.read, range(3)):
        name = one.caption.removeprefix("<sce> the ")
        crop = pack.scedit_core.training.dataset.buckets.Crop((WIDE if name == "img10" else TALL), (128, 128))
        picture = pack.scedit_core.training.dataset.pictures.load_picture(pictures / f"{name}.png", crop)
        alone = run(nodes["SCEditHED"], image=torch.from_numpy(picture)[None].float() / 255)
        assert (one.hints[0].float() / 255 - alone.movedim(-1, 1)).abs().max() < 1.1 / 255  # rounded down
    comfy.model_management.unload_all_models()
    file.unlink()


def test_a_net_without_weights_is_said_before_anything_is_read(pack, node, checkpoint, pictures, output):
    with pytest.raises(pack.scedit_core.SCEditError, match=r"ControlNetHED.pth \(29 MB\) are not on this"):
        prepare(node, checkpoint, hint0="hed")
    assert not (output / "scedit_datasets").exists()


def test_all_kinds_of_sources_are_listed(node, pictures):
    root = pictures.parents[1]
    (root / "tars").mkdir()
    (root / "tars" / "0.tar").write_bytes(b"")
    (root / "tars" / "deep").mkdir()
    (root / "list.csv").write_text("path,caption\nset/cats/img2.png,a cat\n")
    (root / "empty").mkdir()
    (options,) = (i.options for i in node.define_schema().inputs if i.id == "folder")
    assert options == ["list.csv", "set", "set/cats", "set/cats/deeper", "tars"]
    assert all(node.validate_inputs(folder=name) is True for name in options)
    assert "no folder 'gone.csv'" in node.validate_inputs(folder="gone.csv")


def test_it_is_prepared_again_when_a_file_or_the_set_changes(node, checkpoint, pictures, output):
    def now(**widgets):
        return node.fingerprint_inputs(**{"folder": "set/cats", "name": "cats", "vae": None, **widgets})

    before = now()
    assert now() == before
    prepare(node, checkpoint)
    whole = now()
    assert whole != before
    (pictures / "deeper" / "img3.txt").write_text("another caption")
    assert now() != whole
    (pictures / "deeper" / "img3.txt").unlink()
    shutil.rmtree(output / "scedit_datasets")
    assert now() not in (before, whole)


def test_cancel_stops_between_pictures(node, checkpoint, pictures, output):
    comfy.model_management.interrupt_current_processing()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        prepare(node, checkpoint)
    assert "3 examples" in prepare(node, checkpoint).args[1]

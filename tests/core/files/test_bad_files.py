"""Files that are no tuners, or no whole ones: each is refused in one sentence naming it, and never run."""

import json
import pickle
import random
from io import BytesIO
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from scedit_core import SCEditError, load_checkpoint, save_checkpoint

# torch.load remarks on odd protocols and sparse tensors before it refuses them.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

# Small tuners in the authors' layouts, for a U-Net with 4 skips: conv_in, a block, a halving, a block.
INPUT_WIDTHS = (8, 8, 8, 16)
STEM = (3, 4, 4, 4, 4, 4, 4, 6)
DOWN = "lsc_identity.0.tuner_op.ln1"
CONTROL_DOWN = "lsc_tuner_blocks.0.tuner_op.ln1"


def layer(name: str, *shape: int) -> dict:
    """Weight and bias of one layer."""
    generator = torch.Generator().manual_seed(len(name))
    weight = torch.randn(*shape, generator=generator)
    return {f"{name}.weight": weight, f"{name}.bias": torch.zeros(shape[0])}


def sc_weights(prefix: str = "lsc_identity") -> dict:
    """An SC-Tuner in the layout of scepter."""
    weights = {}
    for block, width in enumerate(reversed(INPUT_WIDTHS)):
        weights |= layer(f"{prefix}.{block}.tuner_op.ln1", 4, width)
        weights |= layer(f"{prefix}.{block}.tuner_op.ln2", width, 4)
    return weights


def csc_weights() -> dict:
    """A CSC-Tuner in the layout of scepter."""
    weights = sc_weights("lsc_tuner_blocks")
    for conv in range(7):
        weights |= layer(f"pre_hint_blocks.{2 * conv}", STEM[conv + 1], STEM[conv], 3, 3)
    for block, width in enumerate(INPUT_WIDTHS):
        before = INPUT_WIDTHS[block - 1] if block else STEM[-1]
        weights |= layer(f"dense_hint_blocks.{block}.1", width, before, 1, 1)
    return weights


def refusal(path: Path, named: str | None = None) -> str:
    """What loading this file is refused with: one sentence that names the file."""
    with pytest.raises(SCEditError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert type(caught.value) is SCEditError
    assert "\n" not in message
    assert (named or path.name) in message
    return message


def message_of(path: Path) -> str:
    """What loading this file is refused with; empty if it loads."""
    try:
        load_checkpoint(path)
    except SCEditError as error:
        return str(error)
    return ""


def test_the_tuners_that_this_file_damages_load_when_whole(tmp_path):
    for name, weights in (("sc.bin", sc_weights()), ("csc.bin", csc_weights())):
        torch.save(weights, tmp_path / name)
        assert load_checkpoint(tmp_path / name).state_dict().keys()


def written(folder: Path, kind: str) -> Path:
    """A whole file, in one of the three kinds of file that tuners come in."""
    file = folder / ("tuner.safetensors" if kind == "safetensors" else "tuner.bin")
    if kind == "safetensors":
        save_file(csc_weights(), file)
    else:
        torch.save(csc_weights(), file, _use_new_zipfile_serialization=kind == "zip")
    return file


@pytest.mark.parametrize("kind", ["safetensors", "zip", "older"])
def test_a_file_cut_anywhere_is_refused(kind, tmp_path):
    file = written(tmp_path, kind)
    whole = file.read_bytes()
    assert not message_of(file)
    size = len(whole)
    near_the_end = [size - size // 4, size - 200, size - 21, size - 1]
    for cut in [1, 4, 8, 20, 64, 200, 1000, size // 4, size // 2, *near_the_end]:
        file.write_bytes(whole[:cut])
        message = refusal(file)
        assert "truncated" in message, f"cut at {cut} of {size}: {message}"


@pytest.mark.parametrize("kind", ["safetensors", "zip", "older"])
def test_flipped_bytes_load_or_are_refused_and_never_crash(kind, tmp_path):
    file = written(tmp_path, kind)
    whole, rng, messages = file.read_bytes(), random.Random(0), []
    for _ in range(30):
        damaged = bytearray(whole)
        damaged[rng.randrange(rng.choice((300, len(whole))))] ^= rng.randrange(1, 256)
        file.write_bytes(damaged)
        messages.append(message_of(file))
    assert sum(map(bool, messages)) > 10
    assert not any("\n" in message for message in messages)


@pytest.mark.parametrize("suffix", [".bin", ".safetensors", ".pt", ".SAFETENSORS"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 100,
        random.Random(1).randbytes(10),
        random.Random(2).randbytes(5000),
        b"\x80\x02}q\x00(X\xff\xff\xff",
        b"PK\x05\x06" + b"\0" * 18,
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n",
        b"<!DOCTYPE html><html>404</html>",
    ],
    ids=["empty", "zeros", "noise", "long_noise", "torn_pickle", "empty_zip", "lfs_pointer", "web_page"],
)
def test_content_that_is_no_weight_file_is_refused(content, suffix, tmp_path):
    file = tmp_path / f"tuner{suffix}"
    file.write_bytes(content)
    assert "get it" in refusal(file)


class Hostile:
    """Creates a file when it is unpickled by a loader that runs what it reads."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("kind", ["raw", "zip", "older"])
@pytest.mark.parametrize("suffix", [".bin", ".pt", ".ckpt", ".safetensors"])
def test_a_file_with_code_is_refused_and_its_code_is_not_run(kind, suffix, tmp_path):
    file, marker = tmp_path / f"tuner{suffix}", tmp_path / "marker"
    weights = {**sc_weights(), "extra": Hostile(marker)}
    if kind == "raw":
        file.write_bytes(pickle.dumps(weights))
    else:
        torch.save(weights, file, _use_new_zipfile_serialization=kind == "zip")
    message = refusal(file)
    assert not marker.exists()
    if suffix != ".safetensors":
        assert "was refused" in message
        assert "could run code" in message
    # hostile indeed: a trusting loader runs it
    content = BytesIO(file.read_bytes())
    pickle.load(content) if kind == "raw" else torch.load(content, weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"state_dict": sc_weights()}, "holds no plain dictionary of tensors"),
        ([sc_weights()], "holds no plain dictionary of tensors"),
        (torch.ones(3), "holds no plain dictionary of tensors"),
        (None, "holds no plain dictionary of tensors"),
        ({**sc_weights(), "epoch": 3}, "holds no plain dictionary of tensors"),
        ({0: torch.ones(3)}, "was refused: it holds a key that is no text"),
        ({}, "not an SCEdit tuner"),
    ],
    ids=["nested", "list", "tensor", "none", "number", "number_key", "empty"],
)
def test_a_pickle_of_anything_but_named_tensors_is_refused(content, words, tmp_path):
    torch.save(content, tmp_path / "tuner.bin")
    assert words in refusal(tmp_path / "tuner.bin")


def without(weights: dict, *parts: str) -> dict:
    """Weights less those whose key holds one of these parts."""
    return {key: value for key, value in weights.items() if not any(part in key for part in parts)}


SC, CSC = sc_weights(), csc_weights()
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


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "a folder without tuner weights; expected adapter_model.safetensors"),
        (["notes.txt", "images/a.png"], "a folder without tuner weights"),
        (["weights.bin", "configuration.json"], "or in a folder inside it, such as 0_SwiftSCETuning"),
        (["a/b/pytorch_model.bin"], "copy the whole published folder"),
    ],
    ids=["empty", "unrelated", "other_names", "too_deep"],
)
def test_a_folder_without_a_tuner_is_refused(files, words, tmp_path):
    folder = tmp_path / "canny_control"
    folder.mkdir()
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    assert words in refusal(folder)


@pytest.mark.parametrize("name", ["gone.bin", "gone.safetensors", "gone", "tuner.bin/inside", "nul\0.bin"])
def test_a_path_where_nothing_is_is_refused(name, tmp_path):
    torch.save(SC, tmp_path / "tuner.bin")
    shown = Path(name).name.replace("\0", r"\x00")
    assert "is no file or folder; choose a tuner file that exists" in refusal(tmp_path / name, shown)

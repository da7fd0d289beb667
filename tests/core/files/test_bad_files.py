"""Files that are no tuners, or no whole ones: each is refused in one sentence naming it, and never run."""

import pickle
import random
from io import BytesIO
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from small_tuners import SC, csc_weights, message_of, refusal, sc_weights

from scedit_core import load_checkpoint

# torch.load remarks on odd protocols before it refuses them.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


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

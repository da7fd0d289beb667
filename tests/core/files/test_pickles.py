"""Pickles that do more than a state dict needs are refused by the name of what they hold; real ones load."""

from __future__ import annotations

import pickle
import signal
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from io import BytesIO
from pathlib import Path

import pytest
import torch
from support import REPOSITORY

from scedit_core import SCEditError
from scedit_core.annotators.nets.loading import fill_net
from scedit_core.files.disk import read_tensors

FLOATS = b"ctorch\nFloatStorage\n"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
ORDERED = b"ccollections\nOrderedDict\n)R"


def text(word: str) -> bytes:
    """The opcode of a text."""
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def storage(key: str = "0", count: int = 64) -> bytes:
    """Opcodes of a storage of so many float32."""
    return b"(" + text("storage") + FLOATS + text(key) + text("cpu") + b"J" + struct.pack("<i", count) + b"tQ"


def tensor(*, hooks: bytes = ORDERED, more: bytes = b"", count: int = 64) -> bytes:
    """Opcodes of a tensor (4, 16)."""
    sizes = b"K\x00K\x04K\x10\x86K\x10K\x01\x86\x89"
    return REBUILD + b"(" + storage(count=count) + sizes + hooks + more + b"tR"


def state_dict(value: bytes, after: bytes = b"") -> bytes:
    """A dictionary with one entry, and what is done to it before the end."""
    return b"\x80\x02}(" + text("weight") + value + b"u" + after + b"."


def archive(content: bytes, numbers: bytes = bytes(256)) -> bytes:
    """An archive as torch.save makes one around a pickle."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as written:
        written.writestr("archive/data.pkl", content)
        written.writestr("archive/data/0", numbers)
        written.writestr("archive/version", "3\n")
    return buffer.getvalue()


def read(folder: Path, content: bytes) -> dict[str, torch.Tensor]:
    """Tensors of a file of this content."""
    file = folder / "weights.bin"
    file.write_bytes(content)
    return dict(read_tensors(file).tensors)


def sentence(folder: Path, content: bytes) -> str:
    """What it is refused with."""
    with pytest.raises(SCEditError) as caught:
        read(folder, content)
    assert str(caught.value).isprintable()
    return str(caught.value)


# 40 tuples, each twice the one before: hashing the last takes 2 to the 40 steps
DOUBLED = b")" + b"".join(b"q%ch%ch%c\x86" % (i, i, i) for i in range(40))
HEX = b"c_codecs\nencode\n" + text("00" * 500) + text("hex") + b"\x86R"

HOSTILE = {
    "deep nesting": (state_dict(b"]" * 1_000_000), "a stack of more than"),
    "deep tuples": (state_dict(b")" + b"\x85" * 500_000), "nested more than"),
    "deep marks": (state_dict(b"(" * 1_000_000), "nested more than"),
    "a list inside itself": (state_dict(b"]q\x00h\x00a"), "inside another"),
    "shared tuples as a key": (b"\x80\x02}" + DOUBLED + b"K\x01s.", "nested more than"),
    "a tuple as a key": (b"\x80\x02})K\x01s.", "a key that is no text"),
    "hex": (state_dict(HEX), "'_codecs.encode'"),
    "a function": (state_dict(b"cos\nsystem\n" + text("id") + b"\x85R"), "'os.system'"),
    "a tensor by its class": (state_dict(b"ctorch\nFloatTensor\nK\x04K\x10\x86R"), "'torch.FloatTensor'"),
    "a new object": (state_dict(b"ccollections\nOrderedDict\n)\x81"), "operation NEWOBJ"),
    "methods shadowed": (
        state_dict(tensor(), b"ccollections\nOrderedDict\n)R}" + text("keys") + b"K\x01sb0"),
        "attributes of a dictionary (keys)",
    ),
    "attributes of a tensor": (
        state_dict(tensor() + b"}" + text("numel") + b"K\x01sb"),
        "attributes of a ten",
    ),
    "a negative bit": (
        state_dict(tensor(more=b"}" + text("neg") + b"\x88s")),
        "its negative or conjugate bit set",
    ),
    "hooks": (state_dict(tensor(hooks=b"}" + text("a") + b"K\x01s")), "a tensor with hooks"),
    "sparse": (state_dict(b"ctorch._utils\n_rebuild_sparse_tensor\n"), "_rebuild_sparse_tensor'"),
    "other persistent ids": (state_dict(text("storage") + b"Q"), "no storage"),
    "storage of a class": (
        state_dict(
            b"(" + text("storage") + b"ccollections\nOrderedDict\n" + text("0") + text("cpu") + b"K\x01tQ"
        ),
        "a storage of 'collections.OrderedDict'",
    ),
    "items of a tensor": (state_dict(tensor() + text("a") + b"K\x01s"), "items of a tensor"),
    "a call of a storage": (state_dict(FLOATS + b")R"), "a call of 'torch.FloatStorage'"),
    "extensions": (state_dict(b"\x82\x01"), "operation EXT1"),
    "endless memo": (state_dict(b"]" + b"q\x00" * 1_100_000), "more than 1000000 operations"),
}


@pytest.mark.parametrize(("content", "found"), HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("layout", ["archive", "older"])
def test_what_no_state_dict_needs_is_refused_by_name(tmp_path, layout, content, found):
    before = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    whole = archive(content) if layout == "archive" else b"".join(before) + content
    said = sentence(tmp_path, whole)
    assert found in said
    assert "was refused" in said


TORN = {
    "more numbers than there are": state_dict(tensor(count=65)),
    "a tensor beyond its numbers": state_dict(tensor().replace(b"K\x00K\x04", b"K\x01K\x04")),
    "an empty stack": b"\x80\x02.",
    "nothing to get": b"\x80\x02h\x07.",
    "no end": state_dict(tensor())[:-1],
    "a tuple of one": b"\x80\x02\x86.",
}


@pytest.mark.parametrize("content", TORN.values(), ids=TORN.keys())
def test_pickles_that_do_not_hang_together_are_called_damaged(tmp_path, content):
    assert "is no whole PyTorch weight file" in sentence(tmp_path, archive(content))


def test_the_pickle_that_these_are_made_from_loads(tmp_path):
    numbers = torch.arange(64.0).numpy().tobytes()
    tensors = read(tmp_path, archive(state_dict(tensor()), numbers))
    assert torch.equal(tensors["weight"], torch.arange(64.0).view(4, 16))


def test_a_refused_file_does_not_spoil_the_next_one(tmp_path):
    sparse = BytesIO()
    torch.save({"weight": torch.sparse_coo_tensor([[9]], [1.0], (10,), check_invariants=False)}, sparse)
    sentence(tmp_path, sparse.getvalue())
    torch.save({"weight": torch.ones(3)}, tmp_path / "good.bin")
    assert read_tensors(tmp_path / "good.bin").tensors["weight"].sum() == 3
    assert torch.load(tmp_path / "good.bin", weights_only=True)["weight"].sum() == 3


NET = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
SAVED = {
    "a module's state": NET.state_dict(),
    "its parameters": NET.state_dict(keep_vars=True),
    "an ordered dictionary": OrderedDict(weight=torch.ones(2)),
    "one storage for two": {"whole": torch.arange(9.0), "part": torch.arange(9.0)[2:5]},
    "turned": {"weight": torch.arange(6.0).view(2, 3).T},
    "half precision": {"a": torch.ones(3).half(), "b": torch.ones(3).bfloat16()},
    "eight bits": {"a": torch.ones(3).to(torch.float8_e4m3fn), "b": torch.ones(3).to(torch.float8_e5m2)},
    "whole numbers": {"a": torch.arange(3), "b": torch.ones(2, dtype=torch.bool), "c": torch.ones(2).short()},
    "no numbers": {"a": torch.zeros(0, 3), "b": torch.tensor(2.0)},
}


@pytest.mark.parametrize("is_archive", [True, False], ids=["archive", "older"])
@pytest.mark.parametrize("saved", SAVED.values(), ids=SAVED.keys())
def test_what_torch_saves_comes_back_as_torch_loads_it(tmp_path, saved, is_archive):
    file = tmp_path / "net.pth"
    torch.save(saved, file, _use_new_zipfile_serialization=is_archive)
    if "a" in saved and saved["a"].dtype == torch.float8_e4m3fn and not is_archive:
        return  # torch itself cannot load them
    wanted, found = torch.load(file, weights_only=True), read_tensors(file).tensors
    assert list(found) == list(wanted)
    for key, value in wanted.items():
        assert found[key].dtype == value.dtype
        assert found[key].stride() == value.stride()
        assert torch.equal(found[key].float(), value.float())


def test_files_of_python_2_load(tmp_path):
    """As PyTorch of 2017 wrote them: an OrderedDict made of pairs, and short texts of bytes."""
    pair = b"](" + b"U\x06weight" + tensor(hooks=ORDERED).replace(text("cpu"), b"U\x03cpu") + b"e"
    content = b"\x80\x02ccollections\nOrderedDict\n](" + pair + b"e\x85R."
    assert read(tmp_path, archive(content))["weight"].shape == (4, 16)


@pytest.mark.parametrize("is_archive", [True, False], ids=["archive", "older"])
def test_annotator_weights_go_through_the_same_door(tmp_path, is_archive):
    file = tmp_path / "net.pth"
    torch.save(NET.state_dict(), file, _use_new_zipfile_serialization=is_archive)

    def build() -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))

    net = fill_net(build, file)
    assert torch.equal(net[0].weight, NET[0].weight)
    torch.save({key: value.to("meta") for key, value in NET.state_dict().items()}, file)
    with pytest.raises(SCEditError, match="_rebuild_meta_tensor_no_storage"):
        fill_net(build, file)


ENDLESS = {
    "deep nesting": archive(state_dict(b"]" * 7_000_000)),
    "shared tuples": archive(b"\x80\x02}" + DOUBLED + b"K\x01s."),
    "hex": archive(state_dict(HEX)),
    "a number of 7 MB": archive(state_dict(b"\x8b" + struct.pack("<i", 7_000_000) + bytes(7_000_000))),
    "a number in digits": archive(state_dict(b"I" + b"9" * 7_000_000 + b"\n")),
    "a text without end": archive(state_dict(b"V" + b"x" * 7_000_000)),
    "as many operations as fit": archive(state_dict(b"Nq\x00" * 2_000 + b"q\x00" * 3_900_000)),
}


CHILD = """
import resource, signal, sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from scedit_core import SCEditError
from scedit_core.files.disk import read_tensors

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for file in sys.argv[2:]:
    signal.alarm(20)
    try:
        read_tensors(Path(file))
    except SCEditError as error:
        print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(not hasattr(signal, "alarm"), reason="the system has no alarm to end a process by")
def test_none_ends_or_freezes_the_process_or_takes_its_memory(tmp_path):
    files = [tmp_path / f"{name}.bin" for name in ENDLESS]
    for file, content in zip(files, ENDLESS.values(), strict=True):
        file.write_bytes(content)
    command = [sys.executable, "-c", CHILD, str(REPOSITORY), *map(str, files)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr
    *sentences, grown = run.stdout.splitlines()
    assert len(sentences) == len(files)
    assert all("refused" in said for said in sentences)
    assert int(grown) < 300  # megabytes

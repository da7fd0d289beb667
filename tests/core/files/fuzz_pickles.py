"""PyTorch files changed at random where it counts: in their pickle's operations and in their directory."""

from __future__ import annotations

import io
import itertools
import pickletools
import zipfile

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

# what a pickle may do besides what state dicts need, and what they need in the wrong place
NAMES = (
    "os system", "builtins eval", "_codecs encode", "torch FloatTensor", "torch Tensor", "torch Size",
    "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor_v3", "torch._utils _rebuild_qtensor",
    "torch._utils _rebuild_parameter", "torch._utils _rebuild_sparse_tensor", "torch HalfStorage",
    "torch.storage UntypedStorage", "torch float8_e4m3fn", "torch.nn.parameter Parameter",
    "collections OrderedDict", "collections Counter",
)  # fmt: skip
OPERATIONS = (
    *(b"c%s\n%s\n" % tuple(name.encode().split(b" ")) for name in NAMES),
    *(bytes([code]) for code in b"()}]t\x85\x86\x87Rb\x81Qsuae012.N\x88\x89\x8f\x90\x94\x93"),
    b"q\x00", b"h\x00", b"h\x01", b"h\x05", b"K\x00", b"K\xff", b"J\xff\xff\xff\xff",
    b"\x82\x01", b"\x80\x04",
    b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x8a\x08" + b"\xff" * 8, b"I9\n", b"V\\ud800\n",
    b"G\x7f\xf8\x00\x00\x00\x00\x00\x00", b"X\x03\x00\x00\x00neg", b"X\x01\x00\x00\x000",
    b"X\xff\xff\xff\x7f",
    b"U\x01a", b"X\x09\x00\x00\x00_metadata", b"X\x04\x00\x00\x00keys",
)  # fmt: skip
# fields of a member in the directory: where they lie and how wide they are
FIELDS = ((8, 2), (10, 2), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (38, 4), (42, 4))
# and of the two ends of the directory
ENDS = {
    b"PK\x05\x06": ((8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
    b"PK\x06\x06": ((24, 8), (32, 8), (40, 8), (48, 8)),
}
NUMBERS = st.sampled_from([0, 1, 8, 63, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1])


def operations(pickle: bytes) -> list[bytes]:
    """A pickle, cut into its operations."""
    places = [place for _, _, place in pickletools.genops(pickle)]
    return [pickle[start:end] for start, end in zip(places, [*places[1:], len(pickle)], strict=True)]


def _members(whole: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@st.composite
def _changed(draw: DrawFn, pickle: bytes) -> bytes:
    """A pickle with operations left out, doubled, exchanged, or put in."""
    steps = operations(pickle)
    for _ in range(draw(st.integers(1, 6))):
        place, other = (draw(st.integers(0, len(steps) - 1)) for _ in range(2))
        change = draw(st.sampled_from(["leave out", "double", "exchange", "put in", "instead", "many times"]))
        if change == "leave out":
            del steps[place : place + draw(st.integers(1, 3))]
        elif change == "double":
            steps[other:other] = steps[place : place + draw(st.integers(1, 40))]
        elif change == "exchange":
            steps[place], steps[other] = steps[other], steps[place]
        elif change == "many times":
            steps[place:place] = [draw(st.sampled_from(OPERATIONS))] * draw(
                st.sampled_from([10, 1_000, 200_000])
            )
        else:
            steps[place : place + (change == "instead")] = [draw(st.sampled_from(OPERATIONS))]
        steps = steps or [b"."]
    return b"".join(steps)


@st.composite
def _archives(draw: DrawFn, whole: dict[int, bytes]) -> tuple[str, bytes]:
    members = _members(whole[draw(st.sampled_from(sorted(whole)))])
    name = next(name for name in members if name.endswith("data.pkl"))
    return "bin", _archive(members | {name: draw(_changed(members[name]))})


@st.composite
def _older(draw: DrawFn, whole: dict[int, bytes]) -> tuple[str, bytes]:
    content = whole[draw(st.sampled_from(sorted(whole)))]
    stream, starts = io.BytesIO(content), [0]
    for _ in range(5):
        for _step in pickletools.genops(stream):
            pass
        starts.append(stream.tell())
    parts = [content[start:end] for start, end in itertools.pairwise(starts)]
    which = draw(st.sampled_from([0, 1, 2, 3, 3, 3, 3, 4]))
    parts[which] = draw(_changed(parts[which]))
    return "pt", b"".join(parts) + content[starts[-1] :]


@st.composite
def _directories(draw: DrawFn, whole: dict[int, bytes]) -> tuple[str, bytes]:
    """An archive in whose directory numbers are others, or which has one more end."""
    content = bytearray(whole[draw(st.sampled_from(sorted(whole)))])
    for _ in range(draw(st.integers(1, 3))):
        places = [place for place in range(len(content) - 4) if content[place : place + 4] == b"PK\x01\x02"]
        ends = [(mark, place) for mark in ENDS if (place := content.rfind(mark)) >= 0]
        if places and draw(st.booleans()):
            start, (offset, width) = draw(st.sampled_from(places)), draw(st.sampled_from(FIELDS))
        elif ends:
            mark, start = draw(st.sampled_from(ends))
            offset, width = draw(st.sampled_from(ENDS[mark]))
        else:
            break
        number = draw(NUMBERS | st.integers(0, len(content))) % 256**width
        content[start + offset : start + offset + width] = number.to_bytes(width, "little")
        if draw(st.integers(0, 4)) == 0:
            content += content[content.rfind(b"PK\x06\x06") :]
    return "bin", bytes(content)


def pickle_files(archives: dict[int, bytes], older: dict[int, bytes]) -> SearchStrategy[tuple[str, bytes]]:
    """Suffix and content of files made from whole ones of both layouts."""
    return _archives(archives) | _older(older) | _directories(archives)

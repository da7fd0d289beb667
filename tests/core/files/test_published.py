"""The published files at their full size and in their exact layouts, with zeros for weights: all load."""

import json
import math

import pytest
from support import GOLDEN

from scedit_core import read_checkpoint
from scedit_core.spec import SD_STEM, SDXL_STEM

MANIFESTS = json.loads(GOLDEN.path("manifests.json").read_text(encoding="utf-8"))
CONTROLS = [
    f"{base}/{name}" for base in ("sd21", "sdxl") for name in ("canny", "color", "depth", "hed", "pose")
]
FAMILIES = {"sd15": "SD 1.5 / SD 2.x", "sd21": "SD 1.5 / SD 2.x", "sdxl": "SDXL"}


def write(file, shapes: dict) -> int:
    """A safetensors file of float32 zeros whose body is a hole that takes no room; the size of that."""
    header, end = {}, 0
    for key, shape in shapes.items():
        size = 4 * math.prod(shape)
        header[key] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    file.parent.mkdir(parents=True)
    with file.open("wb") as opened:
        opened.write(len(text).to_bytes(8, "little") + text)
        opened.truncate(8 + len(text) + end)
    return end


@pytest.mark.parametrize("control", CONTROLS)
def test_the_ten_published_controls_load(control, tmp_path):
    base = control.split("/")[0]
    manifest, folder = MANIFESTS[base], tmp_path / control / "0_SwiftSCETuning"
    size = write(folder / "adapter_model.safetensors", manifest["csc_published_keys"])
    settings = {
        **manifest["csc_config"],
        "INPUT_BLOCK_CHANS": manifest["input_block_chans"],
        "INPUT_DOWN_FLAG": manifest["input_down_flag"],
    }
    (folder / "configuration.json").write_text(json.dumps({"CONTROL_MODEL": settings}))
    checkpoint = read_checkpoint(tmp_path / control)
    spec = checkpoint.spec
    assert checkpoint.format_name == "scepter CSC-Tuner"
    assert spec.families == [FAMILIES[base]]
    assert spec.channels == spec.ranks == dict(enumerate(manifest["sc_dims"]))
    assert spec.hint.kernel == 3
    assert spec.hint.stem == (SDXL_STEM if base == "sdxl" else SD_STEM).widths
    assert spec.hint.features == tuple(manifest["input_block_chans"][::-1])
    assert spec.hint.strides == tuple(2 if flag else 1 for flag in manifest["input_down_flag"][::-1])
    assert sum(4 * tensor.numel() for tensor in checkpoint.state_dict.values()) == size


@pytest.mark.parametrize("layout", ["sc_scepter_keys", "sc_swift_keys"])
@pytest.mark.parametrize("base", FAMILIES)
def test_the_published_styles_load(base, layout, tmp_path):
    folder = tmp_path / "dragon" / "0_SwiftSCETuning"
    write(folder / "adapter_model.safetensors", MANIFESTS[base][layout])
    checkpoint = read_checkpoint(tmp_path / "dragon")
    assert checkpoint.spec.kind == "sc"
    assert checkpoint.spec.families == [FAMILIES[base]]
    assert checkpoint.spec.channels == dict(enumerate(MANIFESTS[base]["sc_dims"]))

"""Key layouts of tuner files: each file has exactly one, and keys translate both ways."""

from pathlib import Path
from unittest.mock import patch

import pytest
from support import GOLDEN

from scedit_core import SCEditError, build_tuners
from scedit_core.files import layouts
from scedit_core.files.checkpoint import infer_spec
from scedit_core.files.disk import read_tensors
from scedit_core.files.layouts import FORMATS, detect_format


def golden_folders() -> list[Path]:
    """Folders of all golden tuners, in every layout that is there."""
    entries = GOLDEN.index["tuners"].values()
    layouts = [layout for entry in entries for layout in entry.get("layouts", [entry])]
    folders = [GOLDEN.path(layout["folder"]) for layout in layouts]
    folders += [GOLDEN.path(f"diffusers/{case['name']}") for case in GOLDEN.index["diffusers"]["cases"]]
    return [folder for folder in folders if folder.is_dir()]


FOLDERS = golden_folders()
every_golden_tuner = pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])

SC_KEYS = [
    f"lsc_identity.{block}.tuner_op.ln{ln}.{leaf}"
    for block in range(3)
    for ln in (1, 2)
    for leaf in ("weight", "bias")
]
CSC_KEYS = [
    *(key.replace("lsc_identity", "lsc_tuner_blocks") for key in SC_KEYS),
    *(f"pre_hint_blocks.{conv}.{leaf}" for conv in range(0, 14, 2) for leaf in ("weight", "bias")),
    *(f"dense_hint_blocks.{block}.1.{leaf}" for block in range(3) for leaf in ("weight", "bias")),
]


def rows_that_explain(keys) -> list[str]:
    """Names of the rows that take these keys when they are the only row."""
    names = []
    for row in FORMATS:
        with patch.object(layouts, "FORMATS", (row,)):
            try:
                names.append(detect_format(keys).format.name)
            except SCEditError:
                continue
    return names


@every_golden_tuner
def test_exactly_one_row_explains_a_file(folder):
    keys = read_tensors(folder).tensors.keys()
    assert rows_that_explain(keys) == [detect_format(keys).format.name]


@pytest.mark.parametrize("kind", ["sc", "csc"])
def test_exactly_one_row_explains_our_own_files(kind, golden):
    name = {"sc": "sc_full", "csc": "csc_k1"}[kind]
    tensors = read_tensors(golden.tuner(name)).tensors
    detected = detect_format(tensors)
    ours = [detected.canonical(key) for key in tensors]
    assert rows_that_explain(ours) == [f"SCEdit {kind.upper()}-Tuner"]
    assert [detect_format(ours).canonical(key) for key in ours] == ours


@every_golden_tuner
def test_keys_translate_there_and_back(folder):
    keys = list(read_tensors(folder).tensors)
    detected = detect_format(keys)
    canonical = [detected.canonical(key) for key in keys]
    assert [detected.in_file(key) for key in canonical] == keys
    assert len(set(canonical)) == len(keys)


@every_golden_tuner
def test_translated_keys_are_those_of_our_modules(folder):
    tensors = read_tensors(folder).tensors
    detected = detect_format(tensors)
    shapes = {detected.canonical(key): tuple(tensor.shape) for key, tensor in tensors.items()}
    spec = infer_spec(shapes, None, detected.format.ops)
    assert build_tuners(spec).state_dict().keys() == shapes.keys()


@pytest.mark.parametrize("prefix", ["", "model.", "0.", "model.0.", "control_blocks.0."])
@pytest.mark.parametrize("keys", [SC_KEYS, CSC_KEYS], ids=["sc", "csc"])
def test_a_prefix_makes_no_difference_and_is_kept(prefix, keys):
    detected, bare = detect_format([prefix + key for key in keys]), detect_format(keys)
    for key in keys:
        canonical = bare.canonical(key)
        assert detected.canonical(prefix + key) == canonical
        assert detected.in_file(canonical) == prefix + key


def test_dense_blocks_are_turned_from_input_to_output_order_and_tuners_are_not():
    detected = detect_format(CSC_KEYS)
    assert detected.canonical("dense_hint_blocks.0.1.bias") == "hint_encoder.dense.2.bias"
    assert detected.canonical("lsc_tuner_blocks.0.tuner_op.ln1.bias") == "tuners.0.down.bias"
    assert detected.canonical("lsc_tuner_blocks.0.tuner_op.ln2.bias") == "tuners.0.up.bias"
    assert detected.canonical("pre_hint_blocks.12.bias") == "hint_encoder.pre.6.bias"
    stated = detect_format(CSC_KEYS, blocks=12)
    assert stated.canonical("dense_hint_blocks.0.1.bias") == "hint_encoder.dense.11.bias"


@pytest.mark.parametrize("adapter", ["0_SwiftSCETuning", "default", "my style-2"])
def test_the_adapter_of_a_swift_file_may_have_any_name(adapter):
    keys = [key.replace("tuner_op", f"scetuner_{adapter}.tuner_op") for key in SC_KEYS]
    detected = detect_format(keys)
    assert detected.format.name == "swift SC-Tuner"
    assert [detected.in_file(detected.canonical(key)) for key in keys] == keys


def swift(adapter: str) -> list[str]:
    """Keys of a swift file with this adapter."""
    return [key.replace("tuner_op", f"scetuner_{adapter}.tuner_op") for key in SC_KEYS]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ([*swift("red"), *swift("blue")], ["several tuners in one file", "red", "blue", "keep one"]),
        ([*SC_KEYS, *("model." + key for key in SC_KEYS)], ["several tuners in one file", "'model.'"]),
        ([*SC_KEYS, "model.epoch"], ["scepter SC-Tuner", "extra keys", "model.epoch"]),
        (
            [*SC_KEYS, *CSC_KEYS],
            ["scepter CSC-Tuner", "lsc_identity.0", "and 9 more", "unmixed"],
        ),
        ([*SC_KEYS, "two\nlines"], ["extra keys", r" two\nlines;"]),
        ([*SC_KEYS, SC_KEYS[0].replace(".0.", ".00.")], ["extra keys", "lsc_identity.00."]),
        (
            [k for k in CSC_KEYS if "dense" not in k],
            ["scepter CSC", "missing keys", "dense_hint_blocks"],
        ),
        ([k for k in CSC_KEYS if "pre_" not in k], ["missing keys", "pre_hint_blocks"]),
        ([k for k in CSC_KEYS if "lsc_" not in k], ["missing keys", "lsc_tuner_blocks"]),
        (
            ["lora_te.alpha", "lora_unet.alpha"],
            ["not an SCEdit tuner", "its 2 keys", "lora_te.alpha"],
        ),
        ([], ["not an SCEdit tuner", "0 keys"]),
    ],
)
def test_keys_that_no_row_explains_are_refused_by_name(keys, words):
    with pytest.raises(SCEditError) as caught:
        detect_format(keys)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_configuration_for_fewer_skips_than_there_are_keys_is_refused():
    with pytest.raises(SCEditError, match=r"with 2 skips but has keys for 3; put the configuration\.json"):
        detect_format(CSC_KEYS, blocks=2)
    assert detect_format(SC_KEYS, blocks=2).format.kind == "sc"  # an SC-Tuner has no input order to turn


def test_keys_of_another_layout_are_refused_in_either_direction():
    detected = detect_format(SC_KEYS)
    with pytest.raises(SCEditError, match=r"'model\.epoch' is not a key of the scepter SC-Tuner layout"):
        detected.canonical("model.epoch")
    with pytest.raises(SCEditError, match=r"'hint_encoder\.pre\.0\.bias' has no place in the scepter SC"):
        detected.in_file("hint_encoder.pre.0.bias")

"""Bad input to the node classes: refused before anything is changed, with words that help."""

import pytest
import torch
from host_tools import picture, run

BAD = {
    "empty image batch": (
        {"image": torch.zeros(0, 64, 64, 3)},
        ["at least one image", "(0, 64, 64, 3)"],
    ),
    "image without pixels": ({"image": torch.zeros(1, 0, 64, 3)}, ["at least one image"]),
    "image of two channels": ({"image": torch.zeros(1, 64, 64, 2)}, ["1, 3 or 4 channels", "got 2"]),
    "mask without pixels": ({"mask": torch.zeros(1, 64, 0)}, ["at least one pixel", "(1, 64, 0)"]),
    "strength NaN": ({"strength": float("nan")}, ["strength", "finite", "nan"]),
    "strength infinite": ({"strength": float("inf")}, ["strength", "finite", "inf"]),
    "window backwards": ({"start_percent": 0.8, "end_percent": 0.2}, ["in order", "0.8", "0.2"]),
    "window NaN": ({"start_percent": float("nan")}, ["start_percent", "finite", "nan"]),
}


@pytest.mark.parametrize(("inputs", "words"), BAD.values(), ids=BAD.keys())
def test_bad_inputs_are_refused_with_words(nodes, pack, model, control, inputs, words):
    given = {"model": model, "control": control, "image": picture(), **inputs}
    with pytest.raises(pack.scedit_core.SCEditError) as caught:
        run(nodes["SCEditApplyCSCTuner"], **given)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)
    assert "patches" not in model.model_options["transformer_options"]


HINT_NODES = ["SCEditCanny", "SCEditColor", "SCEditMaskedImage"]


@pytest.mark.parametrize("node", HINT_NODES)
def test_hint_nodes_refuse_an_empty_batch(nodes, pack, node):
    mask = {"mask": torch.zeros(1, 8, 8)} if node == "SCEditMaskedImage" else {}
    with pytest.raises(pack.scedit_core.SCEditError, match="at least one image"):
        run(nodes[node], image=torch.zeros(0, 8, 8, 3), **mask)


def test_batches_of_other_sizes_are_no_error(nodes, model, control):
    mask = torch.ones(5, 33, 90)
    apply = nodes["SCEditApplyCSCTuner"]
    run(apply, model=model, control=control, image=picture(40, 300, batch=3), mask=mask)

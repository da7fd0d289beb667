"""What the nodes say that a net will take, beside what it was seen to take."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from detector_tools import NETS
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scedit_core.annotators.nets import weights as w
from scedit_core.annotators.nets.depth import DEPTH_LOOK
from scedit_core.annotators.nets.hed import HED_LOOK
from scedit_core.annotators.nets.pose import HANDS_LOOK, POSE_LOOK
from scedit_core.annotators.nets.segmentation import SEGMENTATION_LOOK

# Lines of benchmarks/hint_memory.py: sides of a square photo, resolution, megabytes taken.
MEASURED = [
    (HED_LOOK, 512, 512, 201),
    (HED_LOOK, 1024, 1024, 805),
    (HED_LOOK, 4096, 256, 286),
    (DEPTH_LOOK, 512, 512, 338),
    (DEPTH_LOOK, 1024, 1024, 1697),
    (DEPTH_LOOK, 1536, 1536, 4134),
    (DEPTH_LOOK, 4096, 256, 202),
    (POSE_LOOK, 512, 512, 209),
    (POSE_LOOK, 1024, 1024, 906),
    (POSE_LOOK, 2048, 2048, 3514),
    (POSE_LOOK, 4096, 256, 203),
    (HANDS_LOOK, 512, 512, 457),
    (SEGMENTATION_LOOK, 512, 512, 433),
    (SEGMENTATION_LOOK, 1024, 1024, 1603),
    (SEGMENTATION_LOOK, 4096, 256, 1264),
]


@pytest.mark.parametrize(("look", "side", "resolution", "megabytes"), MEASURED)
def test_what_is_told_is_what_was_measured_and_a_little_more(look, side, resolution, megabytes):
    told = look.memory(side, side, resolution) / 1e6
    assert 1.05 * megabytes < told < 1.7 * megabytes + 160


def test_a_photo_that_is_not_square_counts_by_its_pixels():
    assert HED_LOOK.memory(512, 2048, 512) == pytest.approx(HED_LOOK.memory(1024, 1024, 1024), rel=0.01)
    assert HED_LOOK.memory(2048, 4096, 512) < HED_LOOK.memory(2048, 4096) / 8


class _Living(TorchDispatchMode):
    """Counts the bytes of all tensors that live at once while a net runs."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self._bytes: dict[int, int] = {}

    def __torch_dispatch__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            storage = tensor.untyped_storage()
            if storage._cdata not in self._bytes:
                self._bytes[storage._cdata] = storage.nbytes()
                weakref.finalize(storage, self._bytes.pop, storage._cdata)
        self.most = max(self.most, sum(self._bytes.values()))
        return out


@pytest.mark.parametrize(
    ("look", "weights"), [(HED_LOOK, w.HED_WEIGHTS), (SEGMENTATION_LOOK, w.SEGMENTATION_WEIGHTS)]
)
def test_what_is_told_holds_the_tensors_of_the_true_net(look, weights):
    side = 4096
    with torch.device("meta"):  # tensors without content, which computes nothing
        net = NETS[weights.name]().eval().requires_grad_(False)
        photo = torch.empty(1, 3, side, side)
    with _Living() as living:
        net(photo)
    assert living.most < look.memory(side, side) < 2 * living.most

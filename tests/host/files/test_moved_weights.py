"""Weights of a tuner may be moved by whoever and whenever.

Nodes are executed in inference mode, and the host moves weights outside of it, too: as it unloads models at
the end of a run, say.
"""

import pytest
import torch
from host_tools import load, picture, run, sample

KINDS = {
    "sc_full": ("SCEditLoadSCTuner", "SCEditApplySCTuner", "tuner"),
    "csc_k1": ("SCEditLoadCSCTuner", "SCEditApplyCSCTuner", "control"),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_tuner_acts_as_before_once_its_weights_were_moved(nodes, model, name):
    loader, apply, socket = KINDS[name]
    tuners = load(nodes, loader, name)
    inputs = {"model": model, socket: tuners} | ({} if socket == "tuner" else {"image": picture()})
    before = sample(run(nodes[apply], **inputs))
    tuners.patcher.model.to(torch.float64)
    tuners.patcher.model.to(torch.float32)
    assert torch.equal(sample(run(nodes[apply], **inputs)), before)

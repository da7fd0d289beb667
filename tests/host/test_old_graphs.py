"""Graphs posted as before weights had schedules, skips and latents give the pictures of that time.

benchmarks/old_graphs.py wrote them, and compares bit for bit with the code of any commit on one machine.
"""

import json

import numpy as np
import pytest
from old_graph_tools import LATENTS, PROMPTS, ends, put_inputs
from safetensors.numpy import load_file
from server_tools import changed

GRAPHS = json.loads(PROMPTS.read_text(encoding="utf-8"))["prompts"]
WANTED = load_file(LATENTS)
# ten times what other instruction sets of a processor and more threads change, of values up to 14
ROUNDING = 1e-4


@pytest.fixture(scope="module")
def server_with_inputs(server):
    """The server, with the scene that the graphs read."""
    put_inputs(server.base)
    return server


def furthest(server, name, prompt):
    """The largest difference of latents from those of that time."""
    found = ends(server, prompt)
    wanted = {key.split("/")[1]: values for key, values in WANTED.items() if key.startswith(f"{name}/")}
    assert wanted
    return max(float(np.abs(found[node] - values).max()) for node, values in wanted.items())


@pytest.mark.parametrize("name", GRAPHS)
def test_an_old_graph_gives_the_picture_of_its_time(name, server_with_inputs):
    assert furthest(server_with_inputs, name, GRAPHS[name]) < ROUNDING


def test_another_picture_would_be_noticed(server_with_inputs):
    name = "form: two hints for three"
    other = changed(GRAPHS[name], "apply", strength=1.001)
    assert furthest(server_with_inputs, name, other) > 3 * ROUNDING

"""Hostile and broken files: each loads or is refused in one sentence, soon, and nothing in it is run."""

import resource
import time

import pytest
from fuzz_tools import files
from hypothesis import given, settings
from make_corpus import WRITERS
from make_sizes import write_sizes
from outcomes import outcome

ALL = (*WRITERS, write_sizes)
SECONDS = 10  # far above what any of them takes, far below a hang
MEGABYTES = 400

# what loads, although it looks odd
LOADS = {
    "a name of two lines",
    "config is a folder",
    "key twice, the same",
    "link out.safetensors",
    "linked folder",
    "parameter",
    "strides without end",
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch remarks on the odd tensors while they are made
@pytest.mark.parametrize("writer", ALL, ids=[writer.__name__ for writer in ALL])
def test_every_file_of_the_corpus_loads_or_is_refused_in_one_sentence(writer, tmp_path):
    wrong, ends, before = {}, {}, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, path in writer(tmp_path):
        start = time.monotonic()
        try:
            ends[name] = outcome(path)
        except AssertionError as error:
            wrong[name] = str(error)
        if time.monotonic() - start > SECONDS:
            wrong[name] = f"took {time.monotonic() - start:.0f} s"
    assert wrong == {}
    assert {name for name, sentence in ends.items() if not sentence} == LOADS & ends.keys()
    assert not (tmp_path / "was_run").exists()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < MEGABYTES


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(changed=files())
def test_files_changed_at_random_load_or_are_refused_in_one_sentence(tmp_path_factory, changed):
    suffix, content = changed
    file = tmp_path_factory.getbasetemp() / f"changed.{suffix}"
    file.write_bytes(content)
    outcome(file)

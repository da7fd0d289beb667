"""What reading a file may come to: tuners, or one sentence. Anything else is a fault."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from scedit_core import SCEditError, load_checkpoint

LONGEST_SENTENCE = 1_203  # as SECURITY.md promises: 1,200 characters and the dots of what was cut


def outcome(path: Path) -> str:
    """The sentence with which a file is refused; empty if it loads. Raises AssertionError for other ends."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch remarks on odd files before it refuses them
            tuners = load_checkpoint(path)
    except SCEditError as error:
        sentence = str(error)
        assert sentence.isprintable(), ascii(sentence)
        assert 20 < len(sentence) <= LONGEST_SENTENCE, len(sentence)
        return sentence
    except BaseException as error:  # a panic of the library that reads safetensors is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        raise AssertionError(f"{type(error).__name__}: {error}") from error
    assert all(torch.isfinite(weights).all() for weights in tuners.state_dict().values())
    return ""

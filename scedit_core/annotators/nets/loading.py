"""Nets of other authors, filled from their published weight files."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ...errors import SCEditError, shown, some
from ...files.disk import read_tensors


def fill_net(
    build: Callable[[], nn.Module], file: Path, key_in_file: Callable[[str], str] = str
) -> nn.Module:
    """The net that `build` makes with the weights of a file, in float32, for inference.

    `key_in_file` gives the file's name for a weight of the net. Raises SCEditError for a file that is torn,
    holds more than tensors, or holds other weights than the net's.
    """
    tensors = read_tensors(file).tensors
    # on "meta" nothing is computed or drawn at random: the weights of the file take the places as they are
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = build()
    wanted = net.state_dict()
    names = {key_in_file(key): key for key in wanted}
    _check_names(file, set(names), set(tensors))
    _check_kinds(file, {name: wanted[key] for name, key in names.items()}, tensors)
    try:
        net.load_state_dict({key: tensors[name] for name, key in names.items()}, assign=True)
    except RuntimeError as error:
        raise SCEditError(
            f"'{shown(file.name)}' holds weights of other sizes than its net ({_first_line(error)}); get the "
            "file again from where its authors published it"
        ) from error
    return net.float().eval().requires_grad_(False)


def _check_names(file: Path, wanted: set[str], found: set[str]) -> None:
    if wanted == found:
        return
    missing, extra = some(wanted - found) or "none", some(found - wanted) or "none"
    raise SCEditError(
        f"'{shown(file.name)}' holds other weights than its net (missing: {missing}; unknown: {extra}); get "
        "the file again from where its authors published it"
    )


def _check_kinds(file: Path, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Refuse whole numbers where fractions belong, and tensors that have a size but hold nothing ("meta")."""
    odd = [
        name
        for name, tensor in found.items()
        if tensor.is_meta or tensor.is_floating_point() != wanted[name].is_floating_point()
    ]
    if odd:
        raise SCEditError(
            f"'{shown(file.name)}' holds no numbers that its net can use as {some(odd)}; get the file again "
            "from where its authors published it"
        )


def _first_line(error: RuntimeError) -> str:
    """The first mismatch of those that torch lists, which stand on a line each below a heading."""
    lines = [line.strip() for line in str(error).splitlines()]
    return shown(lines[1] if len(lines) > 1 else lines[0], 200)

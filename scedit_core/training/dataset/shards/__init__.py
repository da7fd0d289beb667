"""A data set on disk: latents, hints and captions in tar shards, in the layout of WebDataset.

    dataset.json               what all examples share, and every shard with its size and SHA-256
    shard-000000.tar           some thousand examples, uncompressed; of each, one after the other:
        KEY.json                   name of its source, and the sizes that SDXL is told
        KEY.latent.npy             float16 (C, h, w), as the VAE gives it
        KEY.hint0.png              the first drawing of the first kind of hint, as large as the picture
        KEY.hint0.1.png            its second drawing, where there are several, and so on
        KEY.hint1.png              the first drawing of the second kind, and so on
        KEY.txt                    the caption, with the trigger, in UTF-8
    shard-000000.index.npy     where each example lies in its shard; made again from the shard if it is gone

KEY is made of the source's name, 16 digits in base 16. Hints are RGB, or grey where they have no colours.
A shard is never changed: what changes is written to a new one, and `dataset.json` says which count.
"""

from .packing import Prepared, StoredExample, key_of, to_png
from .reader import StoredDataset, open_dataset
from .writer import DatasetWriter, write_dataset

__all__ = [
    "DatasetWriter",
    "Prepared",
    "StoredDataset",
    "StoredExample",
    "key_of",
    "open_dataset",
    "to_png",
    "write_dataset",
]

"""How much a file may ask for, in one table: each row with the largest that is known and why it ends there.

Files come from strangers. Every number here is checked before anything of that size is made.
"""

from __future__ import annotations

from ..spec import StemSize

# bytes of settings beside a tuner; the authors' have some 500
MOST_JSON = 1_000_000

# bytes of a safetensors header; one of 10,000 tensors has some 2 MB, and tools put whole configurations into
# metadata
MOST_HEADER = 8_000_000

# bytes of the pickle in a PyTorch file; one of 10,000 tensors has some 2 MB
MOST_PICKLE = 8_000_000

# opcodes of that pickle; a tensor takes some 40, and reading a million takes about 2 s
MOST_OPCODES = 1_000_000

# values that wait on its stack; torch.save hands over 1,000 pairs of a dictionary at a time
MOST_STACK = 4_000

# containers within each other; a state dict with versions of its modules has 4
MOST_DEPTH = 8

# bytes of the directory of an archive; a tensor has an entry of some 100, and Python makes 600 of each
MOST_DIRECTORY = 4_000_000

# tensors that a file is read for; a training state of four controls has some 2,500
MOST_TENSORS_READ = 10_000

# tensors of a tuner; a whole dual-conv controller for SD has 110
MOST_TENSORS = 1_000

# sizes of one tensor; a conv has 4
MOST_SIZES = 8

# skips of a U-Net; SD has 12, and the key layouts have numbers of two digits
MOST_BLOCKS = 100

# channels of a skip; the SDXL refiner's have 1,536
MOST_CHANNELS = 4_096

# rank of a tuner, as a multiple of the channels: the training nodes offer ratios down to a tenth
MOST_RANK = 10

# size of the dense hint convs; published are 1 and 3
MOST_KERNEL = 7

# widths along the stem of a hint encoder: the largest that the training nodes offer. The first ones work on
# every pixel of the hint, so that a file of 4 MB with 20,000 of them asked for 4 GB at 128 x 128
MOST_STEM = StemSize(8, 4_096).widths

# bytes of each part of a name that is given to something new. File systems end at 255, and behind the name
# come a step, ".previous", the suffix, and ".12345678.part" while it is written
MOST_NAME = 200

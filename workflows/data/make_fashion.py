"""Makes fashion.npy and fashion-labels.npy, which are not in the repository, from Debian's package.

    apt-get install dataset-fashion-mnist
    pip install numpy
    python make_fashion.py [FOLDER OF THE PACKAGE'S FILES]

The first 10,000 of the 60,000 training images: enough for a campaign of minutes. Each is 28 x 28 bytes.
"""

import gzip
import sys
from pathlib import Path

import numpy as np

COUNT = 10_000

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/datasets/fashion-mnist")


def idx(name, axes):
    """An IDX file: two zero bytes, the type (8: bytes), how many axes, how long each is, then the numbers."""
    data = gzip.decompress((folder / name).read_bytes())
    assert data[:4] == bytes([0, 0, 8, axes]), f"{name} is not an IDX file of bytes with {axes} axes"
    shape = np.frombuffer(data, ">u4", axes, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


np.save("fashion.npy", idx("train-images-idx3-ubyte.gz", 3)[:COUNT, None])
np.save("fashion-labels.npy", idx("train-labels-idx1-ubyte.gz", 1)[:COUNT])

"""Memory for batches that is used again.

Batches are tens of megabytes and live for different times in different threads: from the general heap they leave gaps
that a long run never gives back. Here a batch's memory comes straight from the system, and goes to the next batch when
the last array that looks at it is gone.
"""

import math
import mmap
import weakref
from collections.abc import Sequence

import numpy as np


class Buffers:
    """Arrays of one size at a time; safe to share between threads."""

    def __init__(self):
        self._size = 0
        self._free: list[mmap.mmap] = []

    def take(self, shape: Sequence[int], dtype: str) -> np.ndarray:
        """An array with arbitrary contents. Its memory comes back by itself when it and all its views are gone."""
        size = max(1, math.prod(shape) * np.dtype(dtype).itemsize)
        if size != self._size:
            self._size, self._free = size, []
        try:
            memory = self._free.pop()
        except IndexError:
            memory = mmap.mmap(-1, size)
        array = np.frombuffer(memory, dtype, count=math.prod(shape))
        weakref.finalize(array, self._free.append, memory).atexit = False
        # A view: where NumPy shortens chains of views it stops at the first array that owns or maps memory.
        return array.reshape(shape)

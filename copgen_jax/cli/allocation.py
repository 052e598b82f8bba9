"""Memory that a program gives back to the system only to take it again."""

import ctypes
import os
import platform
from pathlib import Path

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
"""Of mallopt(3)."""


def keep_freed_memory() -> bool:
    """Have glibc keep what is freed, where programs run on the processor; call it before JAX starts. Says whether.

    A compiled program takes its working memory in one piece at every call. Given back in between, each page of it is
    made and cleared anew: a sixth of the processor time of a training step of the demo. For training alone: where
    pieces of many sizes come and go, the peak grows (sampling 16 of the demo at once took 98 MB instead of 59). Even
    there, in about every second process, what a step takes comes to lie in memory twice: an aligned piece does not fit
    where one of its size was. The user's own MALLOC_* and GLIBC_TUNABLES go before; beside a GPU, where arrays lie
    elsewhere, nothing is changed.
    """
    stated = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if stated or platform.libc_ver()[0] != "glibc" or Path("/proc/driver/nvidia").exists():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # One arena, because others cannot hold large pieces; none of them mapped alone; its end never given back.
    return all(mallopt(option, value) for option, value in ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1)))

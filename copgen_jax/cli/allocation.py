"""Memory in large pages, where programs run on the processor."""

import os
import sys
from pathlib import Path

LARGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""Environment with which glibc (2.35 and later) asks Linux for pages of 2 MB; read when a program starts."""

_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def restart_with_large_pages() -> None:
    """Start this program anew with large pages, unless they are there, refused, or the user's own tunables are set.

    A compiled program takes its working memory at every call and gives it back. In pages of 4 KB, making and clearing
    them is a third of the time of a training step of the demo on two processors. Nothing may have been done yet.
    """
    asked_for = _SETTING.exists() and "[madvise]" in _SETTING.read_text()
    if asked_for and LARGE_PAGES.keys().isdisjoint(os.environ):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | LARGE_PAGES)

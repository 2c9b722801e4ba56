"""A run's process asks for large pages of memory, and is otherwise the program that was started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SAY = """
import json, os, sys
from geoseg.cli.launch import with_huge_pages
with_huge_pages()
print(json.dumps([os.getpid(), os.environ.get("GLIBC_TUNABLES"), sys.argv[1:]]))
"""
KERNEL = Path("/sys/kernel/mm/transparent_hugepage/enabled")
on_request = pytest.mark.skipif(
    not KERNEL.exists() or "[madvise]" not in KERNEL.read_text(),
    reason="the kernel gives large pages to all or to none",
)


def told(tmp_path, tunables):
    script = tmp_path / "say.py"
    script.write_text(SAY)
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    environment |= {"GLIBC_TUNABLES": tunables} if tunables else {}
    child = subprocess.Popen([sys.executable, str(script), "a b", "--c"], env=environment, stdout=subprocess.PIPE)
    said = json.loads(child.communicate(timeout=60)[0])
    return said[0] == child.pid, *said[1:]


@on_request
def test_the_same_process_starts_again_with_its_words(tmp_path):
    assert told(tmp_path, None) == (True, "glibc.malloc.hugetlb=1", ["a b", "--c"])


@on_request
def test_what_the_user_said_of_the_c_library_stays(tmp_path):
    assert told(tmp_path, "glibc.malloc.tcache_count=7") == (
        True,
        "glibc.malloc.tcache_count=7:glibc.malloc.hugetlb=1",
        ["a b", "--c"],
    )
    assert told(tmp_path, "glibc.malloc.hugetlb=0")[1] == "glibc.malloc.hugetlb=0"

# SPDX-License-Identifier: Apache-2.0
"""Syncs and writes that fail, in a real process: it ends, says so, tries nothing again, and comes
back with all it acknowledged. The disk is broken through the file by which `oakum chaos` does it.
"""
import mmap
import os
import struct

import pytest

import harness
from test_chaos import Acks, dump, load

FAST = ["--heartbeat-interval=20", "--election-timeout=200"]
MAGIC = 0x6F616B2D6661756C
SYNC_ERROR, DISK_FULL = 1, 2
FULL_FOR_ALL = 2


class Faults:
    """struct page of src/os/faults.c; this process is the breaker."""

    def __init__(self, path):
        with open(path, "wb+") as file:
            # The five words, then the clock: turn and two rates of three words.
            file.write(struct.pack("<QQ5qQ6q", MAGIC, os.getpid(), *[0] * 12))
            file.flush()
            self.page = mmap.mmap(file.fileno(), 0)

    def set(self, which, value):
        struct.pack_into("<q", self.page, 16 + 8 * which, value)


@pytest.mark.parametrize("fault", ["sync", "write"])
def test_l17_a_failed_sync_or_write_ends_the_process_and_is_not_tried_again(start_cluster, tmp_path,
                                                                            fault):
    faults = Faults(tmp_path / "faults")
    cluster = start_cluster(size=1,
                            flags=[*FAST, f"--experimental-fault-control={tmp_path / 'faults'}"])
    node = cluster.nodes[0]
    acks = Acks(tmp_path / "acks")
    with load(cluster, acks, 0, clients=4) as loader:
        acks.wait_for(300, loader)
        faults.set(*((SYNC_ERROR, 1) if fault == "sync" else (DISK_FULL, FULL_FOR_ALL)))
        assert node.wait() == 1
        loader.stop()
        loader.result()
    said = node.log_text()
    assert "writing the log: input/output error. This member ends now" in said
    assert said.count("what is on disk is unknown, the process must restart") == 1, "tried again"
    faults.set(SYNC_ERROR, 0)
    faults.set(DISK_FULL, 0)
    node.start()
    node.wait_healthy()
    revision, keys = dump(node)
    for key, _, _, _, acknowledged in acks.read():
        assert key in keys and acknowledged <= revision
    harness.until(lambda: node.running, "it goes on")

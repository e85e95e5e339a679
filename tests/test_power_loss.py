# SPDX-License-Identifier: Apache-2.0
"""Power that goes within the last write of the log, at every byte of it: what was acknowledged
before it is there, and the write itself is there whole or not at all. Damage to what was durable is
refused by name.

A kill leaves in the files all that was written; the cuts make of it what a power failure may leave.
docs/internals/wal-format.md draws the log.
"""
import json
import os
import re
import shutil
import struct
import subprocess

import pytest

import harness
from test_chaos import Acks, dump, load, tool

FAST = ["--heartbeat-interval=20", "--election-timeout=200"]
SEGMENT_HEADER = FRAME_ALIGN = 512


def last_segment(data_dir):
    """The newest segment that was written to: (path, its bytes)."""
    folder = os.path.join(data_dir, "wal")
    for name in sorted((n for n in os.listdir(folder) if n.endswith(".wal")), reverse=True):
        path = os.path.join(folder, name)
        with open(path, "rb") as file:
            data = file.read()
        number = struct.unpack_from("<Q", data, 16)[0]
        if data[8:16] == b"OAKUMWAL" and number == int(name[:16], 16):
            return path, data
    raise AssertionError(f"there is no segment in {folder}")


def frames(data):
    """(offset, size, bytes of records) of each frame of a segment, in order."""
    salt = struct.unpack_from("<I", data, 52)[0]
    batch = struct.unpack_from("<Q", data, 40)[0]
    found, at = [], SEGMENT_HEADER
    magic = data[at + 8:at + 12]
    while at + 64 <= len(data):
        frame_salt, frame_batch = struct.unpack_from("<IQ", data, at + 12)
        size, records = struct.unpack_from("<II", data, at + 32)
        if data[at + 8:at + 12] != magic or frame_salt != salt or frame_batch != batch:
            break
        found.append((at, size, records))
        at += size
        batch += 1
    return found


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x40]))


def cut(path, data, offset, end):
    """Zeros from `offset` on: what was behind did not reach the disk."""
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(bytes(end - offset))
    assert len(data) == os.path.getsize(path)


@pytest.fixture
def killed(start_cluster, tmp_path):
    """A single member, killed under load, with a copy of its data; and what it acknowledged."""
    cluster = start_cluster(size=1, flags=FAST)
    acks = Acks(tmp_path / "acks")
    with load(cluster, acks, 0, clients=4, value_bytes=20) as loader:
        acks.wait_for(1500, loader)
        cluster.nodes[0].kill()
        loader.stop()
        loader.result()
    acks.read()
    copy = tmp_path / "copy"
    shutil.copytree(cluster.nodes[0].data_dir, copy)
    path, data = last_segment(copy)
    start, size, records = frames(data)[-1]
    if records == 0:
        # The load stood still for a moment, and an empty batch came. It holds nothing: it may go.
        cut(path, data, start, start + size)
    return cluster, acks, copy


def test_a_cut_at_every_byte_of_the_last_batch_leaves_it_whole_or_out(killed, capsys):
    cluster, acks, copy = killed
    told = re.search(r"member ([0-9a-f]{16}) .* of cluster ([0-9a-f]{16})",
                     cluster.nodes[0].log_text())
    path, data = last_segment(copy)
    (before, _, _), (start, size, records) = frames(data)[-2:]
    assert records > 0
    shutil.rmtree(copy / "store")
    done = subprocess.run([tool("walcut"), str(copy), told.group(2), told.group(1),
                           os.path.basename(path), str(before), str(start), str(start + size)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    with capsys.disabled():
        print(f"\n  {result['cuts']} cuts in a batch of {size} bytes: {result}")
    assert result["cuts"] > size and result["replicas"] > 0
    assert result["whole"] > 0 and result["without"] > 0 and result["in_batch"] > 0
    assert result["whole"] + result["without"] + result["refused"] == result["cuts"]
    # What the log held without its last batch: all that was acknowledged before it.
    assert result["entries"] - result["in_batch"] > max(row[4] for row in acks.rows) - 16


def test_the_program_starts_behind_a_cut_with_all_that_was_acknowledged(killed):
    cluster, acks, copy = killed
    node = cluster.nodes[0]
    path, data = last_segment(copy)
    start, size, _ = frames(data)[-1]
    revisions = []
    for keep in (0, 1, 64, size // 2, size):
        shutil.rmtree(node.data_dir)
        shutil.copytree(copy, node.data_dir)
        cut(path.replace(str(copy), node.data_dir), data, start + keep, start + size)
        node.start()
        node.wait_healthy()
        revision, keys = dump(node)
        node.kill()
        revisions.append(revision)
        for key, _, _, _, acknowledged in acks.rows:
            # Four clients: the last batch held at most what these four had asked for last.
            assert key in keys or acknowledged > revision
    newest = max(row[4] for row in acks.rows)
    assert revisions[-1] >= newest, "without a cut, nothing acknowledged may be missing"
    assert revisions[0] >= newest - 4
    assert set(revisions) == {revisions[0], revisions[-1]}


@pytest.mark.parametrize("place", ["header", "records", "last batch"])
def test_damage_to_what_was_durable_is_refused_by_file_and_offset(start_cluster, tmp_path, place):
    cluster = start_cluster(size=1, flags=FAST)
    node = cluster.nodes[0]
    acks = Acks(tmp_path / "acks")
    with load(cluster, acks, 300, clients=4) as loader:
        loader.result()
    assert node.stop() == 0
    path, data = last_segment(node.data_dir)
    found = frames(data)
    held = [frame for frame in found if frame[2] > 0]
    at, _, records = held[-1] if place == "last batch" else held[len(held) // 2]
    assert found[-1][2] == 0, "an empty batch proves the last one"
    flip(path, at + 20 if place == "header" else at + 64 + records // 2)
    before = open(path, "rb").read()
    node.start()
    assert node.wait() == 1
    said = node.log_text().splitlines()[-1]
    assert path in said and re.search(rf"offset {at}\b", said), said
    assert "can't start" in said and re.search(r"backup|restore|remove", said, re.I), said
    assert open(path, "rb").read() == before, "a refused log is left as it is"

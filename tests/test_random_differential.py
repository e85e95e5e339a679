# SPDX-License-Identifier: Apache-2.0
"""Random requests, the same to a real etcd and to Oakum, and their answers compared field by field.

`differ` (tests/tools) makes the requests from a seed and asks both. A failure names the seed, and
the number of the request: OAKUM_DIFFER_SEED replays it. OAKUM_DIFFER_REQUESTS sets how many.
`make random` asks a million (random_requests.py)."""
import os
import random
import subprocess

import pytest

import harness
import random_requests

REQUESTS = int(os.environ.get("OAKUM_DIFFER_REQUESTS") or 20000)
SEED = int(os.environ.get("OAKUM_DIFFER_SEED") or random.SystemRandom().randrange(1, 2**32))


@pytest.fixture(name="differ", scope="session", autouse=True)
def differ_is_there():
    path = random_requests.differ_path()
    if not os.access(path, os.X_OK):
        pytest.skip(f"{path} is not there: build oak_tests")


def compare(first, second, seed, requests):
    """Gives the exit code and what was said."""
    done = subprocess.run(random_requests.command(first, second, seed, requests),
                          capture_output=True, text=True, errors="replace", check=False,
                          timeout=900 + requests // 50)
    return done.returncode, done.stdout + done.stderr


def test_random_requests_get_the_answers_of_etcd(start_cluster, etcd_bin):
    etcd = start_cluster(size=1, program=etcd_bin).nodes[0]
    oakum = start_cluster(size=1).nodes[0]
    code, said = compare(etcd, oakum, SEED, REQUESTS)
    print(said)
    assert code == 0, f"the first is etcd, the second Oakum; OAKUM_DIFFER_SEED={SEED}\n{said}"


def test_random_requests_get_the_same_answers_from_the_memory_store(start_cluster):
    rocks = start_cluster(size=1).nodes[0]
    # By its variable, as the thread sanitizer's run sets it for all.
    memory = start_cluster(size=1, env={"OAKUM_STORE": "memory"}).nodes[0]
    code, said = compare(rocks, memory, SEED, REQUESTS // 4)
    assert code == 0, f"rocks is the first, memory the second; OAKUM_DIFFER_SEED={SEED}\n{said}"


def test_random_requests_find_a_store_that_is_not_the_same(start_cluster):
    first, second = (start_cluster(size=1).nodes[0] for _ in range(2))
    second.cluster.etcdctl("put", "abc", "0")
    code, said = compare(first, second, 1, 1000)
    assert code == 1 and "request " in said and "of seed 1" in said

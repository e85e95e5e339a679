# SPDX-License-Identifier: Apache-2.0
"""conftest.py: fixtures over harness.py. A failed test shows the end of its members' logs."""
import os

import pytest

import harness

CLUSTERS = pytest.StashKey()


def pytest_configure(config):
    config.addinivalue_line("markers", "needs_rocks: what the store on disk knows is part of it; "
                            "left out where the program runs on the memory store")
    config.addinivalue_line("markers", "needs_own_heap: it measures the allocator; left out where "
                            "a sanitizer has put its own in its place")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed and call.when in ("setup", "call"):
        lasting = item.getparent(pytest.Module).stash.get(CLUSTERS, [])
        for cluster in item.stash.get(CLUSTERS, []) + lasting:
            report.sections.append((f"logs of {cluster.folder}", cluster.logs()))
    setattr(item, "failed_" + call.when, report.failed)


@pytest.fixture(scope="session")
def oakum_bin():
    """The program under test."""
    path = harness.oakum_path()
    if not os.access(path, os.X_OK):
        pytest.skip(f"{path} is not there: run make")
    return path


@pytest.fixture(scope="session")
def etcd_bin():
    """A real etcd, to compare with."""
    path = harness.etcd_path()
    if not os.access(path, os.X_OK):
        pytest.skip(f"{path} is not there: run tools/peers.sh")
    return path


@pytest.fixture(scope="session")
def etcdctl_bin():
    """etcd's own client."""
    path = harness.etcdctl_path()
    if not path:
        pytest.skip("etcdctl is not there: run make deps-test")
    return path


@pytest.fixture
def start_cluster(request, tmp_path):
    """Make and start clusters: start_cluster(size=3, program=…, flags=[…], env={…}, wait=True, …).

    The program is Oakum unless another is named. All end with the test; the data of a test that
    passed is removed."""
    clusters = request.node.stash.setdefault(CLUSTERS, [])

    def make(size=3, program=None, flags=(), env=None, wait=True, start=True, **tls):
        if program is None:
            program = request.getfixturevalue("oakum_bin")
        cluster = harness.Cluster(program, tmp_path / f"cluster{len(clusters) + 1}", size, flags,
                                  env, **tls)
        clusters.append(cluster)
        return cluster.start(wait) if start else cluster

    yield make
    for cluster in clusters:
        cluster.close()
    if not any(getattr(request.node, "failed_" + when, False) for when in ("setup", "call")):
        for cluster in clusters:
            cluster.remove()


@pytest.fixture(scope="module")
def lasting_cluster(request, tmp_path_factory):
    """As start_cluster, for clusters that all tests of a file share."""
    clusters = request.node.stash.setdefault(CLUSTERS, [])

    def make(size=3, program=None, flags=(), env=None):
        if program is None:
            program = request.getfixturevalue("oakum_bin")
        cluster = harness.Cluster(program, tmp_path_factory.mktemp("cluster"), size, flags, env)
        clusters.append(cluster)
        return cluster.start()

    yield make
    for cluster in clusters:
        cluster.close()


@pytest.fixture
def node(start_cluster):
    """A single healthy Oakum; its cluster is node.cluster."""
    return start_cluster(size=1).nodes[0]


@pytest.fixture
def cluster(start_cluster):
    """Three healthy Oakums."""
    return start_cluster(size=3)


@pytest.fixture
def etcd_cluster(start_cluster, etcd_bin):
    """Three healthy etcds."""
    return start_cluster(size=3, program=etcd_bin)


@pytest.fixture(params=["oakum", "etcd"])
def either(request, start_cluster):
    """Three members of Oakum, then of etcd: for tests that hold them to the same."""
    return start_cluster(size=3, program=request.getfixturevalue(f"{request.param}_bin"))

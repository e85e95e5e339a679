# SPDX-License-Identifier: Apache-2.0
"""The same gRPC and HTTP requests to etcd and to Oakum, and their answers compared field by field.

The requests are in rpc_cases_*.py; rpc_steps.py runs them. What etcd answers is in none of them: a
real one is asked in the same run. Which one is OAKUM_ETCD; `make test` takes Debian's 3.4,
`make etcd-now` a current one. What is meant to differ is in rpc_cases.DIFFERENCES, each with its
reason, and fails when it does not differ.
"""
import difflib

import pytest

from rpc_cases import (AUTH, AUTH_LATER, CASES, CLUSTER, CLUSTER_LATER, DIFFERENCES, LATER,
                       differs)
from rpc_steps import Pair

ALL = CASES + LATER
ALL_AUTH = AUTH + AUTH_LATER
ALL_CLUSTER = CLUSTER + CLUSTER_LATER


@pytest.fixture(name="pair", scope="module")
def both_clusters(lasting_cluster, etcd_bin):
    pair = Pair(lasting_cluster(3, etcd_bin), lasting_cluster(3))
    yield pair
    pair.close()


@pytest.fixture(name="auth_pair", scope="module")
def both_with_users(lasting_cluster, etcd_bin):
    cheap = ["--bcrypt-cost", "4"]
    pair = Pair(lasting_cluster(1, etcd_bin, cheap), lasting_cluster(1, flags=cheap))
    yield pair
    pair.close()


@pytest.fixture(name="cluster_pair", scope="module")
def both_that_change(lasting_cluster, etcd_bin):
    pair = Pair(lasting_cluster(3, etcd_bin), lasting_cluster(3))
    for side in pair.sides:
        side.versions_learn()
        side.alarm_headers = pair.etcd_version >= "3.6"  # in rpc_cases.DIFFERENCES
    yield pair
    pair.close()


def compare(pair, name, steps, node):
    both = pair.run(name, steps, node)
    report = "\n".join(line[:400] for line in difflib.unified_diff(
        *both, "etcd", "oakum", lineterm="", n=6))
    if differs(name, pair.etcd_version):
        assert report, f"{name} is no difference any more: take it out of DIFFERENCES"
    else:
        assert not report, "\n" + report


@pytest.mark.parametrize("number", range(len(ALL)), ids=[name for name, _ in ALL])
def test_requests_get_what_etcd_gives(pair, number):
    if number < len(CASES) or pair.etcd_version >= "3.6":
        compare(pair, *ALL[number], number % 3)


@pytest.mark.parametrize("number", range(len(ALL_AUTH)), ids=[name for name, _ in ALL_AUTH])
def test_requests_of_users_get_what_etcd_gives(auth_pair, number):
    if number < len(AUTH) or auth_pair.etcd_version >= "3.6":
        compare(auth_pair, *ALL_AUTH[number], 0)


@pytest.mark.parametrize("number", range(len(ALL_CLUSTER)), ids=[name for name, _ in ALL_CLUSTER])
def test_requests_about_members_get_what_etcd_gives(cluster_pair, number):
    if number < len(CLUSTER) or cluster_pair.etcd_version >= "3.6":
        for side in cluster_pair.sides:
            side.lead(0)
            side.calm()
        compare(cluster_pair, *ALL_CLUSTER[number], 0)


def test_rpc_cases_have_names_of_their_own():
    names = [name for name, _ in ALL + ALL_AUTH + ALL_CLUSTER]
    assert len(names) == len(set(names))
    assert {case for each in DIFFERENCES for case in each.cases} <= set(names)

# SPDX-License-Identifier: Apache-2.0
"""The policy oakum_leader of a channel, on real members: calls go to the one that leads, and follow
when another one does."""
import contextlib
import json
import signal
import subprocess

import pytest

import harness

PUTS = ('grpc_server_started_total{grpc_method="Put",grpc_service="etcdserverpb.KV",'
        'grpc_type="unary"}')
MANY = 2000
PUT = "/etcdserverpb.KV/Put"
PUT_REQUEST = b"\x0a\x01k\x12\x01v"  # key k, value v


def puts(node):
    return node.metrics().get(PUTS, 0)


class Bench:
    """`oakum bench put` on all members, until it is stopped."""

    def __init__(self, cluster, policy):
        self.process = harness.child(
            [cluster.program, "bench", "put", "--policy", policy, "--clients", "4", "--conns", "2",
             "--duration", "600", "--output", "json", "--endpoints", ",".join(cluster.endpoints)],
            text=True, stdout=subprocess.PIPE)

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        return json.loads(self.process.communicate(timeout=harness.PATIENCE_S)[0])


@pytest.fixture
def bench():
    started = []

    def start(cluster, policy):
        started.append(Bench(cluster, policy))
        return started[-1]
    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


def test_puts_go_to_the_leader_and_follow_when_another_leads(cluster, bench):
    old = cluster.leader()
    others = cluster.followers()
    load = bench(cluster, "oakum_leader")
    harness.until(lambda: puts(old) > MANY, "the leader has many puts")
    # The first ones go to whom is connected to before the leader is known.
    assert sum(puts(node) for node in others) < MANY / 10
    old.kill()
    new = cluster.leader(others)
    last = next(node for node in others if node is not new)
    at_last, at_new = puts(last), puts(new)
    harness.until(lambda: puts(new) > at_new + MANY, "the new leader has many puts")
    assert puts(last) - at_last < MANY / 10
    told = load.stop()
    assert told["requests"] > 2 * MANY
    # What was under way when the leader died, and what came before there was another.
    assert set(told["failures"]) <= {"Unavailable"}


def test_puts_follow_a_leader_that_hands_over(cluster, bench):
    old = cluster.leader()
    others = cluster.followers()
    load = bench(cluster, "oakum_leader")
    harness.until(lambda: puts(old) > MANY, "the leader has many puts")
    assert old.stop() == 0
    new = cluster.leader(others)
    at_new = puts(new)
    harness.until(lambda: puts(new) > at_new + MANY, "the new leader has many puts")
    old.start()
    old.wait_healthy()
    at_old = puts(old)
    at_new = puts(new)
    harness.until(lambda: puts(new) > at_new + MANY, "the new leader has many more")
    assert puts(old) - at_old < MANY / 10  # it is back, and follows
    assert load.stop()["requests"] > 3 * MANY


def test_in_turn_all_members_have_puts(cluster, bench):
    """So that the tests above can fail."""
    load = bench(cluster, "round_robin")
    harness.until(lambda: min(puts(node) for node in cluster.nodes) > MANY, "all have puts")
    assert load.stop()["failed"] == 0


def test_other_libraries_find_the_leader_by_health(cluster):
    """gRPC's own round_robin, with the health of who leads as its condition."""
    import grpc  # pylint: disable=import-outside-toplevel
    config = {"loadBalancingConfig": [{"round_robin": {}}],
              "healthCheckConfig": {"serviceName": "oakum.Leader"}}
    old = cluster.leader()
    others = cluster.followers()
    target = "ipv4:" + ",".join(cluster.endpoints)
    with grpc.insecure_channel(target, [("grpc.service_config", json.dumps(config))]) as channel:
        put = channel.unary_unary(PUT)

        def puts_many():
            for _ in range(MANY // 10):
                put(PUT_REQUEST, wait_for_ready=True, timeout=harness.PATIENCE_S)

        puts_many()
        assert puts(old) >= MANY // 10
        assert all(puts(node) == 0 for node in others)
        assert old.stop() == 0
        new = cluster.leader(others)
        at_others = {node: puts(node) for node in others}

        def follows():
            with contextlib.suppress(grpc.RpcError):  # what was on its way to the old one
                put(PUT_REQUEST, wait_for_ready=True, timeout=1)
            return puts(new) > at_others[new]

        harness.until(follows, "a put at the new leader")
        puts_many()
        last = next(node for node in others if node is not new)
        assert puts(new) >= at_others[new] + MANY // 10
        assert puts(last) == at_others[last]

# SPDX-License-Identifier: Apache-2.0
"""The policy oakum_leader of a channel, on real members: calls go to the one that leads, and follow
when another one does."""
import json
import signal
import subprocess

import pytest

import harness

PUTS = ('grpc_server_started_total{grpc_method="Put",grpc_service="etcdserverpb.KV",'
        'grpc_type="unary"}')
MANY = 2000


def puts(node):
    return node.metrics().get(PUTS, 0)


class Bench:
    """`oakum bench put` on all members, until it is stopped."""

    def __init__(self, cluster, policy):
        self.process = subprocess.Popen(
            [cluster.program, "bench", "put", "--policy", policy, "--clients", "4", "--conns", "2",
             "--duration", "600", "--output", "json", "--endpoints", ",".join(cluster.endpoints)],
            text=True, stdout=subprocess.PIPE, preexec_fn=harness.die_with_parent)

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

# SPDX-License-Identifier: Apache-2.0
"""Random sequences of KV, Txn, Lease and Watch, the same to a real etcd and to Oakum.

test_random_differential.py asks for far more in less time; here a failure is made short. Before a
watch changes, and at the end, it is given one more event to hear, so that what it heard until then
is whole, and can be compared event for event. A failure names the seed and the number of the
sequence, and shows the shortest one that still differs. OAKUM_DIFFER_SEED replays;
OAKUM_DIFFER_SEQUENCES sets how many.
"""
import difflib
import os
import random

import pytest

from rpc_steps import Pair

SEQUENCES = int(os.environ.get("OAKUM_DIFFER_SEQUENCES") or 10)
SEED = int(os.environ.get("OAKUM_DIFFER_SEED") or random.SystemRandom().randrange(1, 2**32))
STEPS = 60
WATCHES = 6
KEYS = [first + second for first in "abc" for second in ("", "a", "b")]
SORTS = ["", "sort_order:DESCEND", "sort_target:MOD sort_order:ASCEND",
         "sort_target:CREATE sort_order:DESCEND", "keys_only:true", "count_only:true"]


class Sequence:
    """One, from a seed."""

    def __init__(self, seed, number):
        self.random = random.Random(f"{seed} {number}")
        self.leases = [10000000 + 100 * number + i for i in range(3)]
        self.revisions = 0  # as many were written at least: no watch begins in the future
        self.watches = {}  # id: (stream, key, filters)
        self.next_watch = 1
        self.steps = ["w= Watch", "v= Watch"]
        kinds = [(self.put, 30), (self.delete, 10), (self.range, 15), (self.txn, 20),
                 (self.compact, 1), (self.lease, 10), (self.create, 8), (self.cancel, 4)]
        while len(self.steps) < STEPS:
            self.random.choices([kind for kind, _ in kinds], [each for _, each in kinds])[0]()
        for watch in list(self.watches):
            self.hear(watch)
        self.steps += [f"LeaseTimeToLive ID:{lease} keys:true" for lease in self.leases]
        self.steps += [f"LeaseRevoke ID:{lease}" for lease in self.leases]
        self.steps.append("Range key:'@' range_end:'~'")

    def some(self, percent, text):
        return text if self.random.randrange(100) < percent else ""

    def key(self):
        return f"key:'@{self.random.choice(KEYS)}'"

    def keys(self, percent):
        key = self.random.choice(KEYS)
        end = self.random.choice([self.random.choice(KEYS), "z", key + "z"])
        return f"key:'@{key}' " + self.some(percent, f"range_end:'@{end}'")

    def revision(self):
        return f"^{self.random.randint(max(0, self.revisions - 15), self.revisions + 2)}"

    def put_text(self):
        if self.random.randrange(10) == 0:
            return f"{self.key()} {self.random.choice(['ignore_value', 'ignore_lease'])}:true"
        return (f"{self.key()} value:'{self.random.randrange(5)}' "
                + self.some(25, f"lease:{self.random.choice(self.leases)} ")
                + self.some(30, "prev_kv:true"))

    def delete_text(self):
        return f"{self.keys(30)} " + self.some(40, "prev_kv:true")

    def range_text(self):
        return (f"{self.keys(70)} {self.random.choice(SORTS)} "
                + self.some(20, f"revision:{self.revision()} ") + self.some(20, "limit:2 "))

    def compare_text(self):
        target, field, values = self.random.choice([
            ("VERSION", "version", (0, 1, 2)), ("VALUE", "value", ("'0'", "'1'")),
            ("CREATE", "create_revision", (0, self.revision())),
            ("MOD", "mod_revision", (0, self.revision())), ("LEASE", "lease", (0, self.leases[0]))])
        result = self.random.choice(["EQUAL", "GREATER", "LESS", "NOT_EQUAL"])
        return (f"compare {{ result:{result} target:{target} {field}:{self.random.choice(values)} "
                f"{self.keys(20)} }}")

    def txn_text(self, depth):
        text = " ".join(self.compare_text() for _ in range(self.random.randrange(3)))
        for branch in ("success", "failure"):
            for _ in range(self.random.randrange(4)):
                kind = self.random.randrange(4 if depth else 3)
                op = (f"request_put {{ {self.put_text()} }}",
                      f"request_range {{ {self.keys(50)} }}",
                      f"request_delete_range {{ {self.delete_text()} }}",
                      f"request_txn {{ {self.txn_text(depth - 1)} }}" if depth else "")[kind]
                text += f" {branch} {{ {op} }}"
        return text

    def add(self, step, writes=False):
        self.steps.append(step)
        self.revisions += writes

    def put(self):
        text = self.put_text()
        self.add(f"Put {text}", "ignore" not in text and "lease" not in text)

    def delete(self):
        self.add(f"DeleteRange {self.delete_text()}")

    def range(self):
        self.add(f"Range {self.range_text()}")

    def txn(self):
        self.add(f"Txn {self.txn_text(2)}")

    def compact(self):
        self.add(f"Compact revision:^{self.revisions // 2}")

    def lease(self):
        lease = self.random.choice(self.leases)
        self.add(self.random.choice([
            f"LeaseGrant ID:{lease} TTL:5000", f"LeaseGrant ID:{lease} TTL:5000",
            f"LeaseRevoke ID:{lease}", f"LeaseTimeToLive ID:{lease} keys:true"]))

    def create(self):
        if len(self.watches) < WATCHES:
            watch, self.next_watch = self.next_watch, self.next_watch + 1
            stream, key = self.random.choice("wv"), self.random.choice(KEYS)
            filters = self.random.choice(["", "", "", "filters:NOPUT", "filters:NODELETE"])
            self.watches[watch] = (stream, key, filters)
            start = f"^{self.random.randint(0, self.revisions)}" if self.revisions else "0"
            self.add(f"{stream}+ {watch} key:'@{key}' {filters} "
                     + self.some(50, f"range_end:'@{key}z' ") + self.some(50, "prev_kv:true ")
                     + self.some(40, f"start_revision:{start}"))
            self.hear(watch)

    def hear(self, watch):
        stream, key, filters = self.watches[watch]
        self.add(f"Put key:'@{key}'", True)
        method = "DeleteRange" if filters == "filters:NOPUT" else "Put"
        self.add(f"{stream}~ {watch} {method} key:'@{key}'", method == "Put")

    def cancel(self):
        if self.watches:
            watch = self.random.choice(list(self.watches))
            self.hear(watch)
            stream = self.watches.pop(watch)[0]
            self.add(f"{stream}- {watch}")


def differ(pair, name, steps):
    """What both sides say differently; "" where they agree, or the steps make no sense."""
    try:
        both = pair.run(name, steps, 0)
    except (KeyError, TypeError):
        return ""
    return "\n".join(line[:300] for line in difflib.unified_diff(
        *both, "etcd", "oakum", lineterm="", n=8))


def shrink(pair, steps):
    """The shortest steps that still differ, and how; by leaving out ever smaller pieces."""
    report, piece, tries = "", len(steps) // 2, 0
    while piece > 0 and tries < 400:
        at = 0
        while at < len(steps):
            tries += 1
            fewer = steps[:at] + steps[at + piece:]
            found = differ(pair, f"shrunk-{tries}", fewer)
            steps, report = (fewer, found) if found else (steps, report)
            at += 0 if found else piece
        piece //= 2
    return steps, report


@pytest.fixture(name="pair", scope="module")
def both_members(lasting_cluster, etcd_bin):
    pair = Pair(lasting_cluster(1, etcd_bin), lasting_cluster(1))
    yield pair
    pair.close()


def test_random_sequences_with_watches_and_leases_get_what_etcd_gives(pair):
    for number in range(SEQUENCES):
        steps = Sequence(SEED, number).steps
        report = differ(pair, f"random-{number}", steps)
        if report:
            steps, shorter = shrink(pair, steps)
            pytest.fail(f"sequence {number} of OAKUM_DIFFER_SEED={SEED}; as short as it gets:\n"
                        + "\n".join(steps) + "\n" + (shorter or report))


def test_random_sequences_are_the_same_for_a_seed():
    first, second = (Sequence(7, 3).steps for _ in range(2))
    assert first == second != Sequence(8, 3).steps
    assert any(step[1] == "+" for step in first)

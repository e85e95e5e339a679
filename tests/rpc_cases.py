# SPDX-License-Identifier: Apache-2.0
"""rpc_cases.py: all cases of test_rpc_differential.py, and what is meant to differ in them.

A case is (name, steps); rpc_steps.py reads the steps."""
from collections import namedtuple

import rpc_cases_auth
import rpc_cases_cluster
import rpc_cases_kv
import rpc_cases_lease
import rpc_cases_lock
import rpc_cases_maintenance
import rpc_cases_watch
import rpc_cases_watches
import rpc_cases_wire

# Run in this order: the last ones cut history off.
CASES = (rpc_cases_kv.CASES + rpc_cases_wire.CASES + rpc_cases_watch.CASES +
         rpc_cases_watches.CASES + rpc_cases_lease.CASES + rpc_cases_lock.CASES +
         rpc_cases_kv.COMPACTIONS + rpc_cases_watch.COMPACTIONS +
         rpc_cases_watches.COMPACTIONS)
# Those that an etcd before 3.6 isn't asked.
LATER = (rpc_cases_kv.CASES_OF_36 + rpc_cases_wire.CASES_OF_36 +
         rpc_cases_watch.CASES_OF_36 + rpc_cases_watches.CASES_OF_36)

# Those of the Auth service, on members of their own.
AUTH = rpc_cases_auth.CASES
AUTH_LATER = rpc_cases_auth.CASES_OF_36

# Those of Cluster and Maintenance, as well.
CLUSTER = rpc_cases_cluster.CASES + rpc_cases_maintenance.CASES
CLUSTER_LATER = rpc_cases_cluster.CASES_OF_36 + rpc_cases_maintenance.CASES_OF_36

# cases: their names. where: the etcd that they differ from, a key of IS_THERE.
Difference = namedtuple("Difference", "what cases where etcd oakum")
IS_THERE = {
    "any": lambda version: True,
    "before 3.6": lambda version: version < (3, 6),
    "from 3.6 on": lambda version: version >= (3, 6),
    "before 3.7": lambda version: version < (3, 7),
    "from 3.7 on": lambda version: version >= (3, 7),
}
DIFFERENCES = [
    Difference("RangeStream", ["range-stream"] + [name for name, _ in rpc_cases_kv.STREAMS],
               "before 3.7", "does not know it", "serves it, as etcd from 3.7 on"),
    Difference("RangeStream with a target to sort by and no order", ["stream-sort-value-none"],
               "from 3.7 on", "sorts each message for itself", "sends them by key"),
    Difference("a field of another wire type", ["wire-wrong-type"], "any",
               "refuses it with a text of its protobuf library; from 3.7 on takes it for unknown",
               "refuses it: `grpc: error unmarshalling request: the message is malformed`"),
    Difference("a path that is no method", ["wire-service-alone", "wire-slash-alone"],
               "before 3.6", "ResourceExhausted, as its gRPC library had it then", "Unimplemented"),
    Difference("a token without authentication", ["wire-token-without-auth",
                                                  "wire-bearer-without-auth"], "before 3.6",
               "refuses a token that it does not know even where authentication is off",
               "does not look at tokens then, as etcd from 3.6 on"),
    Difference("a watch from a negative revision",
               ["watch-negative-revision", "watch-very-negative-revision",
                "watch-empty-range-and-negative", "watches-from-negative",
                "watches-from-negative-then-another"], "before 3.6",
               "takes it for one from now on", "refuses it as compacted, as etcd from 3.6 on"),
    Difference("HashKV at the compacted revision", ["maintenance-hash-kv-compacted"], "any",
               "refuses it; from 3.6 on gives the hash that it noted at the compaction, of what "
               "was there before it", "gives the hash of what is there"),
    Difference("HashKV at a negative revision", ["maintenance-hash-kv-below-zero"], "any",
               "takes it for the newest", "refuses it as compacted"),
    Difference("an alarm that is none", ["maintenance-alarm-that-is-none"], "before 3.6",
               "raises it, and lists it", "does not, as etcd 3.7"),
    Difference("a voter that is away, when another is added",
               ["cluster-two-that-never-start", "cluster-learner-beside-one-that-never-starts"],
               "from 3.7 on", "adds as long as a majority is there",
               "refuses, as etcd up to 3.6: `unhealthy cluster`"),
    Difference("MemberUpdate with what is no URL", [], "any", "takes it, and its members end by it",
               "refuses it: `given member URLs are invalid`"),
    Difference("a malformed request of who may not", ["auth-malformed"], "any",
               "tells what is wrong with it", "tells that it may not: `permission denied`"),
    Difference("a transaction of nothing, by nobody", ["auth-nobody-commits-nothing"], "any",
               "commits it", "refuses it, as all others without a user"),
    Difference("the header of alarms", ["wire-alarm-none"], "before 3.6",
               "has none in Alarm's answer", "has it, as etcd from 3.6 on"),
    Difference("the reason in `/health`", ["http-health", "auth-http-health"], "before 3.6",
               "has none",
               "has it, as etcd from 3.6 on"),
    Difference("the type of `/health`", ["http-health", "auth-http-health"], "any",
               "calls it plain text", "calls it `application/json`, which it is"),
    Difference("the codes of Lock and Election",
               ["lock-lease-unknown", "lock-unlock-no-key", "election-empty-leader-key",
                "election-lease-unknown", "election-proclaim-unknown-lease"], "any",
               "tells the text of each failure with the code Unknown",
               "tells the code that goes with the text elsewhere, such as NotFound"),
    Difference("a lease that ends while its Lock waits", ["lock-lease-ends-while-it-waits"],
               "before 3.6", "gives it the lock when its turn would come",
               "tells it at once: `mutex: session is expired`, as etcd from 3.5 on does later"),
    Difference("a key that another puts again while its Lock waits",
               ["lock-key-is-put-by-another"], "any", "gives it the lock when its turn comes",
               "tells it that its session has expired, when its own key goes"),
    Difference("a lease that ends while its Campaign waits",
               ["election-lease-ends-while-it-waits"], "any",
               "tells it that it leads when its turn would come",
               "tells it at once: `election: not leader`"),
    Difference("HEAD", ["http-health-post", "http-health-put", "http-version-post",
                        "http-livez-post"], "any",
               "takes GET alone, and tells so in `Allow`", "takes HEAD as well"),
]


def differs(case, version):
    """Is this case meant to differ from etcd of this version?"""
    version = tuple(int(each) for each in version.split(".")[:2])
    return any(case in each.cases and IS_THERE[each.where](version) for each in DIFFERENCES)


def page_lines():
    """What docs/reference/etcd-compatibility.md says of them."""
    lines = [f"| {each.what} | {each.where} | {each.etcd} | {each.oakum} |"
             for each in DIFFERENCES]
    usual, later = len(CASES + AUTH + CLUSTER), len(LATER + AUTH_LATER + CLUSTER_LATER)
    return [
        f"gRPC and HTTP requests of {usual} more sequences go to both, and their answers are",
        "compared field by field (`make test T=rpc_differential`). `make etcd-now` asks a current",
        f"etcd in place of Debian's 3.4, and {later} sequences more, which an older one does",
        "not know, or ends its process by.",
        "What is meant to differ in them:", "",
        "| what | etcd | there | Oakum |", "| --- | --- | --- | --- |", *lines, ""]

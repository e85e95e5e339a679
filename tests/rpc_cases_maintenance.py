# SPDX-License-Identifier: Apache-2.0
"""rpc_cases_maintenance.py: the Maintenance service but for Snapshot, for test_rpc_differential.py,
on the members of rpc_cases_cluster.py. $below, $same, $above are versions of a cluster: that before
its own, its own, the next; they are not the same for two servers."""
from rpc_cases_cluster import ONE, add


def alarm(action, kind, member="$n1"):
    return f"Alarm action:{action} memberID:{member} alarm:{kind}"


WRITES = ["Put key:'@a' value:'1'", "Txn success { request_put { key:'@a' } }",
          "Txn success { request_range { key:'@a' } } failure { request_put { key:'@a' } }",
          "Txn success { request_range { key:'@a' } }", "Range key:'@a'",
          "Range key:'@a' serializable:true", "LeaseGrant ID:9001 TTL:1000",
          "LeaseTimeToLive ID:9001",
          "LeaseRevoke ID:9001", "DeleteRange key:'@a'", "Compact revision:^0"]


def downgrade(action, version=""):
    return f"Downgrade action:{action} version:'{version}'"


CASES = [
    ("maintenance-status", [step for node in (1, 2, 3) for step in (f"at {node}", "Status")]),
    ("maintenance-status-of-two-alarms", [alarm("ACTIVATE", "NOSPACE"),
                                          alarm("ACTIVATE", "CORRUPT"), "Status",
                                          alarm("DEACTIVATE", "CORRUPT"), "Status",
                                          alarm("DEACTIVATE", "NOSPACE"), "Status"]),
    ("maintenance-nospace", ["Put key:'@a'", alarm("ACTIVATE", "NOSPACE"), "Alarm", *WRITES,
                             alarm("DEACTIVATE", "NOSPACE"), "Alarm", *WRITES]),
    ("maintenance-corrupt", ["Put key:'@a'", alarm("ACTIVATE", "CORRUPT"), "Alarm", *WRITES,
                             alarm("DEACTIVATE", "CORRUPT"), "Alarm", *WRITES]),
    ("maintenance-alarm-twice", [alarm("ACTIVATE", "NOSPACE"), alarm("ACTIVATE", "NOSPACE"),
                                 "Alarm", alarm("DEACTIVATE", "NOSPACE"),
                                 alarm("DEACTIVATE", "NOSPACE"), "Alarm"]),
    ("maintenance-alarm-by-kind", [alarm("ACTIVATE", "NOSPACE"), "Alarm alarm:NOSPACE",
                                   "Alarm alarm:CORRUPT", "Alarm memberID:12345",
                                   "Alarm alarm:NOSPACE memberID:$n2", "at 2", "Alarm",
                                   alarm("DEACTIVATE", "NOSPACE")]),
    ("maintenance-alarm-of-another-kind", [alarm("ACTIVATE", "NOSPACE"),
                                           alarm("DEACTIVATE", "CORRUPT"), "Alarm",
                                           alarm("DEACTIVATE", "NOSPACE", "$n2"), "Alarm",
                                           alarm("DEACTIVATE", "NOSPACE")]),
    ("maintenance-alarm-of-two-members", [alarm("ACTIVATE", "NOSPACE", "$n1"), "at 2",
                                          alarm("ACTIVATE", "NOSPACE", "$n2"),
                                          alarm("DEACTIVATE", "NOSPACE", "$n1"), "Put key:'@a'",
                                          alarm("DEACTIVATE", "NOSPACE", "$n2"), "Put key:'@a'"]),
    ("maintenance-alarm-of-nobody", [alarm("ACTIVATE", "NOSPACE", "12345"), "Alarm",
                                     alarm("DEACTIVATE", "NOSPACE", "12345"),
                                     "Alarm action:ACTIVATE alarm:NOSPACE", "Alarm",
                                     "Alarm action:DEACTIVATE alarm:NOSPACE", "Alarm"]),
    ("maintenance-alarm-that-is-none", [alarm("ACTIVATE", "NONE"), "Alarm", "Put key:'@a'",
                                        alarm("DEACTIVATE", "NONE"), "Alarm"]),
    ("maintenance-defragment", ["Defragment", "at 2", "Defragment", "Put key:'@a'"]),
    ("maintenance-hash", ["Hash", "at 3", "Hash"]),
    ("maintenance-hash-kv", ["Put key:'@a' value:'1'", "Put key:'@a' value:'2'", "HashKV",
                             "HashKV revision:^0", "HashKV revision:^1", "HashKV revision:^2",
                             "DeleteRange key:'@a'", "HashKV revision:^2", "HashKV"]),
    ("maintenance-hash-kv-of-the-future", ["HashKV revision:^1", "HashKV revision:999999999"]),
    ("maintenance-hash-kv-below-zero", ["HashKV revision:-1"]),
    ("maintenance-hash-kv-compacted", ["Put key:'@a'", "Put key:'@a'", "Put key:'@a'",
                                       "Compact revision:^2 physical:true", "HashKV revision:^1",
                                       "HashKV revision:^2", "HashKV revision:^3", "HashKV"]),
    ("maintenance-move-to-nobody", ["MoveLeader", "MoveLeader targetID:12345"]),
    ("maintenance-move-to-itself", ["MoveLeader targetID:$n1", "Put key:'@a'"]),
    ("maintenance-move-by-a-follower", ["at 2", "MoveLeader targetID:$n3",
                                        "MoveLeader targetID:$n2",
                                        "MoveLeader", "MoveLeader targetID:12345"]),
    ("maintenance-move-to-a-learner", [add(ONE), "MoveLeader targetID:$a1", "MemberRemove ID:$a1",
                                       "MoveLeader targetID:$a1"]),
    ("maintenance-move-there-and-back", ["MoveLeader targetID:$n2", "at 2", "Put key:'@a'",
                                         "Status", "MoveLeader targetID:$n1", "at 1",
                                         "Put key:'@a'", "Status"]),
    ("maintenance-hasleader", ["meta hasleader=true", "Status", "Alarm", "HashKV"]),
]
# 3.4 has no Downgrade.
CASES_OF_36 = [
    ("maintenance-downgrade-validate", [downgrade("VALIDATE", "$below"),
                                        downgrade("VALIDATE", "$below.0"), "Status"]),
    ("maintenance-downgrade-format", [downgrade(action, version)
                                      for action in ("VALIDATE", "ENABLE")
                                      for version in ("", "3", "x.y", "v3.5", "3.5.0.0", "3.5.",
                                                      "nonsense", "3,5")]),
    ("maintenance-downgrade-target", [downgrade(action, version)
                                      for action in ("VALIDATE", "ENABLE")
                                      for version in ("$same", "$above", "3.3", "2.0", "4.0.0")]),
    ("maintenance-downgrade", [downgrade("ENABLE", "$below"), "Status", "at 2",
                               downgrade("ENABLE", "$below"), downgrade("VALIDATE", "$below"),
                               downgrade("ENABLE", "$same"), "at 1", "Put key:'@a'",
                               downgrade("CANCEL"), "Status", downgrade("VALIDATE", "$below")]),
    ("maintenance-downgrade-cancel-nothing", [downgrade("CANCEL"), downgrade("CANCEL", "3.0"),
                                              downgrade("CANCEL", "nonsense")]),
    ("maintenance-downgrade-unknown", [downgrade("9", "$below"), downgrade("9")]),
]

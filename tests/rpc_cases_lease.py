# SPDX-License-Identifier: Apache-2.0
"""rpc_cases_lease.py: the Lease service, for test_rpc_differential.py. Each case has ids
of its own, since all share a cluster."""

ALL = "key:'@' range_end:'~'"


def grant(lease, ttl=1000):
    return f"LeaseGrant ID:{lease} TTL:{ttl}"


def left(lease):
    return f"LeaseTimeToLive ID:{lease} keys:true"


def revoke(lease):
    return f"LeaseRevoke ID:{lease}"


CASES = [
    ("lease-grant", [grant(101), left(101), revoke(101)]),
    ("lease-grant-twice", [grant(102), grant(102), grant(102, 5), revoke(102)]),
    ("lease-grant-again-after-revoke", [grant(103),
     revoke(103), grant(103, 500), left(103), revoke(103)]),
    ("lease-ttl-one", [grant(104, 1), revoke(104)]),
    ("lease-ttl-zero", [grant(105, 0), revoke(105)]),
    ("lease-ttl-negative", [grant(106, -5), revoke(106)]),
    ("lease-ttl-three", [grant(107, 3), revoke(107)]),
    ("lease-ttl-largest", [grant(108, 9000000000), left(108), revoke(108)]),
    ("lease-ttl-too-large", [grant(109, 9000000001), left(109)]),
    ("lease-ttl-int64", [grant(110, 9223372036854775807)]),
    ("lease-id-largest", [grant(9223372036854775807), left(9223372036854775807),
                          revoke(9223372036854775807)]),
    ("lease-id-negative", [grant(-5), left(-5), revoke(-5)]),
    ("lease-revoke-unknown", [revoke(111)]),
    ("lease-revoke-zero", ["LeaseRevoke"]),
    ("lease-revoke-twice", [grant(112), revoke(112), revoke(112)]),
    ("lease-ttl-of-unknown", [left(113), "LeaseTimeToLive ID:113", "LeaseTimeToLive"]),
    ("lease-no-revision", ["Range key:'@a'", grant(114),
     "Range key:'@a'", revoke(114), "Range key:'@a'"]),
    ("lease-list", [grant(116), grant(115), "LeaseLeases", revoke(115), "LeaseLeases", revoke(116),
                    "LeaseLeases"]),
    ("lease-put", [grant(117), "Put key:'@a' lease:117", "Range key:'@a'", left(117), revoke(117),
                   "Range key:'@a'"]),
    ("lease-keys-not-asked",
    [grant(118),
    "Put key:'@a' lease:118",
    "LeaseTimeToLive ID:118",
     revoke(118)]),
    ("lease-keys", [grant(119)] + [f"Put key:'@{k}' lease:119" for k in "cab"] +
     [left(119), revoke(119), f"Range {ALL}"]),
    ("lease-revoke-one-revision", [grant(120)] + [f"Put key:'@{k}' lease:120" for k in "abc"] +
     ["w= Watch", f"w< create_request {{ {ALL} }}", "w> 1", revoke(120), "w> 3 events"]),
    ("lease-revoke-prev", [grant(121), "Put key:'@a' value:'v' lease:121", "w= Watch",
                           f"w< create_request {{ {ALL} prev_kv:true }}", "w> 1", revoke(121),
                           "w> 1 events"]),
    ("lease-put-detaches", [grant(122), "Put key:'@a' lease:122", "Put key:'@a'", left(122),
                            revoke(122),
                            "Range key:'@a'"]),
    ("lease-put-moves", [grant(123), grant(124), "Put key:'@a' lease:123", "Put key:'@a' lease:124",
                         left(123), left(124), revoke(123), "Range key:'@a'", revoke(124),
                         "Range key:'@a'"]),
    ("lease-put-ignore-lease", [grant(125), "Put key:'@a' value:'1' lease:125",
                                "Put key:'@a' value:'2' ignore_lease:true", "Range key:'@a'", left(
                                    125),
                                revoke(125), "Range key:'@a'"]),
    ("lease-put-ignore-value", [grant(126), "Put key:'@a' value:'1'",
                                "Put key:'@a' ignore_value:true lease:126", "Range key:'@a'", left(
                                    126),
                                revoke(126), "Range key:'@a'"]),
    ("lease-delete-detaches", [grant(127), "Put key:'@a' lease:127", "DeleteRange key:'@a'",
                               left(127),
                               "Put key:'@a'", revoke(127), "Range key:'@a'"]),
    ("lease-put-after-revoke", [grant(128), revoke(128), "Put key:'@a' lease:128"]),
    ("lease-in-txn", [grant(129), "Txn success { request_put { key:'@a' lease:129 } } "
                      "success { request_put { key:'@b' lease:129 } }", left(129),
                      "Txn compare { target:LEASE lease:129 key:'@a' }",
                      "Txn compare { target:LEASE lease:129 key:'@' range_end:'~' }",
                      "Txn compare { result:NOT_EQUAL target:LEASE lease:129 key:'@b' }",
                      revoke(129)]),
    ("lease-txn-moves-and-deletes", [grant(130), "Put key:'@a' lease:130", "Put key:'@b' lease:130",
                                     "Txn success { request_put { key:'@a' } } "
                                     "success { request_delete_range { key:'@b' } }", left(130),
                                     revoke(130), f"Range {ALL}"]),
    ("lease-old-revision", [grant(131), "Put key:'@a' lease:131", "Put key:'@a'",
                            "Range key:'@a' revision:^1",
                            "Range key:'@a' revision:^2", revoke(131)]),
    ("lease-same-key-twice", [grant(132), "Put key:'@a' lease:132", "Put key:'@a' lease:132",
                              left(132),
                              revoke(132)]),
    ("lease-prev-kv", [grant(133), "Put key:'@a' lease:133",
     "Put key:'@a' prev_kv:true", revoke(133)]),

    ("lease-keepalive", [grant(140), "w= LeaseKeepAlive", "w< ID:140", "w> 1", "w< ID:140", "w> 1",
                         "w.",
                         "w>", revoke(140)]),
    ("lease-keepalive-unknown", ["w= LeaseKeepAlive",
     "w< ID:141", "w> 1", "w< ID:0", "w> 1", "w.", "w>"]),
    ("lease-keepalive-of-two", [grant(142), grant(143, 777), "w= LeaseKeepAlive", "w< ID:142",
                                "w> 1",
                                "w< ID:143", "w> 1", "w< ID:144", "w> 1", "w< ID:142", "w> 1", "w.",
                                "w>",
                                revoke(142), revoke(143)]),
    ("lease-keepalive-after-revoke", [grant(145), "w= LeaseKeepAlive", "w< ID:145", "w> 1",
                                      revoke(145),
                                      "w< ID:145", "w> 1", "w.", "w>"]),
    ("lease-keepalive-many-at-once", [grant(146), "w= LeaseKeepAlive"] + ["w< ID:146"] * 5 +
     ["w> 5", "w.", "w>", revoke(146)]),
    ("lease-keepalive-nothing", ["w= LeaseKeepAlive", "w.", "w>"]),
    ("lease-keepalive-cancelled", ["w= LeaseKeepAlive", "w< ID:1", "w> 1", "w!", "w>"]),
    ("lease-keepalive-raised-ttl", [grant(147, 1),
     "w= LeaseKeepAlive", "w< ID:147", "w> 1", revoke(147)]),

    # An expiry is a removal as any other, and its time is not compared.
    ("lease-expires", [grant(150, 2), "Put key:'@a' lease:150", "Put key:'@b' lease:150",
                       "w= Watch",
                       f"w< create_request {{ {ALL} prev_kv:true }}", "w> 1", "w> 2 events",
                       f"Range {ALL}", left(150), revoke(150)]),
]

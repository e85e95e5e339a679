# SPDX-License-Identifier: Apache-2.0
"""rpc_cases_lock.py: the Lock and Election services, for test_rpc_differential.py. Each case has
leases of its own, since all share a cluster; a key ends in its lease's id, in hexadecimal.

A call that waits is a stream here. A watch beside it tells when its key is there: then it waits."""

ALL = "key:'@' range_end:'~'"
WATCH = ["v= Watch", f"v< create_request {{ {ALL} }}", "v> 1"]


def grant(*leases):
    return [f"LeaseGrant ID:{lease} TTL:1000" for lease in leases]


def revoke(*leases):
    return [f"LeaseRevoke ID:{lease}" for lease in leases]


def waits(letter, method, text):
    """It takes part, and has to wait."""
    return [f"{letter}= {method}", f"{letter}< {text}", f"{letter}.", "v> 1 events"]


def leader(lease, revision):
    return f"leader {{ name:'@e' key:'@e/{lease:x}' rev:{revision} lease:{lease} }}"


def campaign(lease, value, name="@e"):
    return f"Campaign name:'{name}' lease:{lease} value:'{value}'"


LOCKS = [
    ("lock", grant(0x301) + ["Lock name:'@l' lease:0x301", f"Range {ALL}", "Unlock key:'@l/301'",
                             f"Range {ALL}"] + revoke(0x301)),
    ("lock-again-by-its-lease", grant(0x302) + ["Lock name:'@l' lease:0x302"] * 2 +
     [f"Range {ALL}"] + revoke(0x302) + [f"Range {ALL}"]),
    ("lock-two-names", grant(0x303, 0x304) +
     ["Lock name:'@l' lease:0x303", "Lock name:'@m' lease:0x304", "Lock name:'@l/x' lease:0x304",
      f"Range {ALL}"] + revoke(0x303, 0x304)),
    ("lock-without-a-name", grant(0x305) + ["Lock lease:0x305", "Range key:'/305'"] +
     revoke(0x305)),
    ("lock-a-name-of-any-bytes", grant(0x306) +
     ["Lock name:'@\\000\\377/' lease:0x306", f"Range {ALL}"] + revoke(0x306)),
    ("lock-lease-largest", grant(0x7fffffffffffffff) +
     [f"Lock name:'@l' lease:{0x7fffffffffffffff}"] + revoke(0x7fffffffffffffff)),
    ("lock-lease-negative", grant(-0x307) + ["Lock name:'@l' lease:-0x307", f"Range {ALL}"] +
     revoke(-0x307)),
    ("lock-lease-unknown", ["Lock name:'@l' lease:0x308", "Lock name:'@l' lease:-0x308",
                            f"Range {ALL}"]),
    ("lock-of-a-key-that-is-there", grant(0x309) +
     ["Put key:'@l/309' value:'v'", "Lock name:'@l' lease:0x309", f"Range {ALL}",
      "Unlock key:'@l/309'"] + revoke(0x309)),
    ("lock-unlock-nothing", ["Unlock key:'@l/30a'", "Put key:'@k' value:'v'", "Unlock key:'@k'",
                             f"Range {ALL}"]),
    ("lock-unlock-no-key", ["Unlock"]),

    ("lock-waits", WATCH + grant(0x310, 0x311, 0x312) +
     ["Lock name:'@l' lease:0x310", "v> 1 events"] +
     waits("x", "Lock", "name:'@l' lease:0x311") + waits("y", "Lock", "name:'@l' lease:0x312") +
     ["Unlock key:'@l/310'", "x>", "Unlock key:'@l/311'", "y>", "v> 2 events",
      "Lock name:'@l' lease:0x312"] + revoke(0x310, 0x311, 0x312) + ["v> 1 events"]),
    ("lock-waits-for-any-key-before", WATCH + grant(0x313) +
     ["Put key:'@l/anything'", "v> 1 events"] + waits("x", "Lock", "name:'@l' lease:0x313") +
     ["Put key:'@l/anything' value:'again'", "Put key:'@l/later'", "DeleteRange key:'@l/anything'",
      "x>", "v> 3 events"] + revoke(0x313) + ["v> 1 events"]),
    ("lock-waits-behind-one-that-goes", WATCH + grant(0x314, 0x315, 0x316) +
     ["Lock name:'@l' lease:0x314", "v> 1 events"] +
     waits("x", "Lock", "name:'@l' lease:0x315") + waits("y", "Lock", "name:'@l' lease:0x316") +
     ["x!", "x>", "v> 1 events", f"Range {ALL}", "Unlock key:'@l/314'", "y>", "v> 1 events"] +
     revoke(0x314, 0x315, 0x316) + ["v> 1 events"]),
    ("lock-client-goes", WATCH + grant(0x317, 0x318) +
     ["Lock name:'@l' lease:0x317", "v> 1 events"] + waits("x", "Lock", "name:'@l' lease:0x318") +
     ["x!", "x>", "v> 1 events", f"Range {ALL}"] + revoke(0x317, 0x318) + ["v> 1 events"]),
    ("lock-lease-ends-while-it-waits", WATCH + grant(0x319, 0x31a) +
     ["Lock name:'@l' lease:0x319", "v> 1 events"] + waits("x", "Lock", "name:'@l' lease:0x31a") +
     revoke(0x31a) + ["v> 1 events", "Unlock key:'@l/319'", "x>", "v> 1 events", f"Range {ALL}"] +
     revoke(0x319)),
    ("lock-key-is-put-by-another", WATCH + grant(0x31b, 0x31c) +
     ["Lock name:'@l' lease:0x31b", "v> 1 events"] + waits("x", "Lock", "name:'@l' lease:0x31c") +
     ["DeleteRange key:'@l/31c'", "Put key:'@l/31c'", "v> 2 events", "Unlock key:'@l/31b'",
      "x>", "v> 1 events"] + revoke(0x31b, 0x31c) + ["DeleteRange key:'@l/31c'", "v> 1 events"]),
    ("lock-holder-is-revoked", WATCH + grant(0x31d, 0x31e) +
     ["Lock name:'@l' lease:0x31d", "v> 1 events"] + waits("x", "Lock", "name:'@l' lease:0x31e") +
     revoke(0x31d) + ["x>", "v> 1 events"] + revoke(0x31e) + ["v> 1 events"]),
    ("lock-over-http", grant(0x320) +
     ['POST /v3/lock/lock {"name":"b64(@l)","lease":"800"}', f"Range {ALL}",
      'POST /v3/lock/unlock {"key":"b64(@l/320)"}', f"Range {ALL}"] + revoke(0x320)),
]

ELECTIONS = [
    ("election", grant(0x401) + [campaign(0x401, "v"), "Leader name:'@e'", f"Range {ALL}",
                                 f"Proclaim {leader(0x401, '^1')} value:'w'", "Leader name:'@e'",
                                 f"Resign {leader(0x401, '^1')}", "Leader name:'@e'"] +
     revoke(0x401)),
    ("election-again-by-its-lease", grant(0x402) +
     [campaign(0x402, "v"), campaign(0x402, "v"), campaign(0x402, "w"), campaign(0x402, ""),
      f"Range {ALL}"] + revoke(0x402) + [f"Range {ALL}"]),
    ("election-without-a-name", grant(0x403) + ["Campaign lease:0x403 value:'v'",
                                                "Range key:'/403'"] + revoke(0x403)),
    ("election-nobody", ["Leader name:'@e'", "Leader name:'@'"]),
    ("election-leader-is-the-oldest", ["Put key:'@e/b'", "Put key:'@e/a'", "Put key:'@e/b'",
                                       "Leader name:'@e'", "DeleteRange key:'@e/b'",
                                       "Leader name:'@e'", "DeleteRange key:'@e/a'"]),
    ("election-no-leader-key", ["Proclaim value:'v'", "Resign"]),
    ("election-empty-leader-key", ["Proclaim leader {} value:'v'", "Resign leader {}"]),
    ("election-lease-unknown", [campaign(0x404, "v"), f"Range {ALL}"]),
    ("election-proclaim-not-its-own", grant(0x405) +
     [campaign(0x405, "v"), f"Proclaim {leader(0x405, '^0')} value:'w'",
      f"Proclaim {leader(0x405, 0)} value:'w'", f"Proclaim {leader(0x406, '^1')} value:'w'",
      "Leader name:'@e'"] + revoke(0x405)),
    ("election-proclaim-unknown-lease", grant(0x407) +
     [campaign(0x407, "v"),
      "Proclaim leader { key:'@e/407' rev:^1 lease:0x408 } value:'w'", "Leader name:'@e'"] +
     revoke(0x407)),
    ("election-proclaim-by-another-lease", grant(0x409, 0x40a) +
     [campaign(0x409, "v"), "Proclaim leader { key:'@e/409' rev:^1 lease:0x40a } value:'w'",
      "Leader name:'@e'"] + revoke(0x409) + ["Leader name:'@e'"] + revoke(0x40a)),
    ("election-resign-not-its-own", grant(0x40b) +
     [campaign(0x40b, "v"), f"Resign {leader(0x40b, '^0')}", "Leader name:'@e'",
      f"Resign {leader(0x40b, '^1')}", f"Resign {leader(0x40b, '^1')}"] + revoke(0x40b)),
    ("election-waits", WATCH + grant(0x410, 0x411) + [campaign(0x410, "v"), "v> 1 events"] +
     waits("x", "Campaign", "name:'@e' lease:0x411 value:'w'") +
     ["Leader name:'@e'", f"Resign {leader(0x410, '^1')}", "x>", "v> 1 events",
      "Leader name:'@e'"] + revoke(0x410, 0x411) + ["v> 1 events"]),
    ("election-client-goes", WATCH + grant(0x412, 0x413) + [campaign(0x412, "v"), "v> 1 events"] +
     waits("x", "Campaign", "name:'@e' lease:0x413 value:'w'") +
     ["x!", "x>", "v> 1 events", f"Range {ALL}"] + revoke(0x412, 0x413) + ["v> 1 events"]),
    ("election-lease-ends-while-it-waits", WATCH + grant(0x416, 0x417) +
     [campaign(0x416, "v"), "v> 1 events"] +
     waits("x", "Campaign", "name:'@e' lease:0x417 value:'w'") + revoke(0x417) +
     ["v> 1 events", f"Resign {leader(0x416, '^1')}", "x>", "v> 1 events", "Leader name:'@e'"] +
     revoke(0x416)),
    ("election-proclaim-while-it-waits", WATCH + grant(0x414, 0x415) +
     [campaign(0x414, "v"), "v> 1 events"] +
     waits("x", "Campaign", "name:'@e' lease:0x415 value:'w'") +
     [f"Proclaim {leader(0x415, '^2')} value:'z'", "v> 1 events"] + revoke(0x414) +
     ["x>", "v> 1 events", "Leader name:'@e'"] + revoke(0x415) + ["v> 1 events"]),
    ("election-observe", grant(0x420, 0x421) +
     [campaign(0x420, "v"), "x= Observe", "x< name:'@e'", "x.", "x> 1",
      f"Proclaim {leader(0x420, '^1')} value:'w'", "x> 1", campaign(0x420, "z"), "x> 1",
      f"Resign {leader(0x420, '^1')}", campaign(0x421, "next"), "x> 1"] + revoke(0x421) +
     [campaign(0x420, "last"), "x> 1", "x!", "x>"] + revoke(0x420)),
    ("election-observe-nobody-yet", WATCH + grant(0x422) +
     ["x= Observe", "x< name:'@e'", "x.", campaign(0x422, "v"), "x> 1", "v> 1 events", "x!",
      "x>"] + revoke(0x422) + ["v> 1 events"]),
    ("election-observe-the-next-in-line", WATCH + grant(0x423, 0x424) +
     [campaign(0x423, "v"), "v> 1 events", "x= Observe", "x< name:'@e'", "x.", "x> 1"] +
     waits("y", "Campaign", "name:'@e' lease:0x424 value:'w'") +
     [f"Proclaim {leader(0x423, '^1')} value:'z'", "x> 1", "v> 1 events"] + revoke(0x423) +
     ["x> 1", "y>", "v> 1 events", "x!", "x>"] + revoke(0x424) + ["v> 1 events"]),
    ("election-over-http", grant(0x430) +
     ['POST /v3/election/campaign {"name":"b64(@e)","lease":"1072","value":"b64(v)"}',
      'POST /v3/election/leader {"name":"b64(@e)"}',
      'POST /v3/election/proclaim {"leader":{"key":"b64(@e/430)","rev":"^1","lease":1072},'
      '"value":"b64(w)"}',
      'POST /v3/election/resign {"leader":{"key":"b64(@e/430)","rev":"^1"}}', f"Range {ALL}"] +
     revoke(0x430)),
]

CASES = LOCKS + ELECTIONS

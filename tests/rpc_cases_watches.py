# SPDX-License-Identifier: Apache-2.0
"""rpc_cases_watches.py: more of the Watch service, for test_rpc_differential.py."""

OPEN = "w= Watch"
ALL = "key:'@' range_end:'~'"
THREE = ["Put key:'@a' value:'1'", "Put key:'@a' value:'2'", "Put key:'@b' value:'1'"]


def create(text, stream="w"):
    return f"{stream}< create_request {{ {text} }}"


def watch(text):
    """A stream, and a watch on it that was told to be there."""
    return [OPEN, create(text), "w> 1"]


PUTS = ["Put key:'@a' value:'1'", "Put key:'@a' value:'2'", "DeleteRange key:'@a'",
        "Put key:'@a' value:'3'"]
TXN = ("Txn success { request_put { key:'@a' value:'x' } } success { request_put { key:'@b' } } "
       "success { request_delete_range { key:'@c' } } success { request_put { key:'@d' } }")

CASES = [
    ("watches-created", watch("key:'@a'")),
    ("watches-put", watch("key:'@a'") + ["Put key:'@a' value:'1'", "w> 1 events"]),
    ("watches-all-kinds", watch("key:'@a'") + PUTS + ["w> 4 events"]),
    ("watches-another-key", watch("key:'@a'") + ["Put key:'@b'", "Put key:'@aa'"]),
    ("watches-removal-of-nothing", watch("key:'@a'") + ["DeleteRange key:'@a'"]),
    ("watches-range", watch(ALL) + THREE + ["w> 3 events"]),
    ("watches-half-of-a-range", watch("key:'@a' range_end:'@b'") + THREE + ["w> 2 events"]),
    ("watches-from-a-key", watch("key:'@b' range_end:'\\0'") + THREE + ["w> 1 events"]),
    ("watches-no-key", [OPEN, create("watch_id:7"), "w> 1", "w< cancel_request { watch_id:7 }",
                      "w> 1"]),
    ("watches-everything", [OPEN, create("key:'\\0' range_end:'\\0'"), "w> 1", "Put key:'@a'",
                          "w> 1 events",
                          "w< cancel_request { }", "w> 1"]),
    ("watches-end-before-begin", [OPEN, create("key:'@c' range_end:'@a'"), "w> 1"]),
    ("watches-end-at-begin", [OPEN, create("key:'@a' range_end:'@a'"), "w> 1"]),
    ("watches-prev", watch("key:'@a' prev_kv:true") + PUTS + ["w> 4 events"]),
    ("watches-prev-of-range-removed", ["Put key:'@a'", "Put key:'@b'"] +
     watch(f"{ALL} prev_kv:true") +
     [f"DeleteRange {ALL}", "w> 2 events"]),
    ("watches-no-put", watch("key:'@a' filters:NOPUT") + PUTS + ["w> 1 events"]),
    ("watches-no-delete", watch("key:'@a' filters:NODELETE") + PUTS + ["w> 3 events"]),
    ("watches-neither", watch("key:'@a' filters:NOPUT filters:NODELETE") + PUTS),
    ("watches-no-put-twice", watch("key:'@a' filters:NOPUT filters:NOPUT") + PUTS +
     ["w> 1 events"]),
    ("watches-no-put-prev", watch("key:'@a' filters:NOPUT prev_kv:true") + PUTS + ["w> 1 events"]),
    ("watches-unknown-filter", watch("key:'@a' filters:9") + PUTS + ["w> 4 events"]),
    ("watches-one-txn", ["Put key:'@c'"] + watch(ALL) + [TXN, "w> 4 events"]),
    ("watches-one-txn-prev", ["Put key:'@a' value:'0'", "Put key:'@c'"] +
     watch(f"{ALL} prev_kv:true") + [TXN, "w> 4 events"]),
    ("watches-one-txn-no-put", ["Put key:'@c'"] + watch(f"{ALL} filters:NOPUT") + [TXN,
                                                                                 "w> 1 events"]),

    ("watches-from-the-first", THREE + watch(f"{ALL} start_revision:^1") + ["w> 3 events"]),
    ("watches-from-the-second", THREE + watch(f"{ALL} start_revision:^2") + ["w> 2 events"]),
    ("watches-from-now", THREE + watch(f"{ALL} start_revision:^3") + ["w> 1 events"]),
    ("watches-from-next", THREE + watch(f"{ALL} start_revision:^4") + ["Put key:'@z'",
                                                                     "w> 1 events"]),
    ("watches-from-the-future", watch(f"{ALL} start_revision:^3") + THREE + ["w> 1 events"]),
    ("watches-from-the-far-future", watch(f"{ALL} start_revision:9223372036854775807") + THREE),
    ("watches-from-before-all", watch("key:'@a' start_revision:1") + PUTS + ["w> 4 events"]),
    ("watches-from-negative", [OPEN, create("key:'@a' start_revision:-1"), "w> 1"]),
    ("watches-from-negative-then-another", [OPEN, create("key:'@a' start_revision:-5"), "w> 1",
                                          create("key:'@a'"), "w> 1", "Put key:'@a'",
                                          "w> 1 events"]),
    # A range that has no end removes, in etcd too, what the transaction then puts.
    # Behind all keys that other cases may have left.
    ("watches-prev-of-what-is-new", ["Put key:'\\377@a' value:'0'"] +
     watch("key:'\\377@a' prev_kv:true") +
     ["Txn success { request_delete_range { key:'\\377@a' range_end:'\\0' } } "
      "success { request_put { key:'\\377@a' value:'1' } }", "w> 2 events",
      "DeleteRange key:'\\377@a'"]),
    ("watches-past-prev", PUTS + watch("key:'@a' start_revision:^1 prev_kv:true") +
     ["w> 4 events"]),
    ("watches-past-txn", ["Put key:'@c'", TXN] + watch(f"{ALL} start_revision:^1") +
     ["w> 5 events"]),
    ("watches-past-no-put", PUTS + watch("key:'@a' start_revision:^1 filters:NOPUT") +
     ["w> 1 events"]),
    ("watches-past-and-present", THREE + watch(f"{ALL} start_revision:^1") +
     ["w> 3 events"] + PUTS + ["w> 4 events"]),

    ("watches-ids", [OPEN] + [create(f"key:'@{k}'") for k in "abc"] + ["w> 3"] +
     ["Put key:'@b'", "w> 1 events"]),
    ("watches-id-chosen", watch("key:'@a' watch_id:77") + ["Put key:'@a'", "w> 1 events"]),
    ("watches-id-chosen-then-given", [OPEN, create("key:'@a' watch_id:1"), "w> 1",
                                      create("key:'@b'"),
                                    "w> 1",
                                    create("key:'@c'"), "w> 1"]),
    ("watches-id-twice", [OPEN, create("key:'@a' watch_id:5"), "w> 1",
                          create("key:'@b' watch_id:5"),
                        "w> 1", "Put key:'@b'", "Put key:'@a'", "w> 1 events"]),
    ("watches-id-again-after-cancel", [OPEN, create("key:'@a' watch_id:5"), "w> 1",
                                     "w< cancel_request { watch_id:5 }", "w> 1",
                                     create("key:'@b' watch_id:5"), "w> 1", "Put key:'@b'",
                                     "w> 1 events"]),
    ("watches-id-largest", watch("key:'@a' watch_id:9223372036854775807") + ["Put key:'@a'",
                                                                           "w> 1 events"]),
    ("watches-id-negative", watch("key:'@a' watch_id:-7") + ["Put key:'@a'", "w> 1 events"]),
    ("watches-two-on-a-key", [OPEN, create("key:'@a' watch_id:1"), "w> 1",
                            create("key:'@a' watch_id:2 prev_kv:true"), "w> 1",
                            "w< cancel_request { watch_id:1 }", "w> 1", "Put key:'@a'",
                            "w> 1 events"]),
    ("watches-two-streams", [OPEN, "v= Watch", create("key:'@a'"), create("key:'@a'", "v"), "w> 1",
                           "v> 1",
                           "Put key:'@a'", "w> 1 events", "v> 1 events"]),

    ("watches-cancel", watch("key:'@a'") + ["Put key:'@a'", "w> 1 events", "w< cancel_request { }",
                                          "w> 1",
                                          "Put key:'@a'"]),
    ("watches-cancel-unknown", watch("key:'@a'") + ["w< cancel_request { watch_id:9 }",
                                                  "Put key:'@a'",
                                                  "w> 1 events"]),
    ("watches-cancel-twice", watch("key:'@a'") + ["w< cancel_request { }", "w> 1",
                                                "w< cancel_request { }"]),
    ("watches-cancel-in-the-future", watch("key:'@a' start_revision:999999999") + [
        "w< cancel_request { }", "w> 1", "Put key:'@a'"]),
    ("watches-empty-message", [OPEN, "w< ", create("key:'@a'"), "w> 1", "Put key:'@a'",
                             "w> 1 events"]),
    ("watches-half-closed", watch("key:'@a'") + ["w.", "Put key:'@a' value:'1'", "w> 1 events",
                                               "DeleteRange key:'@a'", "w> 1 events", "w!", "w>"]),
    ("watches-stream-cancelled", watch("key:'@a'") + ["w!", "w>"]),
    ("watches-nothing-then-cancelled", [OPEN, "w!", "w>"]),

    ("watches-progress", watch("key:'@a'") + ["w< progress_request { }", "w> 1"]),
    ("watches-progress-after-events", watch("key:'@a'") + PUTS + ["w> 4 events",
                                                                "w< progress_request { }",
                                                                "w> 1"]),
    ("watches-progress-moves", watch("key:'@a'") + THREE + ["Put key:'@q'", "w> 2 events",
                                                          "w< progress_request { }", "w> 1"]),
    ("watches-fragment-small", watch("key:'@a' fragment:true") + PUTS + ["w> 4 events"]),
    ("watches-fragments", watch(f"{ALL} fragment:true") + [
        f"Put key:'@{i}' value:'{'v' * 900000}'" for i in range(3)] + ["w> 3 events"]),
    ("watches-hasleader", ["meta hasleader=true"] + watch("key:'@a'") + ["Put key:'@a'",
                                                                       "w> 1 events"]),
    ("watches-large-value", watch("key:'@a'") + [f"Put key:'@a' value:'{'v' * 1000000}'",
                                               "w> 1 events"]),
    ("watches-put-that-changes-nothing", ["Put key:'@a' value:'1'"] + watch("key:'@a'") +
     ["Put key:'@a' value:'1'", "Put key:'@a' ignore_value:true", "w> 2 events"]),
    ("watches-nested-txn", watch(ALL) + [
        "Txn success { request_txn { success { request_put { key:'@a' } } "
        "success { request_put { key:'@b' } } } } success { request_put { key:'@c' } }",
        "w> 3 events"]),
    ("watches-refused-txn", watch(ALL) + [
        "Txn success { request_put { key:'@a' } } "
        "success { request_put { key:'@b' lease:424242 } }",
        "Put key:'@c'", "w> 1 events"]),
]

# These cut history off.
COMPACTIONS = [
    ("watches-compacted", THREE + ["Compact revision:^2", OPEN, create(f"{ALL} start_revision:^1"),
                                 "w> 2"]),
    ("watches-compacted-at", THREE + ["Compact revision:^2"] + watch(f"{ALL} start_revision:^2") +
     ["w> 2 events"]),
    ("watches-compacted-cancel", THREE + ["Compact revision:^3", OPEN,
                                        create(f"{ALL} start_revision:^2 watch_id:4"), "w> 2",
                                        create(f"{ALL} watch_id:5"), "w> 1", "Put key:'@a'",
                                        "w> 1 events"]),
    ("watches-compacted-prev", ["Put key:'@a' value:'1'", "Put key:'@a' value:'2'",
                              "Put key:'@a' value:'3'",
                              "Compact revision:^2"] +
     watch("key:'@a' start_revision:^2 prev_kv:true") + ["w> 2 events"]),
    ("watches-compacted-while-watching", watch("key:'@a'") + PUTS + ["Compact revision:^4",
                                                                   "w> 4 events",
                                                                   "Put key:'@a'", "w> 1 events"]),
]
# A tombstone at the revision of a compaction is kept since 3.4.34, which Debian's is not.
CASES_OF_36 = [ ("watches-compacted-tombstone", PUTS + ["Compact revision:^3"] + \
                 watch("key:'@a' start_revision:^3") + ["w> 2 events"]), ]

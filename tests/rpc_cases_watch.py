# SPDX-License-Identifier: Apache-2.0
"""rpc_cases_watch.py: requests of the Watch service, for test_rpc_differential.py. rpc_steps.py
says how steps are read. Nothing of what etcd answers is written here: it is asked."""

ALL = "key:'@' range_end:'~'"
# ^1 .. ^7
HISTORY = ["Put key:'@a' value:'1'", "Put key:'@b' value:'2'",
           "Put key:'@a' value:'3' prev_kv:true",
           "DeleteRange key:'@b'",
           "Txn success { request_put { key:'@a' value:'4' } } "
           "success { request_put { key:'@b' value:'5' } } "
           "success { request_delete_range { key:'@none' } }",
           "Put key:'@c' value:'6'", f"DeleteRange {ALL}"]


def watch(request, count, *steps, kind="events"):
    """A watch that is created, then steps, then what comes."""
    return ["w= Watch", f"w< create_request {{ {request} }}", "w> 1", *steps, f"w> {count} {kind}"]


def from_now(request, count):
    return watch(request, count, *HISTORY)


def from_then(request, count):
    return [*HISTORY, *watch(request, count)]


CASES = [
    ("watch-one", from_now("key:'@a'", 4)),
    ("watch-one-from-then", from_then("key:'@a' start_revision:^1", 4)),
    ("watch-prefix", from_now(ALL, 10)),
    ("watch-prefix-from-then", from_then(f"{ALL} start_revision:^1", 10)),
    ("watch-from-the-middle", from_then(f"{ALL} start_revision:^4", 7)),
    ("watch-from-key-on", from_now("key:'@b' range_end:'\\0'", 6)),
    ("watch-half-open", from_now("key:'@a' range_end:'@c'", 8)),
    ("watch-prev-kv", from_now(f"{ALL} prev_kv:true", 10)),
    ("watch-prev-kv-from-then", from_then(f"{ALL} prev_kv:true start_revision:^1", 10)),
    ("watch-no-put", from_now(f"{ALL} filters:NOPUT", 4)),
    ("watch-no-delete", from_now(f"{ALL} filters:NODELETE", 6)),
    ("watch-no-put-from-then", from_then(f"{ALL} filters:NOPUT start_revision:^1", 4)),
    ("watch-no-delete-prev-kv-from-then",
     from_then(f"{ALL} filters:NODELETE prev_kv:true start_revision:^1", 6)),
    ("watch-nothing-left", from_now(f"{ALL} filters:NODELETE filters:NOPUT", 0)),
    ("watch-filter-twice", from_now(f"{ALL} filters:NOPUT filters:NOPUT", 4)),
    ("watch-fragment", from_now(f"{ALL} fragment:true", 10)),
    ("watch-deleted-and-put-at-once", watch(
        f"{ALL} prev_kv:true", 3, "Put key:'@a' value:'1'",
        "Txn success { request_delete_range { key:'@a' } } "
        "success { request_put { key:'@b' } }")),
    ("watch-a-lease-is-zero", watch("key:'@a'", 1, "Put key:'@a' lease:0 value:''")),
    ("watch-value-unchanged", watch("key:'@a'", 2, "Put key:'@a' value:'x'",
                                    "Put key:'@a' value:'x'")),
    ("watch-empty-delete", watch(ALL, 1, "DeleteRange key:'@none'", "Put key:'@a'")),

    ("watch-future", ["w= Watch", f"w< create_request {{ {ALL} start_revision:^3 }}", "w> 1",
                      *HISTORY, "w> 8 events"]),
    ("watch-next-revision", watch(f"{ALL} start_revision:^1", 1, "Put key:'@a'")),
    ("watch-negative-revision", watch(f"{ALL} start_revision:-1", 0)),
    ("watch-very-negative-revision", watch("key:'@a' start_revision:-9223372036854775808", 0)),
    ("watch-empty-range", watch("key:'@b' range_end:'@a'", 0)),
    ("watch-range-of-one-end", watch("key:'@b' range_end:'@b'", 0)),
    ("watch-empty-key-end-below", watch("range_end:'\\0\\0'", 0)),
    ("watch-empty-range-and-negative", watch("key:'@b' range_end:'@a' start_revision:-5", 0)),
    ("watch-key-alone-is-no-prefix", watch("key:'@a'", 1, "Put key:'@ab'", "Put key:'@a'")),

    ("watch-ids-from-zero", ["w= Watch"] + [f"w< create_request {{ key:'@{k}' }}" for k in "abc"] +
     ["w> 3", "Put key:'@c'", "Put key:'@a'", "w> 2 events"]),
    ("watch-ids-of-clients", ["w= Watch", "w< create_request { key:'@a' watch_id:1 }",
                              "w< create_request { key:'@b' }", "w< create_request { key:'@c' }",
                              "w> 3", "Put key:'@c'", "w> 1 events"]),
    ("watch-id-twice", ["w= Watch", "w< create_request { key:'@a' watch_id:5 }",
                        "w< create_request { key:'@b' watch_id:5 }", "w> 2",
                        "Put key:'@b'", "Put key:'@a'", "w> 1 events"]),
    ("watch-id-twice-and-empty", ["w= Watch", "w< create_request { key:'@a' watch_id:5 }",
                                  "w< create_request { key:'@b' range_end:'@a' watch_id:5 }",
                                  "w> 2"]),
    ("watch-id-negative", ["w= Watch", "w< create_request { key:'@a' watch_id:-7 }", "w> 1",
                           "Put key:'@a'", "w> 1 events"]),
    ("watch-id-largest", ["w= Watch",
                          "w< create_request { key:'@a' watch_id:9223372036854775807 }", "w> 1",
                          "Put key:'@a'", "w> 1 events"]),
    ("watch-twice-the-same", ["w= Watch", f"w< create_request {{ {ALL} }}",
                              "w< create_request { key:'@a' }", "w> 2", "Put key:'@b'",
                              "w> 1 events"]),
    ("watch-two-streams", ["w= Watch", "v= Watch", "w< create_request { key:'@a' }",
                           "v< create_request { key:'@b' }", "w> 1", "v> 1", "Put key:'@b'",
                           "Put key:'@a'", "w> 1 events", "v> 1 events"]),

    ("watch-cancel", ["w= Watch", "w< create_request { key:'@a' }", "w> 1",
                      "w< cancel_request { }", "w> 1", "Put key:'@a'"]),
    ("watch-cancel-unknown", ["w= Watch", "w< cancel_request { watch_id:3 }",
                              "w< create_request { key:'@a' }", "w> 1"]),
    ("watch-cancel-twice", ["w= Watch", "w< create_request { key:'@a' watch_id:4 }", "w> 1",
                            "w< cancel_request { watch_id:4 }", "w< cancel_request { watch_id:4 }",
                            "w> 1", "w< create_request { key:'@a' watch_id:4 }", "w> 1"]),
    ("watch-cancel-one-of-two", ["w= Watch", "w< create_request { key:'@a' }",
                                 "w< create_request { key:'@a' watch_id:9 }", "w> 2",
                                 "w< cancel_request { watch_id:9 }", "w> 1", "Put key:'@a'",
                                 "w> 1 events"]),
    ("watch-id-is-not-given-again", ["w= Watch", "w< create_request { key:'@a' }", "w> 1",
                                     "w< cancel_request { }", "w> 1",
                                     "w< create_request { key:'@a' }", "w> 1"]),
    ("watch-empty-message", ["w= Watch", "w< ", "w< create_request { key:'@a' }", "w> 1"]),
    ("watch-half-closed", ["w= Watch", "w< create_request { key:'@a' }", "w> 1", "w.",
                           "Put key:'@a'", "w> 1 events", "drop"]),
    ("watch-cancelled-stream", ["w= Watch", "w< create_request { key:'@a' }", "w> 1", "w!", "w>"]),
    ("watch-hasleader", ["meta hasleader=true", "w= Watch", "w< create_request { key:'@a' }",
                         "w> 1", "Put key:'@a'", "w> 1 events"]),
    ("watch-progress", ["w= Watch", "w< create_request { key:'@a' }", "w> 1",
                        "Put key:'@a'", "w> 1 events", "w< progress_request { }", "w> 1"]),
]
# Those in which 3.4 goes other ways: its notices of progress, and what a watcher below the floor
# is told.
CASES_OF_36 = [
    ("watch-progress-without-watchers", ["w= Watch", "w< progress_request { }",
                                         "w< create_request { key:'@a' }", "w> 1"]),
    ("watch-progress-of-the-future", ["w= Watch",
                                      "w< create_request { key:'@a' start_revision:^5 }", "w> 1",
                                      "w< progress_request { }", "Put key:'@b'"]),
]
COMPACTIONS = [
    ("watch-below-the-floor", [*HISTORY, "Compact revision:^6", "w= Watch",
                               f"w< create_request {{ {ALL} start_revision:^1 }}", "w> 2",
                               "Put key:'@a'"]),
    ("watch-prev-kv-across-the-floor", [
        *HISTORY, "Compact revision:^5", "w= Watch",
        f"w< create_request {{ {ALL} prev_kv:true start_revision:^5 }}", "w> 1", "w> 6 events"]),
    ("watch-live-across-a-compaction", [
        "w= Watch", f"w< create_request {{ {ALL} prev_kv:true }}", "w> 1", *HISTORY,
        "Compact revision:^7", "Put key:'@a'", "w> 11 events"]),
]

# SPDX-License-Identifier: Apache-2.0
"""rpc_cases_kv.py: requests of the KV service, for test_rpc_differential.py. rpc_steps.py says how
steps are read. Nothing of what etcd answers is written here: it is asked."""

# Versions, creations and values differ, so that each order has one result.
DATA = ["Put key:'@a' value:'7'", "Put key:'@b' value:'6'", "Put key:'@c' value:'5'",
        "Put key:'@d' value:'4'", "Put key:'@b' value:'3'", "Put key:'@c' value:'2'",
        "Put key:'@c' value:'1'", "Put key:'@d' value:'44'", "Put key:'@d' value:'45'",
        "Put key:'@d' value:'46'", "Put key:'@gone' value:'1'", "DeleteRange key:'@gone'"]
ALL = "key:'@' range_end:'~'"

RANGES = [
    ("one", "Range key:'@a'"),
    ("none", "Range key:'@none'"),
    ("gone", "Range key:'@gone'"),
    ("all", f"Range {ALL}"),
    ("half", "Range key:'@a' range_end:'@c'"),
    ("end-before-begin", "Range key:'@c' range_end:'@a'"),
    ("end-at-begin", "Range key:'@c' range_end:'@c'"),
    ("end-zero", "Range key:'@c' range_end:'\\0' limit:2"),
    ("end-two-zeros", "Range key:'@c' range_end:'\\0\\0'"),
    ("everything-counted", "Range key:'\\0' range_end:'\\0' count_only:true"),
    ("empty-key", "Range range_end:'~'"),
    ("nothing-asked", "Range"),
    ("key-zero", "Range key:'\\0'"),
    ("key-ff", "Range key:'\\377\\377' range_end:'\\0'"),
    ("limit", f"Range {ALL} limit:2"),
    ("limit-exact", f"Range {ALL} limit:4"),
    ("limit-one-less", f"Range {ALL} limit:3"),
    ("limit-over", f"Range {ALL} limit:5"),
    ("limit-negative", f"Range {ALL} limit:-3"),
    ("limit-largest", f"Range {ALL} limit:9223372036854775807"),
    ("limit-on-one", "Range key:'@a' limit:1"),
    ("count-only", f"Range {ALL} count_only:true"),
    ("count-only-limit", f"Range {ALL} count_only:true limit:1"),
    ("count-only-keys-only", f"Range {ALL} count_only:true keys_only:true"),
    ("count-only-sorted", f"Range {ALL} count_only:true sort_order:DESCEND sort_target:MOD"),
    ("count-only-filtered", f"Range {ALL} count_only:true min_mod_revision:^6"),
    ("count-only-none", "Range key:'@none' count_only:true"),
    ("count-only-at", f"Range {ALL} count_only:true revision:^2"),
    ("keys-only", f"Range {ALL} keys_only:true"),
    ("keys-only-limit", f"Range {ALL} keys_only:true limit:2"),
    ("keys-only-by-value", f"Range {ALL} keys_only:true sort_target:VALUE sort_order:ASCEND"),
    ("serializable", f"Range {ALL} serializable:true"),
    ("rev-zero", f"Range {ALL} revision:0"),
    ("rev-negative", f"Range {ALL} revision:-1"),
    ("rev-before", f"Range {ALL} revision:^0"),
    ("rev-1", f"Range {ALL} revision:^1"),
    ("rev-4", f"Range {ALL} revision:^4"),
    ("rev-5", f"Range {ALL} revision:^5 limit:2"),
    ("rev-of-the-delete", f"Range {ALL} revision:^12"),
    ("rev-before-the-delete", "Range key:'@gone' revision:^11"),
    ("rev-next", f"Range {ALL} revision:^13"),
    ("rev-largest", f"Range {ALL} revision:9223372036854775807"),
    ("rev-next-serializable", f"Range {ALL} revision:^13 serializable:true"),
    ("rev-next-of-nothing", "Range key:'@none' revision:^13"),
    ("rev-next-and-no-key", "Range revision:^13"),
    ("min-mod", f"Range {ALL} min_mod_revision:^5"),
    ("max-mod", f"Range {ALL} max_mod_revision:^5"),
    ("min-max-mod", f"Range {ALL} min_mod_revision:^5 max_mod_revision:^7"),
    ("min-above-max-mod", f"Range {ALL} min_mod_revision:^7 max_mod_revision:^5"),
    ("min-create", f"Range {ALL} min_create_revision:^2"),
    ("max-create", f"Range {ALL} max_create_revision:^2"),
    ("min-max-create", f"Range {ALL} min_create_revision:^2 max_create_revision:^3"),
    ("all-four", f"Range {ALL} min_create_revision:^1 max_create_revision:^3 "
                 "min_mod_revision:^5 max_mod_revision:^7"),
    ("filter-limit", f"Range {ALL} min_mod_revision:^5 limit:1"),
    ("filter-limit-exact", f"Range {ALL} min_mod_revision:^5 limit:3"),
    ("filter-negative", f"Range {ALL} min_mod_revision:-5 max_create_revision:-1"),
    ("filter-at-rev", f"Range {ALL} min_mod_revision:^3 revision:^4"),
    ("filter-sort-limit", f"Range {ALL} min_mod_revision:^5 sort_order:DESCEND limit:2"),
]
for _target in ("KEY", "VERSION", "CREATE", "MOD", "VALUE"):
    for _order in ("NONE", "ASCEND", "DESCEND"):
        _sort = f"sort_target:{_target} sort_order:{_order}"
        RANGES.append((f"sort-{_target}-{_order}".lower(), f"Range {ALL} {_sort}"))
        if _order != "NONE":
            RANGES.append(
    (f"sort-{_target}-{_order}-limit".lower(),
     f"Range {ALL} {_sort} limit:2"))

# A process of etcd 3.4 ends by these.
UNKNOWN_SORTS = [
    ("sort-order-unknown", f"Range {ALL} sort_order:7"),
    ("sort-target-unknown", f"Range {ALL} sort_target:9"),
    ("sort-negative", f"Range {ALL} sort_order:-1"),
    ("sort-unknown-and-no-key", "Range sort_order:7"),
]

KEY, GET = "key:'@a'", "Range key:'@a'"
CASES = [(f"range-{name}", DATA + [step]) for name, step in RANGES]
CASES_OF_36 = [(f"range-{name}", DATA + [step]) for name, step in UNKNOWN_SORTS]
CASES_OF_36.append(("txn-range-bad-sort", [
    "Txn success { request_range { key:'@a' sort_target:9 } }"]))
# From 3.7 on. What Range answers comes in pieces, some keys each. Of all keys there are, the cases
# before have not left as many on both sides.
MANY = [f"Put key:'@{i:03}' value:'{'v' * i}'" for i in range(40)]
STREAMS = [(f"stream-{name}", DATA + [step.replace("Range ", "RangeStream* ", 1)])
           for name, step in RANGES + UNKNOWN_SORTS
           if step.startswith("Range ") and not name.startswith("everything")] + [
    ("stream-many", MANY + ["Put key:'@000'"] + [f"RangeStream* {ALL} {rest}" for rest in (
        "", "keys_only:true", "limit:25", "limit:40", "limit:39 revision:^40", "revision:^12",
        "limit:-1", "count_only:true", "sort_target:VALUE", "sort_target:KEY sort_order:ASCEND",
        "serializable:true limit:1")])]
CASES_OF_36 += STREAMS
CASES += [
    ("put", [f"Put {KEY} value:'1'", GET]),
    ("put-three-times", [f"Put {KEY} value:'1'"] * 3 + [GET]),
    ("put-no-value", [f"Put {KEY}", GET]),
    ("put-no-key", ["Put value:'1'"]),
    ("put-nothing", ["Put"]),
    ("put-prev", [f"Put {KEY} value:'1'", f"Put {KEY} value:'2' prev_kv:true"]),
    ("put-prev-of-empty", [f"Put {KEY}", f"Put {KEY} value:'2' prev_kv:true"]),
    ("put-prev-of-none", [f"Put {KEY} value:'1' prev_kv:true", GET]),
    ("put-prev-of-removed", [f"Put {KEY} value:'1'", f"DeleteRange {KEY}",
                             f"Put {KEY} value:'2' prev_kv:true"]),
    ("put-ignore-value", [f"Put {KEY} value:'1'", f"Put {KEY} ignore_value:true", GET]),
    ("put-ignore-value-of-empty", [f"Put {KEY}", f"Put {KEY} ignore_value:true", GET]),
    ("put-ignore-value-given", [f"Put {KEY} value:'1'",
                                f"Put {KEY} value:'2' ignore_value:true", GET]),
    ("put-ignore-value-none", [f"Put {KEY} ignore_value:true", GET]),
    ("put-ignore-lease", [f"Put {KEY} value:'1'", f"Put {KEY} value:'2' ignore_lease:true", GET]),
    ("put-ignore-lease-given", [f"Put {KEY} value:'1'",
                                f"Put {KEY} value:'2' lease:5 ignore_lease:true", GET]),
    ("put-ignore-lease-none", [f"Put {KEY} value:'2' ignore_lease:true", GET]),
    ("put-ignore-both", [f"Put {KEY} value:'1'", f"Put {KEY} ignore_value:true ignore_lease:true",
                         GET]),
    ("put-ignore-both-given", [f"Put {KEY} value:'1' lease:7 ignore_value:true ignore_lease:true"]),
    ("put-ignore-both-no-key", ["Put value:'1' lease:7 ignore_value:true ignore_lease:true"]),
    ("put-lease-unknown", [f"Put {KEY} value:'1' lease:123456", GET]),
    ("put-lease-negative", [f"Put {KEY} value:'1' lease:-1", GET]),
    ("put-ignore-value-none-lease-unknown", [f"Put {KEY} lease:123456 ignore_value:true"]),
    ("put-value-largest", [f"Put {KEY} value:'{'v' * 1500000}'",
                           f"Range {KEY} keys_only:true"]),
    ("put-too-large", [f"Put {KEY} value:'{'v' * 1600000}'", GET]),
    ("put-larger-than-received", [f"Put {KEY} value:'{'v' * 2200000}'", GET]),
    ("put-key-too-large", [f"Put key:'@{'k' * 1600000}'"]),
    ("put-too-large-no-key", [f"Put value:'{'v' * 1600000}'"]),
    ("put-key-binary", ["Put key:'@\\000\\377\\n' value:'\\377\\000'", f"Range {ALL}"]),
    ("put-keys-sort-as-bytes", ["Put key:'@\\177'", "Put key:'@\\200'", "Put key:'@'",
                                "Put key:'@\\000'", "Put key:'@\\377'", f"Range {ALL}"]),

    ("delete", [f"Put {KEY}", f"DeleteRange {KEY}", GET]),
    ("delete-nothing", [f"DeleteRange {KEY}", GET]),
    ("delete-twice", [f"Put {KEY}", f"DeleteRange {KEY}", f"DeleteRange {KEY}"]),
    ("delete-no-key", ["DeleteRange", "DeleteRange range_end:'~'"]),
    ("delete-prev", [f"Put {KEY} value:'1'", f"DeleteRange {KEY} prev_kv:true"]),
    ("delete-prev-of-nothing", [f"DeleteRange {KEY} prev_kv:true"]),
    ("delete-all", DATA + [f"DeleteRange {ALL}", f"Range {ALL}", f"Range {ALL} revision:^12"]),
    ("delete-all-prev", DATA + [f"DeleteRange {ALL} prev_kv:true"]),
    ("delete-half", DATA + ["DeleteRange key:'@a' range_end:'@c'", f"Range {ALL}"]),
    ("delete-end-before-begin", DATA + ["DeleteRange key:'@c' range_end:'@a' prev_kv:true"]),
    ("delete-end-at-begin", DATA + ["DeleteRange key:'@a' range_end:'@a'"]),
    ("delete-from-key-on", ["Put key:'\\377@a'", "Put key:'\\377@b'",
                            "DeleteRange key:'\\377@a' range_end:'\\0' prev_kv:true"]),
    ("delete-then-put", [f"Put {KEY} value:'1'", f"Put {KEY} value:'2'", f"DeleteRange {KEY}",
                         f"Put {KEY} value:'3'", GET, f"{GET} revision:^2",
                         f"{GET} revision:^3", f"{GET} revision:^4"]),

    ("range-stream", DATA + [f"RangeStream* {ALL}"]),
]

# -- Txn --------------------------------------------------------------------------------------

PUT = "request_put { key:'@%s' value:'%s' }"
READ = "request_range { key:'@' range_end:'~' }"
DEL = "request_delete_range { key:'@%s' }"
DEL_ALL = "request_delete_range { key:'@' range_end:'~' %s}"


def ok(*ops):
    return " ".join(f"success {{ {op} }}" for op in ops)


def no(*ops):
    return " ".join(f"failure {{ {op} }}" for op in ops)


def nest(text):
    return f"request_txn {{ {text} }}"


YES = "compare { target:VERSION key:'@none' }"
NOT = "compare { target:VERSION version:5 key:'@none' }"
TXNS = [
    ("empty", "", []),
    ("compares-only", YES, []),
    ("compares-only-false", NOT, []),
    ("put", ok(PUT % ("a", 1)), []),
    ("put-two", ok(PUT % ("a", 1), PUT % ("b", 2)), []),
    ("read-own-put", ok(PUT % ("a", 1), READ), []),
    ("read-before-put", ok(READ, PUT % ("a", 1)), [PUT % ("a", 0)]),
    ("delete-then-read", ok(DEL_ALL % "", READ), [PUT % ("a", 0), PUT % ("b", 0)]),
    ("delete-prev", ok(DEL_ALL % "prev_kv:true "), [PUT % ("a", 0), PUT % ("b", 0)]),
    ("delete-twice", ok(DEL % "a", DEL % "a"), [PUT % ("a", 0)]),
    ("delete-nothing", ok(DEL % "a", DEL % "b"), []),
    ("delete-nothing-and-put", ok(DEL % "a", PUT % ("b", 1)), []),
    ("put-twice", ok(PUT % ("a", 1), PUT % ("a", 2)), []),
    ("put-twice-in-the-other-branch", no(PUT % ("a", 1), PUT % ("a", 2)), []),
    ("put-and-delete", ok(PUT % ("a", 1), DEL % "a"), []),
    ("delete-and-put", ok(DEL % "a", PUT % ("a", 1)), []),
    ("delete-range-and-put", ok(DEL_ALL % "", PUT % ("a", 1)), []),
    ("delete-from-key-and-put", ok("request_delete_range { key:'@a' range_end:'\\0' }",
                                   PUT % ("b", 1)), []),
    ("delete-empty-range-and-put", ok("request_delete_range { key:'@c' range_end:'@a' }",
                                      PUT % ("b", 1)), []),
    ("put-in-both-branches", ok(PUT % ("a", 1)) + no(PUT % ("a", 2)), []),
    ("failure-runs", NOT + ok(PUT % ("a", 1)) + no(PUT % ("a", 2), READ), []),
    ("both-compares-hold", YES + YES + ok(PUT % ("a", 1)), []),
    ("one-compare-fails", YES + NOT + ok(PUT % ("a", 1)) + no(PUT % ("b", 1)), []),
    ("op-without-request", "success { }", []),
    ("op-without-request-in-failure", "failure { }", []),
    ("op-without-request-after-put", ok(PUT % ("a", 1)) + "success { }", []),
    ("put-no-key", ok("request_put { value:'1' }"), []),
    ("range-no-key", ok("request_range { }"), []),
    ("delete-no-key", ok("request_delete_range { }"), []),
    ("compare-no-key", "compare { target:VERSION }", []),
    ("put-value-ignored-and-given", ok("request_put { key:'@a' value:'1' ignore_value:true }"), []),
    ("put-lease-ignored-and-given", ok("request_put { key:'@a' lease:1 ignore_lease:true }"), []),
    ("put-lease-unknown", ok(PUT % ("b", 1), "request_put { key:'@a' lease:123456 }"), []),
    ("put-lease-unknown-not-run", ok(PUT % ("b", 1)) + no("request_put { key:'@a' lease:123456 }"),
     []),
    ("ignore-value-none", ok(PUT % ("b", 1), "request_put { key:'@a' ignore_value:true }"), []),
    ("ignore-value", ok("request_put { key:'@a' ignore_value:true prev_kv:true }", READ),
     [PUT % ("a", 5)]),
    ("ignore-lease-none", ok("request_put { key:'@a' ignore_lease:true }"), []),
    ("range-future", ok(PUT % ("a", 1), "request_range { key:'@a' revision:^9 }"), []),
    ("range-next", ok(PUT % ("a", 1), "request_range { key:'@a' revision:^1 }"), []),
    ("range-now", ok(PUT % ("a", 1), "request_range { key:'@a' revision:^0 }"), []),
    ("range-future-read-only", ok("request_range { key:'@a' revision:^9 }"), []),
    ("range-future-not-run", ok(READ) + no("request_range { key:'@a' revision:^9 }"), []),
    ("range-limit-and-count", ok("request_range { key:'@' range_end:'~' limit:1 }",
                                 "request_range { key:'@' range_end:'~' count_only:true }"),
     [PUT % ("a", 0), PUT % ("b", 0)]),
    ("ops-128", ok(*(PUT % (i, 1) for i in range(128))), []),
    ("ops-129", ok(*(PUT % (i, 1) for i in range(129))), []),
    ("ops-129-in-failure", no(*(PUT % (i, 1) for i in range(129))), []),
    ("ops-128-in-each", ok(*(PUT % (i, 1) for i in range(128))) +
     no(*(PUT % (i, 1) for i in range(128))), []),
    ("compares-128", YES * 128, []),
    ("compares-129", YES * 129, []),
    ("nested-empty", ok(nest("")), []),
    ("nested-put", ok(nest(ok(PUT % ("a", 1)))), []),
    ("nested-false", ok(nest(NOT + ok(PUT % ("a", 1)) + no(PUT % ("b", 1), READ))), []),
    ("nested-read-only", ok(nest(ok(READ))), [PUT % ("a", 0)]),
    ("nested-compare-sees-the-state-before", ok(
        PUT % ("a", 1), nest("compare { target:VERSION version:1 key:'@a' }" +
                             ok(PUT % ("b", "after")) + no(PUT % ("b", "before")))), []),
    ("nested-three-deep", ok(nest(ok(nest(ok(nest(ok(PUT % ("a", 1), READ))))))), []),
    ("nested-put-twice", ok(PUT % ("a", 1), nest(ok(PUT % ("a", 2)))), []),
    ("nested-put-in-its-both-branches", ok(nest(ok(PUT % ("a", 1)) + no(PUT % ("a", 2)))), []),
    ("nested-put-in-two-txns", ok(nest(ok(PUT % ("a", 1))), nest(ok(PUT % ("a", 2)))), []),
    ("nested-put-and-delete-outside", ok(DEL % "a", nest(ok(PUT % ("a", 2)))), []),
    ("nested-delete-and-put-outside", ok(PUT % ("a", 1), nest(ok(DEL % "a"))), []),
    ("nested-delete-and-delete-outside", ok(DEL % "a", nest(ok(DEL % "a"))), [PUT % ("a", 0)]),
    ("nested-no-key", ok(nest(ok("request_put { }"))), []),
    ("nested-compare-no-key", ok(nest("compare { }")), []),
    ("nested-future", ok(PUT % ("a", 1), nest(ok("request_range { key:'@a' revision:^9 }"))), []),
    ("nested-future-not-run", ok(PUT % ("a", 1),
                                 nest(no("request_range { key:'@a' revision:^9 }"))), []),
    ("nested-budget", ok(*[PUT % (i, 1) for i in range(64)],
                         nest(ok(*(PUT % (100 + i, 1) for i in range(63))))), []),
    ("nested-over-budget", ok(*[PUT % (i, 1) for i in range(64)],
                              nest(ok(*(PUT % (100 + i, 1) for i in range(64))))), []),
    ("one-revision", ok(PUT % ("a", 1), PUT % ("b", 1), DEL % "c", READ),
     [PUT % ("c", 0)]),
]
for _name, _text, _before in TXNS:
    CASES.append((f"txn-{_name}", [f"Put {each[len('request_put {'):-1]}" for each in _before] +
                  [f"Txn {_text}", f"Range {ALL}"]))

# Each target with each operator, on a key that is there, one that is not, and on ranges.
for _target, _field, _values in (
        ("VERSION", "version", (0, 1, 2, 3)), ("CREATE", "create_revision", (0, "^1", "^2")),
        ("MOD", "mod_revision", (0, "^1", "^2")), ("VALUE", "value", ("''", "'1'", "'2'", "'3'")),
        ("LEASE", "lease", (0, 1, -1))):
    for _op in ("EQUAL", "GREATER", "LESS", "NOT_EQUAL"):
        _steps = [f"Put {KEY} value:'1'", f"Put {KEY} value:'2'", "Put key:'@b' value:'2'"]
        for _value in _values:
            for _range in ("key:'@a'", "key:'@none'", ALL, "key:'@x' range_end:'@z'",
                           "key:'@b' range_end:'@a'"):
                _steps.append(f"Txn compare {{ result:{_op} target:{_target} {_field}:{_value} "
                              f"{_range} }}")
        CASES.append((f"compare-{_target}-{_op}".lower(), _steps))
CASES += [
    ("compare-another-value", [f"Put {KEY} value:'1'"] + [
        f"Txn compare {{ target:{target} {given} key:'@a' }}"
        for target in ("VERSION", "CREATE", "MOD", "VALUE", "LEASE")
        for given in ("version:1", "mod_revision:1", "value:'1'", "")]),
    ("compare-unknown-target", [f"Put {KEY}", "Txn compare { target:9 key:'@a' }"]),
    ("compare-unknown-result", [f"Put {KEY}", "Txn compare { result:9 version:1 key:'@a' }",
                                "Txn compare { result:9 version:0 key:'@a' }"]),
]

# -- Compact: these cut history off, so they come last -----------------------------------------

THREE = [f"Put {KEY} value:'{i}'" for i in (1, 2, 3)]
COMPACTIONS = [
    ("compact-negative", ["Compact revision:-1", "Compact revision:-2"]),
    ("compact-next", ["Compact revision:^1"]),
    ("compact-largest", ["Compact revision:9223372036854775807"]),
    ("compact", THREE + ["Compact revision:^2", f"{GET} revision:^1", f"{GET} revision:^2",
                         f"{GET} revision:^3", GET]),
    ("compact-physical", THREE + ["Compact revision:^2 physical:true", f"{GET} revision:^1",
                                  f"{GET} revision:^2", GET]),
    ("compact-twice", THREE + ["Compact revision:^2", "Compact revision:^2",
                               "Compact revision:^1", "Compact"]),
    ("compact-now", THREE + ["Compact revision:^3", f"{GET} revision:^2", f"{GET} revision:^3",
                             f"{GET} revision:^4", GET]),
    ("compact-removed", THREE + [f"DeleteRange {KEY}", "Compact revision:^4",
                                 f"{GET} revision:^4", f"{GET} revision:^3", f"Put {KEY}", GET]),
    ("compact-before-removal", THREE + [f"DeleteRange {KEY}", "Compact revision:^3",
                                        f"{GET} revision:^3", f"{GET} revision:^4"]),
    ("compact-of-nothing-of-ours", DATA + ["Compact revision:^12", f"Range {ALL}",
                                           f"Range {ALL} sort_target:MOD sort_order:DESCEND",
                                           f"Range {ALL} revision:^12",
                                           f"Range {ALL} revision:^11"]),
    ("compact-and-txn", THREE + ["Compact revision:^2",
                                 "Txn " + ok("request_range { key:'@a' revision:^1 }"),
                                 "Txn " + ok(PUT % ("a", 1),
                                             "request_range { key:'@a' revision:^1 }"),
                                 "Txn " + ok("request_range { key:'@a' revision:^2 }"), GET]),
    ("compact-and-future", THREE + ["Compact revision:^1", f"{GET} revision:^4"]),
]

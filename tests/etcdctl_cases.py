# SPDX-License-Identifier: Apache-2.0
"""etcdctl_cases.py: what test_etcd_differential.py runs against etcd and Oakum.

A case is (name, steps). A step is what follows `etcdctl` in a shell, or (such a line, text for
stdin). In it, a word's "@" becomes the case's own prefix of keys, "%N" revision N of the data
below, counted from the first, and "^N" the revision at which the case began, plus N. "&N" is
the Nth lease that the case was granted: another id on each side. Words in bytes mode: "\\xff"
stays one byte.

DATA is put once, before the first case, and read by all.
"""

DATA = ["put data/a 1", "put data/b 2", "put data/c 3", "put data/d 4", "put data/e 5",
        "put data/b 22", "put data/a 11", "put data/b 222", "del data/c", "put data/c again",
        "put data/ab x", "put data/abc y", "put data/z ''", "del data/e", "put data/a 11"]

RANGES = [
    ("one", "get data/a"),
    ("missing", "get data/nothing"),
    ("removed", "get data/e"),
    ("empty-value", "get data/z"),
    ("range", "get data/a data/c"),
    ("range-of-nothing", "get data/c data/a"),
    ("range-of-equal-ends", "get data/a data/a"),
    ("prefix", "get --prefix data/"),
    ("prefix-short", "get --prefix data/a"),
    ("prefix-of-nothing", "get --prefix nothing/"),
    ("from-key", "get --from-key data/b --limit 3"),
    ("from-key-past-all", "get --from-key \xff\xff\xff"),
    ("limit", "get --prefix data/ --limit 2"),
    ("limit-exact", "get --prefix data/ --limit 7"),
    ("limit-over", "get --prefix data/ --limit 100"),
    ("limit-zero", "get --prefix data/ --limit 0"),
    ("keys-only", "get --prefix data/ --keys-only"),
    ("keys-only-one", "get data/b --keys-only"),
    ("values-only", "get --prefix data/ --print-value-only"),
    ("values-only-one", "get data/b --print-value-only"),
    ("rev-first", "get --prefix data/ --rev %1"),
    ("rev-middle", "get --prefix data/ --rev %8"),
    ("rev-of-a-delete", "get --prefix data/ --rev %9"),
    ("rev-before-a-delete", "get data/c --rev %8"),
    ("rev-and-limit", "get --prefix data/ --rev %6 --limit 2"),
    ("rev-newest", "get data/a --rev ^0"),
    ("rev-one-in-the-future", "get data/a --rev ^1"),
    ("rev-far-in-the-future", "get --prefix data/ --rev 999999"),
    ("rev-before-the-first-write", "get --prefix data/ --rev 1"),
    ("rev-negative", "get data/a --rev=-1"),
    ("linearizable", "get --prefix data/ --consistency l"),
    ("serializable", "get --prefix data/ --consistency s"),
    ("serializable-rev", "get --prefix data/ --consistency s --rev %5"),
    ("order-up", "get --prefix data/ --order ASCEND"),
    ("order-down", "get --prefix data/ --order DESCEND"),
    ("order-down-limit", "get --prefix data/ --order DESCEND --limit 3"),
    ("order-down-one", "get data/a --order DESCEND"),
    ("order-lower-case", "get --prefix data/ --order descend"),
]
for _target in ("CREATE", "KEY", "MODIFY", "VALUE"):
    for _order in ("ASCEND", "DESCEND"):
        RANGES.append((f"sort-{_target.lower()}-{_order.lower()}",
                       f"get --prefix data/ --sort-by {_target} --order {_order}"))
        RANGES.append((f"sort-{_target.lower()}-{_order.lower()}-limit",
                       f"get --prefix data/ --sort-by {_target} --order {_order} --limit 3"))
    RANGES.append((f"sort-{_target.lower()}", f"get --prefix data/ --sort-by {_target}"))
RANGES += [
    # Versions tie; etcd promises no order among equals, so each of these has none.
    ("sort-version-up", "get data/a data/ab --sort-by VERSION --order ASCEND"),
    ("sort-version-down", "get data/abc data/c --sort-by VERSION --order DESCEND"),
    ("sort-keys-only", "get --prefix data/ --sort-by MODIFY --order DESCEND --keys-only"),
    ("sort-at-rev", "get --prefix data/ --sort-by MODIFY --order DESCEND --rev %8"),
]

# etcdctl itself refuses these, or prints in one format alone; once each is enough.
USAGE = [
    ("get-no-key", ["get"]),
    ("get-empty-key", ["get ''"]),
    ("get-bad-order", ["get a --order SIDEWAYS"]),
    ("get-bad-sort", ["get a --sort-by TASTE"]),
    ("get-bad-consistency", ["get a --consistency x"]),
    ("get-prefix-and-from-key", ["get a --prefix --from-key"]),
    ("get-range-and-prefix", ["get a b --prefix"]),
    ("get-values-only-in-json", ["get a --print-value-only -w json"]),
    ("get-hex", ["get data/a --hex", "get --prefix data/ --hex"]),
    ("put-no-key", ["put"]),
    ("put-bad-lease", ["put @a 1 --lease xyz"]),
    ("put-value-and-ignore-value", ["put @a 1 --ignore-value"]),
    ("del-no-key", ["del"]),
    ("compaction-no-revision", ["compaction"]),
    ("compaction-bad-revision", ["compaction x"]),
    ("txn-bad-compare", [("txn", "nonsense\n\n\n\n")]),
    ("txn-bad-request", [("txn", "\nnonsense\n\n\n")]),
    ("txn-interactive", [("txn -i", "value(\"@a\") = \"\"\n\nput @a 1\n\nget @a\n\n"), "get @a"]),
    ("unknown-command", ["gte a"]),
    ("health", ["endpoint health"]),
    ("health-of-all", ["endpoint health --cluster"]),
    ("alarm-list", ["alarm list"]),
]

CASES = [("get-" + name, [line]) for name, line in RANGES]
CASES += [
    ("put", ["put @a 1", "get @a"]),
    ("put-again", ["put @a 1", "put @a 1", "put @a 2", "get @a"]),
    ("put-empty-value", ["put @a ''", "get @a"]),
    ("put-empty-key", ["put '' 1"]),
    ("put-prev-kv", ["put @a 1", "put @a 2 --prev-kv", "get @a"]),
    ("put-prev-kv-of-nothing", ["put @a 1 --prev-kv", "get @a"]),
    ("put-prev-kv-of-a-removed-key", ["put @a 1", "del @a", "put @a 2 --prev-kv"]),
    ("put-ignore-value", ["put @a 1", "put @a --ignore-value", "get @a"]),
    ("put-ignore-value-prev-kv", ["put @a 1", "put @a --ignore-value --prev-kv"]),
    ("put-ignore-value-of-nothing", ["put @a --ignore-value", "get @a"]),
    ("put-ignore-value-of-a-removed-key", ["put @a 1", "del @a", "put @a --ignore-value"]),
    ("put-ignore-lease", ["put @a 1", "put @a 2 --ignore-lease", "get @a"]),
    ("put-ignore-lease-of-nothing", ["put @a 2 --ignore-lease"]),
    ("put-lease-zero", ["put @a 1 --lease 0", "get @a"]),
    ("put-unknown-lease", ["put @a 1 --lease 123", "get @a"]),
    ("put-unknown-lease-keeps-the-old", ["put @a 1", "put @a 2 --lease 123", "get @a"]),
    ("put-stdin", [("put @a", "from stdin"), "get @a"]),
    ("put-stdin-lines", [("put @a", "one\ntwo\n\n"), "get @a"]),
    ("put-stdin-empty", [("put @a", ""), "get @a"]),
    ("put-large-value", [("put @a", "v" * 100000), "get @a"]),
    ("put-too-large-value", [("put @a", "v" * 1600000), "get @a --keys-only"]),
    ("put-spaces", ["put '@a b' 'c d'", "get '@a b'", "get --prefix '@a '"]),
    ("put-newlines", ["put '@a\nb' 'c\n\nd'", "get --prefix @a"]),
    ("put-tabs-and-quotes", ["put '@\t\"' '\t\"\\'", "get --prefix @"]),
    ("put-utf8", ["put '@schlüssel' 'wert ☃'", "get --prefix @"]),
    ("put-binary", ["put @\xff\xfe \x80\x81\xff", "get @\xff\xfe", "get --prefix @\xff"]),
    ("put-binary-sorts-by-byte", ["put @\x7f 1", "put @\x80 2", "put @z 3", "get --prefix @"]),
    ("put-looks-like-a-flag", ["put @a -- -x", "get @a"]),
    ("put-long-key", ["put @" + "k" * 4000 + " 1", "get --prefix @ --keys-only"]),

    ("del", ["put @a 1", "del @a", "get @a"]),
    ("del-nothing", ["del @a", "get @a"]),
    ("del-twice", ["put @a 1", "del @a", "del @a"]),
    ("del-empty-key", ["del ''"]),
    ("del-prev-kv", ["put @a 1", "put @a 2", "del @a --prev-kv"]),
    ("del-range", ["put @a 1", "put @b 2", "put @c 3", "del @a @c", "get --prefix @"]),
    ("del-range-prev-kv", ["put @a 1", "put @b 2", "put @c 3", "del @a @c --prev-kv"]),
    ("del-range-of-nothing", ["put @b 2", "del @c @a", "get --prefix @"]),
    ("del-prefix", ["put @a 1", "put @ab 2", "put @b 3", "del --prefix @a", "get --prefix @"]),
    ("del-prefix-prev-kv", ["put @a 1", "put @ab 2", "del --prefix @ --prev-kv"]),
    ("del-from-key", ["put \xfe@a 1", "put \xfe@b 2", "del --from-key \xfe@a",
                      "get --prefix \xfe"]),
    ("del-then-put", ["put @a 1", "put @a 2", "del @a", "put @a 3", "get @a"]),
    ("del-and-read-the-past", ["put @a 1", "del @a", "get @a --rev ^1", "get @a --rev ^2"]),

    ("txn-empty", [("txn", "\n\n\n")]),
    ("txn-put", [("txn", "\nput @a 1\n\n\n"), "get @a"]),
    ("txn-many", [("txn", "\nput @a 1\nput @b 2\nget --prefix @\ndel @a\nget --prefix @\n\n\n")]),
    ("txn-more", [("txn", "\nput @a 1\nput @b 2\nget --prefix @\n\n\n"),
                  ("txn", "\ndel --prefix @ --prev-kv\nget --prefix @\n\n\n")]),
    ("txn-one-revision", [("txn", "\nput @a 1\nput @b 2\n\n\n"), "get --prefix @"]),
    ("txn-prev-kv", ["put @a 1", ("txn", "\nput @a 2 --prev-kv\n\n\n")]),
    ("txn-duplicate-key", [("txn", "\nput @a 1\nput @a 2\n\n\n"), "get @a"]),
    ("txn-put-and-delete", [("txn", "\nput @a 1\ndel @a\n\n\n"), "get @a"]),
    ("txn-put-in-both-branches", [("txn", 'version("@a") = "0"\n\nput @a 1\n\nput @a 2\n\n'),
                                  "get @a"]),
    ("txn-future-revision", [("txn", "\nput @a 1\nget @a --rev 999999\n\n\n"), "get @a"]),
    ("txn-read-only", [("txn", "\nget data/a\nget --prefix data/ --limit 1\n\n\n")]),
    ("txn-read-at-a-revision", [("txn", "\nget --prefix data/ --rev %8\n\n\n")]),
    ("txn-of-deletes-of-nothing", [("txn", "\ndel @a\ndel @b\n\n\n")]),
    ("txn-ignore-value", ["put @a 1", ("txn", "\nput @a --ignore-value\n\n\n"), "get @a"]),
    ("txn-ignore-value-of-nothing", [("txn", "\nput @a --ignore-value\nput @b 1\n\n\n"),
                                     "get @b"]),
    ("txn-unknown-lease", [("txn", "\nput @b 1\nput @a 1 --lease 77\n\n\n"), "get --prefix @"]),
    ("txn-empty-key", [("txn", "\nput '' 1\n\n\n")]),
    ("txn-128-operations", [("txn", "\n" + "".join(f"put @{i} v\n" for i in range(128)) + "\n\n"),
                            "get --prefix @ --keys-only"]),
    ("txn-129-operations", [("txn", "\n" + "".join(f"put @{i} v\n" for i in range(129)) + "\n\n"),
                            "get --prefix @ --keys-only"]),
]

# Every target with every operator, on a key that is there and on one that is not. (etcdctl 3.4 ends
# with a stack trace when it is given a lease to compare.)
_BRANCHES = "\n\nput @yes 1\n\nput @no 1\n\n"
for _target, _values in (("version", ("0", "2", "3")), ("create", ("0", "^1")),
                         ("mod", ("0", "^2")), ("value", ("1", "2", ""))):
    for _name, _sign in (("eq", "="), ("gt", ">"), ("lt", "<"), ("ne", "!=")):
        CASES.append((f"txn-if-{_target}-{_name}", ["put @a 1", "put @a 2"] + [
            ("txn", f'{_target}("{_key}") {_sign} "{_value}"{_BRANCHES}')
            for _value in _values for _key in ("@a", "@missing")]))
CASES.append(("txn-if-all-of-several", [
    "put @a 1", ("txn", f'value("@a") = "1"\nversion("@a") = "1"{_BRANCHES}'),
    ("txn", f'value("@a") = "1"\nversion("@a") = "2"{_BRANCHES}'), "get --prefix @"]))

CASES += [
    ("lease", ["lease grant 60", "put @a 1 --lease &1", "get @a", "lease timetolive &1",
               "lease timetolive &1 --keys", "lease revoke &1", "get @a", "lease revoke &1",
               "lease timetolive &1", "lease timetolive &1 --keys"]),
    ("lease-without-keys", ["lease grant 60", "lease timetolive &1 --keys", "lease revoke &1",
                            "get @a"]),
    ("lease-keep-alive", ["lease grant 60", "lease keep-alive --once &1", "lease revoke &1",
                          "lease keep-alive --once &1", "lease keep-alive &1"]),
    ("lease-list", ["lease list", "lease grant 60", "lease list", "lease revoke &1",
                    "lease list"]),
    ("lease-short", ["lease grant 1", "lease revoke &1", "lease grant 2", "lease revoke &2",
                     "lease grant 3", "lease revoke &3"]),
    ("lease-of-no-time", ["lease grant 0", "lease revoke &1", "lease grant -- -5"]),
    ("lease-long", ["lease grant 9000000000", "lease timetolive &1", "lease revoke &1",
                    "lease grant 9000000001"]),
    ("lease-unknown", ["lease revoke 7b", "lease timetolive 7b", "lease timetolive 7b --keys",
                       "lease keep-alive --once 7b", "lease keep-alive 7b"]),
    ("lease-of-many-keys", ["lease grant 60", "put @c 1 --lease &1", "put @a 1 --lease &1",
                            "put @b 1 --lease &1", "put @d 1", "lease timetolive &1 --keys",
                            "lease revoke &1", "get --prefix @", "get --prefix @ --rev ^4",
                            "put @a 2", "get @a"]),
    ("lease-changes", ["lease grant 60", "lease grant 70", "put @a 1 --lease &1",
                       "put @a 2 --lease &2", "lease timetolive &1 --keys",
                       "lease timetolive &2 --keys", "lease revoke &1", "get @a",
                       "lease revoke &2", "get @a"]),
    ("lease-left", ["lease grant 60", "put @a 1 --lease &1", "put @a 2", "get @a",
                    "lease timetolive &1 --keys", "lease revoke &1", "get @a"]),
    ("lease-ignored", ["lease grant 60", "put @a 1 --lease &1", "put @a 2 --ignore-lease",
                       "get @a", "put @a --ignore-value", "get @a", "lease revoke &1",
                       "get @a"]),
    ("lease-and-ignore", ["lease grant 60", "put @a 1 --lease &1",
                          "put @a 2 --lease &1 --ignore-lease", "put @a --ignore-value --lease &1",
                          "get @a", "lease revoke &1"]),
    ("lease-and-delete", ["lease grant 60", "put @a 1 --lease &1", "put @b 1 --lease &1",
                          "del @a --prev-kv", "put @a 2", "lease timetolive &1 --keys",
                          "lease revoke &1", "get --prefix @"]),
    ("lease-and-txn", ["lease grant 60",
                       ("txn", "\nput @a 1 --lease &1\nput @b 1 --lease &1\n\n\n"),
                       "lease timetolive &1 --keys", ("txn", "\ndel @a\nput @b 2\n\n\n"),
                       "lease timetolive &1 --keys", "lease revoke &1", "get --prefix @"]),
    ("lease-gone-for-a-put", ["lease grant 60", "lease revoke &1", "put @a 1 --lease &1",
                              ("txn", "\nput @b 1\nput @a 1 --lease &1\n\n\n"),
                              "get --prefix @"]),
]

# These cut history off, so they come last.
CASES += [
    ("compaction", ["put @a 1", "put @a 2", "put @a 3", "compaction ^2", "get @a --rev ^1",
                    "get @a --rev ^2", "get @a --rev ^3", "get --prefix data/ --rev %2"]),
    ("compaction-physical", ["put @a 1", "put @a 2", "compaction ^2 --physical",
                             "get @a --rev ^1", "get @a"]),
    ("compaction-twice", ["put @a 1", "put @a 2", "compaction ^2", "compaction ^2",
                          "compaction ^1"]),
    ("compaction-of-the-future", ["compaction ^1", "compaction 999999"]),
    ("compaction-at-the-newest", ["put @a 1", "compaction ^1", "get @a --rev ^1", "get @a"]),
    ("compaction-of-a-removed-key", ["put @a 1", "del @a", "compaction ^2", "get @a --rev ^2",
                                     "get @a --rev ^1", "put @a 2", "get @a"]),
    ("compaction-and-txn", ["put @a 1", "put @a 2", "compaction ^2",
                            ("txn", "\nget @a --rev ^1\n\n\n")]),
    ("compaction-zero", ["compaction 0"]),
]

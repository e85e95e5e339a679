# SPDX-License-Identifier: Apache-2.0
"""ctl_cases.py: what test_ctl.py runs by etcdctl and by `oakum`, beside the lines that are in
etcdctl_cases.py; and what is meant to differ."""
from collections import namedtuple

# lines: where it is seen: (name of a case, line of it); none where it takes more than a line.
# until: the first version of etcdctl that agrees; None: none does.
Difference = namedtuple("Difference", "what lines etcdctl oakum until")

DIFFERENCES = [
    Difference("an empty word in a transaction", [("txn-empty-key", "txn")],
               "drops it: `put '' 1` puts the key `1`", "takes it as it is", None),
    Difference("a command that is none", [("unknown-command", "gte a")],
               "exit code 1", "exit code 2, but 1 under the name `etcdctl`", None),
    Difference("`put KEY -`", [], "puts a dash", "puts what stdin has, but a dash under the name "
               "`etcdctl`", None),
    Difference("more words than a verb takes", [], "leaves out what is too much in `get`, `put`",
               "refuses the command, exit code 128", None),
    Difference("`get --count-only`", [], "refuses it but for `-w fields`",
               "tells the number in every format", None),
    Difference("`del KEY RANGE_END` without `--range`", [], "from 3.6 on waits two seconds",
               "begins at once", None),
    Difference("members of a transaction's responses in JSON", [],
               "up to 3.4 `ResponsePut` and so on", "`response_put` and so on, as later ones",
               (3, 5)),
    Difference("formats that a verb does not have", [],
               "refuses them when it has done what it was told",
               "the same, but protobuf is there for leases", None),
]

# What older versions of etcdctl print otherwise, as later ones have it: a pattern, what stands in
# its place, and the first version that has it so.
OLDER = [
    (r'"Response(Range|Put|Txn)":', lambda m: f'"response_{m[1].lower()}":', (3, 5)),
    ('"ResponseDeleteRange":', '"response_delete_range":', (3, 5)),
]

# Verbs that are not built.
MISSING = ("lease keep-alive", "endpoint", "alarm")

# As in etcdctl_cases.py.
CASES = []

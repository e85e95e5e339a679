# SPDX-License-Identifier: Apache-2.0
"""ctl_cases.py: what test_ctl.py runs by etcdctl and by `oakum`, beside the lines that are in
etcdctl_cases.py; and what is meant to differ."""
from collections import namedtuple

# lines: where it is seen: (name of a case, line of it); none where it takes more than a line.
# until: the first version of etcdctl that agrees; None: none does.
Difference = namedtuple("Difference", "what lines etcdctl oakum until")

FORMS = ("simple", "json", "fields", "table", "protobuf")
READ = [f"reads-{form}" for form in FORMS if form != "protobuf"]

DIFFERENCES = [
    Difference("an empty word in a transaction", [("txn-empty-key", "txn")],
               "up to 3.6 takes `''` for `'`: `put '' 1` puts that key",
               "takes it as it is, as later ones: nobody named that key", (3, 7)),
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
    Difference("the end of `lock`'s command", [], "up to 3.4 exit code 1 when it failed",
               "its exit code, as later ones; 128 and the number for a signal", None),
    Difference("JSON of `watch`", [], "up to 3.6 without `CancelReason`, `[]` for no events",
               "as later ones have it", None),
    Difference("a lock that is lost", [], "its command goes on",
               "told, and the command is stopped", None),
    Difference("a signal to `lock` with a command", [], "is not for the command",
               "goes to the command; the lock is held until it has ended", None),
    Difference("names of locks and elections", [], "may be empty, or end with a slash",
               "may not", None),
    Difference("`watch` when no server is there", [], "waits", "ends after `--command-timeout`, "
               "exit code 2", None),
    Difference("`make-mirror` when a side is away", [], "ends", "goes on when it is back", None),
    Difference("formats that a verb does not have", [],
               "refuses them when it has done what it was told",
               "the same, but protobuf is there for leases", None),
    Difference("`endpoint status`, `endpoint hashkv`",
               [(read, f"endpoint {verb}") for read in READ for verb in ("status", "hashkv")],
               "up to 3.5 with fewer columns", "the columns of 3.6", (3, 6)),
    Difference("`endpoint status -w fields`", [],
               "up to 3.6 has `RaftTerm` twice for an endpoint, with the same value",
               "once, as later ones: who looks for a name finds one value", None),
    Difference("`member list -w json --hex`", [("reads-json", "member list --hex")],
               "3.4 has decimal ids there", "hexadecimal ones, in every answer about members, as "
               "later ones", (3, 5)),
    Difference("`member list -w json --hex` with a learner",
               [("members-json", "member list --hex")],
               "3.6 does not say that it is a learner, and has members for what is empty",
               "says it, and leaves out what is empty, as without `--hex` and as later ones",
               (3, 7)),
    Difference("`member list -w fields --hex`", [("reads-fields", "member list --hex")],
               "3.4 has decimal ids", "hexadecimal ones, as later ones", (3, 5)),
    Difference("`member add` with addresses that are none",
               [(f"members-{form}", "member add n4 --peer-urls=nonsense") for form in FORMS],
               "says what is wrong with them", "has the server's words", None),
    Difference("`member add --learner`", [("members-simple", "member add n2")],
               "3.4 does not say that it is a learner", "says it, as later ones", (3, 5)),
    Difference("`role get root`", [("users-simple", "--user root:rootpw role get root")],
               "3.4 has an empty prefix there", "no prefix, as later ones", (3, 5)),
    Difference("passwords that are typed", [], "are asked for on stdout",
               "are asked for on stderr, and at a terminal alone", None),
    Difference("`--interactive=false`", [],
               "takes the first word of stdin, and an empty password where there is none",
               "takes the first line, and refuses where there is none", None),
    Difference("`alarm list`, `alarm disarm`", [],
               "from 3.7 on one or two blanks between words, and none at the end",
               "one, and one at the end, as up to 3.6", None),
    Difference("`alarm disarm -w fields`", [("maintain-fields", "alarm disarm")],
               "before 3.7 crashes", "shows a header of zeros, as later ones", (3, 7)),
    Difference("`defrag`", [], "3.4 does not tell the time it took", "tells it, as later ones",
               (3, 5)),
    Difference("`move-leader`", [], "asks one endpoint after another who leads, up to the first "
               "that fails", "asks all at the same time, and does without those that fail", None),
    Difference("`check perf`, `check datascale`", [],
               "a connection for each client; a minute, always",
               "one for ten clients; `--duration` for another time", None),
    Difference("`version` under the name `etcdctl`", [], "two lines",
               "the same two, of the version of etcd whose API is served, and that of Oakum", None),
    Difference("a word that has verbs, alone", [], "shows them, exit code 0",
               "shows them, exit code 128; `--help` is 0", None),
    Difference("tables", [], "from 3.7 on have frames of box drawing characters; up to 3.6 break "
               "long texts into lines", "have frames of `+-|`; a row is a line", None),
    Difference("`endpoint health`",
               [("reads-simple", "endpoint health"), ("health", "endpoint health"),
                ("health-of-all", "endpoint health --cluster")],
               "3.4 tells what is healthy on stderr", "on stdout, as later ones", (3, 5)),
    Difference("`endpoint health` of several", [],
               "tells the endpoints as they answer; waits for one that is down while it has time",
               "tells them in the order in which they were given; one "
               "that refuses connections fails at once", None),
    Difference("`endpoint status`, `endpoint hashkv`", [], "ask one after another",
               "ask all at the same time", None),
    Difference("`--discovery-srv`", [],
               "asks for both services of a domain, `etcd-client-ssl` and `etcd-client`, and shows "
               "endpoints by the names of hosts",
               "asks for the one that the flags of TLS call for, and shows addresses", None),
]

# What older versions of etcdctl print otherwise, as later ones have it: a pattern, what stands in
# its place, and the first version that has it so.
OLDER = [
    (r'"Response(Range|Put|Txn)":', lambda m: f'"response_{m[1].lower()}":', (3, 5)),
    ('"ResponseDeleteRange":', '"response_delete_range":', (3, 5)),
    ('"Revision" : 0\n', "", (3, 5)),
    # The second of an endpoint's status, if it is the same.
    (r'("RaftTerm" : \d+\n)((?:.+\n)*?"RaftIndex" : \d+\n)\1', r"\1\2", (3, 7)),
]

# What older versions do not have, and the first that has it.
SINCE = {
    "member list --consistency": (3, 6),
    "auth status": (3, 5),
    "downgrade": (3, 6),
    # It has the URL of a member in the place of a host's name, which Oakum takes for no request.
    "defrag --cluster": (3, 5),
}

# As in etcdctl_cases.py.
CASES = []

# SPDX-License-Identifier: Apache-2.0
"""rpc_cases_cluster.py: the Cluster service, for test_rpc_differential.py, on members of their own.

Each case leaves the three members as it found them; n1 leads at its begin. The first members are
$n1, $n2, $n3, with the peer URLs $p1, $p2, $p3; those that the case adds are $a1, $a2. $u1 and $u2
are URLs that no other case has: an id is made of them and the second, and never comes back."""


def add(url, learner=True):
    return f"MemberAdd peerURLs:'{url}' isLearner:{str(learner).lower()}"


ONE, TWO = "$u1", "$u2"
BAD = {
    "none": [],
    "empty": [""],
    "no-scheme": ["127.0.0.2:1"],
    "no-port": ["http://127.0.0.2"],
    "no-host": ["http:" + "//"],
    "other-scheme": ["ftp://127.0.0.2:1"],
    "path": ["http://127.0.0.2:1/path"],
    "slash": ["http://127.0.0.2:1/"],
    "word": ["nonsense"],
    "one-of-two": [ONE, "nonsense"],
    "two-in-one": [f"{ONE},{TWO}"],
    "no-number": ["http://127.0.0.2:port"],
}
REMOVE = "MemberRemove ID:$a1"
LISTS = ["MemberList", "MemberList linearizable:true"]

CASES = [
    ("cluster-list", [step for node in (1, 2, 3) for step in [f"at {node}", *LISTS]]),
    ("cluster-learner-comes-and-goes", [add(ONE), *LISTS, REMOVE, *LISTS, REMOVE]),
    ("cluster-voter-that-never-starts", [add(ONE, False), *LISTS, "MemberPromote ID:$a1", REMOVE,
                                         *LISTS]),
    ("cluster-two-that-never-start", [add(ONE, False), add(TWO, False), "MemberRemove ID:$a2",
                                      REMOVE]),
    ("cluster-learner-beside-one-that-never-starts", [add(ONE, False), add(TWO),
                                                      "MemberRemove ID:$a2", REMOVE]),
    ("cluster-of-two-urls", [f"MemberAdd peerURLs:'{TWO}' peerURLs:'{ONE}' isLearner:true",
                             add(TWO), REMOVE]),
    ("cluster-the-same-url-twice", [f"MemberAdd peerURLs:'{ONE}' peerURLs:'{ONE}' isLearner:true",
                                    "MemberList", REMOVE]),
    ("cluster-add-where-one-is", [add("$p1"), add("$p2", False), add("$p3")]),
    ("cluster-add-where-one-is-beside-another",
     [f"MemberAdd peerURLs:'{ONE}' peerURLs:'$p2' isLearner:true", "MemberList"]),
    ("cluster-learners-have-a-limit", [add(ONE), add(TWO), add("$p1"), REMOVE, add(TWO),
                                       "MemberRemove ID:$a2"]),
    ("cluster-url-is-free-again", [add(ONE), REMOVE, "MemberUpdate ID:$n2 peerURLs:'$p2'"]),
    ("cluster-remove-nobody", ["MemberRemove ID:12345", "MemberRemove", "MemberRemove ID:1"]),
    ("cluster-update-nobody", [f"MemberUpdate ID:12345 peerURLs:'{ONE}'",
                               f"MemberUpdate peerURLs:'{ONE}'",
                               "MemberUpdate ID:12345 peerURLs:'$p1'"]),
    ("cluster-update-to-anothers", ["MemberUpdate ID:$n2 peerURLs:'$p1'",
                                    f"MemberUpdate ID:$n2 peerURLs:'{ONE}' peerURLs:'$p3'",
                                    "MemberList"]),
    ("cluster-update-to-its-own", ["MemberUpdate ID:$n2 peerURLs:'$p2'", "MemberList"]),
    ("cluster-update-one-that-never-starts", [add(ONE, False),
                                              f"MemberUpdate ID:$a1 peerURLs:'{TWO}'", REMOVE]),
    ("cluster-update-the-removed", [add(ONE), REMOVE, f"MemberUpdate ID:$a1 peerURLs:'{TWO}'",
                                    "MemberPromote ID:$a1"]),
    ("cluster-promote-nobody", ["MemberPromote ID:12345", "MemberPromote"]),
    ("cluster-promote-a-voter", ["MemberPromote ID:$n1", "MemberPromote ID:$n2"]),
    ("cluster-promote-a-learner-that-is-not-there", [add(ONE), "MemberPromote ID:$a1", REMOVE]),
    ("cluster-at-a-follower", ["at 2", add(ONE), add(ONE, False), "at 3", "MemberPromote ID:$a1",
                               "at 2", REMOVE, REMOVE, "MemberUpdate ID:$n1 peerURLs:'$p2'"]),
    ("cluster-hasleader", ["meta hasleader=true", add(ONE), "MemberList", REMOVE]),
    ("cluster-unknown-fields", ["raw /etcdserverpb.Cluster/MemberList f80f01",
                                "raw /etcdserverpb.Cluster/MemberAdd f80f01"]),
]
for _name, _urls in BAD.items():
    _text = " ".join(f"peerURLs:'{_url}'" for _url in _urls)
    CASES.append((f"cluster-add-bad-urls-{_name}",
                  [f"MemberAdd {_text}", f"MemberAdd {_text} isLearner:true", "MemberList"]))
# An etcd before 3.6 forgets of an updated member that it is a learner.
CASES_OF_36 = [
    ("cluster-update-a-learner", [add(ONE), f"MemberUpdate ID:$a1 peerURLs:'{TWO}'", "MemberList",
                                  REMOVE]),
]

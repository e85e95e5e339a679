# SPDX-License-Identifier: Apache-2.0
"""The same etcdctl commands on three members of etcd and three of Oakum, and their output compared.

What must agree is stdout, stderr and exit code, byte by byte, apart from what cannot agree: ids,
addresses, terms, log indexes, sizes, versions of the server, times. What is meant to differ is in
DIFFERENCES, each with its reason, and docs/reference/etcd-compatibility.md is written from it:
`python3 tests/test_etcd_differential.py --write` after a change.
"""
import difflib
import json
import os
import re
import shlex
import subprocess
import sys
from collections import namedtuple

import pytest

import harness
import rpc_cases
from etcdctl_cases import CASES, DATA, USAGE

FORMATS = ("simple", "json", "fields", "table")
PAGE = os.path.join(harness.TOP, "docs", "reference", "etcd-compatibility.md")

# steps: a case that shows it, or None where one of the two would wait for ever or is left changed.
# says: what Oakum's output must hold.
Difference = namedtuple("Difference", "name steps says etcd oakum")

MISSING = "Unimplemented desc = unknown"
DIFFERENCES = [
    Difference("sort-and-limit-without-order", ["get --prefix data/ --sort-by MODIFY --limit 3"],
               "data/", "with a target to sort by, a limit and no order, sorts only the first keys "
               "of the range, as many as the limit and one more",
               "sorts the whole range, then cuts, as with an order given"),
    Difference("ties", None, "", "sorts keys of equal version, revision or value in any order",
               "keeps them in order of key"),
    Difference("negative-revision-in-txn", None, "",
               "refuses a Range at a negative revision within a Txn as compacted, though it takes "
               "it for the newest outside", "takes it for the newest in both places"),
    Difference("ignore-what-a-txn-removed", None, "",
               "ends its process when a Txn deletes from a key on (range end `00`), and then puts "
               "one of the removed keys with ignore_value or ignore_lease",
               "refuses the Txn: `etcdserver: key not found`"),
    Difference("status-version", None, "", "Status tells its version, 3.4.23 in the tests",
               "Status tells the version of the API that is served, 3.6"),
    Difference("lease-after-a-new-leader", None, "",
               "a new leader lets each lease live for its whole time again",
               "the same, but one that lives longer than five minutes gets what was left of it "
               "when that was last written down in the log, each five minutes"),
    Difference("leases", None, "", "any number at one time",
               "1,048,576 at one time; then `etcdserver: too many requests`"),
    Difference("watch-progress", None, "",
               "drops a request for progress while a watcher of the stream catches up",
               "answers it once all of them have"),
    Difference("compact-with-auth", None, "", "3.4: lets any user compact the history",
               "needs the role root for it, as etcd does now"),
    Difference("role-root", None, "", "3.4: RoleGet of root has no permissions",
               "RoleGet of root has all keys, read and write, as in later versions"),
    Difference("tokens-without-an-end", None, "", "takes a web token that has no `exp`",
               "refuses it: it would be good for ever"),
    Difference("alarms", None, "",
               "NOSPACE by quota, CORRUPT; raised for the cluster, cleared by hand",
               "the same, and NOSPACE while a member's disk is nearly full, of that member alone; "
               "that one ends by itself"),
    Difference("defrag", None, "", "rewrites its database, and serves nothing meanwhile",
               "answers at once, and merges files in the background"),
    Difference("hashkv", None, "",
               "3.6 gives the hash that it stored when it compacted, for the last ten compactions",
               "works out the hash from the history at hand, for any revision that is not "
               "compacted"),
    Difference("snapshot-save", None, "", "streams its database file as it is",
               "makes such a file of its state, on the disk of the member; four at a time, and "
               "none while NOSPACE is raised for that disk"),
]
SHOWN = [each for each in DIFFERENCES if each.steps is not None]


def page_text():
    """docs/reference/etcd-compatibility.md, as it should be."""
    lines = [
        "# Compatibility with etcd", "",
        "What `etcdctl` gets from Oakum is compared with what it gets from a real etcd, byte by",
        f"byte: {len(CASES)} sequences of commands in up to {len(FORMATS)} output formats, and "
        f"{len(USAGE)} uses of flags (`make test T=etcd`).",
        "Random requests of KV, Txn, Lease and Watch are compared over gRPC, field by field",
        "(`make test T=random`; `make random` asks a million). Ids, addresses, terms, log indexes,",
        "sizes and times are left out of it.", "",
        "These differences are known, and meant. The tests fail when one of them is gone, too.", "",
        "| what | etcd | Oakum |", "| --- | --- | --- |"]
    lines += [f"| {each.name.replace('-', ' ')} | {each.etcd} | {each.oakum} |"
              for each in DIFFERENCES]
    lines += ["", "## Requests", ""] + rpc_cases.page_lines()
    lines += ["Written from the table in `tests/test_etcd_differential.py` by",
              "`python3 tests/test_etcd_differential.py --write`; do not edit it here.", ""]
    return "\n".join(lines)


class Side:
    """One of the two clusters, and the client that asks it: etcdctl, or a program that is named."""

    def __init__(self, cluster, program=None):
        self.cluster = cluster
        self.program = program or harness.etcdctl_path()
        self.names = []
        self.leases = []
        for i, node in enumerate(cluster.nodes, 1):
            for url, what in ((node.client_url, "client"), (node.peer_url, "peer")):
                self.names.append((url.split("//")[1], f"<{what} {i}>"))
        members = harness.until(self.published, "the names of all members")
        number = members["header"]["cluster_id"]
        self.names += [(str(number), "<cluster>"), (f"{number:x}", "<cluster>")]
        for member in members["members"]:
            for text in (str(member["ID"]), f"{member['ID']:x}"):
                self.names.append((text, f"<{member['name']}>"))

    def published(self):
        """What `member list` gives, once every member has told its name to every other."""
        lists = [self.cluster.etcdctl_json("member", "list", endpoints=[endpoint])
                 for endpoint in self.cluster.endpoints]
        named = all(member.get("name") for each in lists for member in each["members"])
        return lists[0] if named else None

    def start(self, words, text, endpoints):
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith("ETCDCTL_")}
        command = [self.program, "--endpoints", ",".join(endpoints),
                   "--command-timeout", "20s", "--dial-timeout", "20s", *words]
        # pylint: disable=consider-using-with
        return subprocess.Popen([os.fsencode(word) if isinstance(word, str) else word
                                 for word in command],
                                stdin=subprocess.DEVNULL if text is None else subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env=environment)

    def put_leases(self, text):
        """This side's ids in the place of "&N"."""
        return re.sub(r"&(\d)", lambda m: f"{self.leases[int(m[1]) - 1]:x}", text)

    def note_lease(self, text):
        """Granted just now, in whatever format that is told."""
        for pattern, base in ((r"lease ([0-9a-f]{16}) granted", 16), (r'"ID" ?: ?(\d+)', 10)):
            found = re.search(pattern, text)
            if found:
                self.leases.append(int(found[1], base))
                return

    def plain(self, text, words):
        """Without what two clusters never have in common."""
        if "lease grant" in words:
            self.note_lease(text)
        for number, lease in enumerate(self.leases, 1):
            for name in (f"{lease:016x}", f"{lease:x}", str(lease)):
                text = text.replace(name, f"<lease {number}>")
        if "timetolive" in words:  # etcd tells the keys in any order
            text = re.sub(r"\[([^\]]*)\]", lambda m: str(sorted(re.split("[ ,]", m[1]))), text)
            text = re.sub(r'("Key" : .*\n)+', lambda m: "".join(sorted(m[0].splitlines())), text)
            text = re.sub(r"remaining\(\d+s\)|\"(?:ttl|TTL)\" ?: ?\d+", "<left>", text)
        for name, what in self.names:
            text = text.replace(name, what)
        for pattern, instead in (
                (r'"raft_term":\d+', '"raft_term":0'), (r'"RaftTerm" : \d+', '"RaftTerm" : 0'),
                (r"took = [\d.]+[mµ]*s", "took = 0s"), (r'"ts":"[^"]*"', '"ts":""'),
                (r'"[Tt]ook"( ?): ?"?[\d.]+[mµ]*s"?', '"took":0'),
                (r"endpoint://client-[0-9a-f-]+/", "endpoint://client/"),
                (r'"took":"[^"]*"', '"took":0')):
            text = re.sub(pattern, instead, text)
        if "--cluster" in words:  # etcdctl asks all at once, and tells as they answer
            text = "\n".join(sorted(text.splitlines()))
        return text


def level(sides, node):
    """Bring both to one revision, and this member of each up to it. Gives that revision."""
    def revisions():
        asked = [side.start([b"get", b"none", b"-w", b"json"], None,
                            [side.cluster.nodes[node].endpoint]) for side in sides]
        return [json.loads(each.communicate(timeout=60)[0])["header"]["revision"]
                for each in asked]
    now = revisions()
    while now[0] != now[1]:
        sides[now[0] > now[1]].cluster.etcdctl("put", "level", "x", endpoints=[
            sides[now[0] > now[1]].cluster.nodes[node].endpoint])
        now = revisions()
    return now[0]


class Comparison:
    """Both clusters, and how to compare them; `program` asks the second one."""

    def __init__(self, etcd, oakum, program=None):
        self.sides = [Side(etcd), Side(oakum, program)]
        self.data = level(self.sides, 0)
        for step in DATA:
            both = self.step(step, "", self.data, "json", 0)
            assert both[0] == both[1]

    def words(self, line, prefix, begin):
        def put_in(text):
            text = re.sub(r"%(\d+)", lambda m: str(self.data + int(m[1])), text)
            text = re.sub(r"\^(\d+)", lambda m: str(begin + int(m[1])), text)
            return text.replace("@", prefix)
        return [put_in(word) for word in shlex.split(line)], put_in

    def step(self, step, prefix, begin, form, node):
        """Run it on both at once. Gives (exit code, stdout, stderr) of each, normalised."""
        line, text = step if isinstance(step, tuple) else (step, None)
        words, put_in = self.words(line, prefix, begin)
        text = None if text is None else put_in(text)
        # Characters up to ff stand for bytes; what is beyond them is UTF-8.
        words = [word.encode("latin-1" if max(word, default="a") <= "\xff" and "ü" not in word
                             else "utf-8") for word in words]
        if form is not None:
            words = [b"-w", form.encode()] + words
        texts = [None if text is None else side.put_leases(text).encode() for side in self.sides]
        running = []
        for side, each in zip(self.sides, texts):
            own = [side.put_leases(word.decode("latin-1")).encode("latin-1") for word in words]
            running.append(side.start(own, each, [side.cluster.nodes[node].endpoint]))
        results = []
        for side, process, each in zip(self.sides, running, texts):
            out, err = process.communicate(each, timeout=60)
            results.append((process.returncode, *(
                side.plain(each.decode(errors="backslashreplace"), line) for each in (out, err))))
        return results

    def run(self, name, steps, form, node):
        """Run a case. Gives a report of what differs, empty when nothing does, and what Oakum
        said."""
        prefix = f"{name}.{form}/"
        begin = level(self.sides, node)
        for side in self.sides:
            side.leases = []
        report, said = [], ""
        for step in steps:
            both = self.step(step, prefix, begin, form, node)
            texts = [f"exit code {code}\n{out}\n-- stderr\n{err}" for code, out, err in both]
            said += texts[1]
            if texts[0] != texts[1]:
                report += [f"$ etcdctl {step[0] if isinstance(step, tuple) else step}"]
                report += difflib.unified_diff(texts[0].splitlines(), texts[1].splitlines(),
                                               "etcd", "oakum", lineterm="")
        return "\n".join(line[:400] for line in report), said


@pytest.fixture(name="comparison", scope="module")
def both_clusters(lasting_cluster, etcd_bin, etcdctl_bin):
    assert etcdctl_bin
    return Comparison(lasting_cluster(3, etcd_bin), lasting_cluster(3))


# Most of what differs between formats is etcdctl's own: two of them take each third case.
RUNS = [(number, form) for number in range(len(CASES)) for form in FORMATS
        if form in ("simple", "json") or number % 3 == (form == "table")]
# etcdctl tells no id of a lease in a table.
RUNS = [(number, form) for number, form in RUNS
        if form != "table" or not CASES[number][0].startswith("lease")]


@pytest.mark.parametrize("number,form", RUNS, ids=[f"{CASES[n][0]}-{form}" for n, form in RUNS])
def test_etcdctl_gets_what_etcd_gives(comparison, number, form):
    name, steps = CASES[number]
    report, _ = comparison.run(name, steps, form, number % 3)
    assert not report, "\n" + report


@pytest.mark.parametrize("number", range(len(USAGE)), ids=[case[0] for case in USAGE])
def test_etcdctl_usage_gets_what_etcd_gives(comparison, number):
    name, steps = USAGE[number]
    report, _ = comparison.run(name, steps, None, number % 3)
    assert not report, "\n" + report


@pytest.mark.parametrize("each", SHOWN, ids=[each.name for each in SHOWN])
def test_etcdctl_meets_the_difference_that_is_explained(comparison, each):
    report, said = comparison.run(each.name, each.steps, None, 0)
    assert report, f"{each.name} is no difference any more: take it out of DIFFERENCES"
    assert each.says in said, report


def rows_of(output, form):
    """The members that a command lists, each as its fields, in order of their names."""
    if form == "json":
        output = re.sub(r'(?<=":)<\w+>', "0", output)  # ids
        return sorted(json.loads(output)["members"], key=lambda row: row["name"])
    if form == "fields":
        blocks = [dict(re.findall(r'"(\w+)" : (.*)', block)) for block in output.split("\n\n")]
        return sorted((row for row in blocks if "Name" in row), key=lambda row: row["Name"])
    split = r" *\| *" if form == "table" else ", "
    return sorted(re.split(split, line.strip()) for line in output.splitlines()
                  if not line.startswith("+"))


@pytest.mark.parametrize("form", FORMATS)
def test_etcdctl_lists_the_members(comparison, form):
    etcd, oakum = comparison.step("member list", "", 0, form, 1)
    assert etcd[0] == oakum[0] == 0 and etcd[2] == oakum[2]
    if form == "fields":  # the first block begins with the header
        etcd, oakum = ((0, re.sub(r'"(ClusterID|MemberID|Revision|RaftTerm)" : \S+\n', "", out))
                       for _, out, _ in (etcd, oakum))
    assert rows_of(etcd[1], form) == rows_of(oakum[1], form)
    assert len(rows_of(oakum[1], form)) == 3 + (form == "table")


@pytest.mark.parametrize("form", FORMATS)
def test_etcdctl_shows_the_status(comparison, form):
    """The same fields in the same order; of the values, those that mean something."""
    level(comparison.sides, 2)
    shapes = []
    for _, out, err in comparison.step("endpoint status", "", 0, form, 2):
        assert err == ""
        if form == "json":  # a size of 0 is left out
            out = re.sub(r',"dbSize\w*":\d+', "", out)
            out = re.sub(r'"(leader|raft\w+|version)":[^,}]*', r'"\1":0', out)
        if form == "fields":
            out = re.sub(r'"(Version|DBSize|Leader|Raft\w+|MemberID)" : .*', r'"\1"', out)
        elif form in ("simple", "table"):
            cells = re.split(r"\s*[|,]\s*", out.strip().splitlines()[-2 if form == "table" else -1])
            out = " ".join(cells[:3 if form == "table" else 2]) + f" {len(cells)} cells"
        shapes.append(re.sub(r"<n\d>|[0-9a-f]{16}", "<id>", out))
    assert shapes[0] == shapes[1]


def test_etcdctl_with_protobuf_gets_the_same_pairs(comparison):
    """What etcdctl prints is the response's bytes. Headers differ; what is behind may not."""
    level(comparison.sides, 0)
    answers = []
    for side in comparison.sides:
        process = side.start([b"get", b"--prefix", b"data/", b"-w", b"protobuf"], None,
                             [side.cluster.nodes[0].endpoint])
        out, _ = process.communicate(timeout=60)
        assert out[0] == 0x0a and out[1] < 0x80  # field 1, the header
        answers.append(out[2 + out[1]:])
    assert answers[0] == answers[1] and b"data/abc" in answers[1]


def test_compatibility_page_is_current():
    with open(PAGE, encoding="utf-8") as page:
        assert page.read() == page_text(), "run python3 tests/test_etcd_differential.py --write"


def test_compatibility_cases_have_names_of_their_own():
    names = [name for name, _ in CASES + USAGE]
    assert len(names) == len(set(names)) and len(names) > 120


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: test_etcd_differential.py --write")
    with open(PAGE, "w", encoding="utf-8") as out_file:
        out_file.write(page_text())

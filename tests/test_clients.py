# SPDX-License-Identifier: Apache-2.0
"""Clients of etcd that nobody here wrote, against three members of ours.

Their programs are in clients/; `make clients-go`, `-node`, `-python` and `-java` make one, each
from its registry, and set OAK_CLIENTS to its name. A program is asked for features, and prints "ok
FEATURE: NAME" for each check that passed. What it has to print is read from its source, where each
check begins with `check("FEATURE", "NAME"`; docs/reference/clients.md is written from the same by
`python3 tests/test_clients.py --write`. OAKUM_BIN may be a real etcd, to see that the checks hold
there too; OAK_CLIENTS_ALL=1 then asks for all features.
"""
import glob
import os
import re
import subprocess
import sys

import pytest

import harness

PAGE = os.path.join(harness.TOP, "docs", "reference", "clients.md")
SOURCES = os.path.join(harness.TOP, "tests", "clients")
LANGUAGES = {
    "go": "etcd's own Go client, clientv3",
    "node": "etcd3 of npm",
    "python": "etcd3 of PyPI",
    "java": "jetcd of Maven Central",
}
# In the order of the page, and of the run: auth is the last, as it stays until it is taken back.
FEATURES = {
    "kv": "put, get, delete, ranges, revisions, compaction",
    "txn": "compares, branches, nesting",
    "watch": "events, the past, filters, progress, fragments",
    "watch-resume": "a watch goes on over the restart of its member",
    "lease": "grant, keepalive, revoke, time to live, list",
    "lease-expiry": "keys go with their lease",
    "lock": "mutual exclusion",
    "stm": "software transactional memory",
    "election": "campaign, proclaim, observe, resign",
    "lock-service": "the Lock service",
    "election-service": "the Election service",
    "leasing": "cached reads under leases (package leasing)",
    "mirror": "a copy that is kept up (package mirror)",
    "namespace": "all keys under a prefix (package namespace)",
    "ordering": "reads that never go back (package ordering)",
    "cluster": "members, status",
    "members": "add, promote, remove",
    "maintenance": "hashes, alarms, defragment",
    "snapshot": "a snapshot's stream",
    "move-leader": "leadership is handed over",
    "auth": "users, roles, permissions, tokens",
}
# What Oakum serves so far.
SERVED = ["kv", "txn", "watch", "watch-resume", "lease", "lease-expiry", "lock", "stm", "election",
          "lock-service", "election-service", "leasing", "mirror", "namespace", "ordering",
          "cluster", "members", "maintenance", "snapshot", "move-leader", "auth"]
CHECK = re.compile(r'\bcheck\(\s*"([a-z-]+)",\s*"([^"]+)"')


def checks_of(language):
    """[(feature, name)] of a program."""
    found = []
    for path in sorted(glob.glob(os.path.join(SOURCES, language, "*"))):
        with open(path, encoding="utf-8") as source:
            found += CHECK.findall(source.read())
    return found


def page_text():
    count = {language: checks_of(language) for language in LANGUAGES}
    total = sum(each in SERVED for checks in count.values() for each, _ in checks)
    lines = [
        "# Clients of etcd", "",
        "Clients that nobody here wrote, against three members of Oakum: how many checks of each",
        f"feature pass, {total} in all. Their programs are in `tests/clients`; each is run by a",
        "target of its own, which needs the client's registry:",
        ", ".join(f"`make clients-{name}`" for name in LANGUAGES) + ".",
        "etcdctl is compared with etcd, see [etcd-compatibility.md](etcd-compatibility.md).", "",
        "| | " + " | ".join(LANGUAGES.values()) + " |", "| --- |" + " --- |" * len(LANGUAGES)]
    for feature, what in FEATURES.items():
        if feature in SERVED:
            row = [sum(each == feature for each, _ in count[name]) for name in LANGUAGES]
            lines.append(f"| {feature}: {what} | "
                         + " | ".join(str(each or "") for each in row) + " |")
    lines += ["", "Written by `python3 tests/test_clients.py --write` from the programs; do not "
              "edit it here.", ""]
    return "\n".join(lines)


def test_clients_page_is_current():
    with open(PAGE, encoding="utf-8") as page:
        assert page.read() == page_text(), "run python3 tests/test_clients.py --write"


def test_clients_checks_are_of_known_features():
    for language in LANGUAGES:
        checks = checks_of(language)
        assert len(checks) == len(set(checks))
        assert {feature for feature, _ in checks} <= set(FEATURES)


def calm(cluster):
    """Wait until the members have known each other for so long that they may be changed."""
    def added():
        done = cluster.etcdctl("member", "add", "none", "--learner", "--peer-urls",
                               "http://127.0.0.3:1", check=False)
        return done.stdout.split()[1] if done.returncode == 0 else None
    cluster.etcdctl("member", "remove", harness.until(added, "a member may be added"))


def run_client(command, cluster, feature):
    """Gives the lines of its stdout. Where it says "restart" the first member is, in between."""
    with subprocess.Popen([*command, ",".join(cluster.endpoints), feature], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if lines[-1] == "restart":
                cluster.nodes[0].restart()
                process.stdin.write("done\n")
                process.stdin.flush()
    return lines


# Where there is no registry there is no such test, rather than one that skips itself.
if os.environ.get("OAK_CLIENTS"):
    LANGUAGE = os.environ["OAK_CLIENTS"]
    ASKED = [feature for feature in FEATURES
             if feature in (FEATURES if os.environ.get("OAK_CLIENTS_ALL") else SERVED)
             and any(each == feature for each, _ in checks_of(LANGUAGE))]

    @pytest.fixture(name="members", scope="module")
    def three_members(lasting_cluster):
        return lasting_cluster(3)

    @pytest.mark.parametrize("feature", ASKED)
    def test_clients_of_etcd_are_served(members, feature):
        command = [os.path.join(harness.TOP, "build", "peers", "clients", LANGUAGE, "run")]
        if feature == "members":
            calm(members)
        lines = run_client(command, members, feature)
        wanted = [f"ok {each}: {name}" for each, name in checks_of(LANGUAGE) if each == feature]
        assert [line for line in lines if line != "restart"] == wanted, "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: test_clients.py --write")
    with open(PAGE, "w", encoding="utf-8") as out_file:
        out_file.write(page_text())

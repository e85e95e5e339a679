# SPDX-License-Identifier: Apache-2.0
"""What `--output json` has, command by command: docs/reference/output.md is written from what a
cluster really answers, by `python3 tests/test_ctl_output.py --write`; scripts may rely on it."""
import contextlib
import json
import os
import subprocess
import sys
import tempfile

import pytest

import harness

PAGE = os.path.join(harness.TOP, "docs", "reference", "output.md")

HEAD = """# JSON for scripts

What commands print with `--output json` (`-o json`, `-w json`): JSON of these shapes. The names,
the nesting and the types stay; members may be added. Written from a running cluster by
`python3 tests/test_ctl_output.py --write`, and checked by `make test T=ctl_output`; do not edit it
here.

- Verbs of etcdctl print what etcdctl prints: the API's messages, a line each, with numbers as
  numbers, keys and values in base64, and **without** members that are zero, false or empty: a
  script reads those as such.
- An error is told on stderr, and by the exit code; stdout is empty then.
"""

# Words of each command; @ is a lease that was granted, % a folder, = and + the two clusters.
KEYS = [
    ("get k", "get", "one key or a range"),
    ("put k w --prev-kv", "put", "`prev_kv` with `--prev-kv`"),
    ("del k --prev-kv", "del", "`prev_kvs` with `--prev-kv`"),
    ("txn", "txn", "a member of `Response` for each request: `response_range`, `response_put` or "
            "`response_delete_range`"),
    ("lease grant 600", "lease grant", ""),
    ("lease timetolive @ --keys", "lease timetolive",
     "times in seconds; `keys` is null without any"),
    ("lease list", "lease list", ""),
    ("lease keep-alive --once @", "lease keep-alive", "one for each answer"),
    ("lease revoke @", "lease revoke", ""),
]
# Commands that last: their first line.
LASTING = [
    ("watch k --rev 1", "watch", "a line for each message, with the events of whole revisions; "
     "`prev_kv` with `--prev-kv`; an event has `type` 1 when it deletes"),
    ("lock l", "lock", "once it is held, without a command to run: the key to guard writes with"),
    ("elect e v", "elect", "once it leads, and with `--listen` for each leader"),
]
FILES = [
    ("snapshot status %/s.db", "snapshot status", "`totalSize` in bytes; `hash` is a CRC-32C"),
    ("import %/s.db --data-dir %/i", "import", "ids in hexadecimal; `compact_revision` is -1 when "
     "nothing was compacted. `snapshot restore` prints the same"),
    ("mirror --from = --to + --once --verify", "mirror",
     "a line for each event: `at` (each second), `copied`, `follow`, `verified`, `stopped` "
     "and the like; all have these members, `at` has no `text`"),
]
CLUSTER = [
    ("member list", "member list", "ids in decimal; with `--hex` in hexadecimal"),
    ("endpoint health", "endpoint health", "one for each endpoint; `error` when it is not healthy"),
    ("endpoint status", "endpoint status", "one for each endpoint"),
    ("endpoint hashkv", "endpoint hashkv", "one for each endpoint"),
    ("status", "status", "one for each endpoint, or `{endpoint, failure}`"),
    ("context list", "context list", "the file of contexts"),
]
USERS = [
    ("user add ann:pw", "user add", ""),
    ("role add reader", "role add", ""),
    ("role grant-permission reader read a b", "role grant-permission", ""),
    ("user grant-role ann reader", "user grant-role", ""),
    ("user get ann", "user get", ""),
    ("user list", "user list", ""),
    ("role get reader", "role get", "`key` and `range_end` in base64; `permType` 0 read, 1 write, "
                                    "2 both"),
    ("role list", "role list", ""),
]
TXN = 'val("k") = "v"\n\nget k\nput l v --prev-kv\ndel m --prev-kv\n\n\n'


def shape(value):
    """A value's names and types."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "true or false" if isinstance(value, bool) else \
        "number" if isinstance(value, (int, float)) else "null" if value is None else "text"


def first_line(words, env):
    """What a command that lasts tells first."""
    with harness.child([harness.oakum_path(), *words], env=os.environ | env, text=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as command:
        try:
            return command.stdout.readline()
        finally:
            command.kill()


def last_line(words, env, text):
    done = harness.run(*words, env=env, text=text)
    assert done.returncode == 0, (words, done.stderr)
    lines = done.stdout.splitlines()
    # One value over many lines, or one a line.
    return done.stdout if lines[0] in ("{", "[") else lines[-1]


def shapes(node, other, home):
    """[(heading, words, shape)] as this member answers; `other` is a cluster without keys."""
    env = {"HOME": home, "OAKUM_CONTEXTS": os.path.join(home, "contexts.json")}
    found, lease = [], ""

    def ask(line, text=None):
        words = [{"@": lease, "=": node.endpoint, "+": other.endpoint}.get(word, word)
                 .replace("%", home) for word in line.split()]
        if words[0] not in ("import", "mirror"):
            words += ["--endpoints", node.endpoint]
        words += ["--output", "json"]
        lasts = any(line == each for each, _, _ in LASTING)
        return json.loads(first_line(words, env) if lasts else last_line(words, env, text))

    harness.run("context", "add", "here", "--endpoints", "10.0.0.1:2379", env=env)
    harness.run("snapshot", "save", f"{home}/s.db", "--endpoints", node.endpoint)
    for group in (KEYS, LASTING, CLUSTER, FILES, USERS):
        for line, name, what in group:
            if name == "del" or (name == "get" and group is KEYS):
                ask("put k v")
            if name == "txn":
                for key in "klm":
                    ask(f"put {key} v")
            if name == "lease timetolive":
                ask("put held v --lease @")
            answer = ask(line, TXN if name == "txn" else None)
            if name == "lease grant":
                lease = f"{answer['ID']:x}"
            found.append((name, what, shape(answer)))
    return found


def page_text(found):
    lines = [HEAD]
    for name, what, answer in found:
        lines += [f"## {name}", ""] + ([what[0].upper() + what[1:] + "." if what[0] != "`"
                                        else what + ".", ""] if what else [])
        lines += ["```", json.dumps(answer, indent=2), "```", ""]
    return "\n".join(lines)


@pytest.fixture(name="home")
def own_home(tmp_path):
    return str(tmp_path)


def test_ctl_output_page_says_what_json_has(start_cluster, node, home):
    with open(PAGE, encoding="utf-8") as page:
        assert page.read() == page_text(shapes(node, start_cluster(size=1).nodes[0], home)), \
            "run python3 tests/test_ctl_output.py --write"


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: test_ctl_output.py --write")
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.ExitStack() as stack:
            nodes = [stack.enter_context(harness.Cluster(
                harness.oakum_path(), os.path.join(folder, name), 1)).start().nodes[0]
                     for name in ("one", "other")]
            TEXT = page_text(shapes(*nodes, folder))
        with open(PAGE, "w", encoding="utf-8") as out_file:
            out_file.write(TEXT)

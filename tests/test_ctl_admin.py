# SPDX-License-Identifier: Apache-2.0
"""The verbs about the cluster itself, by etcdctl and by `oakum`: what is read is asked of the same
servers by both, and is the same text; what changes the cluster is done on a cluster each, as in
test_ctl.py, whose table of differences this goes by."""
import re
import subprocess

import pytest

import ctl_cases
import harness
from test_ctl import differs, plain, version_of
from test_etcd_auth import FLAGS, STEPS
from test_etcd_differential import FORMATS, Comparison

BOXES = str.maketrans("┌┬┐├┼┤└┴┘─│", "+++++++++-|")

READS = ["member list", "member list --consistency s", "member list --hex", "endpoint health",
         "endpoint health --cluster", "endpoint status", "endpoint status --cluster",
         "endpoint status --hex", "endpoint hashkv", "endpoint hashkv --rev 3"]


@pytest.fixture(name="three", scope="module")
def three_members(lasting_cluster):
    """Three members, and a little in them."""
    cluster = lasting_cluster(3)
    for i in range(4):
        cluster.etcdctl("put", f"k{i}", "v")
    harness.until(lambda: len({node.metrics()["etcd_server_proposals_applied_total"]
                               for node in cluster.nodes}) == 1, "all have applied the same")
    return cluster


def is_known(line, version):
    """Does this etcdctl have such a line?"""
    return not any(line.startswith(words) and version < since
                   for words, since in ctl_cases.SINCE.items())


def run(program, cluster, line, form, endpoints=None):
    """Gives (exit code, stdout, stderr), but for what no two runs have in common."""
    done = subprocess.run([program, "--endpoints", ",".join(endpoints or cluster.endpoints),
                           *line.split(), "-w", form], capture_output=True, timeout=60, check=False)
    out, err = (each.decode(errors="backslashreplace") for each in (done.stdout, done.stderr))
    out = out.translate(BOXES)
    out = re.sub(r"(took = |[tT]ook\"( ?): ?\"?)[\d.]+[mµn]?s", r"\1<time>", out)
    if "health" in line:
        out = re.sub(r"[\d.]+[mµ]s", "<time>", out)
        if form == "json":
            out = re.sub(r"[\[\]]", "", out).replace("},{", "}\n{")
        out = re.sub(r" +", " ", re.sub(r"-+", "-", out))
        separator = "\n\n" if form == "fields" else "\n"
        out = separator.join(sorted(out.split(separator)))
    return done.returncode, out, err


@pytest.mark.parametrize("form", ctl_cases.FORMS)
@pytest.mark.parametrize("line", READS)
def test_ctl_admin_reads_are_those_of_etcdctl(three, oakum_bin, etcdctl_bin, line, form):
    version = version_of(etcdctl_bin)
    endpoints = three.endpoints if line.startswith("endpoint") else three.endpoints[1:2]
    theirs, ours = (run(program, three, line, form, endpoints)
                    for program in (etcdctl_bin, oakum_bin))
    texts = plain((theirs, ours), version)
    base = re.sub(" --(cluster|rev 3|hex)", "", line) if line.startswith("endpoint") else line
    meant = differs(f"reads-{form}", base, version)
    assert ours[0] == (4 if form == "protobuf" and line.startswith("endpoint") else 0)
    if not is_known(line, version):
        return
    assert (texts[0] != texts[1]) == meant, "\n".join(texts)


@pytest.mark.parametrize("form", FORMATS)
def test_ctl_admin_tells_all_endpoints_when_some_fail(start_cluster, oakum_bin, form):
    cluster = start_cluster(size=3)
    cluster.nodes[2].kill()
    up, down = cluster.endpoints[:2], cluster.endpoints[2]
    for verb, words in (("status", f"Failed to get the status of endpoint {down} ("),
                        ("hashkv", f"Failed to get the hash of endpoint {down} (")):
        code, out, err = run(oakum_bin, cluster, f"endpoint {verb}", form)
        assert code == 1 and err.startswith(words)
        assert all(each in out for each in up) and down not in out
    code, out, err = run(oakum_bin, cluster, "endpoint health", form)
    assert code == 1 and err.endswith("Error: unhealthy cluster\n")
    assert all(each in out for each in up)
    assert (f"{down} is unhealthy: failed to commit proposal: " in err if form == "simple"
            else down in out and "false" in out)


def test_ctl_admin_health_tells_alarms(node, oakum_bin):
    status, _, _ = node.http("POST", "/v3/maintenance/alarm",
                             b'{"action":"ACTIVATE","memberID":"1","alarm":"NOSPACE"}')
    assert status == 200
    code, out, err = run(oakum_bin, node.cluster, "endpoint health", "simple")
    assert (code, out) == (1, "")
    assert "is unhealthy: failed to commit proposal: Active Alarm(s): NOSPACE \n" in err


@pytest.fixture(name="pair", scope="module")
def pair_of_clusters(lasting_cluster, oakum_bin, etcdctl_bin):
    both = Comparison(lasting_cluster(1), lasting_cluster(1), oakum_bin)
    both.version = version_of(etcdctl_bin)
    return both


def member_ids(side):
    return {member["ID"] for member in side.cluster.etcdctl_json("member", "list")["members"]}


def in_order(text, form):
    """Members go by their ids, which are others on each side: by their names then."""
    if form == "json":
        return re.sub(r'(?<="members":\[)(.*)(?=\])',
                      lambda m: ",".join(sorted(re.findall(r"\{[^}]*\}", m[1]))), text)
    if form == "fields":
        header = re.match(r'("(ClusterID|MemberID|Revision|RaftTerm)" : .*\n)*', text)[0]
        return header + "\n\n".join(sorted(text[len(header):].split("\n\n")))
    text = re.sub(r'(?<=CLUSTER=")[^"]*', lambda m: ",".join(sorted(m[0].split(","))), text)
    return "\n".join(sorted(text.split("\n"))) if ", started," in text or "|" in text else text


# "&1" is the learner.
MEMBER_CHANGES = [
    "member add n3 --peer-urls=http://127.0.0.1:2 --learner",
    "member add n3 --peer-urls=http://127.0.0.1:1 extra",
    "member update &1 --peer-urls=http://127.0.0.1:3,http://127.0.0.1:4",
    "member list", "member list --hex", "member promote &1", "member remove &1",
    "member remove &1", "member update &1 --peer-urls=http://127.0.0.1:3", "member promote &1",
    "member add", "member add n4", "member add a b", "member add n4 http://127.0.0.1:1",
    "member add n4 --peer-urls=nonsense", "member add n4 --peer-urls=",
    "member remove", "member remove x", "member remove 1 2", "member update 1", "member update",
    "member promote", "member promote x", "member list --consistency x"]


@pytest.mark.parametrize("form", ctl_cases.FORMS)
def test_ctl_admin_changes_members_as_etcdctl(pair, form):
    before = [member_ids(side) for side in pair.sides]
    url = f"http://127.0.0.1:{100 + ctl_cases.FORMS.index(form)}"  # an id is used once
    added = pair.step(f"member add n2 --peer-urls={url} --learner", "", 0, form, 0)
    for side, known in zip(pair.sides, before):
        (new,) = member_ids(side) - known
        side.leases = [new]
        side.names = side.names[:6] + [(str(new), "<learner>"), (f"{new:x}", "<learner>")]

    def named(results):
        out = []
        for side, (code, text, err) in zip(pair.sides, results):
            for name, instead in side.names:
                text = text.replace(name, instead)
            text = re.sub(" +", " ", re.sub("-+", "-", text.translate(BOXES)))
            text = in_order(text, form) if form != "protobuf" else ""  # ids again
            out.append((code, text, err))
        return plain(out, pair.version)

    report = []
    results = [("member add n2", named(added))]
    for line in MEMBER_CHANGES:
        results.append((line, named(pair.step(line, "", 0, form, 0))))
    for line, (theirs, ours) in results:
        meant = differs(f"members-{form}", line, pair.version)
        if is_known(line, pair.version) and (theirs != ours) != meant:
            report += [f"$ {line}", theirs, ours]
    assert not report, "\n" + "\n".join(report)


# Beside those that test_etcd_auth.py has: what is typed, and how words are misused.
USER_LINES = [
    ("user add typed", "one\none\n"), ("user add typed", "one\ntwo\n"), ("user add typed", "\n"),
    ("user add piped --interactive=false", "pw\n"), ("user passwd piped", "new\nnew\n"),
    ("user passwd piped", "new\nold\n"), "--user piped:new user list",
    "user add flagged --new-user-password pw", "user add flagged2:x --new-user-password pw",
    "user add none2 --no-password", "user get flagged2:x", "user get typed --detail",
    "auth status", "auth status x", "auth enable x", "auth disable x",
    "user add", "user add a b", "user delete", "user delete a b", "user get", "user list x",
    "user passwd", "user grant-role a", "user revoke-role a", "role add", "role add a b",
    "role delete", "role get", "role list x", "role grant-permission", "role grant-permission a",
    "role grant-permission a read", "role grant-permission a sideways k",
    "role grant-permission a read k --prefix --from-key",
    "role grant-permission a read k l --prefix", "role grant-permission a read k l --from-key",
    "role revoke-permission a", "role add spans", "role grant-permission spans READ '' --prefix",
    "role grant-permission spans Write ''", "role grant-permission spans readwrite a b",
    "role grant-permission spans read c --from-key", "role grant-permission spans write d --prefix",
    "role get spans", "role revoke-permission spans a b", "role revoke-permission spans d --prefix",
    "role revoke-permission spans c --from-key", "role revoke-permission spans '' --from-key",
    "role get spans", "role add root2", "role list --hex", "role get spans --hex"]


@pytest.mark.parametrize("form", ctl_cases.FORMS)
def test_ctl_admin_has_users_and_roles_as_etcdctl(start_cluster, oakum_bin, etcdctl_bin, form):
    both = Comparison(start_cluster(size=1, flags=FLAGS), start_cluster(size=1, flags=FLAGS),
                      oakum_bin)
    version = version_of(etcdctl_bin)
    report = []
    story = [step for step in STEPS if form in ("simple", "json") or
             (form == "fields" and re.search(r"\b(user|role|auth) ", step[0] if isinstance(
                 step, tuple) else step))]
    for step in story + USER_LINES:
        line, text = step if isinstance(step, tuple) else (step, None)
        results = both.step(step if text is not None else line, "", 0, form, 0)
        # etcdctl asks for passwords on stdout, and has its log on stderr.
        results = [(code, re.sub("^(Password of|Type password of) .*\n", "", out, flags=re.M),
                    "" if code == 0 else err) for code, out, err in results]
        if form == "protobuf":  # ids, as bytes
            results = [(code, "" if code == 0 else out, err) for code, out, err in results]
        theirs, ours = plain(results, version)
        if is_known(line, version) and (theirs != ours) != differs(f"users-{form}", line, version):
            report += [f"$ {line}", theirs, ours]
    assert not report, "\n" + "\n".join(report)


def test_ctl_admin_difference_rows_are_used():
    names = {name for each in ctl_cases.DIFFERENCES for name, _ in each.lines}
    forms = {f"{what}-{form}" for what in ("reads", "members", "users")
             for form in ctl_cases.FORMS}
    assert {name for name in names if name.startswith(("reads-", "members-", "users-"))} <= forms

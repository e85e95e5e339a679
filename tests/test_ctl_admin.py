# SPDX-License-Identifier: Apache-2.0
"""The verbs about the cluster itself, by etcdctl and by `oakum`: what is read is asked of the same
servers by both, and is the same text; what changes the cluster is done on a cluster each, as in
test_ctl.py, whose table of differences this goes by."""
import contextlib
import os
import pty
import re
import signal
import ssl
import subprocess
import termios

import pytest

import certs
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


def test_ctl_admin_tells_all_endpoints_when_some_fail(start_cluster, oakum_bin):
    cluster = start_cluster(size=3)
    cluster.nodes[2].kill()
    up, down = cluster.endpoints[:2], cluster.endpoints[2]
    for form in FORMATS:
        for verb, words in (("status", f"Failed to get the status of endpoint {down} ("),
                            ("hashkv", f"Failed to get the hash of endpoint {down} (")):
            code, out, err = run(oakum_bin, cluster, f"endpoint {verb}", form)
            assert code == 1 and err.startswith(words)
            assert all(each in out for each in up) and down not in out
        harness.until(lambda: all(node.is_healthy() for node in cluster.nodes[:2]), "a leader")
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
    def is_about_users(step):
        return re.search(r"\b(user|role|auth) ", step[0] if isinstance(step, tuple) else step)

    story = [step for step in STEPS if form == "simple" or
             (form in ("json", "fields") and is_about_users(step))]
    for step in story + (USER_LINES if story else USER_LINES[::3]):
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


# "&1" is the member that there is.
MAINTAIN = ["alarm list", "alarm list --hex", "alarm disarm", "alarm list", "alarm list x",
            "alarm disarm x", "defrag", "defrag --cluster",
            "move-leader &1", "move-leader 123", "move-leader x", "move-leader", "move-leader 1 2",
            "downgrade validate 3.5", "downgrade validate 3.5.0", "downgrade validate 3.4",
            "downgrade validate x", "downgrade validate", "downgrade validate 3.5 x",
            "downgrade enable 3.9", "downgrade enable", "downgrade enable ''", "downgrade cancel",
            "downgrade cancel", "check perf --load tiny", "check datascale --load tiny"]


@pytest.mark.parametrize("form", ctl_cases.FORMS)
def test_ctl_admin_maintains_as_etcdctl(pair, form):
    report = []
    for side in pair.sides:
        side.leases = sorted(member_ids(side))[:1]
        alarm = b'{"action":"ACTIVATE","memberID":"1","alarm":"NOSPACE"}'
        status, _, _ = side.cluster.nodes[0].http("POST", "/v3/maintenance/alarm", alarm)
        assert status == 200
    for line in MAINTAIN:
        results = []
        for code, out, err in pair.step(line, "", 0, form, 0):
            out = re.sub(r"\. took [\d.]+[µmn]?s", "", out)
            out = re.sub("memberID:1 +alarm:NOSPACE *", "memberID:1 alarm:NOSPACE", out)
            out = "" if form == "protobuf" and code == 0 else out  # ids
            results.append((code, out, err))
        theirs, ours = plain(results, pair.version)
        meant = differs(f"maintain-{form}", line, pair.version)
        if is_known(line, pair.version) and (theirs != ours) != meant:
            report += [f"$ {line}", theirs, ours]
    assert not report, "\n" + "\n".join(report)


def test_ctl_admin_moves_the_leader(three, oakum_bin):
    """From whoever leads to each of the others, by whichever endpoints there are."""
    def leader():
        (found,) = {each["Status"]["leader"] for each in three.etcdctl_json("endpoint", "status")}
        return found

    members = [member["ID"] for member in three.etcdctl_json("member", "list")["members"]]
    for member in members:
        before = harness.until(leader, "one that all know to lead")
        code, out, err = run(oakum_bin, three, f"move-leader {member:x}", "simple")
        assert (code, out, err) == (
            0, f"Leadership transferred from {before:x} to {member:x}\n", "")
        harness.until(lambda to=member: leader() == to, "it leads")
    ids = {each["Status"]["header"]["member_id"]: each["Endpoint"]
           for each in three.etcdctl_json("endpoint", "status")}
    others = [endpoint for member, endpoint in ids.items() if member != leader()]
    code, out, err = run(oakum_bin, three, f"move-leader {members[0]:x}", "simple", others)
    assert (code, out) == (128, "") and err.startswith("Error: none of the endpoints leads\n")


def test_ctl_admin_checks_a_cluster(node, oakum_bin, etcdctl_bin):
    """Times say nothing here: that it puts, judges, and leaves nothing behind."""
    cluster = node.cluster
    line = "check perf --duration 1s --auto-compact --auto-defrag"
    code, out, err = run(oakum_bin, cluster, line, "simple")
    assert err == "" and re.fullmatch(
        r"Compacting with revision (\d+)\nCompacted with revision \1\n"
        rf'Defragmenting "{node.endpoint}"\nDefragmented "{node.endpoint}"\n'
        r"(PASS: Throughput is|FAIL: Throughput too low:) \d+ writes/s\n"
        r"(PASS: Slowest request took|Slowest request took too long:) \d+\.\d{6}s\n"
        r"(PASS: Stddev is|Stddev too high:) \d+\.\d{6}s\n(PASS|FAIL)\n", out)
    assert code == (0 if out.endswith("\nPASS\n") else 1)
    begun = int(re.search(r"revision (\d+)", out)[1])
    assert begun > 10
    code, out, err = run(oakum_bin, cluster, "check datascale", "simple")
    assert (code, err) == (0, "") and re.fullmatch(
        r"Start data scale check for work load \[10000 key-value pairs, 1024 bytes per key-value, "
        r"50 concurrent clients\]\.\n"
        r"PASS: Approximate system memory used : -?\d+\.\d\d MB\.\n", out)
    assert cluster.etcdctl_json("get", "--prefix", "")["header"]["revision"] == begun + 10001
    assert "kvs" not in cluster.etcdctl_json("get", "--prefix", "")
    for verb in ("perf", "datascale"):
        cluster.etcdctl("put", f"/etcdctl-check-{verb}/mine", "1")
        for program in (etcdctl_bin, oakum_bin):
            assert run(program, cluster, f"check {verb}", "simple")[0] == 3
        assert cluster.etcdctl("get", f"/etcdctl-check-{verb}/mine", "--print-value-only") == "1"


def test_ctl_admin_speaks_tls_with_each_server(start_cluster, oakum_bin, tmp_path):
    """By gRPC with every member, and by HTTP/1 for the memory of one."""
    authority = certs.Authority(tmp_path)
    server, client = authority.issue("server"), authority.issue("client")
    flags = ["--cert-file", server.crt, "--key-file", server.key,
             "--trusted-ca-file", authority.crt, "--client-cert-auth"]
    tls = ssl.create_default_context(cafile=authority.crt)
    tls.load_cert_chain(client.crt, client.key)
    mine = ["--cacert", authority.crt, "--cert", client.crt, "--key", client.key]
    cluster = start_cluster(size=1, flags=flags, schemes=("https", "http"), http_tls=tls,
                            ctl_flags=mine)
    url = f"https://{cluster.endpoints[0]}"
    for line in ("endpoint health", "endpoint health --cluster", "defrag --cluster"):
        code, out, err = run(oakum_bin, cluster, " ".join([line, *mine]), "simple", [url])
        assert (code, err) == (0, "") and url in out
    code, out, err = run(oakum_bin, cluster, " ".join(["check datascale", *mine]), "simple", [url])
    assert (code, err) == (0, "") and "PASS: Approximate system memory used : " in out
    code, _, err = run(oakum_bin, cluster, "endpoint status --cacert " + authority.crt, "simple",
                       [url])
    assert code == 1 and "certificate required" in err
    assert f"Failed to get the status of endpoint {url} (" in err


def test_ctl_admin_asks_for_passwords_twice_and_shows_none(node, oakum_bin):
    """At a terminal: whose echo is off while a password is typed, and on again afterwards."""
    def type_in(answers):
        ours, theirs = pty.openpty()
        command = [*harness.TERMINAL, oakum_bin, "--endpoints", node.endpoint, "user", "add", "ann"]
        with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
            seen = b""
            for prompt, answer in answers:
                while not seen.endswith(prompt):
                    seen += os.read(ours, 1)
                os.write(ours, answer)
            code = process.wait(timeout=60)
        assert termios.tcgetattr(theirs)[3] & termios.ECHO
        os.set_blocking(ours, False)
        with contextlib.suppress(BlockingIOError):
            seen += os.read(ours, 65536)
        for each in (ours, theirs):
            os.close(each)
        return code, seen

    first, second = b"Password of ann: ", b"Type password of ann again for confirmation: "
    code, seen = type_in([(first, b"secret\n"), (second, b"other\n")])
    assert code == 128 and b"given passwords are different" in seen and b"secret" not in seen
    code, seen = type_in([(first, b"\x03")])
    assert code == -signal.SIGINT
    code, seen = type_in([(first, b"secret\n"), (second, b"secret\n")])
    assert code == 0 and b"User ann created" in seen and b"secret" not in seen
    assert node.cluster.etcdctl("user", "list") == "ann"


def test_ctl_admin_tells_the_version_of_etcdctl_under_its_name(oakum_bin, node, tmp_path):
    link = tmp_path / "etcdctl"
    link.symlink_to(oakum_bin)
    done = subprocess.run([link, "version"], capture_output=True, text=True, timeout=60, check=True)
    (etcd,) = re.findall(r"^etcdctl version: (3\.\d+\.\d+)\nAPI version: 3\.\d+\n"
                         r"Oakum version: \S+\n$", done.stdout)
    assert f'"etcdserver":"{etcd}"'.encode() in node.http("GET", "/version")[2]
    assert f"API version: {etcd.rpartition('.')[0]}\n" in done.stdout


def test_ctl_admin_difference_rows_are_used():
    names = {name for each in ctl_cases.DIFFERENCES for name, _ in each.lines}
    forms = {f"{what}-{form}" for what in ("reads", "members", "users", "maintain")
             for form in ctl_cases.FORMS}
    ours = {name for name in names if re.match("(reads|members|users|maintain)-", name)}
    assert ours and ours <= forms

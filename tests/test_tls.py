# SPDX-License-Identifier: Apache-2.0
"""TLS of the server: clients and members, with certificates that openssl has made."""
import contextlib
import json
import os
import shutil
import socket
import ssl
import time

import pytest

import certs
import harness

# src/base/limits.h
HANDSHAKES_MAX = 512


@pytest.fixture
def authority(tmp_path):
    return certs.Authority(tmp_path)


def context(authority=None, pair=None, alpn=None, most=None):
    """What a client of Python needs to trust `authority` and to show `pair`."""
    tls = ssl.create_default_context(cafile=authority.crt if authority else None)
    if pair is not None:
        tls.load_cert_chain(pair.crt, pair.key)
    if alpn is not None:
        tls.set_alpn_protocols(alpn)
    if most is not None:
        tls.maximum_version = most
    return tls


def ctl(authority, pair=None):
    flags = ["--cacert", authority.crt]
    return flags if pair is None else [*flags, "--cert", pair.crt, "--key", pair.key]


def client_flags(authority, server, auth=True):
    flags = ["--cert-file", server.crt, "--key-file", server.key]
    return [*flags, "--trusted-ca-file", authority.crt, "--client-cert-auth"] if auth else flags


def peer_flags(authority, pair):
    return ["--peer-cert-file", pair.crt, "--peer-key-file", pair.key, "--peer-trusted-ca-file",
            authority.crt, "--peer-client-cert-auth"]


def serial_of(node, tls):
    """The number of the certificate that the server shows now."""
    host, port = node.endpoint.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as plain, \
            tls.wrap_socket(plain, server_hostname=host) as secure:
        return secure.getpeercert()["serialNumber"]


def refused(node, tls):
    """Why the server lets this client not in: it closes, with an alert or without."""
    with pytest.raises((ssl.SSLError, ConnectionError, harness.http.client.HTTPException)) as why:
        harness.http_request(node.endpoint, "GET", "/health", tls=tls)
    return str(why.value)


def logged(node, *texts):
    return all(text in node.log_text() for text in texts)


@pytest.fixture
def mutual(authority, start_cluster):
    """A member that lets in clients of `authority` alone; and the pair of such a client."""
    server, client = authority.issue("server"), authority.issue("client")
    cluster = start_cluster(size=1, flags=client_flags(authority, server),
                            schemes=("https", "http"), http_tls=context(authority, client),
                            ctl_flags=ctl(authority, client))
    return cluster.nodes[0]


def test_a_server_with_a_certificate_serves_grpc_and_http_on_one_port(
        authority, start_cluster, etcdctl_bin):
    server = authority.issue("server")
    cluster = start_cluster(size=1, flags=client_flags(authority, server, auth=False),
                            schemes=("https", "http"), http_tls=context(authority),
                            ctl_flags=ctl(authority))
    node = cluster.nodes[0]
    cluster.etcdctl("put", "k", "v")
    assert cluster.etcdctl("get", "k") == "k\nv"
    for offered, spoken in ((["h2", "http/1.1"], "http/1.1"), (["http/1.1"], "http/1.1"),
                            (["h2"], "h2"), (None, None)):
        tls = context(authority, alpn=offered)
        host, port = node.endpoint.split(":")
        with socket.create_connection((host, int(port)), timeout=10) as plain, \
                tls.wrap_socket(plain, server_hostname=host) as secure:
            assert secure.selected_alpn_protocol() == spoken
        if spoken != "h2":
            assert harness.http_request(node.endpoint, "GET", "/version", tls=tls)[0] == 200
    # One that does not know the authority, and one that speaks no TLS.
    assert "certificate verify failed" in refused(node, context())
    with pytest.raises((ConnectionError, harness.http.client.HTTPException)):
        harness.http_request(node.endpoint, "GET", "/health")
    harness.until(lambda: logged(node, "TLS: rejected connection from 127.0.0.1:"), "a word on it")


def test_only_clients_of_the_authority_are_let_in(mutual, authority, tmp_path):
    assert mutual.http("GET", "/health")[0] == 200
    refused(mutual, context(authority))
    harness.until(lambda: logged(mutual, "peer did not return a certificate"), "the reason")
    stranger = certs.Authority(tmp_path, "other").issue("client")
    refused(mutual, context(authority, stranger))
    harness.until(lambda: logged(mutual, "was issued by an unknown CA"), "the reason")
    late = authority.issue("late", expired=True)
    refused(mutual, context(authority, late))
    harness.until(lambda: logged(mutual, "certificate has expired"), "the reason")
    server_only = authority.issue("server-only", usage="serverAuth")
    refused(mutual, context(authority, server_only))
    assert mutual.http("GET", "/health")[0] == 200


def test_etcdctl_needs_the_right_certificate(mutual, authority, etcdctl_bin):
    cluster = mutual.cluster
    cluster.etcdctl("put", "k", "v")
    assert cluster.etcdctl("get", "k") == "k\nv"
    cluster.ctl_flags = ctl(authority)
    assert cluster.etcdctl("get", "k", check=False, timeout=8).returncode != 0


def test_a_revoked_certificate_is_refused_once_the_list_says_so(authority, start_cluster):
    server, good, bad = (authority.issue(name) for name in ("server", "good", "bad"))
    flags = [*client_flags(authority, server), "--client-crl-file", authority.list()]
    cluster = start_cluster(size=1, flags=flags, schemes=("https", "http"),
                            http_tls=context(authority, good))
    node = cluster.nodes[0]
    assert harness.http_request(node.endpoint, "GET", "/health", tls=context(authority, bad))[0]
    pid = node.pid
    authority.revoke(bad)
    authority.list()
    harness.until(lambda: logged(node, "certificates were loaded again"), "the new list")
    refused(node, context(authority, bad))
    harness.until(lambda: logged(node, "certificate revoked"), "the reason")
    assert node.http("GET", "/health")[0] == 200 and node.pid == pid


def test_names_that_clients_must_be_good_for(authority, start_cluster):
    server = authority.issue("server")
    good = authority.issue("good", names="DNS:app.example.com")
    bad = authority.issue("bad", names="DNS:other.example.com")
    flags = [*client_flags(authority, server), "--client-cert-allowed-hostname",
             "db.example.com,app.example.com"]
    cluster = start_cluster(size=1, flags=flags, schemes=("https", "http"),
                            http_tls=context(authority, good))
    refused(cluster.nodes[0], context(authority, bad))
    assert cluster.nodes[0].http("GET", "/health")[0] == 200


def test_renewed_certificates_are_shown_without_a_restart(mutual, authority):
    tls = context(authority, authority.issue("watcher"))
    pid, before = mutual.pid, serial_of(mutual, tls)
    authority.issue("server")
    harness.until(lambda: serial_of(mutual, tls) != before, "the new certificate")
    renewed = serial_of(mutual, tls)
    # What can't be used is told of, and changes nothing.
    path = authority.path("server.crt")
    shutil.copy(path, path + ".kept")
    with open(path, "w", encoding="ascii") as out:
        out.write("no certificate\n")
    harness.until(lambda: logged(mutual, "can't be used", "no certificate in PEM form"), "a word")
    assert serial_of(mutual, tls) == renewed
    os.replace(path + ".kept", path)
    assert mutual.pid == pid and mutual.http("GET", "/health")[0] == 200
    values = mutual.metrics()
    assert values['oakum_tls_reloads_total{end="clients"}'] >= 1
    assert values['oakum_tls_reloads_failed_total{end="clients"}'] >= 1
    assert values['oakum_tls_handshakes_total{end="clients"}'] > 3
    left = values['oakum_tls_certificate_expiry_seconds{end="clients"}'] - time.time()
    assert 86400 < left < 3 * 86400
    assert values['oakum_tls_certificate_expiry_seconds{end="peers"}'] == 0


def test_a_file_that_is_gone_is_told_of_once(mutual, authority):
    path = authority.path("server.crt")
    os.rename(path, path + ".gone")

    def looks():
        return mutual.metrics()['oakum_tls_reloads_failed_total{end="clients"}']
    harness.until(lambda: looks() >= 3, "three looks in vain")
    assert mutual.log_text().count("can't be used") == 1
    os.rename(path + ".gone", path)
    before = mutual.metrics()['oakum_tls_reloads_total{end="clients"}']
    authority.issue("server")
    harness.until(lambda: mutual.metrics()['oakum_tls_reloads_total{end="clients"}'] > before,
                  "the new one")


def test_metrics_have_a_port_of_their_own_with_and_without_tls(authority, start_cluster):
    server, client = authority.issue("server"), authority.issue("client")
    cluster = start_cluster(size=1, flags=client_flags(authority, server),
                            schemes=("https", "http"), http_tls=context(authority, client),
                            start=False)
    ports = harness.free_ports(2)
    node = cluster.nodes[0]
    node.flags = ["--listen-metrics-urls",
                  f"http://127.0.0.1:{ports[0]},https://127.0.0.1:{ports[1]}"]
    cluster.start()
    plain, secure = (f"127.0.0.1:{port}" for port in ports)
    for path in ("/metrics", "/health", "/livez", "/readyz"):
        assert harness.http_request(plain, "GET", path)[0] == 200
        assert harness.http_request(secure, "GET", path, tls=context(authority, client))[0] == 200
    with pytest.raises((ssl.SSLError, ConnectionError)):
        harness.http_request(secure, "GET", "/metrics", tls=context(authority))
    # No gRPC without a certificate: HTTP/2 is not spoken there.
    with socket.create_connection(("127.0.0.1", ports[0]), timeout=10) as wire:
        wire.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        with contextlib.suppress(ConnectionError):
            assert wire.recv(100) == b""


def test_versions_and_suites_that_are_allowed(authority, start_cluster):
    server = authority.issue("server")
    flags = [*client_flags(authority, server, auth=False), "--tls-min-version", "TLS1.3"]
    node = start_cluster(size=1, flags=flags, schemes=("https", "http"),
                         http_tls=context(authority)).nodes[0]
    refused(node, context(authority, most=ssl.TLSVersion.TLSv1_2))
    flags = [*client_flags(authority, server, auth=False), "--tls-max-version", "TLS1.2",
             "--cipher-suites",
             "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]
    node = start_cluster(size=1, flags=flags, schemes=("https", "http"),
                         http_tls=context(authority)).nodes[0]
    host, port = node.endpoint.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as plain, \
            context(authority).wrap_socket(plain, server_hostname=host) as secure:
        assert secure.version() == "TLSv1.2"
        assert secure.cipher()[0] == "ECDHE-ECDSA-CHACHA20-POLY1305"


def test_silent_and_senseless_clients_keep_nobody_out(mutual):
    host, port = mutual.endpoint.split(":")
    with contextlib.ExitStack() as held:
        silent = [held.enter_context(socket.create_connection((host, int(port)), timeout=30))
                  for _ in range(HANDSHAKES_MAX)]
        assert mutual.http("GET", "/health", timeout=30)[0] == 200
        # One more than may be under way: the oldest ended for it.
        assert silent[0].recv(1) == b""
        for junk in (b"\x16\x03\x01\xff\xff" + b"x" * 100, b"GET / HTTP/1.1\r\n\r\n",
                     b"\x16\x03\x01\0\4\1\0\0\0", os.urandom(1000)):
            wire = held.enter_context(socket.create_connection((host, int(port)), timeout=30))
            wire.sendall(junk)
            with contextlib.suppress(ConnectionError):
                while wire.recv(100) != b"":
                    pass
        assert mutual.http("GET", "/health", timeout=30)[0] == 200
    # What was said of them is bounded.
    assert mutual.log_text().count("TLS: rejected connection") <= 20 + HANDSHAKES_MAX // 10


@pytest.mark.parametrize("flags,text", [
    (["--cert-file", "{crt}"], "KeyFile and CertFile must both be present"),
    (["--cert-file", "{crt}", "--key-file", "/nowhere.key"], "/nowhere.key"),
    (["--cert-file", "{crt}", "--key-file", "{other}"], "this key does not belong"),
    (["--cert-file", "{late}", "--key-file", "{latekey}"], "has expired"),
    (["--cert-file", "{crt}", "--key-file", "{key}", "--cipher-suites", "TLS_NO_SUCH"],
     "unknown cipher suite"),
    ([], "TLS key/cert (--cert-file, --key-file) must be provided"),
])
def test_what_is_wrong_with_files_is_said_at_the_start(authority, tmp_path, flags, text):
    pair, late = authority.issue("server"), authority.issue("late", expired=True)
    other = authority.issue("other")
    words = {"crt": pair.crt, "key": pair.key, "other": other.key, "late": late.crt,
             "latekey": late.key}
    ports = harness.free_ports(2)
    url = f"https://127.0.0.1:{ports[0]}"
    done = harness.run("--data-dir", tmp_path / "data", "--listen-client-urls", url,
                       "--advertise-client-urls", url, "--listen-peer-urls",
                       f"http://127.0.0.1:{ports[1]}", *(flag.format(**words) for flag in flags))
    assert done.returncode == 1 and text in done.stderr


def test_certificates_make_themselves_when_asked(start_cluster, etcdctl_bin):
    cluster = start_cluster(size=3, flags=["--auto-tls", "--peer-auto-tls"],
                            schemes=("https", "https"), wait=False,
                            ctl_flags=["--insecure-transport=false",
                                       "--insecure-skip-tls-verify"])
    node = cluster.nodes[0]
    crt = os.path.join(node.data_dir, "fixtures", "client", "cert.pem")
    harness.until(lambda: os.path.exists(crt) and os.path.getsize(crt) > 0, "the certificate")
    key = os.path.join(node.data_dir, "fixtures", "peer", "key.pem")
    harness.until(lambda: os.path.exists(key), "the key")
    assert os.stat(key).st_mode & 0o077 == 0
    cluster.http_tls = ssl.create_default_context()
    cluster.http_tls.check_hostname = False
    cluster.http_tls.verify_mode = ssl.CERT_NONE
    cluster.wait_healthy()
    cluster.etcdctl("put", "k", "v")
    assert cluster.etcdctl("get", "k", endpoints=[cluster.endpoints[2]]) == "k\nv"
    with open(crt, encoding="ascii") as file:
        before = file.read()
    tls = ssl.create_default_context(cafile=crt)
    assert harness.http_request(node.endpoint, "GET", "/health", tls=tls)[0] == 200
    node.restart()
    with open(crt, encoding="ascii") as file:
        assert file.read() == before
    assert harness.http_request(node.endpoint, "GET", "/health", tls=tls)[0] == 200


# -- members --------------------------------------------------------------------------------------


def peers_cluster(start_cluster, authority, pairs, **options):
    """Three members over TLS, each with its own pair of these; not started."""
    cluster = start_cluster(size=3, schemes=("http", "https"), start=False, **options)
    for node, pair in zip(cluster.nodes, pairs):
        node.flags = peer_flags(authority, pair)
    return cluster


def test_members_talk_by_tls(authority, start_cluster, etcdctl_bin):
    pairs = [authority.issue(f"member{i}") for i in range(3)]
    cluster = peers_cluster(start_cluster, authority, pairs).start()
    cluster.etcdctl("put", "k", "1")
    cluster.leader().kill()
    cluster.wait_healthy()
    cluster.etcdctl("put", "k", "2", endpoints=[node.endpoint for node in cluster.running])
    for node in cluster.nodes:
        if not node.running:
            node.start()
    cluster.wait_healthy()
    for node in cluster.nodes:
        assert cluster.etcdctl("get", "k", endpoints=[node.endpoint]) == "k\n2"


def test_a_member_with_a_wrong_certificate_is_refused_until_it_has_a_right_one(
        authority, start_cluster, tmp_path, etcdctl_bin):
    other = certs.Authority(tmp_path, "other")
    pairs = [authority.issue("member0"), authority.issue("member1"), other.issue("member2")]
    cluster = peers_cluster(start_cluster, authority, pairs).start(wait=False)
    first, second, wrong = cluster.nodes
    cluster.wait_healthy([first, second])
    cluster.etcdctl("put", "k", "v", endpoints=[first.endpoint])
    harness.until(lambda: logged(first, "TLS: rejected connection from 127.0.0.1:",
                                 "was issued by an unknown CA (peers)"), "a refusal")
    harness.until(lambda: logged(first, "TLS: no connection to the member at 127.0.0.1:",
                                 "was issued by an unknown CA"), "one of our own")
    assert wrong.http("GET", "/health")[0] == 503
    right = authority.issue("right")
    pid = wrong.pid
    os.replace(right.key, pairs[2].key)
    os.replace(right.crt, pairs[2].crt)
    wrong.wait_healthy()
    assert cluster.etcdctl("get", "k", endpoints=[wrong.endpoint]) == "k\nv"
    assert wrong.pid == pid


@pytest.mark.parametrize("wrong,flags,text", [
    ({"common_name": "stranger"}, ["--peer-cert-allowed-cn", "member"],
     "its names are not among those allowed"),
    ({"names": "DNS:localhost,IP:127.0.0.1"}, ["--peer-cert-allowed-hostname", "member.example"],
     "its names are not among those allowed"),
    ({"names": "IP:127.0.0.9"}, [], "its certificate is good neither for the host"),
])
def test_a_member_must_have_the_right_names(authority, start_cluster, wrong, flags, text):
    here = "DNS:member.example,DNS:localhost,IP:127.0.0.1"
    good = [authority.issue(f"member{i}", common_name="member", names=here) for i in range(2)]
    # What the third serves with is right: what it shows as a client is not.
    bad = authority.issue("bad", **{"common_name": "member", "names": here, **wrong})
    serves = authority.issue("serves", common_name="member", names=here)
    cluster = peers_cluster(start_cluster, authority, [*good, serves], flags=flags)
    third = cluster.nodes[2]
    third.flags += ["--peer-client-cert-file", bad.crt, "--peer-client-key-file", bad.key]
    cluster.start(wait=False)
    cluster.wait_healthy(cluster.nodes[:2])
    harness.until(lambda: logged(cluster.nodes[0], text), "the reason")
    assert third.http("GET", "/health")[0] == 503
    if not flags:
        cluster.close()
        cluster.flags = ["--peer-skip-client-san-verification"]
        cluster.start()


def test_a_revoked_member_is_refused(authority, start_cluster):
    pairs = [authority.issue(f"member{i}") for i in range(3)]
    authority.revoke(pairs[2])
    cluster = peers_cluster(start_cluster, authority, pairs,
                            flags=["--peer-crl-file", authority.list()]).start(wait=False)
    cluster.wait_healthy(cluster.nodes[:2])
    harness.until(lambda: logged(cluster.nodes[0], "certificate revoked"), "the reason")
    assert cluster.nodes[2].http("GET", "/health")[0] == 503


# -- as others start it ----------------------------------------------------------------------------


KUBEADM = {
    "today": ["--feature-gates=InitialCorruptCheck=true", "--watch-progress-notify-interval=5s"],
    "before": ["--experimental-initial-corrupt-check=true",
               "--experimental-watch-progress-notify-interval=5s"],
}


@pytest.fixture
def control_planes(authority, start_cluster, tmp_path, oakum_bin, etcdctl_bin):
    """Three machines as kubeadm has them, under the name etcd, none of them started; and a function
    that says with which members one is to start."""
    peers = certs.Authority(tmp_path, "peers")
    client = authority.issue("kube-apiserver-etcd-client", names="", usage="clientAuth")
    link = tmp_path / "etcd"
    link.symlink_to(oakum_bin)
    cluster = start_cluster(size=3, program=str(link), schemes=("https", "https"), start=False,
                            http_tls=context(authority, client), ctl_flags=ctl(authority, client))
    pairs = {node.name: (authority.issue(node.name), peers.issue(node.name))
             for node in cluster.nodes}
    cluster.metrics_ports = dict(zip(pairs, harness.free_ports(3)))

    def manifest(node, members, *more):
        server, peer = pairs[node.name]
        told = ",".join(f"{each.name}={each.peer_url}" for each in members)
        words = [f"--advertise-client-urls={node.client_url}", f"--cert-file={server.crt}",
                 "--client-cert-auth=true", f"--data-dir={node.data_dir}",
                 f"--initial-advertise-peer-urls={node.peer_url}", f"--initial-cluster={told}",
                 f"--key-file={server.key}", f"--listen-client-urls={node.client_url}",
                 f"--listen-metrics-urls=http://127.0.0.1:{cluster.metrics_ports[node.name]}",
                 f"--listen-peer-urls={node.peer_url}", f"--name={node.name}",
                 f"--peer-cert-file={peer.crt}", "--peer-client-cert-auth=true",
                 f"--peer-key-file={peer.key}", f"--peer-trusted-ca-file={peers.crt}",
                 "--snapshot-count=10000", f"--trusted-ca-file={authority.crt}", *more]
        node.command = lambda: [str(link), *words]
    return cluster, manifest


@pytest.mark.needs_rocks  # which nothing warns of
@pytest.mark.parametrize("age", KUBEADM)
def test_the_manifest_of_kubeadm_starts_three_members(control_planes, age):
    """etcd's command line as kubeadm writes it into its static pod."""
    cluster, manifest = control_planes
    for node in cluster.nodes:
        manifest(node, cluster.nodes, *KUBEADM[age])
    cluster.start()
    cluster.etcdctl("put", "/registry/health", "ok")
    for node in cluster.nodes:
        port = cluster.metrics_ports[node.name]
        assert cluster.etcdctl("get", "/registry/health", endpoints=[node.endpoint]).endswith("ok")
        for probe in ("/livez", "/readyz", "/health?exclude=NOSPACE&serializable=true",
                      "/health?serializable=false", "/metrics"):
            assert harness.http_request(f"127.0.0.1:{port}", "GET", probe)[0] == 200
        assert '"level":"warn"' not in node.log_text().split("listening for")[0]
    leader = cluster.leader()
    leader.kill()
    cluster.wait_healthy()
    cluster.etcdctl("put", "/registry/health", "again",
                    endpoints=[node.endpoint for node in cluster.running])
    leader.start()
    leader.wait_healthy()


def test_kubeadm_joins_one_control_plane_after_the_other(control_planes):
    """Each is added as a learner, by the API server's certificate, starts with the members that
    there are then, and is promoted once it has caught up; and all of it over TLS."""
    cluster, manifest = control_planes
    first, *others = cluster.nodes
    manifest(first, [first])
    first.start()
    first.wait_healthy()
    cluster.etcdctl("put", "/registry/made", "by one", endpoints=[first.endpoint])

    def in_the_end(*command):
        """kubeadm asks again: who has just come must have been there for a while."""
        done = []
        harness.until(lambda: done.append(cluster.etcdctl(
            *command, endpoints=[first.endpoint], check=False)) or done[-1].returncode == 0,
            " ".join(command))
        return done[-1].stdout

    for count, node in enumerate(others, start=2):
        told = json.loads(in_the_end("member", "add", node.name, "--learner",
                                     f"--peer-urls={node.peer_url}", "-w", "json"))
        manifest(node, cluster.nodes[:count], "--initial-cluster-state=existing")
        node.start()
        in_the_end("member", "promote", f"{told['member']['ID']:x}")
        assert cluster.etcdctl("get", "/registry/made", endpoints=[node.endpoint]).endswith("one")
    first.kill()
    cluster.wait_healthy(others)
    cluster.etcdctl("put", "/registry/made", "by two", endpoints=[others[0].endpoint])
    first.start()
    first.wait_healthy()
    assert cluster.etcdctl("get", "/registry/made", endpoints=[first.endpoint]).endswith("two")


def test_under_the_name_etcd_it_tells_its_version(tmp_path, oakum_bin):
    link = tmp_path / "etcd"
    link.symlink_to(oakum_bin)
    done = harness.run("--version", program=str(link))
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and [line.split(":")[0] for line in lines] == [
        "etcd Version", "Git SHA", "Go Version", "Go OS/Arch"]


def test_a_file_of_etcds_starts_members_over_tls(authority, start_cluster, tmp_path, etcdctl_bin):
    client = authority.issue("client")
    cluster = start_cluster(size=3, schemes=("https", "https"), start=False,
                            http_tls=context(authority, client), ctl_flags=ctl(authority, client))
    members = ",".join(f"{node.name}={node.peer_url}" for node in cluster.nodes)
    for node in cluster.nodes:
        pair = authority.issue(node.name)
        path = tmp_path / f"{node.name}.yml"
        section = "\n".join([f"  cert-file: {pair.crt}", f"  key-file: {pair.key}",
                             "  client-cert-auth: true", f"  trusted-ca-file: {authority.crt}"])
        path.write_text("\n".join([
            f"name: {node.name}", f"data-dir: {node.data_dir}",
            f"listen-client-urls: {node.client_url}", f"advertise-client-urls: {node.client_url}",
            f"listen-peer-urls: {node.peer_url}", f"initial-advertise-peer-urls: {node.peer_url}",
            f"initial-cluster: {members}", "initial-cluster-state: new",
            "grpc-keepalive-interval: 30000000000", "tls-min-version: TLS1.2",
            "log-outputs: [stderr]", "client-transport-security:", section,
            "peer-transport-security:", section, "  allowed-cn: [n1, n2, n3]", ""]))
        node.command = lambda path=path: [cluster.program, "--config-file", str(path)]
    cluster.start()
    cluster.etcdctl("put", "k", "v")
    assert cluster.etcdctl("get", "k", endpoints=[cluster.endpoints[2]]) == "k\nv"


def test_clients_come_by_sockets_with_and_without_tls(authority, start_cluster, tmp_path,
                                                      etcdctl_bin):
    server, client = authority.issue("server"), authority.issue("client")
    cluster = start_cluster(size=1, flags=client_flags(authority, server),
                            schemes=("https", "http"), http_tls=context(authority, client),
                            start=False)
    node = cluster.nodes[0]
    plain, secure = tmp_path / "plain.sock", tmp_path / "secure.sock"
    node.client_url += f",unix://{plain},unixs://{secure}"
    cluster.start()
    with socket.socket(socket.AF_UNIX) as wire:
        wire.connect(str(plain))
        wire.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert wire.recv(100).startswith(b"HTTP/1.1 200")
    with socket.socket(socket.AF_UNIX) as wire:
        wire.connect(str(secure))
        with context(authority, client).wrap_socket(wire, server_hostname="localhost") as tls:
            tls.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert tls.recv(100).startswith(b"HTTP/1.1 200")


def test_a_certificate_of_its_own_that_has_expired_is_made_anew(authority, start_cluster):
    cluster = start_cluster(size=1, flags=["--auto-tls"], schemes=("https", "http"), start=False)
    node = cluster.nodes[0]
    folder = os.path.join(node.data_dir, "fixtures", "client")
    os.makedirs(folder)
    late = authority.issue("late", expired=True)
    shutil.copy(late.crt, os.path.join(folder, "cert.pem"))
    shutil.copy(late.key, os.path.join(folder, "key.pem"))
    cluster.start(wait=False)
    host, port = node.endpoint.split(":")

    def trusted():
        tls = ssl.create_default_context(cafile=os.path.join(folder, "cert.pem"))
        return harness.http_request(f"{host}:{port}", "GET", "/version", tls=tls)[0] == 200
    harness.until(trusted, "a certificate that is good")

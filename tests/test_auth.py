# SPDX-License-Identifier: Apache-2.0
"""Users, roles and tokens over real servers: each method allowed and denied, and what ends a token.

The table NEEDS has every method of every service. A method that is not served yet is left out by
itself; one that is not in the table is a failure.
"""
import base64
import concurrent.futures
import glob
import json
import os
import threading

import pytest

import certs
import harness
import rpc_client
from auth_needs import NEEDS, NOTHING, ROOT

PLAIN = ["--bcrypt-cost", "4", "--auth-token-ttl", "300"]

STREAMS = {"Watch", "LeaseKeepAlive", "Observe"}  # tests of their own
DOWNLOADS = {"RangeStream", "Snapshot"}
PACKAGES = ("etcdserverpb", "v3lockpb", "v3electionpb")
# Their messages are not of the API: what every client may ask.
OPEN_SERVICES = ("Health.", "ServerReflection.")

EMPTY = ("INVALID_ARGUMENT", "etcdserver: user name is empty")
DENIED = ("PERMISSION_DENIED", "etcdserver: permission denied")
INVALID = ("UNAUTHENTICATED", "etcdserver: invalid auth token")
OLD = ("INVALID_ARGUMENT", "etcdserver: revision of auth store is old")


def ok(client, name, text="", token=None):
    answer = client.call(name, text, meta(token))
    assert answer.code == "OK", f"{name} {text}: {answer.code}: {answer.message}"
    return answer.response


def meta(token):
    return [("token", token)] if token else []


def login(client, name, password=None):
    return ok(client, "Authenticate", f"name: '{name}' password: '{password or name}'").token


def why(answer):
    return (answer.code, answer.message)


def fill(client):
    """root, u with its role r, and auth on."""
    ok(client, "UserAdd", "name: 'root' password: 'root'")
    ok(client, "UserGrantRole", "user: 'root' role: 'root'")
    ok(client, "UserAdd", "name: 'u' password: 'u'")
    ok(client, "RoleAdd", "name: 'r'")
    ok(client, "RoleAdd", "name: 'other'")
    for text in ("permType: READWRITE key: 'a/' range_end: 'a0'", "permType: READ key: 'r'",
                 "permType: WRITE key: 'w'"):
        ok(client, "RoleGrantPermission", f"name: 'r' perm {{ {text} }}")
    ok(client, "UserGrantRole", "user: 'u' role: 'r'")
    ok(client, "AuthEnable")


@pytest.fixture
def secured(start_cluster):
    """One member with auth on, and a client of it."""
    cluster = start_cluster(size=1, flags=PLAIN)
    client = rpc_client.Client(cluster.endpoints[0])
    fill(client)
    yield cluster, client
    client.close()


def ask(client, name, text, token):
    if name in DOWNLOADS:
        return client.download(name, text, meta(token))
    return client.call(name, text, meta(token))


def check_row(client, name, need, text, tokens):
    """One request by everybody. True: the method is served."""
    nobody = ask(client, name, text, None)
    if nobody.code == "UNIMPLEMENTED":
        return False
    where = f"{name} {text}"
    bad = ask(client, name, text, "abcdefghijklmnop.1")
    user = ask(client, name, text, tokens["u"])
    if need == NOTHING:
        assert why(nobody) not in (EMPTY, DENIED, INVALID), where
        assert why(bad) not in (EMPTY, DENIED, INVALID), where
        return True
    assert why(nobody) == EMPTY, where
    assert why(bad) == INVALID, where
    if need == ROOT:
        assert why(user) == DENIED, where
    else:
        assert why(user) not in (EMPTY, DENIED, INVALID, OLD), f"{where}: {user.message}"
    root = ask(client, name, text, tokens["root"])
    assert why(root) not in (EMPTY, DENIED, INVALID, OLD), f"{where}: {root.message}"
    return True


def test_every_method_is_allowed_to_whom_it_should_be_and_to_nobody_else(secured):
    _, client = secured
    tokens = {name: login(client, name) for name in ("root", "u")}
    names = [name for name in rpc_client.METHODS if not name.startswith(OPEN_SERVICES) and
             rpc_client.METHODS[name].path.split("/")[1].split(".")[0] in PACKAGES]
    assert set(names) == set(NEEDS) | STREAMS, "each method has its rows"
    served = [name for name, rows in NEEDS.items() for need, text in rows
              if check_row(client, name, need, text, tokens)]
    assert {"Range", "RangeStream",
            "Put", "Txn", "Compact", "Status", "UserAdd", "AuthDisable"} <= set(served)


def test_a_watch_is_allowed_by_the_range_that_it_watches(secured):
    _, client = secured
    tokens = {name: login(client, name) for name in ("root", "u")}
    rows = [("key: 'a/1'", "u", ""), ("key: 'a/' range_end: 'a0'", "u", ""),
            ("key: 'b'", "u", "PermissionDenied desc = etcdserver: permission denied"),
            # All keys from a/1 on, and not [a/1, 00), which is empty (GHSA-xg4h-6gfc-h4m8).
            ("key: 'a/1' range_end: '\\000'", "u",
             "PermissionDenied desc = etcdserver: permission denied"),
            ("", "u", "PermissionDenied desc = etcdserver: permission denied"),
            ("key: 'a/1'", None, "InvalidArgument desc = etcdserver: user name is empty"),
            ("key: 'a/1'", "bad", "Unauthenticated desc = etcdserver: invalid auth token"),
            ("key: '\\000' range_end: '\\000'", "root", "")]
    for text, who, reason in rows:
        token = tokens.get(who, "abcdefghijklmnop.1" if who else None)
        stream = client.stream("Watch", meta(token))
        stream.send(f"create_request {{ {text} }}")
        first = stream.receive()
        if first is None:
            assert stream.status.code == "UNIMPLEMENTED", stream.status
            return
        assert first.created
        assert first.canceled == bool(reason), f"{text} by {who}"
        assert first.cancel_reason == (f"rpc error: code = {reason}" if reason else "")
        assert first.watch_id == (-1 if reason else 0)
        stream.cancel()


def test_keepalives_need_somebody(secured):
    _, client = secured
    stream = client.stream("LeaseKeepAlive")
    stream.send("ID: 1")
    assert stream.receive() is None
    if stream.status.code != "UNIMPLEMENTED":
        assert why(stream.status) == EMPTY
        stream = client.stream("LeaseKeepAlive", meta(login(client, "u")))
        stream.send("ID: 1")
        assert stream.receive().TTL == 0
        stream.cancel()


def test_a_lease_is_allowed_by_the_keys_that_go_with_it(secured):
    _, client = secured
    root, u = login(client, "root"), login(client, "u")
    for lease, key in ((7, "b"), (8, "a/1"), (9, "r")):
        ok(client, "LeaseGrant", f"ID: {lease} TTL: 1000", root)
        ok(client, "Put", f"key: '{key}' lease: {lease}", root)

    def keepalive(lease):
        stream = client.stream("LeaseKeepAlive", meta(u))
        stream.send(f"ID: {lease}")
        first = stream.receive()
        stream.cancel()
        return ("OK", "") if first is not None and first.TTL == 1000 else why(stream.status)
    for lease, writes, reads in ((7, False, False), (8, True, True), (9, False, True)):
        allowed = {True: ("OK", ""), False: DENIED}
        for name, text, may in (
                ("LeaseTimeToLive", f"ID: {lease}", True),
                ("LeaseTimeToLive", f"ID: {lease} keys: true", reads),
                ("Put", f"key: 'a/2' lease: {lease}", writes),
                ("Txn", f"success {{ request_put {{ key: 'a/2' lease: {lease} }} }}", writes),
                ("LeaseRevoke", f"ID: {lease}", writes)):
            if name == "LeaseRevoke":
                assert keepalive(lease) == allowed[writes], f"keepalive of {lease}"
            assert why(client.call(name, text, meta(u))) == allowed[may], f"{name} {text}"
    assert why(client.call("LeaseLeases", "", meta(u))) == DENIED
    ok(client, "LeaseRevoke", "ID: 7", root)
    assert [each.ID for each in ok(client, "LeaseLeases", "", u).leases] == [9]
    assert ok(client, "Range", "key: 'b'", root).count == 0


def test_a_token_comes_in_either_name_and_with_bearer_or_without(secured):
    _, client = secured
    token = login(client, "u")
    for name in ("token", "authorization"):
        for value in (token, f"Bearer {token}", f"bearer {token}"):
            assert client.call("Range", "key: 'a/1'", [(name, value)]).code == "OK"
        for value in ("", "Bearer", f"Basic {token}", token[1:], token + "0" * 30,
                      "x" * 5000, "nonsense", token.split(".", maxsplit=1)[0]):
            assert why(client.call("Range", "key: 'a/1'", [(name, value)])) == INVALID, value
    # Of two, "token" counts.
    assert why(client.call("Range", "key: 'a/1'",
                           [("token", "bad"), ("authorization", token)])) == INVALID


def test_wrong_passwords_unknown_users_and_users_without_one_are_told_as_by_etcd(secured):
    _, client = secured
    root = login(client, "root")
    failed = ("INVALID_ARGUMENT",
              "etcdserver: authentication failed, invalid user ID or password")
    for name, password in (("u", "x"), ("u", ""), ("nobody", "x"), ("", ""), ("u", "u" * 100)):
        assert why(client.call("Authenticate", f"name: '{name}' password: '{password}'")) == failed
    ok(client, "UserAdd", "name: 'n' options { no_password: true }", root)
    assert why(client.call("Authenticate", "name: 'n' password: 'x'")) == (
        "UNKNOWN", "auth: authentication failed, password was given for no password user")
    long = client.call("UserAdd", f"name: 'long' password: '{'p' * 73}'", meta(root))
    assert why(long) == ("INVALID_ARGUMENT", "bcrypt: password length exceeds 72 bytes")
    ok(client, "AuthDisable", "", root)
    assert why(client.call("Authenticate", "name: 'u' password: 'u'")) == (
        "FAILED_PRECONDITION", "etcdserver: authentication is not enabled")


def test_a_hash_may_come_from_the_client(secured):
    _, client = secured
    root = login(client, "root")
    # Of "U*U", from the vectors of bcrypt's first implementation.
    hashed = base64.b64encode(b"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")
    ok(client, "UserAdd", f"name: 'h' hashedPassword: '{hashed.decode()}'", root)
    ok(client, "UserGet", "name: 'h'", login(client, "h", "U*U"))
    ok(client, "UserChangePassword", f"name: 'u' hashedPassword: '{hashed.decode()}'", root)
    ok(client, "UserGet", "name: 'u'", login(client, "u", "U*U"))
    assert client.call("UserAdd", "name: 'i' hashedPassword: 'bm9uZQ=='", meta(root)).code == \
        "INVALID_ARGUMENT"
    assert client.call("UserAdd", "name: 'i' hashedPassword: '%%%'", meta(root)).code == \
        "INVALID_ARGUMENT"


def test_a_token_ends_with_its_password_its_user_and_with_auth(secured):
    _, client = secured
    root, u = login(client, "root"), login(client, "u")
    ok(client, "UserRevokeRole", "name: 'u' role: 'r'", root)
    assert why(client.call("Range", "key: 'a/1'", meta(u))) == DENIED  # but it is known
    ok(client, "UserGrantRole", "user: 'u' role: 'r'", root)
    ok(client, "Range", "key: 'a/1'", u)
    ok(client, "UserChangePassword", "name: 'u' password: 'new'", root)
    assert why(client.call("Range", "key: 'a/1'", meta(u))) == INVALID
    assert client.call("Authenticate", "name: 'u' password: 'u'").code == "INVALID_ARGUMENT"
    u = login(client, "u", "new")
    ok(client, "Range", "key: 'a/1'", u)
    ok(client, "UserDelete", "name: 'u'", root)
    assert why(client.call("Range", "key: 'a/1'", meta(u))) == INVALID
    ok(client, "AuthDisable", "", root)
    ok(client, "Range", "key: 'a/1'", root)
    ok(client, "AuthEnable")
    assert why(client.call("Range", "key: 'a/1'", meta(root))) == INVALID
    assert ok(client, "AuthStatus", "", login(client, "root")).enabled


def test_a_token_that_is_not_used_ends(start_cluster):
    cluster = start_cluster(size=1, flags=["--bcrypt-cost", "4", "--auth-token-ttl", "1"])
    client = rpc_client.Client(cluster.endpoints[0])
    fill(client)
    pause = threading.Event()
    token = login(client, "u")
    ok(client, "Range", "key: 'a/1'", token)

    def ended():
        pause.wait(1.1)  # each use is a second more: so ask more seldom
        return why(client.call("Range", "key: 'a/1'", meta(token))) == INVALID
    harness.until(ended, "the end of the token")
    client.close()


def test_members_know_the_tokens_of_each_other_and_keep_users_over_a_restart(start_cluster):
    cluster = start_cluster(size=3, flags=PLAIN)
    clients = [rpc_client.Client(each) for each in cluster.endpoints]
    fill(clients[0])
    for _ in range(20):
        token = login(clients[0], "u")
        for client in clients[1:]:
            ok(client, "Put", "key: 'a/1' value: 'x'", token)
            ok(client, "Range", "key: 'a/1'", token)
            assert why(client.call("Put", "key: 'b'", meta(token))) == DENIED
    # An index far ahead is waited for once, and no longer.
    assert why(clients[1].call("Put", "key: 'a/1'", meta("abcdefghijklmnop.99999999"))) == INVALID
    node = cluster.nodes[2]
    node.kill()
    node.start()
    node.wait_healthy()
    clients[2].close()
    clients[2] = rpc_client.Client(node.endpoint)
    harness.until(lambda: why(clients[2].call("Range", "key: 'a/1'")) == EMPTY, "users")
    token = login(clients[2], "u")
    # W3: the member that was down permits what the others do, so their data agree.
    for client in clients:
        ok(client, "Range", "key: 'a/1'", token)
        ok(client, "Put", "key: 'a/1' value: 'y'", token)
        assert why(client.call("Put", "key: 'b'", meta(token))) == DENIED
    root = login(clients[0], "root")
    found = {ok(client, "HashKV", "", root).hash for client in clients
             if ok(client, "Range", "key: 'a/1'", root)}
    assert len(found) == 1
    for client in clients:
        client.close()


def jwt_cluster(start_cluster, tmp_path, ttl="10m"):
    key = os.path.join(tmp_path, "jwt.pem")
    certs.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
    certs.openssl("pkcs8", "-topk8", "-nocrypt", "-in", key, "-out", key + ".8")
    return start_cluster(size=3, flags=["--bcrypt-cost", "4", "--auth-token",
                                        f"jwt,sign-method=ES256,priv-key={key}.8,ttl={ttl}"])


def test_a_web_token_is_good_on_each_member_until_users_or_roles_change(start_cluster, tmp_path):
    cluster = jwt_cluster(start_cluster, tmp_path)
    clients = [rpc_client.Client(each) for each in cluster.endpoints]
    fill(clients[0])
    harness.until(lambda: why(clients[2].call("Range", "key: 'a/1'")) == EMPTY, "auth everywhere")
    root, u = login(clients[0], "root"), login(clients[1], "u")
    for client in clients:
        ok(client, "Put", "key: 'a/1'", u)
        assert why(client.call("Put", "key: 'b'", meta(u))) == DENIED
        assert why(client.call("Range", "key: 'a/1'", meta(u[:-2] + "AA"))) == INVALID
        assert why(client.call("Range", "key: 'a/1'", meta("abcdefghijklmnop.1"))) == INVALID
    cluster.nodes[0].restart()
    cluster.wait_healthy()
    clients[0].close()
    clients[0] = rpc_client.Client(cluster.endpoints[0])
    ok(clients[0], "Range", "key: 'a/1'", u)
    ok(clients[0], "RoleAdd", "name: 'more'", root)
    assert why(clients[0].call("Range", "key: 'a/1'", meta(u))) == OLD
    assert why(clients[0].call("Put", "key: 'a/1'", meta(u))) == OLD
    assert why(clients[0].call("UserList", "", meta(root))) == OLD
    ok(clients[0], "Range", "key: 'a/1'", login(clients[0], "u"))
    for client in clients:
        client.close()


def test_a_member_that_is_behind_checks_passwords_of_now(start_cluster):
    cluster = start_cluster(size=3, flags=["--bcrypt-cost", "4"])
    leader, behind = cluster.leader(), cluster.followers()[0]
    first, client = rpc_client.Client(leader.endpoint), rpc_client.Client(behind.endpoint)
    fill(first)
    root = login(first, "root")
    old = "u"
    for new in ("second", "third", "fourth"):
        login(client, "u", old)
        behind.pause()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            try:
                ok(first, "UserChangePassword", f"name: 'u' password: '{new}'", root)
                answer = pool.submit(client.call, "Authenticate", f"name: 'u' password: '{old}'")
            finally:
                behind.resume()
            assert why(answer.result()) == (
                "INVALID_ARGUMENT",
                "etcdserver: authentication failed, invalid user ID or password")
        old = new
    first.close()
    client.close()


def test_a_web_token_ends_by_its_clock(start_cluster, tmp_path):
    cluster = jwt_cluster(start_cluster, tmp_path, ttl="1s")
    client = rpc_client.Client(cluster.endpoints[0])
    fill(client)
    token = login(client, "u")
    harness.until(lambda: why(client.call("Range", "key: 'a/1'", meta(token))) == INVALID,
                  "the end of the token")
    client.close()


def test_a_role_that_is_revoked_while_its_user_writes_ends_the_writing(secured):
    _, client = secured
    root, u = login(client, "root"), login(client, "u")
    answers = []
    stop = threading.Event()

    def write():
        while not stop.is_set():
            answers.append(why(client.call("Put", "key: 'a/1' value: 'x'", meta(u))))
    writers = [threading.Thread(target=write) for _ in range(4)]
    for each in writers:
        each.start()
    harness.until(lambda: len(answers) > 100, "writes")
    ok(client, "UserRevokeRole", "name: 'u' role: 'r'", root)
    before = ok(client, "Range", "key: 'a/1'", root)
    harness.until(lambda: answers[-8:] == [DENIED] * 8, "the end of the writing")
    stop.set()
    for each in writers:
        each.join()
    after = ok(client, "Range", "key: 'a/1'", root)
    assert after.kvs[0].mod_revision == before.kvs[0].mod_revision, "nothing is written any more"
    # OLD: it was on its way while the revision rose.
    assert set(answers) <= {("OK", ""), DENIED, OLD}


def test_a_flood_of_passwords_keeps_nobody_waiting(start_cluster):
    cluster = start_cluster(size=1, flags=["--bcrypt-cost", "12"])
    client = rpc_client.Client(cluster.endpoints[0])
    fill(client)
    root = login(client, "root")
    method = rpc_client.METHODS["Authenticate"]
    call = client.channel.unary_unary(method.path,
                                      request_serializer=method.request.SerializeToString,
                                      response_deserializer=method.response.FromString)
    flood = [call.future(method.request(name="u", password="wrong"), timeout=60)
             for _ in range(300)]

    def refused():
        return [each for each in flood if each.done() and
                each.exception().details() == "etcdserver: too many requests"]
    # Those past the limit are told at once.
    harness.until(lambda: len(refused()) >= 100, "refusals")
    ok(client, "Put", "key: 'k' value: 'v'", root)
    ok(client, "Range", "key: 'k'", root)
    assert not all(each.done() for each in flood), "they had to wait for each other, and we had not"
    for each in flood:
        each.cancel()
    ok(client, "Range", "key: 'k'", root)
    client.close()


def test_neither_log_nor_disk_tells_a_password_or_a_token(start_cluster):
    cluster = start_cluster(size=1, flags=["--bcrypt-cost", "4", "--log-level", "debug"])
    client = rpc_client.Client(cluster.endpoints[0])
    fill(client)
    ok(client, "UserAdd", "name: 'eve' password: 'Wm3xPassword'", login(client, "root"))
    client.call("Authenticate", "name: 'eve' password: 'Wm3xPasswort'")
    token = login(client, "eve", "Wm3xPassword")
    client.call("Put", "key: 'b'", meta(token))
    client.call("Put", "key: 'b'", meta(token[:-1] + "x"))
    client.call("Put", "key: 'b'", meta("Wm3xNonsense"))
    secrets = [b"Wm3xPasswor", b"Wm3xNonsense", token.split(".")[0].encode()]
    cluster.nodes[0].stop()
    assert "audit: refused: /etcdserverpb.KV/Put by user eve" in cluster.nodes[0].log_text()
    files = [path for path in glob.glob(os.path.join(cluster.folder, "**"), recursive=True)
             if os.path.isfile(path)]
    assert any(path.endswith(".log") for path in files) and len(files) > 3
    for path in files:
        with open(path, "rb") as file:
            data = file.read()
        for secret in secrets:
            assert secret not in data, f"{secret} in {path}"
    client.close()


def test_the_http_door_asks_for_a_token_too(secured):
    cluster, client = secured
    node = cluster.nodes[0]
    token = login(client, "u")
    status, _, _ = node.http("POST", "/api/v1/data", '{"key":"a/1","value":"x"}')
    assert status == 401
    bearer = {"Authorization": f"Bearer {token}"}
    assert node.http("POST", "/api/v1/data", '{"key":"a/1","value":"x"}', bearer)[0] == 200
    assert node.http("POST", "/api/v1/data", '{"key":"b","value":"x"}', bearer)[0] == 403
    for path, plain, by_token in (("/api/v1/data/a/1", 401, 200), ("/api/v1/data/b", 401, 403),
                                  ("/api/v1/data?prefix=a/", 401, 200),
                                  ("/api/v1/data?prefix=a", 401, 403)):
        assert node.http("GET", path)[0] == plain, path
        assert node.http("GET", path, headers=bearer)[0] == by_token, path
    assert node.http("GET", "/api/v1/data/a/1", headers={"Authorization": "nonsense"})[0] == 401
    assert node.http("DELETE", "/api/v1/data/b", headers=bearer)[0] == 403
    assert node.http("DELETE", "/api/v1/data/a/1")[0] == 401
    assert node.http("DELETE", "/api/v1/data/a/1", headers=bearer)[0] == 200
    for path in ("/health", "/metrics", "/version"):
        assert node.http("GET", path)[0] == 200
    assert "etcd_debugging_auth_revision 1" in node.http("GET", "/metrics")[2].decode()


def test_the_json_gateway_asks_for_a_token_too(secured):
    cluster, _ = secured
    node = cluster.nodes[0]

    def post(path, body, token=None):
        status, _, data = node.http("POST", "/v3/" + path, json.dumps(body),
                                    {"Authorization": token} if token else None)
        return status, json.loads(data)
    status, answer = post("auth/authenticate", {"name": "u", "password": "u"})
    assert status == 200
    token = answer["token"]
    a, b = (base64.b64encode(each).decode() for each in (b"a/1", b"b"))
    status, answer = post("kv/put", {"key": a, "value": b})
    assert (status, answer["message"]) == (400, EMPTY[1])
    assert post("kv/put", {"key": a, "value": b}, token)[0] == 200
    assert post("kv/range", {"key": a}, f"Bearer {token}")[1]["kvs"][0]["value"] == b
    status, answer = post("kv/range", {"key": b}, token)
    assert (status, answer["message"]) == (403, DENIED[1])
    status, answer = post("kv/range", {"key": a}, "nonsense")
    assert (status, answer["message"]) == (401, INVALID[1])
    status, answer = post("auth/user/list", {}, token)
    assert (status, answer["message"]) == (403, DENIED[1])


def test_the_name_in_a_clients_certificate_is_its_user(tmp_path, start_cluster, etcdctl_bin):
    del etcdctl_bin
    authority = certs.Authority(tmp_path)
    server = authority.issue("server", names=certs.HERE)
    pairs = {name: authority.issue(name) for name in ("root", "u", "stranger")}
    flags = ["--bcrypt-cost", "4", "--cert-file", server.crt, "--key-file", server.key,
             "--trusted-ca-file", authority.crt, "--client-cert-auth"]

    def ctl(name):
        return ["--cacert", authority.crt, "--cert", pairs[name].crt, "--key", pairs[name].key]
    import ssl  # pylint: disable=import-outside-toplevel
    tls = ssl.create_default_context(cafile=authority.crt)
    tls.load_cert_chain(pairs["root"].crt, pairs["root"].key)
    cluster = start_cluster(size=1, flags=flags, schemes=("https", "http"), http_tls=tls,
                            ctl_flags=ctl("root"))
    for words in ("user add root --no-password", "user grant-role root root",
                  "user add u:u", "role add r", "role grant-permission r readwrite k",
                  "user grant-role u r", "auth enable", "put other root"):
        cluster.etcdctl(*words.split())
    cluster.ctl_flags = ctl("u")
    cluster.etcdctl("put", "k", "v")
    denied = cluster.etcdctl("put", "other", "v", check=False)
    assert "etcdserver: permission denied" in denied.stderr
    cluster.ctl_flags = ctl("stranger")
    assert "permission denied" in cluster.etcdctl("get", "k", check=False).stderr
    # A token wins over the certificate.
    cluster.ctl_flags = [*ctl("stranger"), "--user", "u:u"]
    assert cluster.etcdctl("get", "k") == "k\nv"

# SPDX-License-Identifier: Apache-2.0
"""The HTTP doors: /api/v1/data, probes, /version, /metrics, on every member. The pages of
docs/reference are held to what is served."""
import base64
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

import harness

DATA = "/api/v1/data"
METRICS_PAGE = os.path.join(harness.TOP, "docs", "reference", "metrics.md")
HTTP_PAGE = os.path.join(harness.TOP, "docs", "reference", "http.md")


@pytest.fixture(name="three", scope="module")
def three_members(lasting_cluster):
    return lasting_cluster(3)


@pytest.fixture(name="prefix")
def own_prefix(request):
    return re.sub(r"\W", "-", request.node.name) + "/"


def ask(node, method, path, body=None):
    """Gives the status and the decoded JSON."""
    if body is not None and not isinstance(body, (str, bytes)):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode()
    status, headers, answer = node.http(method, path, body, timeout=30)
    assert headers["Content-Type"] == "application/json", answer
    return status, json.loads(answer)


def put(node, key, value):
    status, answer = ask(node, "POST", DATA, {"key": key, "value": value})
    assert status == 200, answer
    return answer["revision"]


# -- writing and reading --------------------------------------------------------------------------

@pytest.mark.parametrize("writer", range(3))
def test_http_a_value_written_on_any_member_is_read_on_all(three, prefix, writer):
    revision = put(three.nodes[writer], prefix + "k", "v")
    for node in three.nodes:
        status, pair = ask(node, "GET", f"{DATA}/{prefix}k")
        assert status == 200
        assert pair == {"key": prefix + "k", "value": "v", "create_revision": revision,
                        "mod_revision": revision, "version": 1}
    assert three.etcdctl("get", prefix + "k", "--print-value-only") == "v"


def test_http_a_second_value_takes_the_place_of_the_first(three, prefix):
    first = put(three.nodes[0], prefix, "1")
    second = put(three.nodes[1], prefix, "2")
    _, pair = ask(three.nodes[2], "GET", f"{DATA}/{prefix}")
    assert (pair["value"], pair["version"]) == ("2", 2)
    assert pair["create_revision"] == first < second == pair["mod_revision"]


def test_http_a_removed_key_is_gone_on_all(three, prefix):
    revision = put(three.nodes[0], prefix + "k", "v")
    status, answer = ask(three.nodes[1], "DELETE", f"{DATA}/{prefix}k")
    assert status == 200 and answer == {"deleted": 1, "revision": revision + 1}
    for node in three.nodes:
        status, answer = ask(node, "GET", f"{DATA}/{prefix}k")
        assert status == 404 and answer["error"] == "ENOENT"
    assert ask(three.nodes[2], "DELETE", f"{DATA}/{prefix}k")[0] == 404


def test_http_a_local_read_is_served(three, prefix):
    put(three.nodes[0], prefix, "v")
    status, pair = ask(three.nodes[0], "GET", f"{DATA}/{prefix}?serializable=true")
    assert status == 200 and pair["value"] == "v"


@pytest.mark.parametrize("value", ["", "ü☃😀", "\u0000\u0001", 'quote " back \\ slash / ', "a\nb\r"],
                         ids=["empty", "utf8", "control", "quotes", "lines"])
def test_http_text_comes_back_as_it_was(three, prefix, value):
    put(three.nodes[0], prefix + "k", value)
    _, pair = ask(three.nodes[1], "GET", f"{DATA}/{prefix}k")
    assert pair["value"] == value and "value_base64" not in pair


@pytest.mark.parametrize("value", [b"\xff", b"\xff\xfe", b"\x80\x00\x01", bytes(range(256)),
                                   b"\xed\xa0\x80"])
def test_http_bytes_that_are_no_text_travel_as_base64(three, prefix, value):
    coded = base64.b64encode(value).decode()
    key = prefix.encode() + b"\xff/" + value[-1:]
    status, _ = ask(three.nodes[0], "POST", DATA,
                    {"key_base64": base64.b64encode(key).decode(), "value_base64": coded})
    assert status == 200
    path = DATA + "/" + "".join(f"%{byte:02x}" for byte in key)
    status, pair = ask(three.nodes[1], "GET", path)
    assert status == 200 and pair["value_base64"] == coded and "value" not in pair
    assert base64.b64decode(pair["key_base64"]) == key and "key" not in pair


def test_http_base64_of_text_is_the_text(three, prefix):
    key = base64.b64encode((prefix + "k").encode()).decode().rstrip("=")
    assert ask(three.nodes[0], "POST", DATA, {"key_base64": key, "value": "v"})[0] == 200
    assert ask(three.nodes[1], "GET", f"{DATA}/{prefix}k")[1]["value"] == "v"


def test_http_a_key_may_hold_slashes_and_escapes(three, prefix):
    put(three.nodes[0], prefix + "a//b c?d%", "v")
    assert ask(three.nodes[0], "GET", f"{DATA}/{prefix}a//b%20c%3fd%25")[1]["value"] == "v"


# -- listing --------------------------------------------------------------------------------------

def listed(node, query):
    status, answer = ask(node, "GET", f"{DATA}?{query}")
    assert status == 200, answer
    return answer


def test_http_a_list_has_the_keys_of_a_prefix_in_order(three, prefix):
    for key in ("b", "a", "c", "a/1"):
        put(three.nodes[0], prefix + key, key)
    put(three.nodes[0], prefix[:-1] + "0", "the key behind the prefix")
    answer = listed(three.nodes[1], f"prefix={prefix}")
    assert [item["value"] for item in answer["items"]] == ["a", "a/1", "b", "c"]
    assert answer["count"] == 4 and answer["more"] is False and "next" not in answer


def test_http_a_list_of_nothing_is_empty(three, prefix):
    answer = listed(three.nodes[0], f"prefix={prefix}none")
    assert answer["items"] == [] and answer["count"] == 0 and answer["more"] is False


def test_http_pages_follow_each_other_without_gap_or_repeat(three, prefix):
    keys = sorted(prefix.encode() + key for key in
                  (b"a", b"a\x00", b"a\x00\x00", b"b", b"\xff", b"\xff\x00", b"c", b"zz", b"a\xff"))
    for key in keys:
        ask(three.nodes[0], "POST", DATA,
            {"key_base64": base64.b64encode(key).decode(), "value": ""})
    found, query = [], f"prefix={prefix}&limit=2"
    while query is not None:
        answer = listed(three.nodes[len(found) % 3], query)
        found += [item["key"].encode() if "key" in item else base64.b64decode(item["key_base64"])
                  for item in answer["items"]]
        assert answer["more"] == ("next" in answer)
        query = f"prefix={prefix}&limit=2&next={answer['next']}" if answer["more"] else None
    assert found == keys


def test_http_a_list_starts_where_it_is_told(three, prefix):
    for key in "abcd":
        put(three.nodes[0], prefix + key, key)
    answer = listed(three.nodes[1], f"prefix={prefix}&from={prefix}c")
    assert [item["value"] for item in answer["items"]] == ["c", "d"] and answer["count"] == 2
    answer = listed(three.nodes[1], f"prefix={prefix}&from=0")
    assert [item["value"] for item in answer["items"]] == list("abcd")
    assert listed(three.nodes[1], f"prefix={prefix}&from=~~~~")["items"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=10001", "limit=x", "limit=",
                                   "limit=99999999999999999999", "next=", "next=6", "next=xy"])
def test_http_a_query_out_of_bounds_is_refused(three, query):
    status, answer = ask(three.nodes[0], "GET", f"{DATA}?{query}")
    assert status == 400 and answer["error"] == "EINVAL"
    assert query.split("=")[0] in answer["message"]


# -- what is refused ------------------------------------------------------------------------------

BAD = {
    "empty": (b"", "EFORMAT"),
    "no-json": (b"key=value", "EFORMAT"),
    "cut-off": (b'{"key":"a","value":"b"', "EFORMAT"),
    "trailing": (b'{"key":"a","value":"b"} x', "EFORMAT"),
    "two-objects": (b'{"key":"a","value":"b"}{}', "EFORMAT"),
    "array": (b'["a","b"]', "EFORMAT"),
    "null": (b"null", "EFORMAT"),
    "bad-utf8": (b'{"key":"a\xff","value":"b"}', "EFORMAT"),
    "overlong-utf8": (b'{"key":"\xc0\x80","value":"b"}', "EFORMAT"),
    "surrogate-utf8": (b'{"key":"\xed\xa0\x80","value":"b"}', "EFORMAT"),
    "lone-surrogate": (b'{"key":"\\ud800","value":"b"}', "EFORMAT"),
    "bad-utf8-outside": (b'{"key":"a","value":"b"}\xff', "EFORMAT"),
    "bad-utf8-near": (b'{"key" \xff\xfe:', "EFORMAT"),
    "bare-control": (b'{"key":"a\n","value":"b"}', "EFORMAT"),
    "deep-arrays": (b"[" * 100000, "EFORMAT"),
    "deep-objects": (b'{"key":' * 100000, "EFORMAT"),
    "just-too-deep": (b'{"key":"a","value":' + b"[" * 100 + b"]" * 100 + b"}", "EFORMAT"),
    "deep-value": (b'{"key":"a","value":' + b"[" * 300 + b"]" * 300 + b"}", "EFORMAT"),
    "no-key": (b'{"value":"b"}', "EFORMAT"),
    "no-value": (b'{"key":"a"}', "EFORMAT"),
    "no-members": (b"{}", "EFORMAT"),
    "number": (b'{"key":"a","value":1}', "EFORMAT"),
    "null-value": (b'{"key":"a","value":null}', "EFORMAT"),
    "key-twice": (b'{"key":"a","key":"b","value":"c"}', "EFORMAT"),
    "both-forms": (b'{"key":"a","value":"b","value_base64":"Yg=="}', "EFORMAT"),
    "bad-base64": (b'{"key":"a","value_base64":"*"}', "EFORMAT"),
    "base64-of-half-a-byte": (b'{"key":"a","value_base64":"Y"}', "EFORMAT"),
    "base64-with-stray-bits": (b'{"key":"a","value_base64":"Yh=="}', "EFORMAT"),
    "unknown-member": (b'{"key":"a","value":"b","lease":5}', "EFORMAT"),
    "empty-key": (b'{"key":"","value":"b"}', "EEMPTYKEY"),
    "too-large": (b'{"key":"a","value":"' + b"v" * 1600000 + b'"}', "EREQUESTTOOLARGE"),
}


def test_http_the_depth_of_json_has_a_limit_of_our_own(three):
    for deep, told in ((99, False), (100, True)):
        body = b'{"key":"a","value":' + b"[" * deep + b"]" * deep + b"}"
        _, answer = ask(three.nodes[0], "POST", DATA, body)
        assert ("nested deeper than 100" in answer["message"]) == told


@pytest.mark.parametrize("name", BAD)
def test_http_a_bad_body_is_refused_with_a_reason(three, name):
    body, error = BAD[name]
    before = put(three.nodes[0], "bad-body", "x")
    status, answer = ask(three.nodes[1], "POST", DATA, body)
    assert status == (413 if name == "too-large" else 400)
    assert answer["error"] == error and len(answer["message"]) > 5
    assert put(three.nodes[0], "bad-body", "x") == before + 1  # nothing was written


def test_http_a_body_past_the_limit_is_refused_before_it_is_read(three):
    status, headers, _ = three.nodes[0].http("POST", DATA, b"", {"Content-Length": "999999999"})
    assert status == 413 and headers["Connection"] == "close"
    put(three.nodes[0], "after", "x")


@pytest.mark.parametrize("method,path,allow", [
    ("PUT", DATA, "POST"), ("DELETE", DATA, "POST"), ("POST", DATA + "/k", "DELETE"),
    ("PATCH", DATA + "/k", "DELETE"), ("POST", "/health", "GET"), ("DELETE", "/metrics", "GET")])
def test_http_a_wrong_method_is_told_the_right_ones(three, method, path, allow):
    status, headers, _ = three.nodes[0].http(method, path, b"{}")
    assert status in (405, 501)
    assert status == 501 or allow in headers["Allow"]


@pytest.mark.parametrize("path", ["/", "/nothing", "/api/v1", "/api/v1/datum", "/healthy",
                                  "/readyz/none", "/livez/linearizable_read"])
def test_http_an_unknown_path_is_not_found(three, path):
    assert three.nodes[0].http("GET", path)[0] == 404


@pytest.mark.parametrize("path", ["/api/v1/data/%zz", "/api/v1/data/%", "/api/v1/data/a%00b"])
def test_http_a_path_that_is_no_path_is_refused(three, path):
    assert three.nodes[0].http("GET", path)[0] == 400


def test_http_head_answers_without_a_body(three):
    status, headers, body = three.nodes[0].http("HEAD", "/version")
    assert status == 200 and int(headers["Content-Length"]) > 10 and body == b""


# -- probes ---------------------------------------------------------------------------------------

READY = ["data_corruption", "serializable_read", "linearizable_read", "non_learner"]


def text(node, path):
    status, _, body = node.http("GET", path, timeout=30)
    return status, body.decode()


def test_http_probes_of_a_healthy_member_say_ok(three):
    for node in three.nodes:
        assert text(node, "/health") == (200, '{"health":"true","reason":""}')
        assert text(node, "/health?serializable=true")[0] == 200
        for path in ("/livez", "/readyz", "/livez/serializable_read"):
            assert text(node, path) == (200, "ok\n")
        for check in READY:
            assert text(node, f"/readyz/{check}") == (200, "ok\n")
            left = "".join(f"[+]{each} ok\n" for each in READY if each != check)
            assert text(node, f"/readyz?verbose&exclude={check}") == (200, left + "ok\n")
        assert text(node, "/livez?verbose") == (200, "[+]serializable_read ok\nok\n")
        assert text(node, "/readyz?verbose=1&exclude=linearizable_read&exclude=non_learner") == \
            (200, "[+]data_corruption ok\n[+]serializable_read ok\nok\n")


def test_http_version_has_etcds_members(three):
    status, answer = ask(three.nodes[0], "GET", "/version")
    assert status == 200 and set(answer) == {"etcdserver", "etcdcluster", "storage"}
    assert all(re.fullmatch(r"3\.\d+\.\d+", each) for each in answer.values())


def test_http_without_a_quorum_probes_fail_and_writes_are_told(start_cluster):
    cluster = start_cluster(3)
    put(cluster.nodes[0], "k", "v")
    for node in cluster.nodes[1:]:
        node.kill()
    left = cluster.nodes[0]
    harness.until(lambda: text(left, "/health")[0] == 503, "the loss of the leader")
    status, body = text(left, "/health")
    assert status == 503 and json.loads(body)["health"] == "false"
    status, body = text(left, "/readyz")
    assert status == 503 and "[-]linearizable_read failed: " in body
    assert body.endswith("readyz check failed\n") and "[+]serializable_read ok" in body
    assert text(left, "/readyz/linearizable_read")[0] == 503
    assert text(left, "/livez") == (200, "ok\n")
    assert text(left, "/readyz?exclude=linearizable_read") == (200, "ok\n")
    assert ask(left, "GET", DATA + "/k?serializable=true")[1]["value"] == "v"
    requests = [("POST", DATA, {"key": "k", "value": "w"}), ("GET", DATA + "/k", None),
                ("DELETE", DATA + "/k", None)]
    with ThreadPoolExecutor() as pool:
        for status, answer in pool.map(lambda request: ask(left, *request), requests):
            assert status == 503 and answer["error"] in ("ENOLEADER", "ETIMEOUT",
                                                         "ETIMEOUTLEADERFAIL", "EDROPPED")
    cluster.nodes[1].start()
    harness.until(lambda: text(left, "/readyz")[0] == 200, "the return of the quorum")
    put(left, "k", "again")


# -- metrics --------------------------------------------------------------------------------------

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf'({NAME})(?:\{{((?:{NAME}="(?:[^"\\\n]|\\.)*"(?:,|(?=\}})))*)\}})? '
                    r"([+-]?(?:\d+\.?\d*(?:e[+-]?\d+)?|Inf)|NaN)")


def families(page):
    """{name: (type, help, {labels of a sample: value})}, by Prometheus' text format."""
    found, current = {}, None
    for line in page.splitlines():
        if line.startswith("# HELP "):
            _, _, name, text_of = line.split(" ", 3)
            assert name not in found, f"{name} twice"
            found[name] = [None, text_of, {}]
            current = name
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == current and found[name][0] is None and not found[name][2]
            assert kind in ("counter", "gauge", "histogram")
            found[name][0] = kind
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample, f"no sample: {line!r}"
            name = sample[1]
            if found[current][0] == "histogram":
                name = re.sub("_(bucket|sum|count)$", "", name)
            assert name == current, f"{line!r} stands outside its family"
            key = (sample[1], sample[2] or "")
            assert key not in found[name][2], f"{line!r} twice"
            found[name][2][key] = float(sample[3])
    return found


def metrics_rows():
    with open(METRICS_PAGE, encoding="utf-8") as page:
        return re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| ([^|]*) \|$", page.read(), re.M)


def test_http_metrics_are_prometheus_text(three):
    for node in three.nodes:
        status, headers, body = node.http("GET", "/metrics")
        assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert body.endswith(b"\n")
        for name, (kind, help_text, samples) in families(body.decode()).items():
            assert kind is not None and help_text.endswith("."), name
            assert samples, f"{name} has no sample"
            if kind == "histogram":
                counts = [value for (each, _), value in samples.items() if each == name + "_bucket"]
                assert counts == sorted(counts) and len(counts) > 3
                assert counts[-1] == samples[(name + "_count", "")]
                assert 'le="+Inf"' in list(samples)[len(counts) - 1][1]


def test_http_metrics_page_lists_what_is_served(three):
    served = families(three.nodes[0].http("GET", "/metrics")[2].decode())
    rows = []
    for name, (kind, help_text, samples) in served.items():
        labels = re.findall(rf"({NAME})=", next(iter(samples))[1])
        rows.append((name, kind, ", ".join(sorted(set(labels) - {"le"})) or "-", help_text))
    assert metrics_rows() == rows, "docs/reference/metrics.md is not what is served"


def test_http_metrics_count_what_happens(three):
    node = three.leader()
    before = node.metrics()
    for _ in range(3):
        three.etcdctl("put", "counted", "x", endpoints=[node.endpoint])
    after = node.metrics()

    def grown(name):
        return after[name] - before[name]
    label = 'grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"'
    assert grown("etcd_mvcc_put_total") == 3
    assert grown(f"grpc_server_started_total{{{label}}}") == 3
    assert grown(f'grpc_server_handled_total{{grpc_code="OK",{label}}}') == 3
    assert grown("etcd_debugging_mvcc_current_revision") == 3
    assert grown("etcd_server_proposals_committed_total") >= 3
    assert grown("etcd_disk_wal_fsync_duration_seconds_count") >= 1
    assert after["etcd_server_has_leader"] == 1 and after["etcd_server_is_leader"] == 1
    assert sum(each.metrics()["etcd_server_is_leader"] for each in three.nodes) == 1


def test_http_metrics_have_a_port_of_their_own(start_cluster):
    port = harness.free_ports(1)[0]
    node = start_cluster(1, flags=["--listen-metrics-urls", f"http://127.0.0.1:{port}"]).nodes[0]
    for path in ("/metrics", "/health", "/readyz"):
        assert harness.http_request(f"127.0.0.1:{port}", "GET", path)[0] == 200
        assert node.http("GET", path)[0] == 200
    assert harness.http_request(f"127.0.0.1:{port}", "GET", DATA)[0] == 404


# -- the page -------------------------------------------------------------------------------------

def test_http_page_shows_what_is_served(three):
    """Its examples: each request with the status and the body that follow it."""
    with open(HTTP_PAGE, encoding="utf-8") as page:
        examples = re.findall(r"^    (GET|POST|DELETE) (\S+)(?: (\{.*\}))?\n    (\d+) (.*)$",
                              page.read(), re.M)
    assert len(examples) >= 10
    for method, path, body, status, wanted in examples:
        got, _, answer = three.nodes[0].http(method, path, body.encode() if body else None)
        assert got == int(status), (method, path, answer)
        pattern = re.escape(wanted).replace(r"\.\.\.", ".*")
        pattern = re.sub(r'(revision":)\d+', r"\1\\d+", pattern)
        assert re.fullmatch(pattern, answer.decode().rstrip("\n").replace("\n", " ")), answer

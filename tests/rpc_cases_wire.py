# SPDX-License-Identifier: Apache-2.0
"""rpc_cases_wire.py: what is below and beside the services: paths, bytes, metadata, HTTP."""

RANGE, PUT = "/etcdserverpb.KV/Range", "/etcdserverpb.KV/Put"

CASES = [
    ("wire-unknown-service", ["raw /etcdserverpb.Nothing/Range 0a0161"]),
    ("wire-unknown-package", ["raw /nothing/Range 0a0161"]),
    ("wire-unknown-method", ["raw /etcdserverpb.KV/Rang 0a0161"]),
    ("wire-method-lower-case", ["raw /etcdserverpb.KV/range 0a0161"]),
    ("wire-no-method", ["raw /etcdserverpb.KV/ 0a0161"]),
    ("wire-service-alone", ["raw /etcdserverpb.KV 0a0161"]),
    ("wire-slash-alone", ["raw / 0a0161"]),
    ("wire-empty-request", [f"raw {RANGE} ", f"raw {PUT} "]),
    ("wire-unknown-fields", ["Put key:'\\377'", f"raw {RANGE} 0a01fff80f01",
                             f"raw {RANGE} 0a01fffa0f0100", f"raw {RANGE} 0a01ff18012801c005ff01",
                             "DeleteRange key:'\\377'"]),
    ("wire-last-one-wins", [f"raw {RANGE} 0a01fe0a01ff", f"raw {PUT} 0a01ff12013112013220002000",
                            "DeleteRange key:'\\377' prev_kv:true"]),
    ("wire-wrong-type", [f"raw {PUT} 0a01ff1000", "DeleteRange key:'\\377'"]),
    ("wire-alarm-none", ["Alarm", "Alarm alarm:NOSPACE", "Alarm action:GET alarm:CORRUPT",
                         "Alarm memberID:123"]),
    ("wire-member-list-header", ["MemberList", "MemberList linearizable:true"]),
    ("wire-health", ["Health.Check", "Health.Check service:''", "Health.Check service:'nothing'"]),
    ("wire-hasleader", ["meta hasleader=true", "Range key:'@a'", "Put key:'@a'"]),
    ("wire-hasleader-false", ["meta hasleader=false", "Range key:'@a'"]),
    ("wire-client-api-version", ["meta client-api-version=3.6", "Range key:'@a'"]),
    ("wire-unknown-metadata", ["meta something=else other-bin=AAA", "Range key:'@a'"]),
    ("wire-token-without-auth", ["meta token=nonsense", "Range key:'@a'", "Put key:'@a'"]),
    ("wire-bearer-without-auth", ["meta authorization=Bearer%20nonsense", "Range key:'@a'"]),

    ("http-health", ["GET /health", "GET /health?serializable=true",
                     "GET /health?exclude=NOSPACE"]),
    ("http-health-post", ["POST /health"]),
    ("http-health-put", ["HTTP PUT /health"]),
    ("http-nothing", ["GET /nothing", "GET /"]),
    ("http-version-post", ["POST /version", "HTTP PUT /version"]),
]
# 3.4.23 has neither livez nor readyz.
CASES_OF_36 = [
    ("http-livez", ["GET /livez", "GET /livez?verbose", "GET /livez/serializable_read"]),
    ("http-livez-unknown", ["GET /livez/nothing"]),
    ("http-livez-exclude", ["GET /livez?exclude=serializable_read", "GET /livez?exclude=nothing",
                            "GET /livez?exclude=serializable_read&verbose"]),
    ("http-livez-post", ["POST /livez"]),
    ("http-readyz", ["GET /readyz"]),
    ("http-readyz-verbose", ["GET /readyz?verbose"]),
    ("http-readyz-each", [f"GET /readyz/{name}" for name in (
        "data_corruption", "serializable_read", "linearizable_read", "non_learner")]),
    ("http-readyz-exclude", ["GET /readyz?exclude=non_learner&exclude=linearizable_read&verbose"]),
]

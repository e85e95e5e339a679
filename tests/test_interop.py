# SPDX-License-Identifier: Apache-2.0
"""Our gRPC library and others, by the cases of the official interop test: every client with every
server. docs/reference/grpc-interop.md is the table of what passes; a test holds it to this file,
and OAK_REWRITE=1 writes it.

The programs are in tests/interop. grpc-go's are those of its own, in the folder that
OAK_INTEROP_GO names: `make interop-go` has them made and sets it."""
import os
import re
import subprocess

import pytest

import harness
import test_h2spec

PAGE = os.path.join(harness.TOP, "docs", "reference", "grpc-interop.md")
TIMEOUT_S = 120

CASES = {
    "empty_unary": "a message of no bytes, both ways",
    "large_unary": "271,828 bytes up, 314,159 down",
    "client_compressed_unary": "the server sees which request was compressed",
    "server_compressed_unary": "the client sees which answer was compressed",
    "client_streaming": "four requests, one answer",
    "client_compressed_streaming": "compressed and plain requests in one stream",
    "server_streaming": "one request, four answers in order",
    "server_compressed_streaming": "compressed and plain answers in one stream",
    "ping_pong": "requests and answers by turns",
    "empty_stream": "a stream without a message",
    "timeout_on_sleeping_server": "a deadline of 1 ms",
    "cancel_after_begin": "cancelled before the first message",
    "cancel_after_first_response": "cancelled in the midst of a stream",
    "status_code_and_message": "a status as the server gave it",
    "special_status_message": "white space and Unicode in it",
    "custom_metadata": "text and binary metadata come back",
    "unimplemented_method": "a method that isn't there",
    "unimplemented_service": "a service that isn't there",
    "pick_first_unary": "a hundred calls go to one server of two",
    "rpc_soak": "large_unary again and again on one channel",
    "channel_soak": "large_unary again and again on channels of their own",
    "concurrent_large_unary": "large_unary a thousand times at once on one channel",
}

# A pair of programs, as the page names it: who calls, and who serves.
PAIRS = [("oakum", "oakum"), ("oakum", "cpp"), ("cpp", "oakum"), ("oakum", "go"), ("go", "oakum")]
NAMES = {"oakum": "Oakum", "cpp": "C++", "go": "Go"}
TRANSPORTS = ("plain", "tls")
# Whom the server's certificate is for: not for the address that it is reached at.
HOST = "interop.test"

# What a program of the other side does not do, by its side and case: (reason, cases).
LACKS = {
    ("go", "client"): ("grpc-go's client has no such case",
                       ("client_compressed_unary", "server_compressed_unary",
                        "client_compressed_streaming", "server_compressed_streaming",
                        "concurrent_large_unary")),
    ("go", "server"): ("grpc-go's server neither looks at the flag of compression, nor sets it, "
                       "nor tells who it is",
                       ("client_compressed_unary", "server_compressed_unary",
                        "client_compressed_streaming", "server_compressed_streaming",
                        "pick_first_unary")),
}
SOAK = ["--soak_iterations=50"]


def lack(client, server, case):
    """Why this pair can't run the case; None when it can."""
    for side in ((client, "client"), (server, "server")):
        reason, cases = LACKS.get(side, (None, ()))
        if case in cases:
            return reason
    return None


def program(kind, side):
    """Gives the path of a program, or skips."""
    if kind == "go":
        folder = os.environ.get("OAK_INTEROP_GO")
        path = os.path.join(folder, side) if folder else ""
        hint = "make interop-go"
    else:
        stem = "interop_" if kind == "oakum" else "interop_peer_"
        path = os.path.join(os.path.dirname(harness.oakum_path()), stem + side)
        hint = "make test"
    if not os.access(path, os.X_OK):
        pytest.skip(f"{kind}'s {side} is not there: {hint}")
    return path


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=TIMEOUT_S)


def certificates(folder):
    """A root, and a server's certificate of it. Gives the flags for a server and for a client."""
    ca, key, cert = folder / "ca.pem", folder / "server.key", folder / "server.pem"
    request, extensions = folder / "server.csr", folder / "extensions"
    extensions.write_text(f"subjectAltName=DNS:{HOST}\n")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *curve, "-keyout", folder / "ca.key", "-out", ca, "-days", "2",
            "-subj", "/CN=interop test root")
    openssl("req", "-new", *curve, "-keyout", key, "-out", request, "-subj", "/CN=server")
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", folder / "ca.key",
            "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", cert)
    return (["--use_tls=true", f"--tls_cert_file={cert}", f"--tls_key_file={key}"],
            ["--use_tls=true", "--use_test_ca=true", f"--ca_file={ca}",
             f"--server_host_override={HOST}"])


class Server:
    """A server that was started, and the port it said."""

    def __init__(self, kind, folder, flags=()):
        self.log = folder / f"{kind}.log"
        env = dict(os.environ, GRPC_GO_LOG_SEVERITY_LEVEL="info")
        with open(self.log, "wb") as out:
            self.process = harness.child([program(kind, "server"), "--port=0", *flags],
                                         stdout=out, stderr=out, env=env)
        self.port = harness.until(self.find_port, f"{kind}'s server tells its port")

    def find_port(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended: {self.text()}")
        found = re.search(r"listening on (?:\S*:)?(\d+)\n", self.text())
        return found and found.group(1)

    def text(self):
        return self.log.read_text(errors="replace")

    def stop(self):
        """Gives its code, or the signal it was ended with, negative."""
        self.process.terminate()
        return self.process.wait(TIMEOUT_S)


@pytest.fixture(name="tls_flags", scope="module")
def fixture_tls_flags(tmp_path_factory):
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server_of(tmp_path_factory, tls_flags):
    """Gives the server of a kind and transport, started once."""
    servers = {}

    def find(kind, transport, which="one"):
        key = kind, transport, which
        if key not in servers:
            servers[key] = Server(kind, tmp_path_factory.mktemp(transport),
                                  tls_flags[0] if transport == "tls" else ())
        return servers[key]

    yield find
    for key, server in servers.items():
        code = server.stop()
        assert key[0] != "oakum" or code == 0, server.text()


def runs():
    """(client, server, transport, case) of all that can run here; Go's only in its own target."""
    for client, server in PAIRS:
        if "go" in (client, server) and not os.environ.get("OAK_INTEROP_GO"):
            continue
        for transport in TRANSPORTS:
            for case in CASES:
                if lack(client, server, case) is None:
                    yield client, server, transport, case


@pytest.mark.parametrize("client,server,transport,case", runs())
def test_interop(server_of, tls_flags, client, server, transport, case):
    peer = server_of(server, transport)
    argv = [program(client, "client"), "--server_host=127.0.0.1", f"--server_port={peer.port}",
            f"--test_case={case}"]
    if transport == "tls":
        argv += tls_flags[1]
    if case.endswith("_soak"):
        argv += SOAK
    if case == "pick_first_unary" and client != "go":
        argv.append(f"--server_target=ipv4:127.0.0.1:{peer.port},"
                    f"127.0.0.1:{server_of(server, transport, 'another').port}")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr + "\nthe server said: " + peer.text()


def test_interop_a_case_that_fails_is_told(server_of):
    """A case that there isn't, one that the server refuses, and a server that isn't there."""
    peer = server_of("oakum", "plain")
    for kind in ("oakum", "cpp"):
        for flags in (["--test_case=nothing"], ["--test_case=rpc_soak", "--soak_response_size=-1"],
                      ["--test_case=large_unary", "--server_port=1"]):
            done = subprocess.run([program(kind, "client"), "--server_host=127.0.0.1",
                                   f"--server_port={peer.port}"] + flags, capture_output=True,
                                  text=True, timeout=TIMEOUT_S, check=False)
            assert done.returncode == 1 and "failed: " in done.stderr


def test_interop_another_name_is_not_taken(server_of, tls_flags):
    """What the server's certificate is for decides, not where it is reached."""
    peer = server_of("oakum", "tls")
    for kind in ("oakum", "cpp"):
        for flags in (["--server_host_override=other.test"], ["--server_host_override="]):
            done = subprocess.run([program(kind, "client"), "--server_host=127.0.0.1",
                                   f"--server_port={peer.port}", "--test_case=empty_unary",
                                   *tls_flags[1], *flags], capture_output=True, text=True,
                                  timeout=TIMEOUT_S, check=False)
            assert done.returncode == 1 and "failed: status" in done.stderr, done.stderr


# -- the page -------------------------------------------------------------------------------------

HEAD = """# gRPC interop

Our gRPC library against the other implementations, by the cases of gRPC's official interop test
(grpc.testing.TestService), in both directions: who calls → who serves. C++ is gRPC's own library,
as Debian has it, with a client and a server of ours on it (`tests/interop/peers`); Go is grpc-go's
own interop client and server.

`make test` runs the pairs of C and C++, `make interop-go` those with Go. Every "yes" is two tests
of `tests/test_interop.py` that passed, over plain TCP and over TLS; a number says below why the
other side has no such case.

"""

H2SPEC_HEAD = """
## h2spec

`make h2spec` runs all cases of h2spec, the strict ones too, against our server. It goes by RFC
7540; those that may fail, because RFC 9113 says otherwise:
"""


def page_text():
    notes = []
    head = "| Case | What it shows | " + " | ".join(
        f"{NAMES[c]} → {NAMES[s]}" for c, s in PAIRS) + " |"
    lines = [head, "| --- " * (len(PAIRS) + 2) + "|"]
    for case, what in CASES.items():
        cells = []
        for client, server in PAIRS:
            reason = lack(client, server, case)
            if reason and reason not in notes:
                notes.append(reason)
            cells.append(str(notes.index(reason) + 1) if reason else "yes")
        lines.append(f"| `{case}` | {what} | " + " | ".join(cells) + " |")
    tail = [f"{n}. {note[0].upper() + note[1:]}." for n, note in enumerate(notes, 1)]
    return HEAD + "\n".join(lines) + "\n\n" + "\n".join(tail) + "\n" + h2spec_text()


def h2spec_text():
    reasons = {}
    for (section, what), reason in test_h2spec.EXPLAINED.items():
        reasons.setdefault(reason, []).append(f"- {section}: {what}")
    return H2SPEC_HEAD + "".join("\n" + "\n".join(cases) + f"\n\n{reason}.\n"
                                 for reason, cases in reasons.items())


def test_interop_the_page_is_what_is_tested():
    wanted = page_text()
    if os.environ.get("OAK_REWRITE") == "1":
        with open(PAGE, "w", encoding="utf-8") as f:
            f.write(wanted)
    with open(PAGE, encoding="utf-8") as f:
        assert f.read() == wanted, "OAK_REWRITE=1 writes it"

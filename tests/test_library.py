# SPDX-License-Identifier: Apache-2.0
"""The libraries as others get them: installed into a folder of their own, found by pkg-config and
by CMake, linked static and shared from C and C++, with nothing but their interfaces to be seen."""
import glob
import os
import re
import shutil
import signal
import subprocess

import pytest

import harness

# Makes a group of one, proposes, and prints what comes out as applied.
RAFT_PROGRAM = r"""
#include <oakum/raft.h>
#include <stdio.h>
#include <stdlib.h>

static void *resize(void *user, void *p, size_t size)
{
    (void)user;
    if (size == 0) {
        free(p);
        return NULL;
    }
    return realloc(p, size);
}

int main(void)
{
    struct oak_raft_options o = {};
    struct oak_raft *r = NULL;
    unsigned applied = 0;
    o.id = 1;
    o.alloc.resize = resize;
    o.snapshot.config.voter_count = 1;
    o.snapshot.config.voters[0] = 1;
    if (oak_raft_new(&o, &r) != OAK_RAFT_OK || oak_raft_campaign(r) != OAK_RAFT_OK) {
        return 1;
    }
    for (int turn = 0; turn < 3; turn++) {
        (void)oak_raft_propose(r, "five!", 5, NULL, NULL);
        while (oak_raft_has_output(r)) {
            const struct oak_raft_output *out = oak_raft_take(r);
            uint64_t last = 0;
            for (size_t i = 0; i < out->apply_count; i++) {
                applied += out->apply[i].size;
                last = out->apply[i].index;
            }
            oak_raft_persisted(r, out->persist.token);
            oak_raft_applied(r, last);
        }
    }
    printf("%s %s %u\n", oak_raft_role_name(OAK_RAFT_LEADER), oak_raft_error_text(0), applied);
    oak_raft_free(r);
    return 0;
}
"""
# Includes all, makes what can be made without files, runs the loop for one posted function.
RPC_PROGRAM = r"""
#include <oakum/carrier.h>
#include <oakum/channel.h>
#include <oakum/common.h>
#include <oakum/jsonrpc.h>
#include <oakum/raft.h>
#include <oakum/rpc.h>
#include <oakum/runtime.h>
#include <oakum/services.h>
#include <oakum/stub.h>
#include <oakum/tls.h>
#include <stdio.h>

static void stop(void *user)
{
    oak_runtime_stop((struct oak_runtime *)user);
}

int main(void)
{
    struct oak_runtime *rt = NULL;
    struct oak_rpc_server *server = NULL;
    struct oak_health *health = NULL;
    struct oak_jsonrpc_server *door = NULL;
    struct oak_channel *channel = NULL;
    struct oak_tls *tls = NULL;
    struct oak_tls_options options = {};
    struct oak_errbuf e = {};
    options.role = OAK_TLS_SERVER;
    if (oak_runtime_new(&rt) != OAK_OK ||
        oak_rpc_server_new(oak_runtime_loop(rt), NULL, &server) != OAK_OK ||
        oak_health_add(server, &health) != OAK_OK ||
        oak_jsonrpc_server_new(oak_runtime_loop(rt), server, NULL, &door) != OAK_OK ||
        oak_channel_new(oak_runtime_loop(rt), "dns:///localhost:1", NULL, &channel, &e) != OAK_OK ||
        oak_runtime_post(rt, stop, rt) != OAK_OK) {
        return 1;
    }
    oak_runtime_run(rt);
    printf("%s %s", oak_channel_state_name(oak_channel_state(channel)),
           oak_rpc_code_name((enum oak_rpc_code)oak_error_grpc(OAK_ETLS)));
    oak_channel_free(channel);
    oak_runtime_close(rt);
    oak_jsonrpc_server_free(door);
    oak_rpc_server_free(server);
    oak_health_free(health);
    oak_runtime_free(rt);
    printf(" %d %s\n", oak_tls_new(&options, &tls, &e) == OAK_EINVAL, e.text);
    return 0;
}
"""
# Asks where nobody is.
CLIENT_PROGRAM = r"""
#include <oakum/client.h>
#include <oakum/runtime.h>
#include <oakum/sync.h>
#include <stdio.h>

static void done(void *user, const struct oak_client_answer *answer)
{
    printf("%s %s\n", oak_error_name(answer->error), oak_rpc_code_name(answer->code));
    oak_runtime_stop((struct oak_runtime *)user);
}

int main(void)
{
    struct oak_runtime *rt = NULL;
    struct oak_client *client = NULL;
    struct oak_client_options options = {};
    const struct oak_client_op get = oak_client_get(oak_bytes_str("key"));
    options.fail_fast = true;
    if (oak_runtime_new(&rt) != 0 ||
        oak_client_new(oak_runtime_loop(rt), "unix:/nowhere/to/be/found", &options, &client,
                       NULL) != 0 ||
        oak_client_do(client, &get, 0, done, rt, NULL) != 0) {
        return 1;
    }
    oak_runtime_run(rt);
    oak_client_free(client);
    oak_runtime_free(rt);
    struct oak_sync *cluster = NULL;
    struct oak_sync_options blocking = {};
    blocking.client = options;
    if (oak_sync_open("unix:/nowhere/to/be/found", &blocking, &cluster, NULL) != 0) {
        return 1;
    }
    printf("%s\n", oak_error_name(oak_sync_get(cluster, oak_bytes_str("key"), 0, NULL)));
    oak_sync_free(cluster);
    return 0;
}
"""


class Library:
    """What a test needs to know of one library."""

    def __init__(self, name, headers, api, program, prints, needs):
        self.name = name
        self.package = "Oakum" + name.capitalize()
        self.headers = headers
        self.api = api
        self.program = program
        self.prints = prints
        self.needs = needs

    def declared(self):
        """The functions of the headers."""
        text = ""
        for header in self.headers:
            with open(os.path.join(INCLUDE, header), encoding="utf-8") as f:
                text += re.sub(r"/\*.*?\*/", " ", f.read(), flags=re.S)
        return set(re.findall(rf"^{self.api}\b[^;(]*?(\w+)\(", text, re.M))

    def __repr__(self):
        return self.name


INCLUDE = os.path.join(harness.TOP, "include", "oakum")
ALL = {os.path.basename(path) for path in glob.glob(os.path.join(INCLUDE, "*.h"))}
LIBRARIES = [
    Library("raft", {"raft.h"}, "OAK_RAFT_API", RAFT_PROGRAM, "leader ok 10\n", {"libc.so.6"}),
    Library("rpc", ALL - {"raft.h", "client.h", "sync.h"}, "OAK_API", RPC_PROGRAM,
            "IDLE Unavailable 1 TLS: a server needs a certificate and its key\n",
            {"libc.so.6", "libcrypto.so.3", "libjansson.so.4", "libnghttp2.so.14",
             "libprotobuf-c.so.1", "libssl.so.3", "libuv.so.1", "libz.so.1"}),
    Library("client", {"client.h", "sync.h"}, "OAK_API", CLIENT_PROGRAM,
            "EUNREACHABLE Unavailable\nEUNREACHABLE\n",
            {"libc.so.6", "liboakum-rpc.so.0", "libprotobuf-c.so.1"}),
]
each_library = pytest.mark.parametrize("library", LIBRARIES, ids=str)


def run(*command, cwd=None, env=None):
    """Run to the end; what it printed. A failure shows everything."""
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **(env or {})}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                          timeout=harness.PATIENCE_S * 4)
    assert done.returncode == 0, f"{' '.join(map(str, command))}:\n{done.stdout}"
    return done.stdout


def build_folder():
    return os.path.dirname(os.path.dirname(harness.oakum_path()))


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """The library installed by itself, then moved: nothing may remember where it was."""
    first = tmp_path_factory.mktemp("library") / "first"
    run("cmake", "--install", build_folder(), "--prefix", str(first), "--component", "library",
        env={"DESTDIR": ""})
    moved = first.with_name("moved")
    shutil.move(first, moved)
    return moved


def symbols(*command):
    """Defined names that nm prints."""
    return {line.split()[-1] for line in run("nm", *command).splitlines()
            if re.search(r" [A-Zu] \S+$", line) and not re.search(r" U \S+$", line)}


@each_library
def test_everything_lies_where_it_is_looked_for(prefix, library):
    name, package = f"oakum-{library.name}", library.package
    for path in [*(f"include/oakum/{header}" for header in library.headers),
                 f"lib/lib{name}.a", f"lib/lib{name}.so", f"lib/pkgconfig/{name}.pc",
                 f"lib/cmake/{package}/{package}Config.cmake",
                 f"lib/cmake/{package}/{package}ConfigVersion.cmake", f"share/man/man3/{name}.3"]:
        assert (prefix / path).exists(), path
    shown = run("readelf", "-d", str(prefix / f"lib/lib{name}.so"))
    assert re.search(rf"SONAME.*\[lib{name}\.so\.\d+\]", shown), shown


def test_no_header_is_installed_that_belongs_to_no_library(prefix):
    installed = {path.name for path in (prefix / "include/oakum").iterdir()}
    assert installed == ALL | {"errors.def"}
    assert (prefix / "bin/protoc-gen-oakum").exists()


@each_library
def test_nothing_but_the_interface_is_exported(prefix, library):
    functions = library.declared()
    assert len(functions) >= 20
    path = str(prefix / f"lib/liboakum-{library.name}")
    assert symbols("-D", "--defined-only", path + ".so") == functions
    assert symbols("-g", "--defined-only", path + ".a") == functions


@each_library
def test_it_needs_what_it_says_and_nothing_else(prefix, library):
    shown = run("readelf", "-d", str(prefix / f"lib/liboakum-{library.name}.so"))
    assert set(re.findall(r"NEEDED.*\[(.*?)\]", shown)) == library.needs


@pytest.mark.parametrize("kind", ["shared", "static"])
@pytest.mark.parametrize("compiler,suffix", [("cc", "c"), ("c++", "cc")])
@each_library
def test_a_program_builds_by_pkg_config(prefix, tmp_path, compiler, suffix, kind, library):
    name = f"oakum-{library.name}"
    env = {"PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig")}
    more = ["--static"] if kind == "static" else []
    flags = run("pkg-config", *more, "--cflags", "--libs", name, env=env).split()
    if kind == "static":
        flags = [f if f != f"-l{name}" else f"-l:lib{name}.a" for f in flags]
    source = tmp_path / f"program.{suffix}"
    source.write_text(library.program)
    run(compiler, "-Wall", "-Wextra", "-Werror", "-o", "program", source.name, *flags, cwd=tmp_path)
    needed = run("readelf", "-d", str(tmp_path / "program"))
    assert (f"lib{name}.so" in needed) == (kind == "shared")
    printed = run(str(tmp_path / "program"), env={"LD_LIBRARY_PATH": str(prefix / "lib")})
    assert printed == library.prints


@pytest.mark.parametrize("kind", ["", "_static"])
@each_library
def test_a_program_builds_by_cmake(prefix, tmp_path, library, kind):
    (tmp_path / "program.c").write_text(library.program)
    (tmp_path / "program.cc").write_text(library.program)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(user LANGUAGES C CXX)\n"
        f"find_package({library.package} 0.1 REQUIRED)\n"
        f"foreach(x c cc)\nadd_executable(in_${{x}} program.${{x}})\n"
        f"target_link_libraries(in_${{x}} Oakum::{library.name}{kind})\nendforeach()\n")
    run("cmake", "-G", "Ninja", "-B", "build", f"-DCMAKE_PREFIX_PATH={prefix}", cwd=tmp_path)
    run("cmake", "--build", "build", cwd=tmp_path)
    for x in ("c", "cc"):
        assert run(str(tmp_path / "build" / f"in_{x}")) == library.prints


@each_library
def test_cmake_refuses_another_version(prefix, tmp_path, library):
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(user LANGUAGES C)\n"
        f"find_package({library.package} 99.0 QUIET)\n"
        f"if({library.package}_FOUND)\nmessage(FATAL_ERROR found)\nendif()\n")
    run("cmake", "-G", "Ninja", "-B", "build", f"-DCMAKE_PREFIX_PATH={prefix}", cwd=tmp_path)


def test_the_manual_of_raft_describes_every_function(prefix):
    with open(prefix / "share/man/man3/oakum-raft.3", encoding="utf-8") as f:
        text = f.read().replace("\\-", "-")
    synopsis, functions = text.split(".SH DESCRIPTION")[0], text.split(".SH FUNCTIONS")[1]
    missing = {name for name in LIBRARIES[0].declared()
               if not re.search(rf"^\.BI .*\b{name}\(", synopsis, re.M)
               or not re.search(rf"^\.BR .*\b{name}\b", functions, re.M)}
    assert not missing


@pytest.mark.parametrize("library", LIBRARIES[1:], ids=str)
def test_the_manual_is_what_the_headers_say(prefix, library):
    with open(prefix / f"share/man/man3/oakum-{library.name}.3", encoding="utf-8") as f:
        text = f.read()
    assert not {name for name in library.declared() if f"{name}(" not in text}
    assert "OAK_API" not in text and ".\\\" the headers" not in text


# -- programs --------------------------------------------------------------------------------------

def example(name, prefix, build):
    """An example of gRPC, built against the installed library alone: where its programs are."""
    run("cmake", "-G", "Ninja", "-B", str(build), "-S",
        os.path.join(harness.TOP, "examples", name), f"-DCMAKE_PREFIX_PATH={prefix}",
        "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror")
    run("cmake", "--build", str(build))
    return build


def start(*command):
    """A program of the client's, that talks and is talked to."""
    return harness.child([*harness.UNDER, *command], text=True, stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE)


@pytest.fixture(scope="module")
def echo(prefix, tmp_path_factory):
    return example("rpc-echo", prefix, tmp_path_factory.mktemp("echo"))


@pytest.fixture(scope="module")
def greeter(prefix, tmp_path_factory):
    return example("greeter", prefix, tmp_path_factory.mktemp("greeter"))


@pytest.fixture(scope="module")
def kv_watch(prefix, tmp_path_factory):
    return example("kv-watch", prefix, tmp_path_factory.mktemp("watch")) / "kv-watch"


def test_a_program_follows_a_key_over_the_end_of_a_member(kv_watch, start_cluster, etcdctl_bin):
    assert etcdctl_bin
    cluster = start_cluster(size=3)
    cluster.etcdctl("put", "greeting", "hello")
    with start(kv_watch, ",".join(cluster.endpoints), "greeting") as program:
        assert program.stdout.readline() == "is hello\n"
        cluster.etcdctl("put", "greeting", "again")
        assert program.stdout.readline() == "now again\n"
        leader = cluster.leader()
        leader.kill()
        alive = [node.endpoint for node in cluster.nodes if node != leader]
        harness.until(lambda: cluster.etcdctl("put", "greeting", "still", endpoints=alive),
                      "a put without the leader")
        assert program.stdout.readline() == "now still\n"
        cluster.etcdctl("del", "greeting", endpoints=alive)
        assert program.stdout.readline() == "deleted \n"
        program.terminate()
        assert program.wait(harness.PATIENCE_S) == 0


@pytest.fixture(scope="module")
def kv_lock(prefix, tmp_path_factory):
    return example("kv-lock", prefix, tmp_path_factory.mktemp("lock")) / "kv-lock"


@pytest.fixture(scope="module")
def leader(prefix, tmp_path_factory):
    return example("leader", prefix, tmp_path_factory.mktemp("leader")) / "leader"


def test_programs_that_count_under_a_lock_lose_nothing(kv_lock, start_cluster, etcdctl_bin):
    assert etcdctl_bin
    cluster = start_cluster(size=3)
    counting = [start(kv_lock, ",".join(cluster.endpoints), "hits") for _ in range(8)]
    printed = [program.communicate(timeout=harness.PATIENCE_S)[0] for program in counting]
    sums = sorted(int(text) for text in printed if text)
    hits = int(cluster.etcdctl("get", "hits", "--print-value-only"))
    assert sums and len(set(sums)) == len(sums)
    assert max(sums) <= hits <= 8
    # On a machine that stands still, who waits for an answer may be told that there was none.
    assert all(program.returncode == (0 if text else 1)
               for program, text in zip(counting, printed))
    harness.until(lambda: not cluster.etcdctl("get", "kv-lock/", "--prefix", "--keys-only").strip(),
                  "the locks are released, or have gone with their leases")


def test_candidates_take_turns_also_when_one_is_gone_without_a_word(leader, start_cluster):
    cluster = start_cluster(size=3)

    def stand(name):
        return start(leader, ",".join(cluster.endpoints), "crown", name)

    def says(program, *lines):
        """These are the next lines, in whatever order. That nobody leads is told before, if it is
        seen: a candidate may be faster than its own observer."""
        wanted = set(lines)
        while wanted:
            line = program.stdout.readline()
            assert line == "leader: \n" or line in wanted, line
            wanted.discard(line)

    with stand("ada") as ada:
        says(ada, "leader: ada\n", "elected\n")
        with stand("grace") as grace:
            says(grace, "leader: ada\n")
            harness.until(lambda: cluster.etcdctl("get", "crown/", "--prefix", "--keys-only")
                          .count("crown/") == 2, "both stand")
            ada.kill()
            says(grace, "leader: grace\n", "elected\n")
            grace.stdin.write("\n")
            grace.stdin.flush()
            assert "resigned\n" in grace.stdout.read()
            assert grace.wait(harness.PATIENCE_S) == 0


def test_the_guide_of_the_client_names_what_there_is():
    with open(os.path.join(harness.TOP, "docs", "guide", "c-client.md"), encoding="utf-8") as f:
        guide = f.read()
    known = set().union(*(library.declared() for library in LIBRARIES))
    for header in ("client.h", "sync.h", "common.h"):
        with open(os.path.join(INCLUDE, header), encoding="utf-8") as f:
            inline = r"^(?:OAK_MUST_USE )?static inline [^{;]*?\b(oak_\w+)\("
            known |= set(re.findall(inline, f.read(), re.M))
    assert not set(re.findall(r"\boak_\w+(?=\()", guide)) - known


def test_the_program_of_the_client_s_guide_says_hello(prefix, tmp_path, start_cluster):
    with open(os.path.join(harness.TOP, "docs", "guide", "c-client.md"), encoding="utf-8") as f:
        program = re.search(r"^```c\n(.*?)^```$", f.read(), re.M | re.S)[1]
    here = "127.0.0.1:2379,127.0.0.1:22379,127.0.0.1:32379"
    assert here in program
    endpoints = ",".join(start_cluster(size=1).endpoints)
    (tmp_path / "hello.c").write_text(program.replace(here, endpoints))
    flags = run("pkg-config", "--cflags", "--libs", "oakum-client",
                env={"PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig")}).split()
    run("cc", "-Wall", "-Wextra", "-Werror", "-o", "hello", "hello.c", *flags, cwd=tmp_path)
    assert run(*harness.UNDER, str(tmp_path / "hello"),
               env={"LD_LIBRARY_PATH": str(prefix / "lib")}) == "hello\n"


def test_a_client_and_a_server_speak_to_each_other(echo, tmp_path):
    path = tmp_path / "socket"
    with harness.child([echo / "echo-server", f"unix:{path}"], text=True,
                       stdout=subprocess.PIPE) as server:
        harness.until(path.exists, "the server listens")
        for text in ("hello", "", "x" * 100000):
            assert run(str(echo / "echo-client"), f"unix:{path}", text) == f"{text}\nOK\n"
        server.send_signal(signal.SIGTERM)
        printed = server.communicate(timeout=harness.PATIENCE_S)[0]
    assert server.returncode == 0
    assert printed.count(": OK\n") == 3
    assert not path.exists()


def test_the_guide_s_program_greets_by_calls_and_by_a_stream(greeter):
    with harness.child([greeter / "greeter-server", "127.0.0.1:0"], text=True,
                       stdout=subprocess.PIPE) as server:
        address = server.stdout.readline().removeprefix("serving on ").strip()
        client = str(greeter / "greeter-client")
        assert run(client, address, "Ada") == "Hello, Ada!\n"
        names = ("Ada", "Grace", "Barbara")
        assert run(client, f"dns:///{address}", *names) == \
            "".join(f"Hello, {name}!\n" for name in names)
        refused = subprocess.run([client, address, ""], text=True, capture_output=True,
                                 check=False, timeout=harness.PATIENCE_S)
        assert refused.returncode == 1
        assert refused.stderr == "InvalidArgument: who is to be greeted?\n"
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=harness.PATIENCE_S)
    assert server.returncode == 0


def test_the_guide_shows_what_is_in_its_program():
    """Each line of C that the guide takes from the greeter is there."""
    with open(os.path.join(harness.TOP, "docs", "guide", "grpc.md"), encoding="utf-8") as f:
        shown = set(re.findall(r"\bgreeter__greeter\w*|\boak_\w+(?=\()", f.read()))
    known = set(LIBRARIES[1].declared())
    program = ""
    for name in ("server.c", "client.c"):
        with open(os.path.join(harness.TOP, "examples", "greeter", name), encoding="utf-8") as f:
            program += f.read()
    assert not {name for name in shown if name not in known and name not in program}


def test_a_client_without_a_server_is_told(echo, tmp_path):
    printed = run(str(echo / "echo-client"), f"unix:{tmp_path}/nobody", "hello")
    assert re.fullmatch(r"(DeadlineExceeded|Unavailable)\n", printed), printed


def test_the_readme_shows_the_programs_whole():
    with open(os.path.join(INCLUDE, "README.md"), encoding="utf-8") as f:
        shown = re.findall(r"^```c\n(.*?)^```$", f.read(), re.M | re.S)
    programs = []
    for name in ("server.c", "client.c"):
        with open(os.path.join(harness.TOP, "examples", "rpc-echo", name), encoding="utf-8") as f:
            programs.append(re.sub(r"\A(/\*.*\*/\n)*", "", f.read()))  # as they are, without titles
    assert shown == programs
    assert all(len(program.splitlines()) < 40 for program in shown)

# SPDX-License-Identifier: Apache-2.0
"""The Raft core as others get it: installed into a folder of its own, found by pkg-config and by
CMake, linked static and shared from C and C++, with nothing but its interface to be seen."""
import os
import re
import shutil
import subprocess

import pytest

import harness

HEADER = os.path.join(harness.TOP, "include", "oakum", "raft.h")
# Makes a group of one, proposes, and prints what comes out as applied.
PROGRAM = r"""
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
PRINTS = "leader ok 10\n"


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


def declared():
    """The functions of the header."""
    with open(HEADER, encoding="utf-8") as f:
        text = re.sub(r"/\*.*?\*/", " ", f.read(), flags=re.S)
    return set(re.findall(r"^OAK_RAFT_API\b[^;(]*?(\w+)\(", text, re.M))


def symbols(*command):
    """Defined names that nm prints."""
    return {line.split()[-1] for line in run("nm", *command).splitlines()
            if re.search(r" [A-Zu] \S+$", line) and not re.search(r" U \S+$", line)}


def test_everything_lies_where_it_is_looked_for(prefix):
    for path in ["include/oakum/raft.h", "lib/liboakum-raft.a", "lib/liboakum-raft.so",
                 "lib/pkgconfig/oakum-raft.pc", "lib/cmake/OakumRaft/OakumRaftConfig.cmake",
                 "lib/cmake/OakumRaft/OakumRaftConfigVersion.cmake",
                 "share/man/man3/oakum-raft.3"]:
        assert (prefix / path).exists(), path
    shown = run("readelf", "-d", str(prefix / "lib/liboakum-raft.so"))
    assert re.search(r"SONAME.*\[liboakum-raft\.so\.\d+\]", shown), shown


def test_nothing_but_the_interface_is_exported(prefix):
    functions = declared()
    assert len(functions) >= 20 and "oak_raft_take" in functions
    assert symbols("-D", "--defined-only", str(prefix / "lib/liboakum-raft.so")) == functions
    assert symbols("-g", "--defined-only", str(prefix / "lib/liboakum-raft.a")) == functions


def test_it_needs_nothing_but_libc(prefix):
    shown = run("readelf", "-d", str(prefix / "lib/liboakum-raft.so"))
    assert set(re.findall(r"NEEDED.*\[(.*?)\]", shown)) <= {"libc.so.6"}


@pytest.mark.parametrize("kind", ["shared", "static"])
@pytest.mark.parametrize("compiler,suffix", [("cc", "c"), ("c++", "cc")])
def test_a_program_builds_by_pkg_config(prefix, tmp_path, compiler, suffix, kind):
    env = {"PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig")}
    flags = run("pkg-config", "--cflags", "--libs", "oakum-raft", env=env).split()
    if kind == "static":
        flags = [f if f != "-loakum-raft" else "-l:liboakum-raft.a" for f in flags]
    source = tmp_path / f"program.{suffix}"
    source.write_text(PROGRAM)
    run(compiler, "-Wall", "-Wextra", "-Werror", "-o", "program", source.name, *flags, cwd=tmp_path)
    needed = run("readelf", "-d", str(tmp_path / "program"))
    assert ("liboakum-raft.so" in needed) == (kind == "shared")
    assert run(str(tmp_path / "program"), env={"LD_LIBRARY_PATH": str(prefix / "lib")}) == PRINTS


@pytest.mark.parametrize("target", ["Oakum::raft", "Oakum::raft_static"])
def test_a_program_builds_by_cmake(prefix, tmp_path, target):
    (tmp_path / "program.c").write_text(PROGRAM)
    (tmp_path / "program.cc").write_text(PROGRAM)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(user LANGUAGES C CXX)\n"
        "find_package(OakumRaft 0.1 REQUIRED)\n"
        f"foreach(x c cc)\nadd_executable(in_${{x}} program.${{x}})\n"
        f"target_link_libraries(in_${{x}} {target})\nendforeach()\n")
    run("cmake", "-G", "Ninja", "-B", "build", f"-DCMAKE_PREFIX_PATH={prefix}", cwd=tmp_path)
    run("cmake", "--build", "build", cwd=tmp_path)
    for x in ("c", "cc"):
        assert run(str(tmp_path / "build" / f"in_{x}")) == PRINTS


def test_cmake_refuses_another_version(prefix, tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(user LANGUAGES C)\n"
        "find_package(OakumRaft 99.0 QUIET)\n"
        "if(OakumRaft_FOUND)\nmessage(FATAL_ERROR found)\nendif()\n")
    run("cmake", "-G", "Ninja", "-B", "build", f"-DCMAKE_PREFIX_PATH={prefix}", cwd=tmp_path)


def test_the_manual_describes_every_function(prefix):
    with open(prefix / "share/man/man3/oakum-raft.3", encoding="utf-8") as f:
        text = f.read().replace("\\-", "-")
    synopsis, functions = text.split(".SH DESCRIPTION")[0], text.split(".SH FUNCTIONS")[1]
    missing = {name for name in declared() if not re.search(rf"^\.BI .*\b{name}\(", synopsis, re.M)
               or not re.search(rf"^\.BR .*\b{name}\b", functions, re.M)}
    assert not missing

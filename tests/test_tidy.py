# SPDX-License-Identifier: Apache-2.0
"""The tidy finds each kind of violation, says where and what to do, and passes a clean tree."""
import os
import re
import subprocess
import sys

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"
HASH = "# SPDX-License-Identifier: Apache-2.0\n"

CLEAN = {
    "tools/layers.txt": HASH + "base | - | - | heap\nport | - | - | pure\nraft | - | - | pure\n"
    "wal | port | - | heap\nstore | port | rocksdb/c.h | heap\nos | port | uv.h | heap os\n",
    "src/base/CMakeLists.txt": HASH + "oak_room(base SOURCES base.c)\n",
    "src/base/README.md": "# base\n",
    "src/base/base.h": SPDX + "#include <stddef.h>\nsize_t oak_base(size_t n);\n",
    "src/base/base.c": SPDX + '#include "base/base.h"\n',
    "src/wal/CMakeLists.txt": HASH + "oak_room(wal SOURCES wal.c USES base port)\n",
    "src/wal/README.md": "# wal\n\n[the base](../base/README.md)\n",
    "src/wal/wal.h": SPDX + '#include "base/base.h"\nint oak_wal_open(size_t n);\n',
    "src/wal/wal.c": SPDX + '#include "wal/wal.h"\n',
    "tools/ask.sh": HASH + "curl http://127.0.0.1:2379/health http://$1/health\n",
}


def tidy(folder, change):
    """Write the clean tree with `change` on top, run the tidy, return (exit code, output)."""
    for path, text in {**CLEAN, **change}.items():
        full = folder / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_text(text)
    done = subprocess.run([sys.executable, os.path.join(TOP, "tools", "tidy.py"), "--root",
                           str(folder), "--build", str(folder / "build")],
                          capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def wal(body, head=""):
    """The change that makes wal.c hold `head` at its top and a function with `body`."""
    return {"src/wal/wal.c": f'{SPDX}#include "wal/wal.h"\n{head}\n'
                             f"int oak_wal_open(size_t n)\n{{\n{body}\n}}\n"}


def lines(count):
    return "\n".join(["    n++;"] * count)


def test_a_clean_tree_has_no_findings(tmp_path):
    code, output = tidy(tmp_path, {
        **wal('    return n > 0 ? 1 : 0; // never strcpy(a, "b")'),
        "tests/tools/tool.c": SPDX + '#include "tests/tools/tool.h"\n',
        "tests/tools/tool.h": SPDX})
    assert code == 0, output
    assert re.search(r"^tidy: \d+ files, 0 findings, 0 waivers$", output, re.M)
    assert "assertions per function: base 0.0, wal 0.0" in output


VIOLATIONS = {
    "an include of a room above": (
        {"src/base/base.c": SPDX + '#include "wal/wal.h"\n'},
        r"src/base/base\.c:2: base may not include wal: "),
    "an include past the door": (
        {"src/store/store.c": SPDX + '#include "port/port.h"\n',
         "src/store/README.md": "# store\n", "src/port/port.h": SPDX,
         "src/port/README.md": "# port\n",
         "src/store/CMakeLists.txt": HASH + "oak_room(store SOURCES store.c USES raft)\n",
         "src/os/os.c": SPDX + '#include "wal/internal.h"\n', "src/os/README.md": "# os\n",
         "src/os/CMakeLists.txt": HASH + "oak_room(os SOURCES os.c)\n"},
        r"src/os/os\.c:2: wal/internal\.h is not the door of wal: include \"wal/wal\.h\""),
    "a link that the layers forbid": (
        {"src/wal/CMakeLists.txt": HASH + "oak_room(wal SOURCES wal.c USES base store)\n"},
        r"src/wal/CMakeLists\.txt:2: wal is linked with store: "),
    "another room's foreign header": (
        wal("    return 0;", "#include <rocksdb/c.h>"),
        r"src/wal/wal\.c:3: <rocksdb/c\.h> belongs to store alone: "),
    "the operating system outside os": (
        wal("    return 0;", "#include <unistd.h>"),
        r"src/wal/wal\.c:3: wal may not include <unistd\.h>: ask the world through port/port\.h"),
    "a room that nobody knows": (
        {"src/attic/attic.c": SPDX}, r"src/attic:1: attic is no room: "),
    "a room without a page": (
        {"src/store/store.c": SPDX,
         "src/store/CMakeLists.txt": HASH + "oak_room(store SOURCES store.c)\n"},
        r"src/store/README\.md:1: the room has no README\.md: "),
    "a page of more than one screen": (
        {"src/wal/README.md": "line\n" * 61}, r"src/wal/README\.md:1: 61 lines, over 60: "),
    "an orphan": (
        {"src/wal/lost.c": SPDX}, r"src/wal/lost\.c:1: no CMakeLists\.txt lists this file: "),
    "a door that needs another header first": (
        {"src/wal/wal.h": SPDX + "int oak_wal_open(size_t n);\n"},
        r"src/wal/wal\.h:1: the header does not compile alone \(.*size_t.*\): "),
    "a long function": (
        wal(lines(70)), r"src/wal/wal\.c:5: oak_wal_open\(\) has 72 lines, over 70: move steps"),
    "a long file": (
        {"src/wal/wal.c": SPDX + "\n" * 600},
        r"src/wal/wal\.c:1: the file has 601 lines, over 600: "),
    "a banned call": (
        wal("    sprintf(0, 0);"), r"src/wal/wal\.c:6: sprintf\(\) is banned here: use snprintf"),
    "a bare assertion": (wal("    assert(n);"), r"assert\(\) is banned here: use OAK_ASSERT"),
    "a long jump": (wal("    longjmp(0, 0);"), r"longjmp\(\) is banned here: return an error"),
    "an exit in a library": (wal("    exit(1);"), r"exit\(\) is banned here: return an error"),
    "memory of its own in a pure room": (
        {"src/raft/raft.c": SPDX + "void f(void)\n{\n    free(malloc(1));\n}\n",
         "src/raft/README.md": "# raft\n", "src/raft/CMakeLists.txt": HASH + "# raft.c\n"},
        r"src/raft/raft\.c:4: malloc\(\) is banned here: take memory from the caller"),
    "the clock, without asking port": (
        wal("    return clock_gettime(0, 0);", "#include <time.h>"),
        r"src/wal/wal\.c:6: clock_gettime\(\) is banned here: ask the world through port/port\.h"),
    "a function private to another room": (
        wal("    store__flush();"), r"src/wal/wal\.c:6: store__flush\(\) is private to store: "),
    "a typedef of a struct": (
        wal("    return 0;", "typedef struct x { int a; } x;"), r"a typedef of a struct: "),
    "a jump backwards": (
        wal("again:\n    goto again;"), r"src/wal/wal\.c:7: goto again: only forward"),
    "an assertion with a side effect": (
        wal("    OAK_ASSERT(n++ > 0);"), r"src/wal/wal\.c:6: an assertion with a side effect: "),
    "a function that calls itself": (
        wal("    return oak_wal_open(n - 1);"), r"oak_wal_open\(\) can reach itself: "),
    "two functions that call each other": (
        wal("    return step(n);",
            "static int step(size_t n)\n{\n    return oak_wal_open(n);\n}\n"),
        r"step\(\) can reach itself: walk with an explicit, bounded stack"),
    "a note of unfinished work": (
        wal("    /* TO" + "DO: all of it */"), r"src/wal/wal\.c:6: a note of unfinished work: "),
    "the macro that turns assertions off": (
        wal("    return 0;", "#ifdef ND" + "EBUG\n#endif"), r"assertions stay on"),
    "a tab": (wal("\treturn 0;"), r"src/wal/wal\.c:6: a tab: use spaces"),
    "a long line": (
        wal("    /* " + "x" * 100 + " */"), r"src/wal/wal\.c:6: 110 columns, over 100: "),
    "a space at the end": (
        wal("    return 0; "), r"src/wal/wal\.c:6: space at the end of the line"),
    "a file without its licence": (
        {"src/wal/wal.c": '#include "wal/wal.h"\n'},
        r"src/wal/wal\.c:1: no SPDX line at the top: "),
    "a path of one machine": (
        {"README.md": "Look in " + "/ro" + "ot/oakum.\n"},
        r"README\.md:1: a path of one machine: "),
    "a host in a script": (
        {"tools/get.sh": HASH + "curl https:" + "//example.com/x\n"},
        r"tools/get\.sh:2: a host's name in a script: "),
    "a link to nowhere": (
        {"README.md": "\n[design](docs/design.md)\n"},
        r"README\.md:2: docs/design\.md does not exist: "),
    "a waiver that nothing needs": (
        {"tools/tidy-waivers.txt": "src/wal/wal.c 650 it was long once\n"},
        r"tools/tidy-waivers\.txt:1: nothing needs the waiver of src/wal/wal\.c: remove it"),
    "a waiver without a reason": (
        {"tools/tidy-waivers.txt": "src/wal/wal.c 650\n"}, r"a waiver without a reason: "),
    "a waiver higher than needed": (
        {**wal(lines(73)), "tools/tidy-waivers.txt": "src/wal/wal.c:oak_wal_open 80 one table\n"},
        r"tidy-waivers\.txt:1: .* has 75 lines now: lower its limit from 80 to 75"),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_finds(tmp_path, name):
    change, message = VIOLATIONS[name]
    code, output = tidy(tmp_path, change)
    assert code == 1, output
    assert re.search(message, output), output


def test_a_waiver_lets_one_function_pass_and_is_counted(tmp_path):
    code, output = tidy(tmp_path, {
        **wal(lines(73)), "tools/tidy-waivers.txt": "src/wal/wal.c:oak_wal_open 75 one table\n"})
    assert code == 0, output
    assert ", 0 findings, 1 waivers" in output


@pytest.mark.parametrize("call, pure", [("memcpy(to, from, n)", True), ("printf(to, n)", False),
                                        ("oak_prng_u64(to)", True), ("time(to)", False)])
def test_a_pure_archive_calls_only_what_it_was_given(tmp_path, call, pure):
    text = f"{SPDX}extern long {call.split('(')[0]}();\nlong f(void *to, void *from, long n)\n" \
           f"{{\n    (void)from, (void)n;\n    return (long){call};\n}}\n"
    change = {"src/raft/raft.c": text, "src/raft/README.md": "# raft\n",
              "src/raft/CMakeLists.txt": HASH + "oak_room(raft SOURCES raft.c)\n"}
    tidy(tmp_path, change)
    out = tmp_path / "build/src/raft"
    out.mkdir(parents=True)
    subprocess.run(["cc", "-w", "-fno-builtin", "-c", "-o", out / "raft.c.o",
                    tmp_path / "src/raft/raft.c"], check=True)
    subprocess.run(["ar", "rc", out / "liboak_raft.a", out / "raft.c.o"], check=True)
    code, output = tidy(tmp_path, change)
    assert (code == 0) is pure, output
    assert pure or f"src/raft/raft.c:1: a pure room calls {call.split('(')[0]}: " in output


def test_an_archive_that_is_not_built_is_a_finding(tmp_path):
    code, output = tidy(tmp_path, {
        "src/raft/raft.c": SPDX, "src/raft/README.md": "# raft\n",
        "src/raft/CMakeLists.txt": HASH + "oak_room(raft SOURCES raft.c)\n"})
    assert code == 1
    assert "the room's archive is not built: run make first" in output

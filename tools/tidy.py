#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tidy.py: the house rules, checked by a program. docs/STYLE.md has the rules and their reasons.

Every finding is one line, "file:line: what is wrong: what to do instead". tools/layers.txt says
who may include whom; tools/tidy-waivers.txt lets single places pass, and a waiver that nothing
needs is a finding itself. Ends with "tidy: N files, N findings, N waivers"; exits 1 on findings.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
README_LINES_MAX = 60
COLUMNS_MAX = 100

CODE = (".c", ".h", ".def")
SCRIPTS = (".py", ".sh", ".cmake", "CMakeLists.txt", "Makefile", ".ci/run")
TEST_FILE = re.compile(r"(_test|_fuzz|_bench|_fixture)\.[ch]$|(^|/)(test|fixture|bench_)\w*\.[ch]$")

# Headers of the C standard; the first set is what a pure room may include.
PURE_HEADERS = set("float inttypes limits stdalign stdarg stdbool stddef stdint stdnoreturn string"
                   .split())
STANDARD_HEADERS = PURE_HEADERS | set("ctype errno math stdatomic stdio stdlib time".split())
# What a pure archive may leave undefined: bounded memory functions, the compiler's run time, and
# those functions of base that neither allocate nor print.
PURE_SYMBOLS = re.compile(
    r"(__)?(mem(cpy|move|set|cmp|chr)|strn?len)(_chk)?$|__stack_chk_fail$"
    r"|_GLOBAL_OFFSET_TABLE_$|__(asan|ubsan|tsan|sanitizer|gcov)_|__(start|stop)_"
    r"|oak_(assert_failed|assert_failed_cmp|crc32c|prng_\w+|bug_\w+)$")

BANNED = {
    "sprintf": "use snprintf", "vsprintf": "use vsnprintf",
    "strcpy": "use memcpy with a checked size", "strncpy": "use memcpy with a checked size",
    "strcat": "use oak_buf_append",
    "strtok": "walk the bytes", "gets": "read a bounded size",
    "atoi": "use strtol and check its end", "atol": "use strtol and check its end",
    "atoll": "use strtoll and check its end",
    "rand": "use oak_prng, or the entropy port for secrets",
    "srand": "use oak_prng, or the entropy port for secrets",
    "alloca": "use a bounded array or an arena", "system": "start the program without a shell",
    "popen": "start the program without a shell", "sleep": "wait for the event itself",
    "usleep": "wait for the event itself", "nanosleep": "wait for the event itself",
}
BANNED_OUTSIDE_TESTS = {
    "setjmp": "return an error", "longjmp": "return an error",
    "assert": "use OAK_ASSERT, which stays on in release builds",
}
HEAP = "malloc calloc realloc reallocarray free strdup strndup aligned_alloc posix_memalign".split()
EXITS = "exit _exit _Exit abort quick_exit".split()
# The operating system behind headers of the C standard: for rooms with the word os.
SYSTEM = ("clock clock_gettime time timespec_get getenv setenv fopen freopen remove rename tmpfile "
          "signal raise fork").split()
KEYWORDS = set("if for while switch return sizeof do else case defined _Alignof".split())


class Layer:
    """One line of layers.txt."""

    def __init__(self, line):
        room, may, foreign, words = (part.strip() for part in line.split("|"))
        self.room = room
        self.may = set(may.replace("-", "").split()) | {"base"}
        self.foreign = [] if foreign == "-" else foreign.split()
        self.words = set(words.split())


# Public headers that are not named after their room.
ROOM_OF = {"common": "base", "errors": "base", "carrier": "rpc"}


def public_room(name):
    """The room whose header include/oakum/`name` is."""
    stem = name.split(".")[0]
    return ROOM_OF.get(stem, stem)


class Source:
    """A file: its text, and for C the text with comments and literals blanked out."""

    def __init__(self, root, path):
        self.path = path
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as f:
            self.text = f.read()
        self.lines = self.text.split("\n")
        if self.lines and self.lines[-1] == "":
            self.lines.pop()
        parts = path.split("/")
        self.room = parts[1] if parts[0] == "src" and len(parts) > 2 else None
        if path.startswith("include/oakum/"):
            self.room = public_room(parts[2])
        self.is_c = path.endswith(CODE)
        self.is_script = path.endswith(SCRIPTS)
        self.is_test = bool(TEST_FILE.search(path))
        self.bare = blank(self.text) if self.is_c else self.text


def blank(text):
    """C text with the contents of comments, strings and characters replaced by spaces."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)

    def spaces(match):
        found = match.group(0)
        if found[0] in "\"'":
            return found[0] + " " * (len(found) - 2) + found[0]
        return re.sub(r"[^\n]", " ", found)

    return token.sub(spaces, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def functions(source):
    """Yield (name, first line, line count, body) of each function: its braces stand in column 0."""
    for match in re.finditer(r"^\{\n(.*?)^\}", source.bare, re.S | re.M):
        head = source.bare[:match.start()]
        head = head[max(head.rfind(";"), head.rfind("}"), head.rfind("\n\n")) + 1:]
        names = [n for n in re.findall(r"(\w+)\s*\(", head) if not n.isupper()]
        name = names[0] if names else "?"
        first = line_of(source.bare, match.start())
        yield name, first, match.group(0).count("\n") + 1, match.group(1)


def calls(text):
    """Yield (name, offset) of what looks like a plain call in blanked C."""
    for match in re.finditer(r"(?<![\w.])(?<!->)([A-Za-z_]\w*)\s*\(", text):
        yield match.group(1), match.start()


class Tidy:
    def __init__(self, root, build):
        self.root = root
        self.build = build
        self.findings = []
        self.used_waivers = set()
        self.layers = self.read_layers()
        self.waivers = self.read_waivers()
        self.sources = [Source(root, path) for path in self.list_files()]

    # -- input ---------------------------------------------------------------------------------

    def read(self, path):
        full = os.path.join(self.root, path)
        if not os.path.exists(full):
            return ""
        with open(full, encoding="utf-8", errors="replace") as f:
            return f.read()

    def list_files(self):
        found = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=self.root,
                               capture_output=True, text=True, check=False)
        if found.returncode == 0:
            names = found.stdout.split("\n")
        else:
            names = [os.path.relpath(os.path.join(at, name), self.root)
                     for at, _, files in os.walk(self.root) for name in files]
        wanted = CODE + SCRIPTS + (".md", ".txt", ".proto", ".yml", ".yaml", ".1", ".3")
        return sorted({n for n in names
                       if n.endswith(wanted) and not n.startswith("build")
                       and os.path.isfile(os.path.join(self.root, n))})

    def read_layers(self):
        rows = [line for line in self.read("tools/layers.txt").split("\n")
                if line.strip() and not line.startswith("#")]
        return {layer.room: layer for layer in map(Layer, rows)}

    def read_waivers(self):
        waivers = {}
        for number, line in enumerate(self.read("tools/tidy-waivers.txt").split("\n"), 1):
            if not line.strip() or line.startswith("#"):
                continue
            parts = line.split(None, 2)
            if len(parts) < 3:
                self.report("tools/tidy-waivers.txt", number, "a waiver without a reason",
                            "write: path[:function] limit-or-rule reason")
                continue
            waivers[(parts[0], parts[1] if not parts[1].isdigit() else "length")] = \
                (number, int(parts[1]) if parts[1].isdigit() else 0)
        return waivers

    # -- output --------------------------------------------------------------------------------

    def report(self, path, line, wrong, instead):
        self.findings.append((path, line, f"{path}:{line}: {wrong}: {instead}"))

    def waived(self, place, rule):
        if (place, rule) in self.waivers:
            self.used_waivers.add((place, rule))
            return True
        return False

    def check_length(self, place, path, line, actual, limit, what, instead):
        """A ratchet: a waiver may only be as high as the thing is long."""
        if actual <= limit:
            return
        number, allowed = self.waivers.get((place, "length"), (0, 0))
        if number:
            self.used_waivers.add((place, "length"))
            if actual < allowed:
                self.report("tools/tidy-waivers.txt", number, f"{place} has {actual} lines now",
                            f"lower its limit from {allowed} to {actual}")
        if actual > max(limit, allowed):
            self.report(path, line, f"{what} has {actual} lines, over {max(limit, allowed)}",
                        instead)

    # -- rules for every file ------------------------------------------------------------------

    def check_text(self, s):
        code = s.is_c or s.is_script
        unfinished = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"]) + r")\b")
        machine = re.compile(r"(?<![\w.$}/-])/(work|root|home|farm)/")
        for number, line in enumerate(s.lines, 1):
            if line.rstrip() != line:
                self.report(s.path, number, "space at the end of the line", "remove it")
            if machine.search(line):
                self.report(s.path, number, "a path of one machine",
                            "name it from the top of the project")
            if not code:
                continue
            if unfinished.search(line):
                self.report(s.path, number, "a note of unfinished work",
                            "finish it, or open an issue and take the note out")
            if "\t" in line and not s.path.endswith("Makefile"):
                self.report(s.path, number, "a tab", "use spaces")
            if len(line) > COLUMNS_MAX:
                self.report(s.path, number, f"{len(line)} columns, over {COLUMNS_MAX}",
                            "break the line")
            if s.is_script and re.search(r"\bhttps?://(?!127\.|localhost|[{$\[])", line):
                self.report(s.path, number, "a host's name in a script",
                            "use what the machine is set up to use")
        if code:
            if not any("SPDX-License-Identifier: Apache-2.0" in line for line in s.lines[:3]):
                self.report(s.path, 1, "no SPDX line at the top",
                            "add SPDX-License-Identifier: Apache-2.0 in a comment")
            self.check_length(s.path, s.path, 1, len(s.lines), FILE_LINES_MAX, "the file",
                              "split it by subject")
        if ("ND" + "EBUG") in s.text and code:
            at = line_of(s.text, s.text.index("ND" + "EBUG"))
            self.report(s.path, at, "the macro that turns assertions off", "assertions stay on")

    def check_links(self, s):
        text = re.sub(r"```.*?```", lambda m: re.sub(r"[^\n]", " ", m.group(0)), s.text, flags=re.S)
        for match in re.finditer(r"\]\(([^)\s]+)\)", text):
            target = match.group(1).split("#")[0]
            if not target or re.match(r"[a-z]+:", target):
                continue
            full = os.path.normpath(os.path.join(self.root, os.path.dirname(s.path), target))
            if not os.path.exists(full):
                self.report(s.path, line_of(text, match.start()), f"{target} does not exist",
                            "mend the link")

    # -- rules for C ---------------------------------------------------------------------------

    def check_includes(self, s):
        layer = self.layers.get(s.room)
        for match in re.finditer(r'^\s*#\s*include\s+(["<])([^">]+)[">]', s.text, re.M):
            number, target = line_of(s.text, match.start()), match.group(2)
            if match.group(1) == "<" and target.startswith("oakum/") or match.group(1) == '"':
                self.check_own_include(s, layer, number, target)
            elif layer and not s.is_test:
                self.check_foreign_include(s, layer, number, target)

    def check_own_include(self, s, layer, number, target):
        room = target.split("/")[0]
        if "/" not in target:
            self.report(s.path, number, f'"{target}" names no room',
                        f'write "{s.room or "room"}/{target}"')
            return
        if room == "tests" and s.path.startswith("tests/"):
            return
        if room == "oakum":
            room = public_room(target[len("oakum/"):])
        if room not in self.layers:
            self.report(s.path, number, f"{room} is no room", "add it to tools/layers.txt")
            return
        if layer is None or room == s.room:
            return
        if not s.is_test and room not in layer.may:
            self.report(s.path, number, f"{s.room} may not include {room}",
                        "ask a room below, or change tools/layers.txt with a reason")
        public = os.path.exists(os.path.join(self.root, "include", "oakum", f"{room}.h"))
        door = f"oakum/{room}.h" if public else f"{room}/{room}.h"
        doors = {door} | {f"oakum/{stem}.h" for stem, of in ROOM_OF.items() if of == room}
        if room not in ("base", "port") and target not in doors and not s.is_test:
            self.report(s.path, number, f"{target} is not the door of {room}",
                        f'include "{door}", and widen that door if it lacks something')

    def check_foreign_include(self, s, layer, number, target):
        stem = target[:-2] if target.endswith(".h") else target
        standard = PURE_HEADERS if "pure" in layer.words else STANDARD_HEADERS
        if stem in standard:
            return
        if any(target == f or f.endswith("/") and target.startswith(f) for f in layer.foreign):
            return
        owners = [r for r, other in self.layers.items()
                  if any(target == f or f.endswith("/") and target.startswith(f)
                         for f in other.foreign)]
        if owners:
            self.report(s.path, number, f"<{target}> belongs to {', '.join(owners)} alone",
                        "go through that room's door")
        elif "os" not in layer.words and not self.waived(s.path, "os"):
            self.report(s.path, number, f"{s.room} may not include <{target}>",
                        "ask the world through port/port.h")

    def check_calls(self, s):
        layer = self.layers.get(s.room)
        banned = dict(BANNED)
        if not s.is_test:
            banned.update(BANNED_OUTSIDE_TESTS)
            if layer and "heap" not in layer.words:
                banned.update({name: "take memory from the caller (base/alloc.h)" for name in HEAP})
            if layer and "exit" not in layer.words:
                banned.update({name: "return an error" for name in EXITS})
            if layer and "os" not in layer.words:
                banned.update({name: "ask the world through port/port.h" for name in SYSTEM})
        for name, offset in calls(s.bare):
            number = line_of(s.bare, offset)
            if name in banned and \
                    not self.waived(s.path, "os" if name in SYSTEM else name):
                self.report(s.path, number, f"{name}() is banned here", banned[name])
            owner = re.match(r"([a-z0-9]+)__\w", name)
            if owner and s.room and owner.group(1) in self.layers and owner.group(1) != s.room \
                    and not s.is_test:
                self.report(s.path, number, f"{name}() is private to {owner.group(1)}",
                            "use a function of its door")
        for match in re.finditer(r"\btypedef\s+(struct|union)\b[^(;]*[;{]", s.bare):
            self.report(s.path, line_of(s.bare, match.start()), "a typedef of a struct",
                        "write struct, so that its cost is seen")
        for match in re.finditer(r"\bgoto\s+(\w+)", s.bare):
            if match.group(1) != "out":
                self.report(s.path, line_of(s.bare, match.start()), f"goto {match.group(1)}",
                            "only forward to out:")
        for match in re.finditer(r"\bOAK_(ASSERT|IMPLIES)\w*\(([^;]*)\);", s.bare):
            if re.search(r"\+\+|--|[^=!<>]=[^=]", match.group(2)):
                self.report(s.path, line_of(s.bare, match.start()),
                            "an assertion with a side effect", "do it before, assert on the result")

    def check_functions(self, s):
        for name, first, count, _ in functions(s):
            self.check_length(f"{s.path}:{name}", s.path, first, count, FUNCTION_LINES_MAX,
                              f"{name}()", "move steps into functions of their own")

    def check_recursion(self):
        """Cycles of plain calls within a room; static functions are told apart by their file."""
        rooms = {}
        for s in self.sources:
            if s.path.endswith(".c") and s.room and not s.is_test:
                for name, first, _, body in functions(s):
                    rooms.setdefault(s.room, {})[(s.path, name)] = \
                        (first, {called for called, _ in calls(body)} - KEYWORDS)
        for graph in rooms.values():
            by_name = {}
            for path, name in graph:
                by_name.setdefault(name, []).append((path, name))
            edges = {node: {(node[0], c) if (node[0], c) in graph else by_name[c][0]
                            for c in called if c in by_name}
                     for node, (_, called) in graph.items()}
            for node, (first, _) in graph.items():
                if reaches(edges, node) and not self.waived(":".join(node), "recursion"):
                    self.report(node[0], first, f"{node[1]}() can reach itself",
                                "walk with an explicit, bounded stack")

    # -- rules for rooms -----------------------------------------------------------------------

    def check_rooms(self):
        rooms = sorted({s.room for s in self.sources if s.room and s.path.startswith("src/")})
        for room in rooms:
            if room not in self.layers:
                self.report(f"src/{room}", 1, f"{room} is no room", "add it to tools/layers.txt")
                continue
            readme = f"src/{room}/README.md"
            text = self.read(readme)
            if not text:
                self.report(readme, 1, "the room has no README.md",
                            "write one screen: purpose, files in reading order, invariants, tests")
            elif text.count("\n") > README_LINES_MAX:
                self.report(readme, 1, f"{text.count(chr(10))} lines, over {README_LINES_MAX}",
                            "keep it to one screen; details go to docs/internals")
            self.check_build_file(room)
        self.check_orphans()

    def check_build_file(self, room):
        path = f"src/{room}/CMakeLists.txt"
        text = re.sub(r"#[^\n]*", "", self.read(path))
        for match in re.finditer(r"\boak_room\s*\(\s*(\w+)([^)]*)\)", text):
            words = match.group(2).split()
            if (match.group(1) + "_").split("_")[0] != room:
                continue  # what tests share may use any room
            uses = words[words.index("USES") + 1:] if "USES" in words else []
            for used in uses:
                if used in ("SOURCES", "LIBS"):
                    break
                if used not in self.layers[room].may and used.split("_")[0] != room:
                    self.report(path, line_of(text, match.start()),
                                f"{room} is linked with {used}",
                                "ask a room below, or change tools/layers.txt with a reason")

    def check_orphans(self):
        listed = {}
        for s in self.sources:
            if s.path.endswith(".c") and s.room:
                if s.room not in listed:
                    listed[s.room] = self.read(f"src/{s.room}/CMakeLists.txt")
                inner = s.path[len(f"src/{s.room}/"):]
                if not re.search(r"(?<![\w/])" + re.escape(inner) + r"(?!\w)", listed[s.room]):
                    self.report(s.path, 1, "no CMakeLists.txt lists this file",
                                f"name it in src/{s.room}/CMakeLists.txt, or remove it")

    def include_flags(self):
        """The include folders that the build uses, for headers compiled alone."""
        flags = ["-Isrc", "-Iinclude"]
        commands = self.read(os.path.join(self.build, "compile_commands.json"))
        for entry in json.loads(commands) if commands else []:
            for kind, folder in re.findall(r"(-I|-isystem)\s*(\S+)", entry["command"]):
                if kind + folder not in flags:
                    flags.append(kind + folder)
        if os.path.isdir(os.path.join(self.root, self.build, "gen")):
            flags.append("-I" + os.path.join(self.build, "gen"))
        return flags

    def check_doors(self):
        compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or "clang"
        doors = [s.path for s in self.sources if s.path.endswith(".h") and not s.is_test and
                 (s.room in ("base", "port") or s.path == f"src/{s.room}/{s.room}.h"
                  or s.path.startswith("include/"))]
        flags = self.include_flags()

        def compiles(path):
            return subprocess.run([compiler, "-std=c17", "-Wall", "-Werror", "-fsyntax-only",
                                   "-D_GNU_SOURCE", *flags, "-x", "c", path],
                                  cwd=self.root, capture_output=True, text=True, check=False)

        with ThreadPoolExecutor(2) as pool:
            for path, done in zip(doors, pool.map(compiles, doors)):
                if done.returncode != 0:
                    first = next((e for e in done.stderr.split("\n") if "error" in e), "")
                    self.report(path, 1, f"the header does not compile alone ({first.strip()})",
                                "include what its declarations need")

    def check_purity(self):
        for room, layer in self.layers.items():
            path = f"src/{room}/CMakeLists.txt"
            if "pure" not in layer.words or "oak_room(" not in self.read(path):
                continue
            archive = os.path.join(self.root, self.build, "src", room, f"liboak_{room}.a")
            if not os.path.exists(archive):
                self.report(path, 1, "the room's archive is not built", "run make first")
                continue
            names = subprocess.run(["nm", "-A", "-g", archive], capture_output=True, text=True,
                                   check=True).stdout
            rows = [line.split() for line in names.split("\n") if line.strip()]
            defined = {row[-1] for row in rows if row[-2] != "U"}
            for row in rows:
                if row[-2] == "U" and row[-1] not in defined and not PURE_SYMBOLS.match(row[-1]):
                    member = row[0].split(":")[1].removesuffix(".o")
                    if not TEST_FILE.search(member):
                        self.report(f"src/{room}/{member}", 1, f"a pure room calls {row[-1]}",
                                    "hand it in: time, chance, memory and I/O come from outside")

    def density(self):
        """Assertions per function of each room, for the reader."""
        rooms = {}
        for s in self.sources:
            if s.path.endswith(".c") and s.room and not s.is_test:
                asserts, count = rooms.get(s.room, (0, 0))
                rooms[s.room] = (asserts + len(re.findall(r"\bOAK_(?:ASSERT|IMPLIES|UNREACHABLE)",
                                                          s.bare)),
                                 count + sum(1 for _ in functions(s)))
        return ", ".join(f"{room} {a / max(n, 1):.1f}" for room, (a, n) in sorted(rooms.items()))

    def run(self):
        for s in self.sources:
            self.check_text(s)
            if s.path.endswith(".md"):
                self.check_links(s)
            if s.is_c:
                self.check_includes(s)
                self.check_calls(s)
                self.check_functions(s)
        self.check_recursion()
        self.check_rooms()
        self.check_doors()
        self.check_purity()
        for key, (number, _) in sorted(self.waivers.items()):
            if key not in self.used_waivers:
                self.report("tools/tidy-waivers.txt", number,
                            f"nothing needs the waiver of {key[0]}", "remove it")
        for _, _, message in sorted(set(self.findings)):
            print(message)
        print(f"assertions per function: {self.density() or 'no rooms'}")
        print(f"tidy: {len(self.sources)} files, {len(set(self.findings))} findings, "
              f"{len(self.waivers)} waivers")
        return 1 if self.findings else 0


def reaches(edges, start):
    """Does a walk along the edges come back to where it started?"""
    seen, todo = set(), list(edges[start])
    while todo:
        node = todo.pop()
        if node == start:
            return True
        if node not in seen:
            seen.add(node)
            todo.extend(edges[node])
    return False


def main():
    parser = argparse.ArgumentParser(description="check the house rules")
    parser.add_argument("--root", default=os.path.join(os.path.dirname(__file__), ".."))
    parser.add_argument("--build", default="build", help="build folder, below the root or absolute")
    arguments = parser.parse_args()
    return Tidy(os.path.abspath(arguments.root), arguments.build).run()


if __name__ == "__main__":
    sys.exit(main())

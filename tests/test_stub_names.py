# SPDX-License-Identifier: Apache-2.0
"""Names of methods that the stubs refuse, because the header that protoc-c makes of them is no C:
each of them, and none besides. docs/reference/stubs.md has the list."""
import os
import re
import shutil
import subprocess

import pytest

import harness

PAGE = os.path.join(harness.TOP, "docs", "reference", "stubs.md")
PLUGIN = os.path.join(os.path.dirname(harness.oakum_path()), "protoc-gen-oakum")
# Words of C++, of later C, or of a compiler's own language: C17 takes them as names.
OTHERS = ("delete", "new", "class", "this", "asm", "typeof", "bool", "true", "nullptr", "unix")


def refused():
    """As the page lists them."""
    with open(PAGE, encoding="utf-8") as f:
        listed = re.search(r"^    auto .*?(?=\n\n)", f.read(), re.S | re.M).group(0)
    return tuple(listed.split())


def made(tmp_path, word):
    """protoc-c's header of a service with such a method, and what our plugin says of it."""
    name = word[0].upper() + word[1:]
    (tmp_path / "t.proto").write_text(
        f'syntax = "proto3";\npackage t;\nmessage M {{}}\n'
        f'service S {{ rpc {name}(M) returns (M); }}\n')
    subprocess.run(["protoc-c", "--c_out=.", "t.proto"], cwd=tmp_path, check=True)
    run = subprocess.run(["protoc", f"--plugin=protoc-gen-oakum={PLUGIN}", "--oakum_out=.",
                          "t.proto"], cwd=tmp_path, capture_output=True, text=True, check=False)
    return tmp_path / "t.pb-c.h", run


def is_c(header):
    return subprocess.run(["cc", "-std=c17", "-fsyntax-only", "-x", "c", header],
                          capture_output=True, check=False).returncode == 0


# Where there is no protoc-c the stubs of this very tree could not have been made.
assert shutil.which("protoc-c") and shutil.which("protoc")


@pytest.mark.parametrize("word", refused())
def test_every_word_of_c_is_refused_and_rightly(tmp_path, word):
    header, run = made(tmp_path, word)
    assert re.search(rf"\(\*{word}\)", header.read_text())
    assert not is_c(header)
    assert run.returncode != 0
    assert f'a member "{word}" of it, which is a word of C: rename it' in run.stderr


@pytest.mark.parametrize("word", OTHERS)
def test_other_words_are_taken_and_rightly(tmp_path, word):
    header, run = made(tmp_path, word)
    assert is_c(header)
    assert run.returncode == 0, run.stderr


def test_the_list_is_the_plugin_s():
    with open(os.path.join(harness.TOP, "src", "plugin", "names.c"), encoding="utf-8") as f:
        words = re.search(r"plugin__is_keyword.*?\{.*?\{(.*?)\};", f.read(), re.S).group(1)
    assert set(re.findall(r'"(\w+)"', words)) == set(refused())
    assert len(refused()) == 35

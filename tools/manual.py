#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""manual.py LIBRARY FILE: write the manual page of a library, man/oakum-LIBRARY.3.in with all that
its headers say behind it, so that the page says of each type and function what its header says.
The build runs it.
"""
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MARK = ".\\\" the headers\n"
# Headers of the libraries but for gRPC's, which has the others.
OWN = {"raft": ["raft.h"], "client": ["client.h", "sync.h"]}


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read()


def headers(library):
    """Names of the library's headers: those of common use first."""
    if library in OWN:
        return OWN[library]
    others = {name for own in OWN.values() for name in own}
    first = ["common.h", "rpc.h", "runtime.h", "tls.h", "channel.h", "stub.h", "services.h",
             "jsonrpc.h", "carrier.h"]
    names = sorted(n for n in os.listdir(os.path.join(TOP, "include/oakum"))
                   if n.endswith(".h") and n not in others)
    return [n for n in first if n in names] + [n for n in names if n not in first]


def roff(line):
    """A line of text as troff reads it."""
    line = line.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + line if line[:1] in (".", "'") else line


def comment_lines(text):
    """The text of a comment, without its frame."""
    lines = text.strip()[2:-2].split("\n")
    return [re.sub(r"^ \* ?", "", line).rstrip() if at else line.strip()
            for at, line in enumerate(lines)]


def prose(lines):
    """Paragraphs; what is indented is an example and stays as it is."""
    out = []
    example = False
    for line in lines:
        indented = line.startswith("  ") or example and not line
        if indented != example:
            out.append(".nf" if indented else ".fi")
            example = indented
        if line or example:
            out.append(roff(line))
        elif out and out[-1] not in (".PP", ".fi"):
            out.append(".PP")
    while out and out[-1] in ("", ".PP"):
        out.pop()
    return out + [".fi"] if example else out


def errors():
    """The codes of errors.def, as the enum that common.h makes of them."""
    rows = re.findall(r'^X\((\w+), \w+, \d+,\s*"(.*?)"\)', read("include/oakum/errors.def"), re.M)
    quote = '\\"'
    lines = [f"    OAK_{name}, /* {text.replace(quote, quote[1])} */" for name, text in rows]
    return "\n".join(["enum oak_error {", "    OAK_OK,", *lines, "};"])


def code(text):
    """Declarations as they stand, without what only compilers read."""
    if "enum oak_error_place_" in text:
        return []
    if "enum oak_error {" in text:
        text = errors()
    text = re.sub(r"\bOAK_(API|MUST_USE|PRINTF\([^)]*\)) ?", "", text).rstrip()
    text = re.sub(r"^static inline ([^{;]*\))\n\{\n.*?^\}", r"\1;", text, flags=re.S | re.M)
    return [".PP", ".nf", *(roff(line) for line in text.split("\n")), ".fi"]


def body(text):
    """What lies between the guards, without preprocessor lines and what is for C++."""
    text = re.sub(r'^#ifdef __cplusplus\n.*?^#endif\n', "", text, flags=re.S | re.M)
    text = re.sub(r"^#if defined\(__GNUC__\)\n.*?^#endif\n", "", text, flags=re.S | re.M)
    text = re.sub(r'^#define OAK_(API|MUST_USE|PRINTF)\b.*\n', "", text, flags=re.M)
    text = re.sub(r"^#(ifndef OAKUM_\w+|define OAKUM_\w+|endif|include .*)\n", "", text, flags=re.M)
    return text


def sections(text):
    """Split at comments in column 0: (kind, text), the kind being 'comment' or 'code'."""
    at = 0
    for match in re.finditer(r"^/\*.*?\*/[ \t]*$", text, re.S | re.M):
        if text[at:match.start()].strip():
            yield "code", text[at:match.start()].strip("\n")
        yield "comment", match.group(0)
        at = match.end()
    if text[at:].strip():
        yield "code", text[at:].strip("\n")


def reference(name):
    """One header as a section of the page."""
    text = read(f"include/oakum/{name}")
    parts = list(sections(body(text)))
    parts = [p for p in parts if "SPDX" not in p[1]]
    out = [f".SH <oakum/{name}>".upper().replace("OAKUM/", "oakum/").replace(name.upper(), name)]
    head = comment_lines(parts[0][1])
    head[0] = re.sub(r"^[\w.]+: ", "", head[0])
    out += prose(head)
    for kind, part in parts[1:]:
        title = re.match(r"/\* -- (.*?) -*\s*\*/$", part)
        if title:
            out.append(f".SS {roff(title.group(1)[:1].upper() + title.group(1)[1:])}")
        elif kind == "comment":
            out += [".PP", *prose(comment_lines(part))]
        else:
            out += code(part)
    return out


def page(library):
    text = read(f"man/oakum-{library}.3.in")
    assert MARK in text
    made = "\n".join(line for name in headers(library) for line in reference(name))
    return text.replace(MARK, made + "\n")


def main():
    with open(sys.argv[2], "w", encoding="utf-8") as f:
        f.write(page(sys.argv[1]))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""verbs.py PROGRAM: write the manual page oakum-ctl(1), of what PROGRAM's help says of each verb of
etcdctl, so that the page says of each flag what its help says. `make install` runs it.
"""
import subprocess
import sys

from manual import roff

HEAD = """.\\" SPDX-License-Identifier: Apache-2.0
.TH OAKUM-CTL 1 "" "oakum" "User Commands"
.SH NAME
oakum-ctl \\- the verbs of etcdctl, of oakum
.SH SYNOPSIS
.B oakum
.RI [ flags ]
.I verb
.RI [ words ]
.br
.B etcdctl
.RI [ flags ]
.I verb
.RI [ words ]
.SH DESCRIPTION
Every verb of etcdctl is one of
.BR oakum (1)
too, with its flags, formats and exit codes; a link to the program that is named
.B etcdctl
takes its place in scripts. What they print agrees byte by byte, but for what the page
docs/reference/etcdctl.md lists.
.PP
Results go to standard output, everything else to standard error. A failure is a line that begins
with
.BR Error: ,
and a line of what to do about it.
"""

TAIL = """.SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
The servers refused it, or did not answer.
.TP
.B 2
No connection; or there is no such command.
.TP
.B 3
What standard input had is not understood.
.TP
.B 4
A flag has a value that it does not take, or a verb has not that format.
.TP
.B 5
It was interrupted.
.TP
.B 6
A file, or standard output, could not be written or read.
.TP
.B 128
The words are not understood.
.SH ENVIRONMENT
.TP
.BR ETCDCTL_ENDPOINTS ", " ETCDCTL_USER ", ..."
Each flag of all verbs: its name in capitals, with _ for \\-. A flag goes before it.
.TP
.BR OAKUM_CONTEXT ", " OAKUM_CONTEXTS
The context that is used, and the file of contexts (~/.config/oakum/contexts.json).
.TP
.B OAKUM_HISTORY
The history of
.BR "oakum repl" ;
empty: none is kept.
.SH SEE ALSO
.BR oakum (1)
"""


def asked(program, *words):
    return subprocess.run([program, *words], capture_output=True, text=True, check=True,
                          timeout=60).stdout


def groups(program):
    """[(title, [verb ...])]"""
    found = []
    for line in asked(program, "help", "verbs").splitlines():
        if not line.startswith(" "):
            found.append((line[:-1], []))
        else:
            found[-1][1].append(line[2:24].strip())
    return found


def section(text):
    """What help says, line by line as it stands."""
    return ".nf\n" + "\n".join(roff(line) for line in text.rstrip().splitlines()) + "\n.fi\n"


def page(program):
    out = [HEAD, ".SH FLAGS OF ALL VERBS\n",
           section("\n".join(asked(program, "help", "options").splitlines()[2:]))]
    for title, verbs in groups(program):
        out.append(f".SH {title.upper()}\n")
        for verb in verbs:
            out.append(f".SS {roff(verb)}\n" + section(asked(program, *verb.split(), "--help")))
    return "".join(out) + TAIL


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: verbs.py PROGRAM")
    sys.stdout.write(page(sys.argv[1]))

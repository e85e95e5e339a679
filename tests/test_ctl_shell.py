# SPDX-License-Identifier: Apache-2.0
"""What makes the command line a pleasure: contexts, completion in three shells, errors that say
what to do, words before and behind the verb."""
import json
import os
import pty
import select
import shutil
import stat
import subprocess
import termios
import time

import pytest

import harness


@pytest.fixture(name="home")
def own_home(tmp_path, monkeypatch):
    """An empty one, so that nobody's contexts are read or changed."""
    for name in ("OAKUM_CONTEXT", "OAKUM_CONTEXTS", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(name="served", scope="module")
def one_member(lasting_cluster):
    node = lasting_cluster(1).nodes[0]
    for name in ("fruit/apple", "fruit/pear", "fruit/pear tree", "vegetable"):
        assert harness.run("--endpoints", node.endpoint, "put", name, "1").returncode == 0
    return node


def oakum(*words, **options):
    done = harness.run(*words, **options)
    return done.returncode, done.stdout, done.stderr


# -- contexts -------------------------------------------------------------------------------------

def test_ctl_context_says_where_the_servers_are(home, served):
    code, out, _ = oakum("context", "add", "prod", "--endpoints", "127.0.0.1:1", "--user", "ann")
    assert code == 0 and "used from now on" in out
    assert oakum("context", "add", "here", "--endpoints=" + served.endpoint)[0] == 0
    path = home / ".config" / "oakum" / "contexts.json"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert json.loads(path.read_text()) == {"current": "prod", "contexts": {
        "prod": {"endpoints": "127.0.0.1:1", "user": "ann"},
        "here": {"endpoints": served.endpoint}}}
    assert oakum("--context", "here", "get", "vegetable") == (0, "vegetable\n1\n", "")
    assert oakum("get", "vegetable", "--context=here")[0] == 0
    assert oakum("get", "vegetable", env={"OAKUM_CONTEXT": "here"})[0] == 0
    assert oakum("context", "use", "here")[0] == 0
    assert oakum("get", "vegetable")[0] == 0
    code, out, _ = oakum("context", "list")
    assert code == 0 and [line.split() for line in out.splitlines()] == [
        ["*", "here", served.endpoint], ["prod", "127.0.0.1:1"]]
    assert oakum("context", "remove", "here")[0] == 0
    assert "current" not in json.loads(oakum("context", "list", "--output", "json")[1])


def test_ctl_flags_and_environment_go_before_the_context(home, served):
    assert home is not None
    assert oakum("context", "add", "gone", "--endpoints", "127.0.0.1:1")[0] == 0
    code, _, err = oakum("get", "vegetable")
    assert code == 1 and "127.0.0.1:1" in err
    assert oakum("get", "vegetable", "--endpoints", served.endpoint)[0] == 0
    assert oakum("get", "vegetable", env={"ETCDCTL_ENDPOINTS": served.endpoint})[0] == 0


def test_ctl_context_keeps_no_password_and_loses_nothing(home):
    for words in (["--user", "ann:secret"], ["--password", "secret"], ["--auth-jwt-token", "x"]):
        code, _, err = oakum("context", "add", "prod", *words)
        assert code == 128 and "does not keep" in err
    for verb in ("use", "remove"):
        code, _, err = oakum("context", verb, "none")
        assert code == 128 and 'no context "none"' in err
    assert oakum("--context", "none", "get", "a")[0] == 128
    path = home / ".config" / "oakum" / "contexts.json"
    path.parent.mkdir(parents=True)
    for text in ("{", "[]", '{"contexts": 7}'):
        path.write_text(text)
        code, _, err = oakum("context", "add", "prod", "--endpoints", "a:1")
        assert code == 6 and str(path) in err
        assert path.read_text() == text


def test_ctl_etcdctl_by_name_has_no_contexts(home, served, tmp_path):
    assert home is not None
    os.symlink(harness.oakum_path(), tmp_path / "etcdctl")
    assert oakum("context", "add", "gone", "--endpoints", "127.0.0.1:1")[0] == 0
    etcdctl = str(tmp_path / "etcdctl")
    where = {"ETCDCTL_ENDPOINTS": served.endpoint}
    assert oakum("get", "vegetable", program=etcdctl, env=where) == (0, "vegetable\n1\n", "")
    assert oakum("put", "dash", "-", program=etcdctl, env=where)[0] == 0
    assert oakum("get", "dash", program=etcdctl, env=where)[1] == "dash\n-\n"
    assert oakum("put", "dash", "-", env=where, text="of stdin")[0] == 0
    assert oakum("get", "dash", env=where)[1] == "dash\nof stdin\n"


# -- completion -----------------------------------------------------------------------------------

SHELLS = {
    "bash": 'source <("$0" completion bash); COMP_WORDS=(oakum "$@"); COMP_WORDS[0]=$0; '
            'COMP_CWORD=$#; _oakum; printf "%s\\n" "${COMPREPLY[@]}"',
    "zsh": 'compdef() {}; _describe() { print -rl -- ${(P)2} }; _files() {}; '
           'source <("$0" completion zsh); words=("$0" "$@"); CURRENT=$#words; _oakum',
    "fish": 'source ($argv[1] completion fish | psub); set -gx PATH (dirname $argv[1]) $PATH; '
            'complete -C (string join " " -- oakum (string escape --no-quoted -- $argv[2..]))',
}
FLAGS = {"bash": ["--norc", "-c"], "zsh": ["-fc"], "fish": ["--no-config", "-c"]}


def complete(shell, *words):
    """What a shell offers for the last word."""
    path = shutil.which(shell)
    assert path, f"{shell} is not there: run make deps-test"
    done = subprocess.run([path, *FLAGS[shell], SHELLS[shell], harness.oakum_path(), *words],
                          capture_output=True, text=True, check=True, timeout=60,
                          stdin=subprocess.DEVNULL)
    offered = [line.split("\t")[0] for line in done.stdout.splitlines()]
    if shell == "zsh":  # all are told, with what they mean; the shell itself takes those that fit
        offered = [line.split(":")[0] for line in offered]
    return [word for word in offered if word.startswith(words[-1])]


@pytest.mark.parametrize("shell", SHELLS)
def test_ctl_completes_in_a_shell(shell, home, served):
    assert home is not None
    assert complete(shell, "com") == ["completion", "compaction"] or \
        complete(shell, "com") == ["compaction", "completion"]
    assert set(complete(shell, "lease", "")) >= {"grant", "revoke", "list"}
    assert complete(shell, "get", "--print-v") == ["--print-value-only"]
    assert complete(shell, "get", "-w", "ta") == ["table"]
    assert complete(shell, "bench", "--key-s") == ["--key-size"]
    assert complete(shell, "--endpoints", served.endpoint, "get", "fruit/") == [
        "fruit/apple", "fruit/pear"]
    assert oakum("context", "add", "prod", "--endpoints", "127.0.0.1:1")[0] == 0
    assert complete(shell, "context", "use", "p") == ["prod"]
    assert complete(shell, "get", "fruit/") == []  # nobody answers there


# -- words ----------------------------------------------------------------------------------------

def test_ctl_flags_stand_anywhere(home, served):
    assert home is not None
    for words in (["--endpoints", served.endpoint, "get", "vegetable", "-w", "json"],
                  ["-w=json", "get", "vegetable", "--endpoints=" + served.endpoint],
                  ["get", "--endpoints", served.endpoint, "-wjson", "vegetable"]):
        code, out, _ = oakum(*words)
        assert code == 0 and json.loads(out)["count"] == 1


def test_ctl_errors_say_what_to_do(home, served):
    assert home is not None
    where = ["--endpoints", served.endpoint]
    for words, code, told in (
            (["get", "a", "--endpoints", "127.0.0.1:1"], 1, "oakum up"),
            ([*where, "get", "a", "--rev", "99999"], 1, "does not exist yet"),
            ([*where, "lease"], 128, "oakum lease grant"),
            ([*where, "lease", "grnt"], 128, "oakum lease grant"),
            ([*where, "get", "a", "-w", "yaml"], 4, "simple, json, fields"),
            ([*where, "get", "a", "--nosuch"], 128, "oakum get --help"),
            ([*where, "put", "a", "x" * 3000, "--max-request-bytes", "1000"], 1,
             "--max-request-bytes is 1000"),
            ([*where, "get", "a", "--limits", "1"], 128, "is --limit meant?"),
            (["get", "a", "--discovery-srv", "no.such", "--insecure-discovery=false"], 128,
             "by TLS alone"),
            *(([*verb.split(), "--discovery-srv", "no.such", "--insecure-discovery=false"], 128,
               "by TLS alone")
              for verb in ("endpoint status", "defrag", "move-leader 1", "snapshot save no.such",
                           "check datascale")),
            (["gett", "a"], 2, "is get meant?"), (["staus"], 2, "is status meant?"),
            (["xyzzy"], 2, "oakum help")):
        done = oakum(*words)
        assert done[0] == code and told in done[2] and done[1] == "", words


def test_ctl_help_has_an_example_for_each_verb():
    code, out, _ = oakum("help")
    lines = out.splitlines()
    assert code == 0 and len(lines) < 55 and max(map(len, lines)) < 100, "one screen"
    own = [line.split()[0] for line in lines[lines.index("Servers:") + 1:
                                             lines.index("Keys and values:")]]
    verbs = [line[2:24].strip() for line in oakum("help", "verbs")[1].splitlines()
             if line.startswith(" ")]
    assert "get" in verbs and "lease grant" in verbs and "up" in own
    # The commands of snapshot have theirs.
    for verb in verbs + sorted(set(own) - {"help", "version", "sim", "zoo", "snapshot"}):
        code, text, _ = oakum("help", *verb.split())
        assert code == 0 and "Example" in text and f"oakum {verb.split()[0]}" in text, verb
        assert oakum(*verb.split(), "--help")[1] == text
    assert "--endpoints" in oakum("help", "options")[1]
    for words in (["lease", "--help"], ["help", "lease"]):
        code, out, err = oakum(*words)
        assert (code, err) == (0, "") and "oakum lease grant" in out


def test_ctl_debug_tells_what_the_flags_came_to(home, served):
    assert home is not None
    _, _, err = oakum("get", "a", "--debug", "--endpoints", served.endpoint, "--user", "a:secret",
                      "--dial-timeout", "1500ms")
    assert f"endpoints={served.endpoint}\n" in err and "dial-timeout=1.500s" in err
    assert "secret" not in err


# -- the shell ------------------------------------------------------------------------------------

class Terminal:
    """`oakum repl` at a terminal. The prompt is drawn again while a line is typed: wait for what a
    command says, then for the prompt. Ctrl-C is a signal there."""

    def __init__(self, *words):
        self.primary, secondary = pty.openpty()
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(
            [*harness.TERMINAL, harness.oakum_path(), "repl", *words], stdin=secondary,
            stdout=secondary, stderr=secondary, env={**os.environ, "TERM": "dumb"})
        os.close(secondary)
        self.seen = ""

    def type(self, text):
        os.write(self.primary, text.encode())

    def look(self):
        """What it shows by now."""
        if select.select([self.primary], [], [], 0.1)[0]:
            self.seen += os.read(self.primary, 65536).decode(errors="replace")

    def until(self, text):
        """Wait for this text; what came since the last one."""
        deadline = time.monotonic() + harness.PATIENCE_S
        while text not in self.seen:
            assert time.monotonic() < deadline, f"waited for {text!r}; there was {self.seen!r}"
            self.look()
        before, self.seen = self.seen.split(text, 1)
        return before

    def prompt(self):
        """Wait until it asks, and takes keys one by one."""
        self.until("oakum> ")
        harness.until(lambda: not termios.tcgetattr(self.primary)[3] & termios.ICANON,
                      "a terminal that is edited")

    def end(self):
        self.type("\x04")
        code = self.process.wait(timeout=20)
        os.close(self.primary)
        return code


def test_ctl_repl_completes_keys_and_goes_on_after_ctrl_c(home, served):
    shell = Terminal("--endpoints", served.endpoint)
    shell.prompt()
    shell.type("get fruit/a\t\n")
    shell.until("fruit/apple\r\n1\r\n")
    shell.prompt()
    shell.type("watch fruit/x\n")
    while "PUT" not in shell.seen:  # it tells what comes once it has begun
        assert oakum("put", "fruit/x", "1", "--endpoints", served.endpoint)[0] == 0
        shell.look()
    shell.type("\x03")
    shell.until("^C")
    shell.prompt()
    shell.type("no such line\x03")
    shell.until("^C")
    shell.prompt()
    shell.type("put long \\\n")
    shell.until("... ")
    shell.type("\"two lines\"\n")
    shell.until("OK")
    shell.prompt()
    shell.type("txn\n")
    shell.until("if> ")
    shell.type('val("long") = "two lines"\n\n')
    shell.until("then> ")
    shell.type("put done yes\nget done\n\n")
    shell.until("else> ")
    shell.type("\n")
    shell.until("SUCCESS")
    shell.until("done\r\nyes")
    shell.prompt()
    shell.type("get --user ann:secret\n")
    shell.until("Error: ")
    shell.prompt()
    assert shell.end() == 0
    history = (home / ".local" / "state" / "oakum" / "history").read_text()
    assert "fruit/apple" in history and "secret" not in history
    assert stat.S_IMODE(os.stat(home / ".local/state/oakum/history").st_mode) == 0o600


def test_ctl_repl_runs_a_script(home, served):
    assert home is not None
    lines = ('put script/a "one two"\n# a comment\n\ntxn\nmod("script/a") > "0"\n\nput script/b 2\n'
             '\n\nget --prefix script/\n')
    code, out, err = oakum("repl", "--endpoints", served.endpoint, text=lines)
    assert (code, err) == (0, "")
    assert out == "OK\nSUCCESS\n\nOK\nscript/a\none two\nscript/b\n2\n"
    code, out, err = oakum("repl", "--endpoints", served.endpoint,
                           text='get "a\nget a --rev 99999\n')
    assert code == 1 and "no end" in err and "future revision" in err
    code, out, err = oakum("repl", "--endpoints", served.endpoint, text="txn\n\nput a 1\n")
    assert code == 1 and "nothing was sent" in err
    assert oakum("repl", "--nosuch")[0] == 2

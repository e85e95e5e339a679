# SPDX-License-Identifier: Apache-2.0
"""lasting.py: programs that run for as long as a test wants.

A Verb's output is read as it comes, and waited for; a signal ends it. The fixture `verb` starts
them: verb(program, endpoints, "watch", "key"), and kills in the end those that still run.
"""
import contextlib
import os
import queue
import subprocess
import threading

import pytest

import harness


class Verb:
    """A program that runs; what it has printed is in `out` and `err`."""

    def __init__(self, program, endpoints, *words, text=None, env=None):
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith(("ETCD_", "ETCDCTL_"))}
        environment.update(ETCDCTL_ENDPOINTS=",".join(endpoints), **(env or {}))
        # pylint: disable=consider-using-with
        self.process = harness.child(
            [program, *words], env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            stdin=subprocess.PIPE if text is not None else subprocess.DEVNULL)
        self.out, self.err = bytearray(), bytearray()
        self.pieces = queue.SimpleQueue()
        self.threads = [threading.Thread(target=self._read, args=each, daemon=True)
                        for each in ((self.process.stdout, self.out),
                                     (self.process.stderr, self.err))]
        for thread in self.threads:
            thread.start()
        if text:
            self.say(text)

    def _read(self, stream, into):
        while piece := stream.read1(65536):
            into += piece
            self.pieces.put(piece)

    def say(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def close_stdin(self):
        self.process.stdin.close()

    def wait_for(self, text, where="out", count=1):
        """Until it has printed this so often."""
        def there():
            if bytes(getattr(self, where)).count(text) >= count:
                return True
            with contextlib.suppress(queue.Empty):
                self.pieces.get(timeout=1)
            return bytes(getattr(self, where)).count(text) >= count
        words = self.process.args[len(harness.MORTAL) + 1:]
        harness.until(there, f"{text!r} of {words}; it has printed "
                      f"{bytes(self.out)!r}, {bytes(self.err)!r}")

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        """Its exit code, when all it printed has been read."""
        code = self.process.wait(timeout=harness.PATIENCE_S)
        for thread in self.threads:
            thread.join()
        return code

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.wait()


@pytest.fixture(name="verb")
def verbs():
    """Start them; all that still run are killed in the end."""
    started = []

    def start(*arguments, **options):
        started.append(Verb(*arguments, **options))
        return started[-1]
    yield start
    for each in started:
        each.kill()

# SPDX-License-Identifier: Apache-2.0
"""rpc_steps.py: a case's steps, run against one server, written down so that two can be compared.

A step is a line; its first word says what it is:

    Range key:'@a' limit:3      a request in protobuf's text format; its answer is written down
    Snapshot*                   one whose answers are many: all are read
    raw PATH HEX                these bytes to that path
    meta NAME=VALUE ...         metadata of what follows; none without words
    login NAME PASSWORD         Authenticate, and use the token for what follows
    GET PATH, POST PATH BODY    over HTTP/1.1; HTTP METHOD PATH BODY for other methods
    w= Watch                    open a stream and call it w (any small letter)
    w< create_request { ... }   send on it
    w> 2                        read two responses that are not events
    w> 3 events                 read three events, in as few or many responses as they come
    w+ 7 key:'@a'               create watch 7, and read until that is answered
    w~ 7 Put key:'@a'           do that, and read until watch 7 has told of it, or was cancelled
    w- 7                        cancel watch 7 unless it was, and read until it is
    w.                          half-close it
    w!                          cancel it
    w>                          read to its end; its status is written down
    drop                        close the connection, with all of its streams, and make a new one
    at N                        what follows goes to member N

In a step "@" becomes the case's own prefix of keys, which ends in "/", '~' the end of the range of
all that begin with it, "^N" the revision at which the case began, plus N, "$nN" the id of member N,
"$pN" its peer URL, "$uN" a URL that no other case has, "$aN" the id of the Nth member that the
case added, "$same", "$below" and "$above" the version of the cluster and those beside it, and
"b64(TEXT)" the text in base64.

What two servers can't have in common is made the same: ids of cluster and members, terms, tokens,
addresses, versions, sizes, the remaining time of a lease. A watch may put events of several
revisions into one response or into several, so events are written down each for itself; that those
of one revision come together, and that no header is older than its events, is asserted here. What a
stream got and no step read is written down at the end.
"""
import base64
import concurrent.futures
import json
import re

from google.protobuf import text_format

import harness
import rpc_client

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SYNC = "rpc-steps-end-of-case"


def as_text(message):
    return text_format.MessageToString(message, as_utf8=False).rstrip("\n")


class Tape:
    """A stream, with its responses sorted into events and others."""

    def __init__(self, stream):
        self.stream = stream
        self.events = []
        self.others = []
        self.last = {}  # of each watch, the newest revision whose events have all come
        self.cancelled = set()  # watches
        self.ended = False

    def pull(self):
        response = self.stream.receive()
        if response is None:
            self.ended = True
            return
        if not getattr(response, "events", None):
            self.others.append(response)
            if getattr(response, "canceled", False):
                self.cancelled.add(response.watch_id)
            return
        watch = response.watch_id
        for event in response.events:
            revision = event.kv.mod_revision
            assert revision > self.last.get(watch, 0), f"{revision} again or late: {response}"
            assert revision <= response.header.revision, response
            self.events.append((watch, event))
        if not response.fragment:
            self.last[watch] = response.events[-1].kv.mod_revision
        assert not (response.created or response.canceled or response.compact_revision), response

    def take(self, count, kind):
        """`count` of them, the oldest first; fewer if the stream ends."""
        while len(kind) < count and not self.ended:
            self.pull()
        taken = kind[:count]
        del kind[:count]
        return taken


    def take_other(self, wanted):
        """The first that is wanted and no event; None if the stream ends before it."""
        while not self.ended and not any(wanted(each) for each in self.others):
            self.pull()
        found = next((each for each in self.others if wanted(each)), None)
        if found is not None:
            self.others.remove(found)
        return found


class Side:
    """One of the servers that are compared."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.clients = [rpc_client.Client(node.endpoint) for node in cluster.nodes]
        self.names = {}
        self.ids = {}
        by_url = {node.peer_url: node.name for node in cluster.nodes}
        members = harness.until(self.published, "the names of all members")
        self.names[str(members.header.cluster_id)] = "<cluster>"
        for member in members.members:
            name = by_url[member.peerURLs[0]]
            self.ids[name] = str(member.ID)
            self.names[str(member.ID)] = f"<{name}>"
        self.first = {int(each) for each in self.ids.values()}
        for i, node in enumerate(cluster.nodes, 1):
            self.names[node.client_url.split("//")[1]] = f"<client {i}>"
            self.names[node.peer_url.split("//")[1]] = f"<peer {i}>"
        self.versions = {}
        self.metadata = []
        self.lines = []
        self.tapes = {}
        self.added = 0
        self.probes = 0
        self.number = 0
        self.alarm_headers = True

    def versions_learn(self):
        """Of the cluster: $same, and those beside it."""
        _, _, body = self.cluster.nodes[0].http("GET", "/version")
        major, minor = (int(each) for each in json.loads(body)["etcdcluster"].split(".")[:2])
        self.versions = {"same": f"{major}.{minor}", "below": f"{major}.{minor - 1}",
                         "above": f"{major}.{minor + 1}"}

    def lead(self, node):
        """See to it that this member leads."""
        wanted = int(self.ids[self.cluster.nodes[node].name])

        def leads():
            statuses = [client.call("Status").response for client in self.clients]
            if None in statuses:
                return False
            for client, status in zip(self.clients, statuses):
                if status.leader == status.header.member_id != wanted:
                    client.call("MoveLeader", f"targetID:{wanted}")
            return all(status.leader == wanted for status in statuses)
        harness.until(leads, f"n{node + 1} leads")

    def calm(self):
        """Only those that were there at first; and known to each other for so long that they may be
        changed."""
        client = self.clients[0]

        def added():
            for member in client.call("MemberList").response.members:
                if member.ID not in self.first:
                    client.call("MemberRemove", f"ID: {member.ID}")
            self.probes += 1
            return client.call("MemberAdd", "isLearner: true peerURLs: 'http://127.0.0.3:"
                               f"{1000 + self.probes}'").response
        member = harness.until(added, "a member may be added").member
        harness.until(lambda: client.call("MemberRemove", f"ID: {member.ID}").code == "OK",
                      "a member may be removed")

    def published(self):
        """What MemberList gives, once every member has told its name to every other."""
        lists = [client.call("MemberList").response for client in self.clients]
        if all(each and all(member.name for member in each.members) for each in lists):
            return lists[0]
        return None

    def close(self):
        for client in self.clients:
            client.close()

    def revision(self, node):
        """The newest, by a read that has to be of now."""
        answer = self.clients[node].call("Range", "key: 'none'", self.metadata)
        assert answer.code == "OK", answer
        return answer.response.header.revision

    # -- what is made the same ----------------------------------------------------------------

    def plain(self, text):
        for name, what in self.names.items():
            text = text.replace(name, what)
        for pattern, instead in (
                (r"(raft_?[tT]erm\"?: ?\"?)\d+", r"\1T"),
                (r"token(\"?): \"[A-Za-z]{16}\.\d+\"", r'token\1: "..."')):
            text = re.sub(pattern, instead, text)
        return text

    def tidy_status(self, status):
        for name in ("version", "storageVersion", "dbSize", "dbSizeInUse", "dbSizeQuota",
                     "raftIndex", "raftAppliedIndex"):
            status.ClearField(name)
        errors = [" ".join(each.split()) for each in status.errors]  # 3.7 has spaces by chance
        del status.errors[:]
        status.errors.extend(sorted(errors, key=self.plain))
        if not status.downgradeInfo.enabled:
            status.ClearField("downgradeInfo")  # from 3.6 on it is there always
        elif status.downgradeInfo.targetVersion == self.versions.get("below", "") + ".0":
            status.downgradeInfo.targetVersion = "<below>"

    def tidy(self, response):
        """Order what has none, and blank what passes by itself."""
        name = response.DESCRIPTOR.name
        if name == "StatusResponse":
            self.tidy_status(response)
        if name == "AlarmResponse":
            rows = sorted(response.alarms, key=lambda row: self.plain(as_text(row)))
            copies = [type(row).FromString(row.SerializeToString()) for row in rows]
            del response.alarms[:]
            response.alarms.extend(copies)
        if name == "AlarmResponse" and not self.alarm_headers:
            response.ClearField("header")
        if name == "HashResponse":
            response.hash = 0  # of a file as it is on disk
        if name == "HashKVResponse":
            response.hash_revision = 0  # from 3.6 on
        if name == "DowngradeResponse" and response.version == self.versions.get("same"):
            response.version = "<same>"
        if hasattr(response, "members"):
            members = sorted(response.members, key=lambda m: (m.name, list(m.peerURLs)))
            copies = [type(member).FromString(member.SerializeToString()) for member in members]
            del response.members[:]
            response.members.extend(copies)
        if name == "LeaseTimeToLiveResponse":
            if 0 < response.TTL <= response.grantedTTL:
                response.TTL = response.grantedTTL
            response.keys.sort()
        if name == "LeaseLeasesResponse":
            ids = sorted(lease.ID for lease in response.leases)
            for lease, lease_id in zip(response.leases, ids):
                lease.ID = lease_id
        return response

    def write(self, what, text):
        self.lines += [what] + ["    " + line for line in self.plain(text).splitlines()]

    def merged(self, responses):
        """How a range is cut is the server's affair; that each piece has pairs, and all but the
        last one nothing else, is not."""
        for each in responses[:-1]:
            found = [field.name for field, _ in each.range_response.ListFields()]
            assert found == ["kvs"], found
        whole = type(responses[0])()
        for each in responses:
            whole.MergeFrom(each)
        return as_text(self.tidy(whole))

    def write_answer(self, what, answer):
        if answer.code != "OK":
            what += f" -> {answer.code}: {answer.message}"
        if answer.response is None:
            text = ""
        elif answer.response and isinstance(answer.response, list) and \
                answer.response[0].DESCRIPTOR.name == "RangeStreamResponse":
            text = self.merged(answer.response)
        elif isinstance(answer.response, list):
            text = "\n--\n".join(as_text(self.tidy(each)) for each in answer.response)
        else:
            text = as_text(self.tidy(answer.response))
        self.write(self.plain(what), text)

    # -- steps --------------------------------------------------------------------------------

    def placed(self, match):
        """What "$" stands for."""
        kind, number = match[1], match[2]
        if kind == "p":
            return self.cluster.nodes[int(number) - 1].peer_url
        if kind == "u":
            return f"http://127.0.0.2:{1000 + 2 * self.number + int(number)}"
        if number:
            return self.ids.get(kind + number, "0")
        return self.versions[kind]

    def learn_added(self, answer):
        """Members that the case adds have names by their order."""
        self.added += 1
        self.ids[f"a{self.added}"] = str(answer.response.member.ID)
        self.names[str(answer.response.member.ID)] = f"<added {self.added}>"

    def run(self, name, steps, node, begin, number=0):
        """Run them all. Gives what was written down. `number` is of the case, for its URLs."""
        self.number = number
        self.lines = []
        self.added = 0
        prefix = name + "/"
        for step in steps:
            if step.startswith("at "):
                node = int(step.split()[1]) - 1
                continue
            text = step.replace("@", prefix).replace("'~'", f"'{name}0'")
            text = re.sub(r"\^(\d+)", lambda m: str(begin + int(m[1])), text)
            text = re.sub(r"\$(same|below|above|[napu])(\d?)", self.placed, text)
            text = re.sub(
    r"b64\(([^)]*)\)",
    lambda m: base64.b64encode(
        m[1].encode()).decode(),
         text)
            self.step(step[:160], text, node)
        self.finish(node)
        return self.lines

    def step(self, shown, text, node):
        word, _, rest = text.partition(" ")
        client = self.clients[node]
        if word[0] in LETTERS and word[1:] in tuple("=<>.!~+-"):
            self.stream_step(shown, word, rest, client)
        elif word == "raw":
            path, _, data = rest.partition(" ")
            answer = client.raw(path, bytes.fromhex(data), self.metadata)
            if answer.response is not None:
                answer = answer._replace(response=rpc_client.response_of(path, answer.response))
            self.write_answer(shown, answer)
        elif word == "meta":
            pairs = [each.split("=", 1) for each in rest.split()]
            self.metadata = [(name, value.encode() if name.endswith("-bin") else value)
                             for name, value in pairs]
        elif word == "login":
            user, password = rest.split()
            answer = client.call("Authenticate", f"name: '{user}' password: '{password}'")
            self.write_answer(shown, answer._replace(response=None))
            self.metadata = [("token", answer.response.token)] if answer.response else []
        elif word in ("GET", "POST", "HTTP"):
            self.http_step(shown, rest if word == "HTTP" else text, node)
        elif word == "drop":
            client.close()
            self.clients[node] = rpc_client.Client(self.cluster.nodes[node].endpoint)
            self.tapes = {}
        elif word.endswith("*"):
            self.write_answer(shown, client.download(word[:-1], rest, self.metadata))
        else:
            answer = client.call(word, rest, self.metadata)
            if word == "MemberAdd" and answer.response is not None:
                self.learn_added(answer)
            self.write_answer(shown, answer)

    def http_step(self, shown, text, node):
        method, path, body = (text + "  ").split(" ", 2)
        status, headers, data = self.cluster.nodes[node].http(
            method, path, body.strip() or None, dict(self.metadata))
        data = data.decode(errors="backslashreplace")
        if headers.get("Content-Type", "").startswith("application/json"):
            data = "\n".join(json.dumps(json.loads(line), indent=1, sort_keys=True)
                             for line in data.splitlines())
        if "verbose" in path:  # etcd lists checks as its map of them falls
            data = "\n".join(sorted(data.splitlines()))
        self.write(f"{shown} -> {status} {headers.get('Content-Type')} {headers.get('Allow')}",
                   data)

    def stream_step(self, shown, word, rest, client):
        letter, what = word
        if what == "=":
            self.tapes[letter] = Tape(client.stream(rest.strip(), self.metadata))
            return
        tape = self.tapes[letter]
        if what == "<":
            tape.stream.send(rest)
        elif what == ".":
            tape.stream.half_close()
        elif what == "!":
            tape.stream.cancel()
        elif what == "~":
            self.hear(shown, tape, rest, client)
        elif what == "+":
            watch, _, text = rest.partition(" ")
            tape.stream.send(f"create_request {{ watch_id:{watch} {text} }}")
            self.write_taken(shown, tape.take_other(lambda each: each.created), False)
        elif what == "-":
            if int(rest) not in tape.cancelled:
                tape.stream.send(f"cancel_request {{ watch_id:{rest} }}")
            self.write_taken(shown, tape.take_other(
                lambda each: each.canceled and each.watch_id == int(rest)), False)
        elif not rest:
            while not tape.ended:
                tape.pull()
            self.write_rest(shown, tape)
            del self.tapes[letter]
            status = tape.stream.status
            self.write(f"{shown} -> {status.code}: {self.plain(status.message)}", "")
        else:
            count, _, kind = rest.partition(" ")
            events = kind == "events"
            for taken in tape.take(int(count), tape.events if events else tape.others):
                self.write_taken(shown, taken, events)

    def hear(self, shown, tape, rest, client):
        watch, method, text = rest.split(" ", 2)
        answer = client.call(method, text, self.metadata)
        self.write_answer(shown, answer)
        revision = answer.response.header.revision
        while tape.last.get(int(watch), 0) < revision and not tape.ended \
                and int(watch) not in tape.cancelled:
            tape.pull()

    def write_taken(self, shown, taken, is_event):
        if is_event:
            self.write(f"{shown}: watch {taken[0]}", as_text(taken[1]))
        else:
            self.write(shown, as_text(self.tidy(taken)))

    def write_rest(self, shown, tape):
        for each in sorted(tape.events, key=lambda event: event[0]):  # watches have no order
            self.write_taken(f"{shown} not read", each, True)
        for each in tape.others:
            self.write_taken(f"{shown} not read", each, False)

    def finish(self, node):
        """Nothing may be left on a stream. A watch made now tells when all of before has come."""
        watches = {letter: tape for letter, tape in self.tapes.items()
                   if "Watch" in tape.stream.method.path}
        others = {letter: tape for letter, tape in self.tapes.items() if letter not in watches}
        for tape in watches.values():
            tape.stream.send(f"create_request {{ key: '{SYNC}' watch_id: 999999 }}")
            while not tape.ended and not any(each.watch_id == 999999 for each in tape.others):
                tape.pull()
        if watches:
            self.clients[node].call("Put", f"key: '{SYNC}'", self.metadata)
        for letter, tape in watches.items():
            while not tape.ended and not any(watch == 999999 for watch, _ in tape.events):
                tape.pull()
            tape.events = [each for each in tape.events if each[0] != 999999]
            tape.others = [each for each in tape.others if each.watch_id != 999999]
            self.write_rest(letter, tape)
            tape.stream.cancel()
        for letter, tape in others.items():
            tape.stream.half_close()
            while not tape.ended:
                tape.pull()
            self.write_rest(letter, tape)
        self.tapes = {}


def level(sides, node):
    """Bring all to one revision, and this member of each up to it. Gives that revision."""
    now = [side.revision(node) for side in sides]
    while len(set(now)) > 1:
        for side, revision in zip(sides, now):
            for _ in range(max(now) - revision):
                side.clients[node].call("Put", "key: 'level'", side.metadata)
        now = [side.revision(node) for side in sides]
    return now[0]


class Pair:
    """Two clusters, and how a case is run on both."""

    def __init__(self, etcd, oakum):
        self.sides = [Side(etcd), Side(oakum)]
        self.cases = 0
        status, _, body = etcd.nodes[0].http("GET", "/version")
        assert status == 200
        self.etcd_version = json.loads(body)["etcdserver"]

    def close(self):
        for side in self.sides:
            side.close()

    def run(self, name, steps, node):
        """Gives both transcripts."""
        for side in self.sides:
            side.metadata, side.tapes = [], {}
        begin = level(self.sides, node)
        self.cases += 1
        with concurrent.futures.ThreadPoolExecutor() as both:
            return list(both.map(
                lambda side: side.run(name, steps, node, begin, self.cases), self.sides))


if __name__ == "__main__":
    raise SystemExit(f"this is a module for the tests beside it: {harness.TOP}/tests")

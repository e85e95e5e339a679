# SPDX-License-Identifier: Apache-2.0
"""What leases of clients cost a member that has nothing to do: make bench-client-leases

One member. Its CPU and its memory are looked at before and after so many leases of an hour are
granted to it, then it is started again. Ratios are what to read; the rest is this machine's."""
import http.client
import os
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests"))
import harness  # noqa: E402  pylint: disable=wrong-import-position

LOOK_S = 15
CLIENTS = 8


def memory(node):
    with open(f"/proc/{node.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


def cpu_idle(node):
    """The part of a CPU that it takes."""
    def spent():
        with open(f"/proc/{node.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    begun = spent()
    threading.Event().wait(LOOK_S)
    return (spent() - begun) / LOOK_S


def grant(node, count):
    host, port = node.endpoint.split(":")

    def some():
        connection = http.client.HTTPConnection(host, int(port))
        for _ in range(count // CLIENTS):
            connection.request("POST", "/v3/lease/grant", '{"TTL":"3600"}')
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
    threads = [threading.Thread(target=some) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100000
    with tempfile.TemporaryDirectory() as folder:
        with harness.Cluster(harness.oakum_path(), folder, size=1) as cluster:
            cluster.start()
            node = cluster.nodes[0]
            without = cpu_idle(node), memory(node)
            grant(node, count)
            alive = int(node.metrics()["oakum_leases"])
            with_them = cpu_idle(node), memory(node)
            begun = time.monotonic()
            node.restart()
            cluster.wait_healthy()
            started = time.monotonic() - begun
            assert int(node.metrics()["oakum_leases"]) == alive
            print(f"{alive} leases")
            print(f"idle CPU: {without[0]:.2%} without, {with_them[0]:.2%} with them")
            print(f"memory of one: {(with_them[1] - without[1]) / alive:.0f} bytes, on the leader")
            print(f"stopped, started and healthy again with all of them: {started:.2f} s")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""Damage to what was durable, in a cluster that can repair it: a member whose log or store is
damaged starts, gives no vote while it can't know its log, and gets back from the others what it
lost. docs/internals/repair.md says why that is enough."""
import os
import shutil

import pytest

import harness
from test_chaos import Acks, assert_nothing_lost, dump, leader_among, load
from test_power_loss import flip, frames, last_segment

FAST = ["--heartbeat-interval=20", "--election-timeout=200"]


def killed_under_load(cluster, acks, victims, count=600):
    """Load until `count` writes are acknowledged, then kill `victims`."""
    with load(cluster, acks, 0, clients=8, value_bytes=20) as loader:
        acks.wait_for(count, loader)
        for node in victims:
            node.kill()
        loader.stop()
        loader.result()
    acks.read()


def damage_log(node):
    """Flip a bit in a batch in the middle of the log."""
    path, data = last_segment(node.data_dir)
    held = [frame for frame in frames(data) if frame[2] > 0]
    assert len(held) > 8
    at, _, records = held[len(held) // 2]
    flip(path, at + 64 + records // 2)
    return path


def says(node, text):
    return text in node.log_text()


IN_DOUBT = "does not vote until then"
KNOWN = "the log is known again"


def test_a_member_with_a_damaged_log_is_made_whole_by_the_others(start_cluster, tmp_path):
    cluster = start_cluster(flags=FAST)
    acks = Acks(tmp_path / "acks")
    victim = cluster.followers()[0]
    killed_under_load(cluster, acks, [victim])
    path = damage_log(victim)
    victim.start()
    victim.wait_healthy()
    assert says(victim, IN_DOUBT) and says(victim, os.path.basename(path))
    harness.until(lambda: says(victim, KNOWN), f"{victim} knows its log again")
    assert_nothing_lost(cluster, acks)
    assert any(name.endswith(".damaged")
               for name in os.listdir(os.path.join(victim.data_dir, "wal")))
    # It votes again: with one of the others gone, the two elect and serve.
    others = [node for node in cluster.nodes if node is not victim]
    others[0].kill()
    leader_among([victim, others[1]])
    cluster.etcdctl("put", "after", "all", endpoints=[victim.endpoint])
    # And a restart finds nothing to repair.
    victim.restart()
    victim.wait_healthy()
    assert victim.log_text().count(IN_DOUBT) == 1


def test_l14_a_damaged_tail_and_a_partition_lose_no_commit(start_cluster, tmp_path):
    """NuRaft#185: X loses the end of its log, Y never had it: X and Y are a majority that must not
    agree on forgetting it."""
    cluster = start_cluster(flags=FAST)
    acks = Acks(tmp_path / "acks")
    leader = cluster.leader()
    damaged, absent = cluster.followers()
    absent.kill()
    killed_under_load(cluster, acks, [damaged, leader])
    damage_log(damaged)
    damaged.start(), absent.start()
    harness.until(lambda: says(damaged, IN_DOUBT), f"{damaged} has started")
    # The one that never had the writes asks for votes again and again, and gets none.
    done = cluster.etcdctl("get", "x", endpoints=[absent.endpoint], check=False)
    assert done.returncode != 0
    since = damaged.log_text().rpartition(IN_DOUBT)[2]
    assert " leads in term" not in since and KNOWN not in since
    leader.start()
    cluster.wait_healthy()
    harness.until(lambda: says(damaged, KNOWN), f"{damaged} knows its log again")
    assert_nothing_lost(cluster, acks)


@pytest.mark.needs_rocks
def test_a_damaged_store_is_set_aside_and_filled_anew(start_cluster, tmp_path):
    cluster = start_cluster(flags=FAST)
    acks = Acks(tmp_path / "acks")
    victim = cluster.followers()[0]
    killed_under_load(cluster, acks, [victim])
    with open(os.path.join(victim.data_dir, "store", "current"), "r+b") as file:
        file.write(b"DAMAGED!")
    victim.start()
    victim.wait_healthy()
    assert says(victim, "set aside as")
    assert os.path.isdir(os.path.join(victim.data_dir, "store.damaged"))
    assert_nothing_lost(cluster, acks)
    # A second one while the first still lies there: somebody should look.
    victim.kill()
    with open(os.path.join(victim.data_dir, "store", "current"), "r+b") as file:
        file.write(b"DAMAGED!")
    victim.start()
    assert victim.wait() == 1
    assert "look at the disk" in victim.log_text().splitlines()[-1]
    shutil.rmtree(os.path.join(victim.data_dir, "store.damaged"))
    victim.start()
    victim.wait_healthy()
    assert_nothing_lost(cluster, acks)


@pytest.mark.needs_rocks
def test_l16_a_store_that_lacks_what_the_log_released_is_refused_alone_and_doubted_in_company(
        start_cluster, tmp_path):
    """The store vanishes, and the log does not reach back to its beginning: the member must not
    start as if it knew. (L16, P6, P11: an applied index, a log and a state that don't fit.)"""
    cluster = start_cluster(flags=FAST)
    victim = cluster.followers()[0]
    acks = Acks(tmp_path / "acks")
    with load(cluster, acks, 1200, clients=8, value_bytes=60000) as loader:
        loader.result()
    acks.read()
    victim.kill()
    shutil.rmtree(os.path.join(victim.data_dir, "store"))
    victim.start()
    victim.wait_healthy()
    assert says(victim, IN_DOUBT), victim.log_tail()
    harness.until(lambda: says(victim, KNOWN), f"{victim} knows its log again")


    def count(node):
        found = cluster.etcdctl_json("get", "", "--prefix", "--limit=1", "--keys-only",
                                     "--consistency=s", endpoints=[node.endpoint])
        return found["count"], found["header"]["revision"]
    harness.until(lambda: count(victim) == count(cluster.leader()), "equal states")
    assert count(victim)[0] >= 1200


def test_m04_a_member_whose_data_is_gone_is_not_taken_for_a_new_one(start_cluster, tmp_path):
    """RethinkDB#5289: under its old id, with an empty directory, it has forgotten what it voted."""
    cluster = start_cluster(flags=FAST)
    acks = Acks(tmp_path / "acks")
    victim = cluster.followers()[0]
    harness.until(lambda: not any(os.path.exists(os.path.join(node.data_dir, "newborn"))
                                  for node in cluster.nodes), "everybody has been born")
    killed_under_load(cluster, acks, [victim])
    shutil.rmtree(victim.data_dir)
    victim.start()
    assert victim.wait() == 1, victim.log_tail()
    assert says(victim, "its data directory is new") and says(victim, "add it again as a new")
    # Nor when it is started once more, whatever it had caught up with before it ended.
    victim.start()
    assert victim.wait() == 1, victim.log_tail()
    others = [node for node in cluster.nodes if node is not victim]
    cluster.wait_healthy(others)
    cluster.etcdctl("put", "after", "all", endpoints=[others[0].endpoint])


FORGOTTEN = "this member has forgotten promises"
VOTES_AGAIN = "this member votes again"


def test_m04_a_member_whose_data_is_gone_elects_nobody_with_one_that_remembers_it(
        start_cluster, tmp_path):
    """Its old log and the leader's made the majority: with an empty one it must not be a voter to
    the third, who would elect without what they acknowledged."""
    cluster = start_cluster(flags=FAST)
    acks = Acks(tmp_path / "acks")
    victim, absent = cluster.followers()
    leader = cluster.leader()
    harness.until(lambda: not any(os.path.exists(os.path.join(node.data_dir, "newborn"))
                                  for node in cluster.nodes), "everybody has been born")
    # It can tell what it has heard of, and the two followers need not have met for a birth.
    harness.until(lambda: absent.metrics()["oakum_members_remembered"] == 2, "both are remembered")
    absent.kill()
    killed_under_load(cluster, acks, [victim, leader])
    shutil.rmtree(victim.data_dir)
    absent.start(), victim.start()
    assert victim.wait() == 1, victim.log_tail()
    assert says(victim, "its data directory is new")
    assert " leads in term" not in victim.log_text().rpartition("recovered: term 0")[2]
    leader.start()
    cluster.wait_healthy([leader, absent])
    _, keys = dump(absent)
    assert all(key in keys for key, *_ in acks.rows)


def test_m04_a_member_whose_disk_is_an_older_one_has_no_vote_until_it_has_caught_up(
        start_cluster, tmp_path):
    """Yesterday's image of the disk, put back: what it voted and acknowledged since is forgotten,
    and the others remember it."""
    cluster = start_cluster(flags=FAST)
    acks = Acks(tmp_path / "acks")
    victim = cluster.followers()[0]
    killed_under_load(cluster, acks, [victim], count=200)
    shutil.copytree(victim.data_dir, tmp_path / "yesterday")
    victim.start()
    cluster.wait_healthy()
    later = Acks(tmp_path / "later")
    killed_under_load(cluster, later, [victim], count=200)
    shutil.rmtree(victim.data_dir)
    shutil.copytree(tmp_path / "yesterday", victim.data_dir)
    victim.start()
    harness.until(lambda: says(victim, VOTES_AGAIN), f"{victim} votes again")
    log = victim.log_text()
    assert log.count(FORGOTTEN) == 1 and log.index(FORGOTTEN) < log.index("has no vote now")
    assert_nothing_lost(cluster, acks)
    assert_nothing_lost(cluster, later)
    # It counts again: with one of the others gone, the two elect and serve.
    others = [node for node in cluster.nodes if node is not victim]
    others[0].kill()
    leader_among([victim, others[1]])
    cluster.etcdctl("put", "after", "all", endpoints=[victim.endpoint])
    # And a restart finds nothing that it forgot.
    victim.restart()
    cluster.wait_healthy([victim, others[1]])
    assert victim.log_text().count(FORGOTTEN) == 1


def test_m04_a_member_that_starts_late_for_the_first_time_is_a_new_one(start_cluster):
    cluster = start_cluster(flags=FAST, start=False)
    for node in cluster.nodes[:2]:
        node.start()
    cluster.wait_healthy(cluster.nodes[:2])
    cluster.etcdctl("put", "before", "it", endpoints=[cluster.nodes[0].endpoint])
    late = cluster.nodes[2]
    late.start()
    late.wait_healthy()
    harness.until(lambda: not os.path.exists(os.path.join(late.data_dir, "newborn")), "its birth")
    late.restart()
    late.wait_healthy()


def test_the_scrub_finds_damage_while_a_member_runs(start_cluster, tmp_path):
    cluster = start_cluster(flags=[*FAST, "--experimental-scrub-rate=67108864",
                                   "--experimental-scrub-interval=1"])
    acks = Acks(tmp_path / "acks")
    with load(cluster, acks, 1000, clients=8, value_bytes=20000) as loader:
        loader.result()
    acks.read()
    victim = cluster.followers()[0]
    passes = victim.metrics()["oakum_log_scrubs_total"]
    harness.until(lambda: victim.metrics()["oakum_log_scrubs_total"] > passes + 1,
                  "a pass over all that was written")
    assert victim.metrics()["oakum_log_scrub_seconds"] > 0
    folder = os.path.join(victim.data_dir, "wal")
    oldest = min(name for name in os.listdir(folder) if name.endswith(".wal"))
    path = os.path.join(folder, oldest)
    with open(path, "rb") as file:
        held = [frame for frame in frames(file.read()) if frame[2] > 0]
    assert path != last_segment(victim.data_dir)[0] and len(held) > 8
    flip(path, held[len(held) // 2][0] + 64)
    assert victim.wait() == 1, victim.log_tail()
    assert says(victim, f"{oldest}") and says(victim, "the scrub finds a batch damaged")
    others = [node for node in cluster.nodes if node is not victim]
    cluster.etcdctl("put", "mean", "while", endpoints=[others[0].endpoint])
    victim.start()
    cluster.wait_healthy()
    assert_nothing_lost(cluster, acks)


def table_files(node):
    """RocksDB's files with data, the largest first."""
    found = []
    for folder, _, names in os.walk(os.path.join(node.data_dir, "store")):
        found += [os.path.join(folder, name) for name in names if name.endswith(".sst")]
    return sorted(found, key=os.path.getsize, reverse=True)


def filled(cluster, acks, nodes):
    """Write, and have `nodes` write their stores out: a stop does that."""
    with load(cluster, acks, 400, clients=8, value_bytes=2000) as loader:
        loader.result()
    acks.read()
    for node in nodes:
        node.restart()
        node.wait_healthy()


def damage_table(node, every=2048):
    """Flip a bit in each block of the data; behind it are filters and indexes."""
    path = table_files(node)[0]
    for at in range(100, os.path.getsize(path) * 8 // 10, every):
        flip(path, at)
    return path


def repaired_after_its_end(cluster, victim, acks):
    assert victim.wait() == 1, victim.log_tail()
    assert "damage in the store" in victim.log_text().splitlines()[-1]
    others = [node for node in cluster.nodes if node is not victim]
    cluster.etcdctl("put", "mean", "while", endpoints=[others[0].endpoint])
    victim.start()
    cluster.wait_healthy()
    assert says(victim, "it is set aside as")
    assert_nothing_lost(cluster, acks)
    victim.restart()
    victim.wait_healthy()
    assert victim.log_text().count("it is set aside as") == 1


SCRUB = ["--experimental-scrub-rate=67108864", "--experimental-scrub-interval=1"]
NO_SCRUB = ["--experimental-scrub-rate=0"]


@pytest.mark.needs_rocks
def test_the_scrub_finds_damage_in_the_store_while_a_member_runs(start_cluster, tmp_path):
    cluster = start_cluster(flags=[*FAST, *SCRUB])
    acks = Acks(tmp_path / "acks")
    victim = cluster.followers()[0]
    filled(cluster, acks, [victim])
    passes = victim.metrics()["oakum_store_scrubs_total"]
    harness.until(lambda: victim.metrics()["oakum_store_scrubs_total"] > passes + 1, "a pass")
    path = table_files(victim)[0]
    flip(path, os.path.getsize(path) // 2)
    repaired_after_its_end(cluster, victim, acks)


@pytest.mark.needs_rocks
def test_a_read_that_meets_damage_ends_a_member_which_is_repaired(start_cluster, tmp_path):
    cluster = start_cluster(flags=[*FAST, *NO_SCRUB])
    acks = Acks(tmp_path / "acks")
    victim = cluster.followers()[0]
    filled(cluster, acks, [victim])
    damage_table(victim)
    assert victim.running
    done = cluster.etcdctl("get", "", "--prefix", "--consistency=s", endpoints=[victim.endpoint],
                           check=False)
    assert done.returncode != 0, "no wrong answer"
    repaired_after_its_end(cluster, victim, acks)


@pytest.mark.needs_rocks
def test_a_member_that_is_alone_says_what_to_do_about_damage_in_its_store(start_cluster, tmp_path):
    cluster = start_cluster(size=1, flags=[*FAST, *SCRUB])
    node = cluster.nodes[0]
    acks = Acks(tmp_path / "acks")
    filled(cluster, acks, [node])
    path = table_files(node)[0]
    flip(path, os.path.getsize(path) // 2)
    harness.until(lambda: node.metrics()["oakum_store_damaged"] == 1, "the damage is found")
    assert says(node, "Save what can be read, look at the disk, and restore a backup")
    # It works on as far as that goes.
    cluster.etcdctl("put", "new", "value")
    assert cluster.etcdctl("get", "new", "--print-value-only") == "value"
    assert node.running and not os.path.exists(os.path.join(node.data_dir, "store.suspect"))

// SPDX-License-Identifier: Apache-2.0

import static java.nio.charset.StandardCharsets.UTF_8;

import io.etcd.jetcd.ByteSequence;
import io.etcd.jetcd.Client;
import io.etcd.jetcd.Election;
import io.etcd.jetcd.KV;
import io.etcd.jetcd.KeyValue;
import io.etcd.jetcd.Lease;
import io.etcd.jetcd.Lock;
import io.etcd.jetcd.Watch;
import io.etcd.jetcd.auth.Permission;
import io.etcd.jetcd.common.exception.CompactedException;
import io.etcd.jetcd.election.LeaderResponse;
import io.etcd.jetcd.kv.GetResponse;
import io.etcd.jetcd.kv.TxnResponse;
import io.etcd.jetcd.lease.LeaseKeepAliveResponse;
import io.etcd.jetcd.op.Cmp;
import io.etcd.jetcd.op.CmpTarget;
import io.etcd.jetcd.op.Op;
import io.etcd.jetcd.options.DeleteOption;
import io.etcd.jetcd.options.GetOption;
import io.etcd.jetcd.options.LeaseOption;
import io.etcd.jetcd.options.PutOption;
import io.etcd.jetcd.options.WatchOption;
import io.etcd.jetcd.watch.WatchEvent;
import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * Drives a cluster by jetcd, as tests/test_clients.py says: Main ENDPOINT,ENDPOINT FEATURE ...
 *
 * <p>Each check of these features prints "ok FEATURE: NAME", or "FAIL FEATURE: NAME: REASON". A check
 * that needs the first member to be started anew prints "restart", and goes on when a line comes.
 */
public final class Main {
  private static final long PATIENCE_S = 60;
  private static String[] endpoints;
  private static List<String> features;
  private static int count;
  private static boolean failed;

  private final Client client;
  private final KV kv;
  private final String prefix;

  /** What a check does. */
  private interface Check {
    void run(Main t) throws Exception;
  }

  private Main(Client client, String prefix) {
    this.client = client;
    this.kv = client.getKVClient();
    this.prefix = prefix;
  }

  private static ByteSequence bytes(String text) {
    return ByteSequence.from(text, UTF_8);
  }

  private ByteSequence key(String name) {
    return bytes(prefix + name);
  }

  private static <T> T of(CompletableFuture<T> future) throws Exception {
    return future.get(PATIENCE_S, TimeUnit.SECONDS);
  }

  private static void wants(Object got, Object want) {
    if (!String.valueOf(got).equals(String.valueOf(want))) {
      throw new AssertionError("got " + got + ", not " + want);
    }
  }

  /** The future fails, and its reason says so. */
  private static void refused(CompletableFuture<?> future, String text) throws Exception {
    try {
      of(future);
    } catch (java.util.concurrent.ExecutionException e) {
      String reason = String.valueOf(e.getCause());
      wants(reason.contains(text) ? text : reason, text);
      return;
    }
    throw new AssertionError("not refused with " + text);
  }

  private static String[] urls(String... of) {
    return Arrays.stream(of).map(each -> "http://" + each).toArray(String[]::new);
  }

  private String pairs(List<KeyValue> kvs) {
    List<String> out = new ArrayList<>();
    for (KeyValue each : kvs) {
      out.add(each.getKey().toString(UTF_8).substring(prefix.length()) + "=" + each.getValue());
    }
    return String.join(" ", out);
  }

  private long put(String name, String value) throws Exception {
    return of(kv.put(key(name), bytes(value))).getHeader().getRevision();
  }

  private String get(String name) throws Exception {
    return pairs(of(kv.get(key(name))).getKvs());
  }

  /** The events of a watch, as text. */
  private final class Events implements Watch.Listener {
    final BlockingQueue<String> queue = new LinkedBlockingQueue<>();

    @Override
    public void onNext(io.etcd.jetcd.watch.WatchResponse response) {
      if (response.isCreatedNotify()) {
        queue.add("created");
      }
      for (WatchEvent event : response.getEvents()) {
        String was = event.getPrevKV().getValue().toString();
        queue.add(event.getEventType() + " " + pairs(List.of(event.getKeyValue()))
            + (was.isEmpty() ? "" : " was " + was));
      }
    }

    @Override
    public void onError(Throwable error) {
      queue.add(error.getClass().getSimpleName());
    }

    @Override
    public void onCompleted() {
      queue.add("completed");
    }

    List<String> take(int many) throws Exception {
      List<String> out = new ArrayList<>();
      while (out.size() < many) {
        String text = queue.poll(PATIENCE_S, TimeUnit.SECONDS);
        if (text == null) {
          throw new AssertionError("only " + out + " came");
        }
        out.add(text);
      }
      return out;
    }
  }

  private static void check(String feature, String name, Check run) {
    if (!features.contains(feature)) {
      return;
    }
    count++;
    try (Client client = Client.builder().endpoints(urls(endpoints)).build()) {
      run.run(new Main(client, "java/" + feature + "/" + count + "/"));
      System.out.println("ok " + feature + ": " + name);
    } catch (Exception | AssertionError e) {
      failed = true;
      System.out.println("FAIL " + feature + ": " + name + ": " + e);
    }
  }

  private static void kv() {
    check("kv", "put, get, delete", t -> {
      t.put("a", "1");
      wants(t.get("a"), "a=1");
      wants(of(t.kv.delete(t.key("a"), DeleteOption.builder().withPrevKV(true).build()))
          .getPrevKvs().get(0).getValue(), "1");
      wants(t.get("a"), "");
    });
    check("kv", "ranges, orders and limits", t -> {
      for (String name : List.of("b", "a", "d", "c")) {
        t.put(name, name);
      }
      GetOption.Builder all = GetOption.builder().isPrefix(true);
      wants(t.pairs(of(t.kv.get(t.key(""), all.build())).getKvs()), "a=a b=b c=c d=d");
      GetResponse page = of(t.kv.get(t.key(""), all.withSortField(GetOption.SortTarget.MOD)
          .withSortOrder(GetOption.SortOrder.DESCEND).withLimit(2).build()));
      wants(t.pairs(page.getKvs()), "c=c d=d");
      wants(page.isMore() + " " + page.getCount(), "true 4");
    });
    check("kv", "the past, and what was cut off", t -> {
      long first = t.put("a", "1");
      long second = t.put("a", "2");
      GetOption past = GetOption.builder().withRevision(first).build();
      wants(t.pairs(of(t.kv.get(t.key("a"), past)).getKvs()), "a=1");
      of(t.kv.compact(second));
      refused(t.kv.get(t.key("a"), past), "required revision has been compacted");
    });
    check("txn", "then and else, and nesting", t -> {
      Cmp none = new Cmp(t.key("a"), Cmp.Op.EQUAL, CmpTarget.createRevision(0));
      Op make = Op.put(t.key("a"), bytes("made"), PutOption.DEFAULT);
      Op inner = Op.txn(new Cmp[] {none}, new Op[] {Op.put(t.key("b"), bytes("yes"),
          PutOption.DEFAULT)}, new Op[0]);
      Op look = Op.get(t.key("a"), GetOption.DEFAULT);
      wants(of(t.kv.txn().If(none).Then(make, inner).Else(look).commit()).isSucceeded(), true);
      TxnResponse second = of(t.kv.txn().If(none).Then(make).Else(look).commit());
      wants(second.isSucceeded(), false);
      wants(t.pairs(second.getGetResponses().get(0).getKvs()), "a=made");
      wants(t.get("b"), "b=yes");
    });
  }

  private static void watch() {
    check("watch", "events in order", t -> {
      Events events = t.new Events();
      try (Watch.Watcher watcher = t.client.getWatchClient().watch(t.key(""),
          WatchOption.builder().isPrefix(true).withPrevKV(true).withCreateNotify(true).build(),
          events)) {
        wants(events.take(1), "[created]");
        t.put("a", "1");
        t.put("a", "2");
        of(t.kv.delete(t.key("a")));
        wants(events.take(3), "[PUT a=1, PUT a=2 was 1, DELETE a= was 2]");
      }
    });
    check("watch", "from a revision of the past", t -> {
      long first = t.put("a", "1");
      t.put("a", "2");
      Events events = t.new Events();
      try (Watch.Watcher watcher = t.client.getWatchClient().watch(t.key("a"),
          WatchOption.builder().withRevision(first).build(), events)) {
        wants(events.take(2), "[PUT a=1, PUT a=2]");
      }
    });
    check("watch", "below the compacted revision", all -> {
      // By one member, which has seen what it answered to.
      try (Client one = Client.builder().endpoints(urls(endpoints[0])).build()) {
        Main t = new Main(one, all.prefix);
        long first = t.put("a", "1");
        of(t.kv.compact(t.put("a", "2")));
        Events events = t.new Events();
        try (Watch.Watcher watcher = one.getWatchClient().watch(t.key("a"),
            WatchOption.builder().withRevision(first).build(), events)) {
          wants(events.take(1), List.of(CompactedException.class.getSimpleName()));
        }
      }
    });
    check("watch-resume", "over the restart of its member", t -> {
      try (Client one = Client.builder().endpoints(urls(endpoints[0])).build()) {
        Events events = t.new Events();
        try (Watch.Watcher watcher = one.getWatchClient().watch(t.key(""),
            WatchOption.builder().isPrefix(true).withCreateNotify(true).build(), events)) {
          wants(events.take(1), "[created]");
          t.put("a", "1");
          wants(events.take(1), "[PUT a=1]");
          System.out.println("restart");
          System.in.read();
          t.put("b", "2");
          t.put("c", "3");
          // Its stream's end and its next one are told as well.
          List<String> rest = new ArrayList<>();
          while (rest.size() < 2) {
            rest.addAll(events.take(1));
            rest.removeIf(each -> !each.startsWith("PUT"));
          }
          wants(rest, "[PUT b=2, PUT c=3]");
        }
      }
    });
  }

  private static void lease() {
    check("lease", "grant, attach, revoke", t -> {
      Lease lease = t.client.getLeaseClient();
      long id = of(lease.grant(600)).getID();
      of(t.kv.put(t.key("a"), bytes("1"), PutOption.builder().withLeaseId(id).build()));
      var left = of(lease.timeToLive(id, LeaseOption.builder().withAttachedKeys().build()));
      wants(left.getGrantedTTL() + " " + left.getKeys(), "600 [" + t.key("a") + "]");
      of(lease.revoke(id));
      wants(t.get("a"), "");
      refused(lease.revoke(id), "requested lease not found");
    });
    check("lease", "keepalive outlives the time to live", t -> {
      Lease lease = t.client.getLeaseClient();
      long id = of(lease.grant(2)).getID();
      of(t.kv.put(t.key("a"), bytes("1"), PutOption.builder().withLeaseId(id).build()));
      BlockingQueue<Long> kept = new LinkedBlockingQueue<>();
      try (var keeper = lease.keepAlive(id, new io.grpc.stub.StreamObserver<>() {
        @Override
        public void onNext(LeaseKeepAliveResponse response) {
          kept.add(response.getTTL());
        }

        @Override
        public void onError(Throwable error) {
          kept.add(-1L);
        }

        @Override
        public void onCompleted() {
          kept.add(-2L);
        }
      })) {
        for (int i = 0; i < 5; i++) {
          wants(kept.poll(PATIENCE_S, TimeUnit.SECONDS), 2);
        }
        wants(t.get("a"), "a=1");
      }
    });
  }

  private static void recipes() {
    check("lock-service", "by the Lock service, one at a time", t -> {
      Lease lease = t.client.getLeaseClient();
      Lock lock = t.client.getLockClient();
      long first = of(lease.grant(20)).getID();
      long second = of(lease.grant(20)).getID();
      ByteSequence held = of(lock.lock(t.key("lock"), first)).getKey();
      var waiting = lock.lock(t.key("lock"), second);
      wants(waiting.isDone(), false);
      of(lock.unlock(held));
      of(lock.unlock(of(waiting).getKey()));
      wants(of(t.kv.get(t.key("lock"), GetOption.builder().isPrefix(true).build())).getCount(), 0);
      of(lease.revoke(first));
      of(lease.revoke(second));
    });
    check("election-service", "by the Election service", t -> {
      Lease lease = t.client.getLeaseClient();
      Election election = t.client.getElectionClient();
      long first = of(lease.grant(20)).getID();
      long second = of(lease.grant(20)).getID();
      refused(election.leader(t.key("e")), "NoLeaderException");
      var one = of(election.campaign(t.key("e"), first, bytes("one")));
      BlockingQueue<String> seen = new LinkedBlockingQueue<>();
      election.observe(t.key("e"), new Election.Listener() {
        @Override
        public void onNext(LeaderResponse response) {
          seen.add(response.getKv().getValue().toString());
        }

        @Override
        public void onError(Throwable error) {
          seen.add(error.toString());
        }

        @Override
        public void onCompleted() {
          seen.add("completed");
        }
      });
      wants(seen.poll(PATIENCE_S, TimeUnit.SECONDS), "one");
      var waiting = election.campaign(t.key("e"), second, bytes("two"));
      of(election.proclaim(one.getLeader(), bytes("uno")));
      wants(seen.poll(PATIENCE_S, TimeUnit.SECONDS), "uno");
      of(election.resign(one.getLeader()));
      of(waiting);
      wants(seen.poll(PATIENCE_S, TimeUnit.SECONDS), "two");
      wants(of(election.leader(t.key("e"))).getKv().getValue(), "two");
      of(lease.revoke(second));
    });
    check("namespace", "keys under a prefix", t -> {
      try (Client inner = Client.builder().endpoints(urls(endpoints)).namespace(t.key("")).build()) {
        of(inner.getKVClient().put(bytes("a"), bytes("1")));
        wants(t.get("a"), "a=1");
        wants(of(inner.getKVClient().get(bytes("a"))).getKvs().get(0).getKey(), "a");
      }
    });
  }

  private static void cluster() {
    check("cluster", "members and status", t -> {
      wants(of(t.client.getClusterClient().listMember()).getMembers().size(), endpoints.length);
      for (String url : urls(endpoints)) {
        var status = of(t.client.getMaintenanceClient().statusMember(url));
        wants(status.getLeader() != 0 && !status.getVersion().isEmpty(), true);
      }
    });
    check("maintenance", "the same hash of history everywhere", t -> {
      long revision = t.put("a", "1");
      List<Integer> hashes = new ArrayList<>();
      for (String url : urls(endpoints)) {
        try (Client one = Client.builder().endpoints(url).build()) {
          of(one.getKVClient().get(t.key("a")));
        }
        hashes.add(of(t.client.getMaintenanceClient().hashKV(url, revision)).getHash());
      }
      wants(hashes.stream().distinct().count(), 1);
    });
    check("snapshot", "a file comes whole", t -> {
      ByteArrayOutputStream file = new ByteArrayOutputStream();
      of(t.client.getMaintenanceClient().snapshot(file));
      wants(file.size() % 512, 32);
    });
  }

  private static void auth() {
    check("auth", "users, roles, what they may", t -> {
      var auth = t.client.getAuthClient();
      t.put("a", "1");
      for (String name : List.of("root", "alice")) {
        of(auth.userAdd(bytes(name), bytes(name + "'s secret")));
      }
      for (String name : List.of("root", "reader")) {
        of(auth.roleAdd(bytes(name)));
      }
      of(auth.userGrantRole(bytes("root"), bytes("root")));
      of(auth.roleGrantPermission(bytes("reader"), t.key("a"), t.key("b"), Permission.Type.READ));
      of(auth.userGrantRole(bytes("alice"), bytes("reader")));
      of(auth.authEnable());
      try (Client root = as("root", "root's secret"); Client alice = as("alice", "alice's secret");
          Client wrong = as("alice", "no secret")) {
        try {
          wants(t.pairs(of(alice.getKVClient().get(t.key("a"))).getKvs()), "a=1");
          refused(alice.getKVClient().get(t.key("b")), "permission denied");
          refused(alice.getKVClient().put(t.key("a"), bytes("2")), "permission denied");
          refused(wrong.getKVClient().get(t.key("a")), "UNAUTHENTICATED");
        } finally {
          of(root.getAuthClient().authDisable());
          for (String name : List.of("root", "alice")) {
            of(auth.userDelete(bytes(name)));
          }
          for (String name : List.of("root", "reader")) {
            of(auth.roleDelete(bytes(name)));
          }
        }
      }
    });
  }

  private static Client as(String user, String password) {
    return Client.builder().endpoints(urls(endpoints)).user(bytes(user)).password(bytes(password))
        .build();
  }

  /** See above. */
  public static void main(String[] args) {
    endpoints = args[0].split(",");
    features = Arrays.asList(args).subList(1, args.length);
    kv();
    watch();
    lease();
    recipes();
    cluster();
    auth();
    System.exit(failed ? 1 : 0);
  }
}

// SPDX-License-Identifier: Apache-2.0
// main.js: drives a cluster by npm's etcd3, as tests/test_clients.py says:
//
//     main.js ENDPOINT,ENDPOINT FEATURE ...
//
// Each check of these features prints "ok FEATURE: NAME", or "FAIL FEATURE: NAME: REASON". A check
// that needs the first member to be started anew prints "restart", and goes on when a line comes.
'use strict';

const assert = require('assert');
const etcd3 = require('etcd3');
const { Etcd3 } = etcd3;

const endpoints = process.argv[2].split(',');
const features = process.argv.slice(3);
const checks = [];

function check(feature, name, run) {
  checks.push({ feature, name, run });
}

function dial(options = {}) {
  return new Etcd3({ hosts: endpoints, ...options });
}

function line() {
  return new Promise((resolve) => process.stdin.once('data', resolve));
}

// Gathers what a watcher tells, and waits for so many of it.
class Events {
  constructor(watcher) {
    this.seen = [];
    this.waiting = null;
    watcher.on('put', (kv, previous) => this.add(
      `PUT ${kv.key}=${kv.value}${previous ? ` was ${previous.value}` : ''}`));
    watcher.on('delete', (kv) => this.add(`DELETE ${kv.key}`));
  }

  add(text) {
    this.seen.push(text);
    if (this.waiting && this.seen.length >= this.waiting.count) {
      this.waiting.resolve();
    }
  }

  async take(count) {
    if (this.seen.length < count) {
      await new Promise((resolve) => { this.waiting = { count, resolve }; });
    }
    this.waiting = null;
    return this.seen.splice(0, count);
  }
}

check("kv", "put, get, delete", async (t) => {
  await t.put('a').value('1');
  assert.strictEqual(await t.get('a').string(), '1');
  assert.strictEqual(await t.get('none').string(), null);
  const deleted = await t.delete().key('a').exec();
  assert.strictEqual(deleted.deleted, '1');
  assert.strictEqual(await t.get('a').exists(), false);
});

check("kv", "ranges, orders and limits", async (t) => {
  for (const key of ['b', 'a', 'd', 'c']) {
    await t.put(key).value(key);
  }
  assert.deepStrictEqual(await t.getAll().keys(), ['a', 'b', 'c', 'd']);
  assert.deepStrictEqual(await t.getAll().sort('Mod', 'Descend').limit(2).keys(), ['c', 'd']);
  assert.deepStrictEqual(await t.getAll().inRange({ start: 'b', end: 'd' }).strings(),
    { b: 'b', c: 'c' });
  assert.strictEqual(await t.getAll().count(), 4);
  const page = await t.getAll().limit(3).exec();
  assert.strictEqual(page.more, true);
  assert.strictEqual(page.count, '4');
});

check("kv", "the past, and bytes that are no text", async (t) => {
  const first = await t.put('a').value(Buffer.from([0, 255, 1])).exec();
  await t.put('a').value('later');
  const past = await t.get('a').revision(first.header.revision).buffer();
  assert.deepStrictEqual([...past], [0, 255, 1]);
  assert.strictEqual((await t.put('a').value('3').getPrevious()).value.toString(), 'later');
  await assert.rejects(t.get('a').revision('999999999').string(),
    etcd3.GRPCOutOfRangeError);
});

check("txn", "then and else", async (t) => {
  const make = () => t.if('a', 'Create', '==', 0).then(t.put('a').value('made'))
    .else(t.get('a')).commit();
  assert.strictEqual((await make()).succeeded, true);
  const second = await make();
  assert.strictEqual(second.succeeded, false);
  assert.strictEqual(second.responses[0].response_range.kvs[0].value.toString(), 'made');
  const third = await t.if('a', 'Value', '==', 'made').and('a', 'Version', '>', 0)
    .then(t.delete().key('a')).commit();
  assert.strictEqual(third.succeeded, true);
  assert.strictEqual(await t.get('a').exists(), false);
});

check("stm", "transfers that lose nothing", async (t) => {
  // At one revision: its snapshots have no other way to begin.
  await t.if('a', 'Version', '==', 0).then(t.put('a').value('50'), t.put('b').value('50')).commit();
  await Promise.all([1, 2, 3, 4, 5].map((n) => t.stm({ retries: 1000 }).transact(async (tx) => {
    const a = await tx.get('a').number();
    const b = await tx.get('b').number();
    await tx.put('a').value(a - n);
    await tx.put('b').value(b + n);
  })));
  assert.deepStrictEqual(await t.getAll().numbers(), { a: 35, b: 65 });
});

check("watch", "events in order", async (t) => {
  const watcher = await t.watch().prefix('').withPreviousKV().create();
  const events = new Events(watcher);
  await t.put('a').value('1');
  await t.put('a').value('2');
  await t.delete().key('a');
  assert.deepStrictEqual(await events.take(3),
    ['PUT a=1', 'PUT a=2 was 1', 'DELETE a']);
  await watcher.cancel();
});

check("watch", "from a revision of the past", async (t) => {
  const first = await t.put('a').value('1').exec();
  await t.put('a').value('2');
  const watcher = t.watch().key('a').startRevision(first.header.revision).watcher();
  const events = new Events(watcher);
  assert.deepStrictEqual(await events.take(2), ['PUT a=1', 'PUT a=2']);
  await watcher.cancel();
});

check("watch", "of one kind alone", async (t) => {
  const watcher = await t.watch().key('a').only('delete').create();
  const events = new Events(watcher);
  await t.put('a').value('1');
  await t.delete().key('a');
  assert.deepStrictEqual(await events.take(1), ['DELETE a']);
  await watcher.cancel();
});

check("watch-resume", "over the restart of its member", async (t) => {
  const one = new Etcd3({ hosts: endpoints[0] });
  const watcher = await one.namespace(t.prefix).watch().prefix('').create();
  const events = new Events(watcher);
  await t.put('a').value('1');
  assert.deepStrictEqual(await events.take(1), ['PUT a=1']);
  console.log('restart');
  await line();
  await t.put('b').value('2');
  await t.put('c').value('3');
  assert.deepStrictEqual(await events.take(2), ['PUT b=2', 'PUT c=3']);
  one.close();
});

check("lease", "keys under it, until it is revoked", async (t) => {
  const lease = t.lease(60);
  await lease.put('a').value('1');
  const id = await lease.grant();
  const response = await t.get('a').exec();
  assert.strictEqual(response.kvs[0].lease, id);
  const left = await t.leaseClient.leaseTimeToLive({ ID: id, keys: true });
  assert.strictEqual(left.grantedTTL, '60');
  assert.strictEqual(left.keys.length, 1);
  await lease.revoke();
  assert.strictEqual(await t.get('a').exists(), false);
});

check("lease", "keepalive", async (t) => {
  const lease = t.lease(10, { autoKeepAlive: false });
  await lease.grant();
  const answer = await lease.keepaliveOnce();
  assert.strictEqual(answer.TTL, '10');
  await lease.revoke();
  await assert.rejects(lease.keepaliveOnce(), etcd3.EtcdLeaseInvalidError);
});

check("lease-expiry", "takes its keys away", async (t) => {
  const watcher = await t.watch().key('a').only('delete').create();
  const events = new Events(watcher);
  const lease = t.lease(1, { autoKeepAlive: false });
  await lease.put('a').value('1');
  assert.deepStrictEqual(await events.take(1), ['DELETE a']);
  await watcher.cancel();
});

check("lock", "one holds it at a time", async (t) => {
  await t.lock('lock').ttl(20).do(async () => {
    await assert.rejects(t.lock('lock').ttl(20).acquire(), etcd3.EtcdLockFailedError);
  });
  const again = await t.lock('lock').ttl(20).acquire();
  await again.release();
});

check("election", "campaign, proclaim, observe, resign", async (t) => {
  const election = t.election('e', 20);
  const first = election.campaign('one');
  await first.wait();
  const observer = await election.observe();
  assert.strictEqual(observer.leader(), 'one');
  const changed = new Promise((resolve) => observer.once('change', resolve));
  await first.proclaim('uno');
  assert.strictEqual(await changed, 'uno');
  const second = election.campaign('two');
  second.on('error', () => {});
  await first.resign();
  await second.wait();
  assert.strictEqual(await election.leader(), 'two');
  await second.resign();
  await observer.cancel();
});

check("namespace", "a prefix within a prefix", async (t) => {
  const inner = t.namespace('inner/');
  await inner.put('a').value('1');
  assert.strictEqual(await t.get('inner/a').string(), '1');
  assert.deepStrictEqual(await inner.getAll().keys(), ['a']);
});

check("cluster", "members and status", async (t, client) => {
  const list = await client.cluster.memberList({});
  assert.strictEqual(list.members.length, endpoints.length);
  const status = await client.maintenance.status();
  assert.ok(status.version && status.leader !== '0');
});

check("auth", "users, roles, what they may", async (t, client) => {
  const key = `${t.prefix}a`;
  await t.put('a').value('1');
  const role = await client.role('reader').create();
  await role.grant({ permission: 'Read', range: t.range({ prefix: t.prefix }) });
  await client.role('root').create();
  const rootUser = await client.user('root').create('secret');
  await rootUser.addRole('root');
  const alice = await client.user('alice').create('wonder');
  await alice.addRole(role);
  await assert.rejects(client.user('alice').create('again'), etcd3.EtcdUserExistsError);
  await client.auth.authEnable();
  const root = dial({ auth: { username: 'root', password: 'secret' } });
  try {
    const hers = dial({ auth: { username: 'alice', password: 'wonder' } });
    assert.strictEqual(await hers.get(key).string(), '1');
    await assert.rejects(hers.put(key).value('2').exec(), etcd3.EtcdPermissionDeniedError);
    await assert.rejects(hers.get('elsewhere').string(), etcd3.EtcdPermissionDeniedError);
    hers.close();
    const wrong = dial({ auth: { username: 'alice', password: 'wrong' } });
    await assert.rejects(wrong.get(key).string(), etcd3.EtcdAuthenticationFailedError);
    wrong.close();
    assert.deepStrictEqual((await root.getUsers()).map((user) => user.name), ['alice', 'root']);
  } finally {
    await root.auth.authDisable();
    for (const name of ['alice', 'root']) {
      await root.user(name).delete();
    }
    for (const name of ['reader', 'root']) {
      await root.role(name).delete();
    }
    root.close();
  }
});

async function main() {
  let code = 0;
  for (const [number, { feature, name, run }] of checks.entries()) {
    if (features.includes(feature)) {
      const client = dial();
      try {
        await run(client.namespace(`node/${feature}/${number}/`), client);
        console.log(`ok ${feature}: ${name}`);
      } catch (error) {
        code = 1;
        console.log(`FAIL ${feature}: ${name}: ${String(error.stack).replace(/\n/g, ' ')}`);
      }
      client.close();
    }
  }
  process.exit(code);
}

main();

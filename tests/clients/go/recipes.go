// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.etcd.io/etcd/client/v3/leasing"
	"go.etcd.io/etcd/client/v3/mirror"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/ordering"
)

func (t *T) session() *concurrency.Session {
	session, err := concurrency.NewSession(t.Client, concurrency.WithTTL(20),
		concurrency.WithContext(t.ctx))
	t.must(err)
	return session
}

func recipes() {
	check("lock", "one holds it at a time", func(t *T) {
		var inside, most, done int
		var guard sync.Mutex
		errs := make(chan error, 8)
		for range 8 {
			go func() {
				session, err := concurrency.NewSession(t.Client, concurrency.WithTTL(20))
				if err != nil {
					errs <- err
					return
				}
				defer session.Close()
				mutex := concurrency.NewMutex(session, t.prefix+"lock")
				if err = mutex.Lock(t.ctx); err == nil {
					guard.Lock()
					inside++
					most = max(most, inside)
					guard.Unlock()
					guard.Lock()
					inside--
					done++
					guard.Unlock()
					err = mutex.Unlock(t.ctx)
				}
				errs <- err
			}()
		}
		for range 8 {
			t.must(<-errs)
		}
		t.wants(most, 1)
		t.wants(done, 8)
	})
	check("lock", "who tries and finds it taken is told", func(t *T) {
		first := concurrency.NewMutex(t.session(), t.prefix+"lock")
		second := concurrency.NewMutex(t.session(), t.prefix+"lock")
		t.must(first.Lock(t.ctx))
		t.refused(second.TryLock(t.ctx), concurrency.ErrLocked)
		t.must(first.Unlock(t.ctx))
		t.must(second.TryLock(t.ctx))
		t.must(second.Unlock(t.ctx))
	})
	check("lock", "a session that ends gives it up", func(t *T) {
		session := t.session()
		t.must(concurrency.NewMutex(session, t.prefix+"lock").Lock(t.ctx))
		t.must(session.Close())
		t.must(concurrency.NewMutex(t.session(), t.prefix+"lock").Lock(t.ctx))
	})
	check("stm", "transfers that lose nothing", func(t *T) {
		// It reads at a revision that another member may not have yet, and takes that for an error.
		t = t.ofOneMember()
		defer t.Close()
		t.put("a", "50")
		t.put("b", "50")
		errs := make(chan error, 8)
		for i := range 8 {
			go func() {
				_, err := concurrency.NewSTM(t.Client, func(s concurrency.STM) error {
					var a, b int
					fmt.Sscan(s.Get(t.prefix+"a"), &a)
					fmt.Sscan(s.Get(t.prefix+"b"), &b)
					s.Put(t.prefix+"a", fmt.Sprint(a-i))
					s.Put(t.prefix+"b", fmt.Sprint(b+i))
					return nil
				}, concurrency.WithAbortContext(t.ctx))
				errs <- err
			}()
		}
		for range 8 {
			t.must(<-errs)
		}
		t.wants(t.pairs(t.get("", clientv3.WithPrefix())), "a=22 b=78")
	})
	check("election", "campaign, proclaim, observe, resign", func(t *T) {
		first := concurrency.NewElection(t.session(), t.prefix+"e")
		second := concurrency.NewElection(t.session(), t.prefix+"e")
		_, err := first.Leader(t.ctx)
		t.refused(err, concurrency.ErrElectionNoLeader)
		t.must(first.Campaign(t.ctx, "one"))
		leaders := second.Observe(t.ctx)
		t.wants(string((<-leaders).Kvs[0].Value), "one")
		won := make(chan error, 1)
		go func() { won <- second.Campaign(t.ctx, "two") }()
		t.must(first.Proclaim(t.ctx, "uno"))
		t.wants(string((<-leaders).Kvs[0].Value), "uno")
		t.must(first.Resign(t.ctx))
		t.must(<-won)
		t.wants(string((<-leaders).Kvs[0].Value), "two")
		leader, err := first.Leader(t.ctx)
		t.must(err)
		t.wants(string(leader.Kvs[0].Value), "two")
	})
	check("leasing", "cached reads, and writes of others", func(t *T) {
		kv, closing, err := leasing.NewKV(t.Client, t.prefix+"leases/")
		t.must(err)
		defer closing()
		t.put("a", "1")
		for range 3 {
			response, err := kv.Get(t.ctx, t.prefix+"a")
			t.must(err)
			t.wants(t.pairs(response), "a=1")
		}
		other, closingOther, err := leasing.NewKV(t.Client, t.prefix+"leases/")
		t.must(err)
		defer closingOther()
		_, err = other.Put(t.ctx, t.prefix+"a", "2")
		t.must(err)
		response, err := kv.Get(t.ctx, t.prefix+"a")
		t.must(err)
		t.wants(t.pairs(response), "a=2")
		_, err = other.Txn(t.ctx).If(clientv3.Compare(clientv3.Value(t.prefix+"a"), "=", "2")).
			Then(clientv3.OpPut(t.prefix+"a", "3")).Commit()
		t.must(err)
		response, err = kv.Get(t.ctx, t.prefix+"a")
		t.must(err)
		t.wants(t.pairs(response), "a=3")
	})
	check("mirror", "a base, then updates", func(t *T) {
		for i := range 5 {
			t.put(fmt.Sprint(i), "v")
		}
		syncer := mirror.NewSyncer(t.Client, t.prefix, 0)
		base, errs := syncer.SyncBase(t.ctx)
		var pairs int
		for response := range base {
			pairs += len(response.Kvs)
		}
		t.must(<-errs)
		t.wants(pairs, 5)
		ctx, cancel := context.WithCancel(t.ctx)
		defer cancel()
		updates := syncer.SyncUpdates(ctx)
		t.put("new", "x")
		t.wants(t.events(updates, 1), "[PUT new=x]")
	})
	check("namespace", "keys, watches and leases in a prefix", func(t *T) {
		kv := namespace.NewKV(t.KV, t.prefix)
		watcher := namespace.NewWatcher(t.Watcher, t.prefix)
		leases := namespace.NewLease(t.Lease, t.prefix)
		channel := watcher.Watch(t.ctx, "a", clientv3.WithCreatedNotify())
		t.wants((<-channel).Created, true)
		grant, err := leases.Grant(t.ctx, 600)
		t.must(err)
		_, err = kv.Put(t.ctx, "a", "1", clientv3.WithLease(grant.ID))
		t.must(err)
		t.wants(t.pairs(t.get("a")), "a=1")
		t.wants(string((<-channel).Events[0].Kv.Key), "a")
		left, err := leases.TimeToLive(t.ctx, grant.ID, clientv3.WithAttachedKeys())
		t.must(err)
		t.wants(string(left.Keys[0]), "a")
		response, err := kv.Get(t.ctx, "", clientv3.WithPrefix())
		t.must(err)
		t.wants(string(response.Kvs[0].Key), "a")
	})
	check("ordering", "no read goes back in time", func(t *T) {
		kv := ordering.NewKV(t.KV, ordering.NewOrderViolationSwitchEndpointClosure(t.Client))
		for i := range 50 {
			t.put("a", fmt.Sprint(i))
			linear, err := kv.Get(t.ctx, t.prefix+"a")
			t.must(err)
			local, err := kv.Get(t.ctx, t.prefix+"a", clientv3.WithSerializable())
			t.must(err)
			t.wants(local.Header.Revision >= linear.Header.Revision, true)
		}
	})
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func lease() {
	check("lease", "grant, attach, revoke", func(t *T) {
		grant, err := t.Grant(t.ctx, 600)
		t.must(err)
		t.wants(grant.TTL, 600)
		t.put("a", "1", clientv3.WithLease(grant.ID))
		t.wants(t.get("a").Kvs[0].Lease, int64(grant.ID))
		left, err := t.TimeToLive(t.ctx, grant.ID, clientv3.WithAttachedKeys())
		t.must(err)
		t.wants(left.GrantedTTL, 600)
		t.wants(string(left.Keys[0]), t.prefix+"a")
		_, err = t.Revoke(t.ctx, grant.ID)
		t.must(err)
		t.wants(len(t.get("a").Kvs), 0)
		_, err = t.Revoke(t.ctx, grant.ID)
		t.refused(err, rpctypes.ErrLeaseNotFound)
		left, err = t.TimeToLive(t.ctx, grant.ID)
		t.must(err)
		t.wants(left.TTL, -1)
	})
	check("lease", "list", func(t *T) {
		one := t.ofOneMember() // a member lists those that it knows of, and may be behind another
		grant, err := one.Grant(t.ctx, 600)
		t.must(err)
		leases, err := one.Leases(t.ctx)
		t.must(err)
		found := false
		for _, each := range leases.Leases {
			found = found || each.ID == grant.ID
		}
		t.wants(found, true)
		_, err = t.Revoke(t.ctx, grant.ID)
		t.must(err)
	})
	check("lease", "keepalive outlives the time to live", func(t *T) {
		grant, err := t.Grant(t.ctx, 2)
		t.must(err)
		t.put("a", "1", clientv3.WithLease(grant.ID))
		channel, err := t.KeepAlive(t.ctx, grant.ID)
		t.must(err)
		for range 5 { // one each third of it
			answer, open := <-channel
			t.wants(open, true)
			t.wants(answer.TTL, 2)
		}
		t.wants(t.pairs(t.get("a")), "a=1")
	})
	check("lease", "keepalive of one that was revoked ends", func(t *T) {
		grant, err := t.Grant(t.ctx, 3)
		t.must(err)
		channel, err := t.KeepAlive(t.ctx, grant.ID)
		t.must(err)
		<-channel
		_, err = t.Revoke(t.ctx, grant.ID)
		t.must(err)
		for open := true; open; {
			_, open = <-channel
		}
		_, err = t.KeepAliveOnce(t.ctx, grant.ID)
		t.refused(err, rpctypes.ErrLeaseNotFound)
	})
	check("lease-expiry", "takes its keys away", func(t *T) {
		grant, err := t.Grant(t.ctx, 1)
		t.must(err)
		channel := t.Watch(t.ctx, t.prefix+"a", clientv3.WithFilterPut(), clientv3.WithCreatedNotify())
		t.wants((<-channel).Created, true)
		t.put("a", "1", clientv3.WithLease(grant.ID))
		t.wants(t.events(channel, 1), "[DELETE a]")
	})
}

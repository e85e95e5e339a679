// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// events takes so many from a watch, as "PUT a=1" and "DELETE a".
func (t *T) events(channel clientv3.WatchChan, count int) []string {
	var out []string
	for len(out) < count {
		select {
		case response, open := <-channel:
			if !open {
				panic(failure{"the watch ended"})
			}
			t.must(response.Err())
			for _, event := range response.Events {
				text := fmt.Sprintf("%s %s", event.Type,
					strings.TrimPrefix(string(event.Kv.Key), t.prefix))
				if event.Type == clientv3.EventTypePut {
					text += "=" + string(event.Kv.Value)
				}
				if event.PrevKv != nil {
					text += " was " + string(event.PrevKv.Value)
				}
				out = append(out, text)
			}
		case <-t.ctx.Done():
			panic(failure{fmt.Sprintf("only %v came", out)})
		}
	}
	return out
}

func watch() {
	check("watch", "events in order", func(t *T) {
		channel := t.Watch(t.ctx, t.prefix, clientv3.WithPrefix(), clientv3.WithPrevKV(),
			clientv3.WithCreatedNotify())
		t.wants((<-channel).Created, true)
		t.put("a", "1")
		t.put("a", "2")
		_, err := t.Delete(t.ctx, t.prefix+"a")
		t.must(err)
		t.put("b", "3")
		t.wants(t.events(channel, 4), "[PUT a=1 PUT a=2 was 1 DELETE a was 2 PUT b=3]")
	})
	check("watch", "from a revision of the past", func(t *T) {
		from := t.put("a", "1").Header.Revision
		t.put("b", "2")
		t.put("a", "3")
		channel := t.Watch(t.ctx, t.prefix+"a", clientv3.WithRev(from))
		t.wants(t.events(channel, 2), "[PUT a=1 PUT a=3]")
		t.put("a", "4")
		t.wants(t.events(channel, 1), "[PUT a=4]")
	})
	check("watch", "filters", func(t *T) {
		channel := t.Watch(t.ctx, t.prefix+"a", clientv3.WithFilterPut(), clientv3.WithCreatedNotify())
		t.wants((<-channel).Created, true)
		t.put("a", "1")
		_, err := t.Delete(t.ctx, t.prefix+"a")
		t.must(err)
		t.wants(t.events(channel, 1), "[DELETE a]")
	})
	check("watch", "a transaction comes in one piece", func(t *T) {
		channel := t.Watch(t.ctx, t.prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
		t.wants((<-channel).Created, true)
		_, err := t.Txn(t.ctx).Then(clientv3.OpPut(t.prefix+"a", "1"),
			clientv3.OpPut(t.prefix+"b", "2")).Commit()
		t.must(err)
		t.wants(len((<-channel).Events), 2)
	})
	check("watch", "below the compacted revision", func(t *T) {
		t = t.ofOneMember()
		defer t.Close()
		from := t.put("a", "1").Header.Revision
		now := t.put("a", "2").Header.Revision
		_, err := t.Compact(t.ctx, now)
		t.must(err)
		response := <-t.Watch(t.ctx, t.prefix+"a", clientv3.WithRev(from))
		t.wants(response.Err(), rpctypes.ErrCompacted)
		t.wants(response.CompactRevision, now)
	})
	check("watch", "progress on request", func(t *T) {
		t = t.ofOneMember()
		defer t.Close()
		channel := t.Watch(t.ctx, t.prefix+"a", clientv3.WithCreatedNotify())
		t.wants((<-channel).Created, true)
		now := t.put("b", "1").Header.Revision
		t.must(t.RequestProgress(t.ctx))
		response := <-channel
		t.wants(response.IsProgressNotify(), true)
		t.wants(response.Header.Revision >= now, true)
	})
	check("watch", "many on one connection", func(t *T) {
		var channels []clientv3.WatchChan
		for i := range 100 {
			channels = append(channels, t.Watch(t.ctx, fmt.Sprintf("%sk%d", t.prefix, i),
				clientv3.WithCreatedNotify()))
			t.wants((<-channels[i]).Created, true)
		}
		for i := range channels {
			t.put(fmt.Sprintf("k%d", i), "v")
		}
		for i, channel := range channels {
			t.wants(t.events(channel, 1), fmt.Sprintf("[PUT k%d=v]", i))
		}
	})
	check("watch", "large events in fragments", func(t *T) {
		for i := range 3 {
			t.put(fmt.Sprint(i), strings.Repeat("v", 1000000))
		}
		channel := t.Watch(t.ctx, t.prefix, clientv3.WithPrefix(), clientv3.WithFragment(),
			clientv3.WithRev(t.get("0").Kvs[0].ModRevision))
		t.wants(len(t.events(channel, 3)), 3)
	})
	check("watch-resume", "over the restart of its member", func(t *T) {
		one := t.ofOneMember() // which is restarted
		defer one.Close()
		channel := one.Watch(t.ctx, t.prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
		t.wants((<-channel).Created, true)
		t.put("a", "1")
		t.wants(t.events(channel, 1), "[PUT a=1]")
		t.restart()
		t.put("b", "2")
		t.put("c", "3")
		t.wants(t.events(channel, 2), "[PUT b=2 PUT c=3]")
	})
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

func cluster() {
	check("cluster", "members, and their addresses", func(t *T) {
		list, err := t.MemberList(t.ctx)
		t.must(err)
		t.wants(len(list.Members), len(t.endpoints))
		var urls []string
		for _, member := range list.Members {
			t.wants(member.Name != "", true)
			urls = append(urls, strings.TrimPrefix(member.ClientURLs[0], "http://"))
		}
		slices.Sort(urls)
		want := slices.Clone(t.endpoints)
		slices.Sort(want)
		t.wants(urls, want)
		t.must(t.Sync(t.ctx))
		t.put("a", "1")
	})
	check("cluster", "status of each member", func(t *T) {
		leaders := 0
		for _, endpoint := range t.endpoints {
			status, err := t.Status(t.ctx, endpoint)
			t.must(err)
			if status.Leader == status.Header.MemberId {
				leaders++
			}
			t.wants(status.RaftTerm > 0 && status.Version != "", true)
		}
		t.wants(leaders, 1)
	})
	check("members", "a learner comes, and goes", func(t *T) {
		added, err := t.MemberAddAsLearner(t.ctx, []string{"http://127.0.0.1:1"})
		t.must(err)
		t.wants(added.Member.IsLearner, true)
		t.wants(added.Member.Name, "")
		_, err = t.MemberAddAsLearner(t.ctx, []string{"http://127.0.0.1:2"})
		t.refused(err, rpctypes.ErrTooManyLearners)
		_, err = t.MemberPromote(t.ctx, added.Member.ID)
		t.refused(err, rpctypes.ErrMemberLearnerNotReady)
		removed, err := t.MemberRemove(t.ctx, added.Member.ID)
		t.must(err)
		t.wants(len(removed.Members), len(t.endpoints))
		_, err = t.MemberRemove(t.ctx, added.Member.ID)
		t.refused(err, rpctypes.ErrMemberNotFound)
	})
	check("maintenance", "the same hash of history everywhere", func(t *T) {
		revision := t.put("a", "1").Header.Revision
		var hashes []uint32
		for _, endpoint := range t.endpoints {
			one, err := dial([]string{endpoint}, "", "")
			t.must(err)
			_, err = one.Get(t.ctx, t.prefix+"a") // brings the member up to date
			t.must(err)
			hash, err := one.HashKV(t.ctx, endpoint, revision)
			t.must(err)
			hashes = append(hashes, hash.Hash)
			one.Close()
		}
		t.wants(len(slices.Compact(hashes)), 1)
	})
	check("maintenance", "alarms and defragment", func(t *T) {
		alarms, err := t.AlarmList(t.ctx)
		t.must(err)
		t.wants(len(alarms.Alarms), 0)
		_, err = t.Defragment(t.ctx, t.endpoints[0])
		t.must(err)
	})
	check("snapshot", "a file comes whole", func(t *T) {
		reader, err := t.Snapshot(t.ctx)
		t.must(err)
		data, err := io.ReadAll(reader)
		t.must(err)
		t.wants(len(data)%512, 32)
		t.must(reader.Close())
	})
	check("move-leader", "to another member", func(t *T) {
		for _, endpoint := range t.endpoints {
			status, err := t.Status(t.ctx, endpoint)
			t.must(err)
			list, err := t.MemberList(t.ctx)
			t.must(err)
			other := list.Members[0].ID
			if other == status.Leader {
				other = list.Members[1].ID
			}
			one, err := dial([]string{endpoint}, "", "")
			t.must(err)
			_, err = one.MoveLeader(t.ctx, other)
			one.Close()
			if status.Leader == status.Header.MemberId {
				t.must(err)
				t.put("a", fmt.Sprint(other))
				return
			}
			t.refused(err, rpctypes.ErrNotLeader)
		}
		panic(failure{"nobody leads"})
	})
}

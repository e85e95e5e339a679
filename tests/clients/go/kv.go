// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func (t *T) refused(err error, want error) {
	if !errors.Is(err, want) {
		t.wants(err, want)
	}
}

func kv() {
	check("kv", "put, get, delete", func(t *T) {
		t.put("a", "1")
		response := t.get("a")
		t.wants(t.pairs(response), "a=1")
		t.wants(response.Kvs[0].Version, 1)
		deleted, err := t.Delete(t.ctx, t.prefix+"a", clientv3.WithPrevKV())
		t.must(err)
		t.wants(deleted.Deleted, 1)
		t.wants(string(deleted.PrevKvs[0].Value), "1")
		t.wants(len(t.get("a").Kvs), 0)
	})
	check("kv", "ranges, orders and limits", func(t *T) {
		for _, key := range []string{"b", "a", "d", "c"} {
			t.put(key, key)
		}
		t.wants(t.pairs(t.get("", clientv3.WithPrefix())), "a=a b=b c=c d=d")
		t.wants(t.pairs(t.get("b", clientv3.WithRange(t.prefix+"d"))), "b=b c=c")
		t.wants(t.pairs(t.get("", clientv3.WithPrefix(), clientv3.WithSort(
			clientv3.SortByModRevision, clientv3.SortDescend))), "c=c d=d a=a b=b")
		page := t.get("", clientv3.WithPrefix(), clientv3.WithLimit(3))
		t.wants(t.pairs(page), "a=a b=b c=c")
		t.wants(page.More, true)
		t.wants(page.Count, 4)
		t.wants(t.pairs(t.get("", clientv3.WithPrefix(), clientv3.WithKeysOnly())), "a= b= c= d=")
		t.wants(t.get("", clientv3.WithPrefix(), clientv3.WithCountOnly()).Count, 4)
		t.wants(t.pairs(t.get("", clientv3.WithFirstCreate()...)), "b=b")
		t.wants(t.pairs(t.get("", clientv3.WithLastKey()...)), "d=d")
	})
	check("kv", "the past, and what was cut off", func(t *T) {
		first := t.put("a", "1").Header.Revision
		second := t.put("a", "2").Header.Revision
		t.wants(t.pairs(t.get("a", clientv3.WithRev(first))), "a=1")
		_, err := t.Get(t.ctx, t.prefix+"a", clientv3.WithRev(second+1000))
		t.refused(err, rpctypes.ErrFutureRev)
		_, err = t.Compact(t.ctx, second, clientv3.WithCompactPhysical())
		t.must(err)
		_, err = t.Get(t.ctx, t.prefix+"a", clientv3.WithRev(first))
		t.refused(err, rpctypes.ErrCompacted)
		_, err = t.Compact(t.ctx, first)
		t.refused(err, rpctypes.ErrCompacted)
	})
	check("kv", "options of put", func(t *T) {
		t.put("a", "1")
		t.wants(string(t.put("a", "2", clientv3.WithPrevKV()).PrevKv.Value), "1")
		t.put("a", "", clientv3.WithIgnoreValue())
		t.wants(t.pairs(t.get("a")), "a=2")
		t.put("a", "3", clientv3.WithIgnoreLease())
		t.wants(t.pairs(t.get("a")), "a=3")
	})
	check("kv", "refusals by their types", func(t *T) {
		_, err := t.Put(t.ctx, "", "1")
		t.refused(err, rpctypes.ErrEmptyKey)
		_, err = t.Put(t.ctx, t.prefix+"none", "", clientv3.WithIgnoreValue())
		t.refused(err, rpctypes.ErrKeyNotFound)
		_, err = t.Put(t.ctx, t.prefix+"a", "1", clientv3.WithLease(12345))
		t.refused(err, rpctypes.ErrLeaseNotFound)
		_, err = t.Put(t.ctx, t.prefix+"a", strings.Repeat("v", 1600000))
		t.refused(err, rpctypes.ErrRequestTooLarge)
	})
	check("kv", "serializable reads on each member", func(t *T) {
		t.put("a", "1")
		for _, endpoint := range t.endpoints {
			one, err := dial([]string{endpoint}, "", "")
			t.must(err)
			_, err = one.Get(t.ctx, t.prefix+"a") // brings the member up to date
			t.must(err)
			response, err := one.Get(t.ctx, t.prefix+"a", clientv3.WithSerializable())
			t.must(err)
			t.wants(t.pairs(response), "a=1")
			one.Close()
		}
	})
	check("txn", "then and else", func(t *T) {
		key := t.prefix + "a"
		response, err := t.Txn(t.ctx).
			If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
			Then(clientv3.OpPut(key, "made")).
			Else(clientv3.OpGet(key)).Commit()
		t.must(err)
		t.wants(response.Succeeded, true)
		response, err = t.Txn(t.ctx).
			If(clientv3.Compare(clientv3.Value(key), "=", "other"),
				clientv3.Compare(clientv3.Version(key), ">", 0)).
			Then(clientv3.OpDelete(key)).
			Else(clientv3.OpGet(key), clientv3.OpPut(t.prefix+"b", "else")).Commit()
		t.must(err)
		t.wants(response.Succeeded, false)
		t.wants(string(response.Responses[0].GetResponseRange().Kvs[0].Value), "made")
		t.wants(t.pairs(t.get("b")), "b=else")
	})
	check("txn", "nested, and compares of ranges", func(t *T) {
		t.put("a", "1")
		t.put("b", "1")
		inner := clientv3.OpTxn(
			[]clientv3.Cmp{clientv3.Compare(clientv3.Value(t.prefix), "=", "1").WithPrefix()},
			[]clientv3.Op{clientv3.OpPut(t.prefix+"c", "yes")},
			[]clientv3.Op{clientv3.OpPut(t.prefix+"c", "no")})
		response, err := t.Txn(t.ctx).Then(inner, clientv3.OpPut(t.prefix+"d", "4")).Commit()
		t.must(err)
		t.wants(response.Responses[0].GetResponseTxn().Succeeded, true)
		after := t.get("", clientv3.WithPrefix())
		t.wants(t.pairs(after), "a=1 b=1 c=yes d=4")
		t.wants(after.Kvs[2].ModRevision, after.Kvs[3].ModRevision)
	})
	check("txn", "refusals by their types", func(t *T) {
		key := t.prefix + "a"
		_, err := t.Txn(t.ctx).Then(clientv3.OpPut(key, "1"), clientv3.OpPut(key, "2")).Commit()
		t.refused(err, rpctypes.ErrDuplicateKey)
		_, err = t.Txn(t.ctx).Then(slicesOf(clientv3.OpGet(key), 129)...).Commit()
		t.refused(err, rpctypes.ErrTooManyOps)
	})
}

func slicesOf(op clientv3.Op, count int) []clientv3.Op {
	var ops []clientv3.Op
	for range count {
		ops = append(ops, op)
	}
	return ops
}

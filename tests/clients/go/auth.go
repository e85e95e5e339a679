// SPDX-License-Identifier: Apache-2.0

package main

import (
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func auth() {
	// The last: from here on the cluster asks who is there, until it is told not to.
	check("auth", "users, roles, what they may", func(t *T) {
		_, err := t.AuthEnable(t.ctx)
		t.refused(err, rpctypes.ErrRootUserNotExist)
		_, err = t.UserAdd(t.ctx, "root", "secret")
		t.must(err)
		_, err = t.RoleAdd(t.ctx, "root")
		t.must(err)
		_, err = t.UserGrantRole(t.ctx, "root", "root")
		t.must(err)
		_, err = t.UserAdd(t.ctx, "alice", "wonder")
		t.must(err)
		_, err = t.UserAdd(t.ctx, "alice", "again")
		t.refused(err, rpctypes.ErrUserAlreadyExist)
		_, err = t.RoleAdd(t.ctx, "reader")
		t.must(err)
		_, err = t.RoleGrantPermission(t.ctx, "reader", t.prefix+"a", t.prefix+"c",
			clientv3.PermissionType(clientv3.PermRead))
		t.must(err)
		_, err = t.UserGrantRole(t.ctx, "alice", "reader")
		t.must(err)
		t.put("a", "1")
		_, err = t.AuthEnable(t.ctx)
		t.must(err)

		root, err := t.another("root", "secret")
		t.must(err)
		defer root.Close()
		defer func() {
			_, err := root.AuthDisable(t.ctx)
			t.must(err)
			_, err = t.Put(t.ctx, t.prefix+"a", "off")
			t.must(err)
		}()
		_, err = t.Get(t.ctx, t.prefix+"a")
		t.refused(err, rpctypes.ErrUserEmpty)
		_, err = t.another("alice", "wrong")
		t.refused(err, rpctypes.ErrAuthFailed)
		alice, err := t.another("alice", "wonder")
		t.must(err)
		defer alice.Close()
		response, err := alice.Get(t.ctx, t.prefix+"a")
		t.must(err)
		t.wants(t.pairs(response), "a=1")
		_, err = alice.Get(t.ctx, t.prefix+"c")
		t.refused(err, rpctypes.ErrPermissionDenied)
		_, err = alice.Put(t.ctx, t.prefix+"a", "2")
		t.refused(err, rpctypes.ErrPermissionDenied)
		_, err = alice.UserList(t.ctx)
		t.refused(err, rpctypes.ErrPermissionDenied)
		_, err = alice.Txn(t.ctx).Then(clientv3.OpGet(t.prefix + "b")).
			Else(clientv3.OpDelete(t.prefix + "b")).Commit()
		t.refused(err, rpctypes.ErrPermissionDenied)

		_, err = root.RoleGrantPermission(t.ctx, "reader", t.prefix+"a", t.prefix+"c",
			clientv3.PermissionType(clientv3.PermReadWrite))
		t.must(err)
		_, err = alice.Put(t.ctx, t.prefix+"a", "3") // by a token of before, which is fetched anew
		t.must(err)
		users, err := root.UserList(t.ctx)
		t.must(err)
		t.wants(users.Users, "[alice root]")
		role, err := root.RoleGet(t.ctx, "reader")
		t.must(err)
		t.wants(len(role.Perm), 1)
	})
}

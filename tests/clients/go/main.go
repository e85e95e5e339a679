// SPDX-License-Identifier: Apache-2.0

// Command go drives a cluster by etcd's own Go client, clientv3, as tests/test_clients.py says:
//
//	go ENDPOINT,ENDPOINT FEATURE ...
//
// Each check of these features prints "ok FEATURE: NAME", or "FAIL FEATURE: NAME: REASON". A check
// that needs a member to be started anew prints "restart", and goes on when a line comes.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const patience = 60 * time.Second

// T is what a check works with: a client, a prefix of keys of its own, and how to fail.
type T struct {
	ctx context.Context
	*clientv3.Client
	endpoints []string
	prefix    string
}

type failure struct{ text string }

func (t *T) must(err error) {
	if err != nil {
		panic(failure{err.Error()})
	}
}

// wants fails unless both are equal, as text.
func (t *T) wants(got any, want any) {
	if fmt.Sprint(got) != fmt.Sprint(want) {
		panic(failure{fmt.Sprintf("got %v, not %v", got, want)})
	}
}

// another is a client of its own to the same members.
func (t *T) another(user, password string) (*clientv3.Client, error) {
	return dial(t.endpoints, user, password)
}

// ofOneMember is t by a client of the first member alone, which has seen all that it answered to.
func (t *T) ofOneMember() *T {
	client, err := dial(t.endpoints[:1], "", "")
	t.must(err)
	return &T{t.ctx, client, t.endpoints, t.prefix}
}

func (t *T) put(key, value string, options ...clientv3.OpOption) *clientv3.PutResponse {
	response, err := t.Put(t.ctx, t.prefix+key, value, options...)
	t.must(err)
	return response
}

func (t *T) get(key string, options ...clientv3.OpOption) *clientv3.GetResponse {
	response, err := t.Get(t.ctx, t.prefix+key, options...)
	t.must(err)
	return response
}

// pairs is what a response holds, keys without the prefix.
func (t *T) pairs(response *clientv3.GetResponse) string {
	var out []string
	for _, kv := range response.Kvs {
		out = append(out, strings.TrimPrefix(string(kv.Key), t.prefix)+"="+string(kv.Value))
	}
	return strings.Join(out, " ")
}

func (t *T) restart() {
	fmt.Println("restart")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		panic(failure{"no word that a member was restarted"})
	}
}

var (
	failed   bool
	features []string
	ends     []string
	count    int
)

func dial(endpoints []string, user, password string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints: endpoints, DialTimeout: patience, Username: user, Password: password,
		Logger: zap.NewNop(),
	})
}

// check runs one, if its feature is asked for.
func check(feature, name string, run func(*T)) {
	if !slices.Contains(features, feature) {
		return
	}
	count++
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := dial(ends, "", "")
	if err == nil {
		defer client.Close()
	}
	defer func() {
		switch reason := recover().(type) {
		case nil:
			fmt.Printf("ok %s: %s\n", feature, name)
		case failure:
			failed = true
			fmt.Printf("FAIL %s: %s: %s\n", feature, name, reason.text)
		default:
			panic(reason)
		}
	}()
	t := &T{ctx, client, ends, fmt.Sprintf("go/%s/%d/", feature, count)}
	t.must(err)
	run(t)
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: go ENDPOINT,... FEATURE ...")
		os.Exit(2)
	}
	ends = strings.Split(os.Args[1], ",")
	features = os.Args[2:]
	kv()
	watch()
	lease()
	recipes()
	cluster()
	auth()
	if failed {
		os.Exit(1)
	}
}

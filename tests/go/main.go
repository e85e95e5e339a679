// SPDX-License-Identifier: Apache-2.0

// Go's own client of JSON-RPC, net/rpc/jsonrpc, at a member of Oakum: each kind of call, what errors
// look like, and many calls at once on one connection. It knows nothing of Oakum but names of
// methods and of fields. Ends with a line "ok: N calls", or with what went wrong and status 1.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
)

type Put struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
}

type Header struct {
	Revision int64 `json:"revision,string"`
}

type PutReply struct {
	Header Header `json:"header"`
}

type Range struct {
	Key   []byte `json:"key"`
	End   []byte `json:"rangeEnd,omitempty"`
	Limit int64  `json:"limit,omitempty"`
}

type RangeReply struct {
	Header Header `json:"header"`
	Kvs    []struct {
		Key         []byte `json:"key"`
		Value       []byte `json:"value"`
		ModRevision int64  `json:"modRevision,string"`
	} `json:"kvs"`
	Count int64 `json:"count,string"`
}

var calls atomic.Int64

func call(client *rpc.Client, method string, request, reply any) error {
	calls.Add(1)
	return client.Call(method, request, reply)
}

func putAndGet(client *rpc.Client, key, value []byte) error {
	var put PutReply
	if err := call(client, "KV.Put", Put{key, value}, &put); err != nil {
		return err
	}
	var got RangeReply
	if err := call(client, "etcdserverpb.KV.Range", Range{Key: key}, &got); err != nil {
		return err
	}
	if len(got.Kvs) != 1 || got.Count != 1 || !bytes.Equal(got.Kvs[0].Value, value) {
		return fmt.Errorf("%s: got %d keys, or another value", key, len(got.Kvs))
	}
	if got.Kvs[0].ModRevision != put.Header.Revision {
		return fmt.Errorf("%s: put at %d, found at %d", key, put.Header.Revision,
			got.Kvs[0].ModRevision)
	}
	return nil
}

// An error of the server, with this text.
func refused(client *rpc.Client, method string, request any, text string) error {
	var reply map[string]any
	err := call(client, method, request, &reply)
	var server rpc.ServerError
	if !errors.As(err, &server) || err.Error() != text {
		return fmt.Errorf("%s: %v, and not %q", method, err, text)
	}
	return nil
}

func errorsAreTold(client *rpc.Client) error {
	return errors.Join(
		refused(client, "KV.Put", Put{}, "rpc error: code = InvalidArgument desc = etcdserver: key is not provided"),
		refused(client, "KV.Nothing", Put{}, "unknown method KV.Nothing"),
		refused(client, "Health.Watch", struct{}{},
			"grpc.health.v1.Health/Watch streams, which JSON-RPC can't: it is for gRPC alone"),
		refused(client, "KV.Put", []int{1}, "etcdserverpb.PutRequest: it is an object"))
}

// Every worker sees its own answers, whatever order they come in.
func together(client *rpc.Client, workers, rounds int) error {
	failures := make([]error, workers)
	var group sync.WaitGroup
	for w := range workers {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := 0; i < rounds && failures[w] == nil; i++ {
				failures[w] = putAndGet(client, fmt.Appendf(nil, "go/%d", w),
					fmt.Appendf(nil, "%d of %d", i, w))
			}
		}()
	}
	group.Wait()
	return errors.Join(failures...)
}

// Started one behind the other, without waiting for any.
func pipelined(client *rpc.Client, count int) error {
	done := make(chan *rpc.Call, count)
	for i := range count {
		calls.Add(1)
		key := []byte("go/pipe/" + strconv.Itoa(i))
		client.Go("KV.Put", Put{key, key}, new(PutReply), done)
	}
	seen := map[int64]bool{}
	for range count {
		ended := <-done
		if ended.Error != nil {
			return ended.Error
		}
		seen[ended.Reply.(*PutReply).Header.Revision] = true
	}
	if len(seen) != count {
		return fmt.Errorf("%d puts gave %d revisions", count, len(seen))
	}
	return nil
}

func run(address string) error {
	client, err := jsonrpc.Dial("tcp", address)
	if err != nil {
		return err
	}
	large := bytes.Repeat([]byte{0, 0xff, '"', '\n'}, 256<<10)
	if err := errors.Join(
		putAndGet(client, []byte("go/\x00\xff"), []byte("<&>\u2028")),
		putAndGet(client, []byte("go/large"), large),
		errorsAreTold(client),
		together(client, 64, 20),
		pipelined(client, 2000)); err != nil {
		return err
	}
	if err := client.Close(); err != nil {
		return err
	}
	if err := client.Call("KV.Put", Put{}, new(PutReply)); err != rpc.ErrShutdown {
		return fmt.Errorf("a closed client gave %v", err)
	}
	return nil
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: jsonrpc-client host:port")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("ok: %d calls\n", calls.Load())
}

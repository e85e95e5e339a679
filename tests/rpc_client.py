# SPDX-License-Identifier: Apache-2.0
"""rpc_client.py: gRPC's own Python library on the messages of proto/, for tests.

    client = Client("127.0.0.1:2379")
    client.call("Range", "key: 'a' limit: 3")       # a request in protobuf's text format
    stream = client.stream("Watch")
    stream.send("create_request { key: 'a' }")
    stream.receive()                                # the next message, or None at the end
    client.raw("/etcdserverpb.KV/Range", b"...")    # any path, any bytes

`call` gives an Answer: the status code's name, its message, and the response, None unless OK.
No generated code: protoc gives the descriptors, once in a process. Needs python3-grpcio and
python3-protobuf.
"""
import glob
import os
import queue
import subprocess
import threading
from collections import namedtuple

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

import harness

Method = namedtuple("Method", "path request response")
Answer = namedtuple("Answer", "code message response")

METHODS = {}  # by the method's name alone; Health's as "Health.Check"
TIMEOUT_S = 60


def load_methods():
    """Fill METHODS."""
    if METHODS:
        return
    protos = sorted(os.path.relpath(path, harness.TOP) for path in
                    glob.glob(os.path.join(harness.TOP, "proto", "**", "*.proto"), recursive=True))
    done = subprocess.run(["protoc", "-I.", "--include_imports", "--descriptor_set_out=/dev/stdout",
                           *protos], cwd=harness.TOP, capture_output=True, check=True)
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString(done.stdout).file
    for each in files:
        pool.Add(each)
    factory = message_factory.MessageFactory(pool)
    for each in files:
        for service in pool.FindFileByName(each.name).services_by_name.values():
            for method in service.methods:
                name = method.name if "etcd" in each.package or "v3" in each.package else \
                    f"{service.name}.{method.name}"
                METHODS[name] = Method(f"/{service.full_name}/{method.name}",
                                       factory.GetPrototype(method.input_type),
                                       factory.GetPrototype(method.output_type))


def response_of(path, data):
    """The response that these bytes are, in answer to a request to this path."""
    return next(method for method in METHODS.values() if method.path == path) \
        .response.FromString(data)


class Stream:
    """A stream in both directions. An idle one reads nothing before read(): what its connection has
    no room for waits in the server."""

    def __init__(self, channel, method, metadata, idle):
        self.method = method
        self.requests = queue.Queue()
        self.responses = queue.Queue()
        self.status = None
        start = channel.stream_stream(method.path,
                                      request_serializer=method.request.SerializeToString,
                                      response_deserializer=method.response.FromString)
        self.rpc = start(iter(self.requests.get, None), metadata=metadata, timeout=TIMEOUT_S)
        if not idle:
            self.read()

    def read(self):
        """From here on."""
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self):
        try:
            for response in self.rpc:
                self.responses.put(response)
        except grpc.RpcError:
            pass
        self.status = Answer(self.rpc.code().name, self.rpc.details(), None)
        self.responses.put(None)

    def send(self, text):
        self.requests.put(text_format.Parse(text, self.method.request()))

    def half_close(self):
        self.requests.put(None)

    def cancel(self):
        self.rpc.cancel()

    def receive(self):
        """The next response; None when there is none any more, and then status says why."""
        response = self.responses.get(timeout=TIMEOUT_S)
        if response is None:
            self.responses.put(None)
        return response


class Client:
    """One connection to one member."""

    def __init__(self, endpoint):
        load_methods()
        self.channel = grpc.insecure_channel(endpoint, options=[
            ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)])

    def close(self):
        self.channel.close()

    def raw(self, path, request, metadata=(), timeout=TIMEOUT_S, **options):
        """Send these bytes. The response is bytes."""
        call = self.channel.unary_unary(path, request_serializer=None, response_deserializer=None)
        try:
            return Answer("OK", "", call(request, metadata=metadata, timeout=timeout, **options))
        except grpc.RpcError as error:
            return Answer(error.code().name, error.details(), None)

    def call(self, name, text="", metadata=(), timeout=TIMEOUT_S):
        """One request, one response."""
        method = METHODS[name]
        answer = self.raw(method.path, text_format.Parse(
            text, method.request()).SerializeToString(), metadata, timeout)
        if answer.response is None:
            return answer
        return answer._replace(response=method.response.FromString(answer.response))

    def download(self, name, text="", metadata=()):
        """One request, and all of its responses, in `response`."""
        method = METHODS[name]
        call = self.channel.unary_stream(method.path,
                                         request_serializer=method.request.SerializeToString,
                                         response_deserializer=method.response.FromString)
        responses = []
        try:
            responses.extend(call(text_format.Parse(text, method.request()), metadata=metadata,
                                  timeout=TIMEOUT_S))
        except grpc.RpcError as error:
            return Answer(error.code().name, error.details(), responses)
        return Answer("OK", "", responses)

    def stream(self, name, metadata=(), idle=False):
        return Stream(self.channel, METHODS[name], metadata, idle)

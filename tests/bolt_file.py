# SPDX-License-Identifier: Apache-2.0
"""bolt_file.py: what is in a file of etcd's database, for tests that look into one.

    database = Database(data)
    database.buckets                    # {name: [(key, value), ...]}, pairs in the file's order
    database.history()                  # [(main, sub, deleted, pair)], pair a mvccpb.KeyValue

It knows the pages that docs/internals/bolt-format.md draws, and believes what they say."""
import struct

import rpc_client

BRANCH, LEAF = 1, 2
BUCKET = 1


class Database:
    def __init__(self, data):
        self.data = data
        self.page_bytes, = struct.unpack_from("<I", data, 16 + 8)
        metas = [struct.unpack_from("<QQQQQ", data, n * self.page_bytes + 32) for n in (0, 1)]
        root = max(metas, key=lambda meta: meta[4])[0]
        self.buckets = {}
        for name, value in self._page(root * self.page_bytes):
            bucket_root, = struct.unpack_from("<Q", value)
            self.buckets[name.decode()] = [] if bucket_root == 0 else \
                list(self._page(bucket_root * self.page_bytes))

    def _page(self, at):
        kind, count = struct.unpack_from("<HH", self.data, at + 8)
        for element in range(at + 16, at + 16 + 16 * count, 16):
            if kind == BRANCH:
                child, = struct.unpack_from("<Q", self.data, element + 8)
                yield from self._page(child * self.page_bytes)
            else:
                assert kind == LEAF, kind
                _, where, key, value = struct.unpack_from("<IIII", self.data, element)
                start = element + where
                yield (self.data[start:start + key], self.data[start + key:start + key + value])

    def history(self):
        pair = rpc_client.METHODS["Range"].response().kvs.add().__class__
        return [(*struct.unpack(">QxQ", key[:17]), key[17:] == b"t", pair.FromString(value))
                for key, value in self.buckets["key"]]

    def number(self, bucket, name):
        return struct.unpack(">Q", dict(self.buckets[bucket])[name])[0]

/* SPDX-License-Identifier: Apache-2.0 */
/* sha1.h: SHA-1 (RFC 3174), only because etcd derives ids from it. It protects nothing here. */
#ifndef OAK_SERVER_SHA1_H
#define OAK_SERVER_SHA1_H

#include <stddef.h>
#include <stdint.h>

#define SERVER__SHA1_BYTES 20

struct server__sha1 {
    uint32_t state[5];
    uint64_t size;     /* bytes so far */
    uint8_t block[64]; /* the unfinished one */
};

void server__sha1_init(struct server__sha1 *h);
void server__sha1_add(struct server__sha1 *h, const void *data, size_t size);
/* Ends the hash; init before using it again. */
void server__sha1_end(struct server__sha1 *h, uint8_t out[SERVER__SHA1_BYTES]);

#endif

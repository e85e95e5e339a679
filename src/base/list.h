/* SPDX-License-Identifier: Apache-2.0 */
/* list.h: an intrusive doubly linked list. A node that is in no list is zero or points at itself.
 */
#ifndef OAK_BASE_LIST_H
#define OAK_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"

struct oak_list {
    struct oak_list *prev;
    struct oak_list *next;
};

static inline void oak_list_init(struct oak_list *head)
{
    head->prev = head;
    head->next = head;
}
static inline bool oak_list_empty(const struct oak_list *head)
{
    return head->next == head;
}
static inline bool oak_list_linked(const struct oak_list *node)
{
    return node->next != NULL && node->next != node;
}
static inline void oak_list_push(struct oak_list *head, struct oak_list *node)
{
    OAK_ASSERT(!oak_list_linked(node));
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}
static inline void oak_list_remove(struct oak_list *node)
{
    OAK_ASSERT(node->next != NULL);
    node->prev->next = node->next;
    node->next->prev = node->prev;
    oak_list_init(node);
}
/* Unlink and return the first node, or NULL. */
static inline struct oak_list *oak_list_pop(struct oak_list *head)
{
    if (oak_list_empty(head)) {
        return NULL;
    }
    struct oak_list *node = head->next;
    oak_list_remove(node);
    return node;
}

#define OAK_LIST_ENTRY(node, type, field) OAK_CONTAINER_OF(node, type, field)

#endif

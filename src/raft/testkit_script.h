/* SPDX-License-Identifier: Apache-2.0 */
/* testkit_script.h: commands as text for the kit's nodes; testkit_script.c lists them. What happens
 * is gathered as text in `out`. */
#ifndef OAK_RAFT_TESTKIT_SCRIPT_H
#define OAK_RAFT_TESTKIT_SCRIPT_H

#include "raft/testkit.h"

struct script {
    struct kit kit;
    char *out;
    size_t out_size;
    struct oak_raft_options limits;
    bool quiet;
};

/* One line of what happened. `user` is the script. */
void script_out(void *user, const char *line);
/* Do what the line says. */
void script_line(struct script *s, const char *line);

#endif

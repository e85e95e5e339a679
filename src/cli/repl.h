/* SPDX-License-Identifier: Apache-2.0 */
/* repl.h: lines of a terminal, edited: history and completion, by libedit. One terminal: what is
 * remembered is the process's. */
#ifndef OAK_CLI_REPL_H
#define OAK_CLI_REPL_H

#include <stdbool.h>

/* Read the history, and complete words by `oakum __complete`, with these flags before them. False:
 * no memory. */
bool cli__edit_begin(int flag_count, char *const *flags);
/* A line, to be freed; "" for one that Ctrl-C ended; NULL: Ctrl-D. */
char *cli__edit_line(const char *prompt);
/* It goes to the history. */
void cli__edit_keep(const char *line);
/* Write the history. */
void cli__edit_end(void);

#endif

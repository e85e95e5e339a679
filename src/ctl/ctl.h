/* SPDX-License-Identifier: Apache-2.0 */
/* ctl.h: the verbs of etcdctl, with its flags, formats and exit codes.
 *
 * Threads: the main one.
 */
#ifndef OAK_CTL_H
#define OAK_CTL_H

#include "args/args.h"

/* Does this word begin a verb: "get", "lease"? */
bool oak_ctl_is_verb(const char *word);
/* Are these the words of a verb behind flags that all verbs have: "--endpoints a:1 get k"? argv[0]
 * is the program. */
bool oak_ctl_is_meant(int argc, char *const *argv);
/* Run a verb; `argv` is as a shell has it, without the program: flags may come before the verb. As
 * `etcdctl`, no word means more than it does there. Returns the exit code. */
int oak_ctl_main(int argc, char *const *argv, bool etcdctl);
/* The first words of the verbs, or (`first` not NULL) the second ones behind it; static memory but
 * for the first ones, which are gone when `each` returns. */
void oak_ctl_words_each(const char *first,
                        void (*each)(void *user, const char *word, const char *summary),
                        void *user);
/* What the last of these words of a verb could become, a line each: "word", a tab, what it means.
 * Everything that fits a place is told; who asks leaves out what does not begin right. */
void oak_ctl_complete(int argc, char *const *argv);
/* The verbs by group, those that have their first word in common on a line; or each on its own. */
void oak_ctl_help(void);
void oak_ctl_verbs_help(void);
/* Read words as oak_args_parse() does, for a command without operands that takes the flags all
 * verbs have, to hand them on. False: it ends with *code. */
bool oak_ctl_options_parse(const struct oak_args_command *command, int argc, char *const *argv,
                           int *code);
/* Where the first word is that is neither such a flag nor its value, from `begin` on; argc: there
 * is none. */
int oak_ctl_options_skip(int argc, char *const *argv, int begin);
/* The flags that all verbs have. */
void oak_ctl_options_help(void);

#endif

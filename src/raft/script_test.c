/* SPDX-License-Identifier: Apache-2.0 */
/* script_test.c: scenarios as text. Each file in testdata/ is a test: commands, a line of dashes,
 * and all that happened. OAK_REWRITE=1 in the environment writes the files anew with what happens
 * now.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <cmocka.h>

#include "raft/testkit_script.h"

/* -- files ------------------------------------------------------------------------------------- */

static char *file_read(const char *path)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *text = malloc(1 << 20);
    size_t size = fread(text, 1, (1 << 20) - 1, f);
    text[size] = 0;
    (void)fclose(f);
    return text;
}

/* Runs the script in `text`; gives the same script with what happened as its expectations. */
static char *script_run(char *text, size_t *failures)
{
    struct script s = {0};
    kit_init(&s.kit);
    s.kit.say = script_out;
    s.kit.user = &s;
    bool expecting = false; /* behind the dashes: skip the old expectations */
    char *next = NULL;
    struct script commands = {0};
    for (char *line = text; line != NULL; line = next) {
        next = strchr(line, '\n');
        if (next != NULL) {
            *next++ = 0;
        }
        if (expecting) {
            expecting = line[0] != 0;
            if (expecting) {
                continue;
            }
        }
        if (next == NULL && line[0] == 0) {
            break;
        }
        script_out(&s, line);
        if (strcmp(line, "----") == 0) {
            for (char *c = commands.out; c != NULL && *c != 0;) {
                char *end = strchr(c, '\n');
                *end = 0;
                script_line(&s, c);
                c = end + 1;
            }
            commands.out_size = 0;
            if (commands.out != NULL) {
                commands.out[0] = 0;
            }
            expecting = true;
        } else if (line[0] != '#' && line[0] != 0) {
            script_out(&commands, line);
        }
    }
    kit_compare_disks(&s.kit);
    *failures = s.kit.failures;
    if (s.kit.failures > 0) {
        print_message("%s\n", s.kit.first_failure);
    }
    kit_fini(&s.kit);
    free(commands.out);
    return s.out;
}

static void script_does_what_it_says(void **state)
{
    const char *name = *state;
    char path[1024];
    (void)snprintf(path, sizeof(path), "%s/%s", OAK_TESTDATA, name);
    char *expected = file_read(path);
    char *work = strdup(expected);
    size_t failures = 0;
    char *actual = script_run(work, &failures);
    if (getenv("OAK_REWRITE") != NULL) {
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        (void)fputs(actual, f);
        (void)fclose(f);
    } else if (strcmp(expected, actual) != 0) {
        size_t at = 0;
        size_t line = 1;
        while (expected[at] == actual[at]) {
            line += expected[at] == '\n';
            at++;
        }
        while (at > 0 && expected[at - 1] != '\n') {
            at--;
        }
        print_message("%s:%zu\nexpected: %.300s\nactual:   %.300s\n", name, line, expected + at,
                      actual + at);
        fail();
    }
    assert_int_equal(failures, 0);
    free(actual);
    free(work);
    free(expected);
}

static int name_order(const void *a, const void *b)
{
    return strcmp(((const struct CMUnitTest *)a)->name, ((const struct CMUnitTest *)b)->name);
}

int main(void)
{
    kit_wake_bug();
    struct CMUnitTest tests[128];
    size_t count = 0;
    DIR *dir = opendir(OAK_TESTDATA);
    if (dir == NULL) {
        return 1;
    }
    for (struct dirent *d = readdir(dir); d != NULL && count < 128; d = readdir(dir)) {
        size_t size = strlen(d->d_name);
        if (size > 4 && strcmp(d->d_name + size - 4, ".txt") == 0) {
            char *name = strdup(d->d_name);
            tests[count++] = (struct CMUnitTest){
                .name = name, .test_func = script_does_what_it_says, .initial_state = name};
        }
    }
    (void)closedir(dir);
    qsort(tests, count, sizeof(tests[0]), name_order);
    int failed = _cmocka_run_group_tests("scripts", tests, count, NULL, NULL);
    for (size_t i = 0; i < count; i++) {
        free((void *)(uintptr_t)tests[i].name);
    }
    return failed;
}

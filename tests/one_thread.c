/* SPDX-License-Identifier: Apache-2.0 */
/* one_thread.c: in tests that are ONE_THREAD (cmake/rooms.cmake) nobody starts a thread.
 *
 * It stands before libc's pthread_create for the whole program, libraries too, and ends it: so the
 * promise by which the thread sanitizer leaves such a test out is held by each run of it elsewhere.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *argument)
{
    (void)thread;
    (void)attributes;
    (void)start;
    (void)argument;
    fputs("a thread is started in a test that is ONE_THREAD: see cmake/rooms.cmake\n", stderr);
    abort();
}

/* SPDX-License-Identifier: Apache-2.0 */
/* leader.c ENDPOINTS ELECTION ME: says who leads, stands for election, and resigns at a line. */
#include <oakum/sync.h>
#include <pthread.h>
#include <stdio.h>

/* In a thread of its own: until the observer is closed. */
static void *say_who_leads(void *observer)
{
    struct oak_client_changes *leader;
    while (oak_sync_observer_next(observer, OAK_SYNC_FOREVER, &leader) == 0) {
        const struct oak_client_event *now = &leader->events[0];
        printf("leader: %.*s\n", (int)now->kv.value.size,
               now->deleted ? "" : (const char *)now->kv.value.data);
        oak_client_changes_free(leader);
    }
    return NULL;
}

/* Lead until somebody presses Enter, or it is lost. */
static int lead(struct oak_sync *cluster, const char *election, const char *me)
{
    struct oak_sync_turn *turn;
    int error = oak_sync_campaign(cluster, oak_bytes_str(election), oak_bytes_str(me), 5,
                                  OAK_SYNC_FOREVER, &turn);
    if (error != 0) {
        return error;
    }
    printf("elected\n");
    getchar();
    return oak_sync_turn_end(turn, 0); /* also says if it had been lost before */
}

int main(int argc, char **argv)
{
    struct oak_errbuf e = {"usage: leader ENDPOINTS ELECTION ME"};
    struct oak_sync *cluster;
    struct oak_sync_observer *observer;
    pthread_t thread;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc != 4 || oak_sync_open(argv[1], NULL, &cluster, &e) != 0) {
        return fprintf(stderr, "%s\n", e.text), 1;
    }
    int error = oak_sync_observe(cluster, oak_bytes_str(argv[2]), &observer);
    if (error == 0 && pthread_create(&thread, NULL, say_who_leads, observer) == 0) {
        error = lead(cluster, argv[2], argv[3]);
        printf("%s\n", error == 0 ? "resigned" : oak_error_text(error));
        oak_sync_observer_close(observer);
        pthread_join(thread, NULL);
        oak_sync_observer_free(observer);
    }
    oak_sync_free(cluster);
    return error != 0;
}

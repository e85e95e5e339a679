/* SPDX-License-Identifier: Apache-2.0 */
/* cpu.c: how much processor time servers have used so far.
 *
 * Asked of each endpoint's /metrics (process_cpu_seconds_total, which etcd serves too, in steps
 * of 10 ms), or read from /proc for process ids that the user names.
 * Can fail     an endpoint without metrics: there is no figure then, and the report says so.
 */
#include "cli/internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

static bool pid_seconds(uint64_t pid, double *out)
{
    char path[64];
    char text[1024];
    snprintf(path, sizeof(path), "/proc/%" PRIu64 "/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    size_t size = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[size] = '\0';
    /* The second field is a name in parentheses that may hold anything; utime and stime are the
     * 12th and 13th behind it (proc(5)). */
    const char *at = strrchr(text, ')');
    unsigned long long user = 0;
    unsigned long long system = 0;
    if (at == NULL || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
                             &user, &system) != 2) {
        return false;
    }
    *out = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
    return true;
}

bool cli__cpu_pids_seconds(const char *pids, double *out)
{
    *out = 0;
    for (;;) {
        char *end;
        double seconds;
        uint64_t pid = strtoull(pids, &end, 10);
        if (end == pids || (*end != ',' && *end != '\0') || !pid_seconds(pid, &seconds)) {
            return false;
        }
        *out += seconds;
        if (*end == '\0') {
            return true;
        }
        pids = end + 1;
    }
}

bool cli__cpu_endpoints_seconds(struct oak_os_loop *loop, const struct cli__endpoints *endpoints,
                                double *out)
{
    struct cli__get gets[CLI__ENDPOINTS_MAX] = {0};
    for (size_t i = 0; i < endpoints->count; i++) {
        gets[i].endpoint = endpoints->items[i];
        gets[i].path = "/metrics";
    }
    cli__gets(loop, gets, endpoints->count, 5 * CLI__SECOND_NS);
    bool whole = true;
    *out = 0;
    for (size_t i = 0; i < endpoints->count; i++) {
        double seconds = 0;
        whole = whole && gets[i].error == 0 && gets[i].status == 200 &&
                cli__metric_find(gets[i].body, "process_cpu_seconds_total", &seconds);
        *out += seconds;
        cli__get_fini(&gets[i]);
    }
    return whole;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* svg.c: the picture of a run: what each node was, what was broken, what clients felt, one below
 * the other over the same time.
 *
 *   title and verdict
 *   n1  ████░░████   leader, follower, no leader, silent, paused, down
 *   …
 *   kill  ▌  ▌       a lane for each kind of fault that came, a bar for each fault
 *   …
 *   operations a second, good and failed
 *   latency, median and worst, on a logarithmic scale
 *
 * Plain SVG 1.1 without scripts or fonts of its own; bars carry their text as a title.
 * Can fail     memory.
 */
#include "chaos/internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define WIDTH       1200.0
#define LEFT        150.0
#define RIGHT       24.0
#define PLOT        (WIDTH - LEFT - RIGHT)
#define TOP         104.0
#define NODE_STEP   26.0
#define NODE_HIGH   20.0
#define FAULT_STEP  18.0
#define FAULT_HIGH  13.0
#define STRIP_HIGH  90.0
#define STRIP_GAP   34.0
#define STRIP_LABEL (LEFT - 44) /* beside the marks of the scale */
#define COLUMNS_MAX 500
#define TEXT_BYTES  2048

struct pen {
    const struct chaos *c;
    struct oak_buf *out;
    int error;
    double total_ms;
    double bottom; /* of everything above the axis */
};

static const char *const role_colours[] = {
    [CHAOS_ROLE_DOWN] = "#4a4a4a",     [CHAOS_ROLE_PAUSED] = "#a678c2",
    [CHAOS_ROLE_SILENT] = "#d8d8d8",   [CHAOS_ROLE_LOST] = "#efb640",
    [CHAOS_ROLE_FOLLOWER] = "#a8cbee", [CHAOS_ROLE_LEADER] = "#1f62ad",
};
static const char *const role_names[] = {
    [CHAOS_ROLE_DOWN] = "down",         [CHAOS_ROLE_PAUSED] = "paused",
    [CHAOS_ROLE_SILENT] = "no answer",  [CHAOS_ROLE_LOST] = "knows no leader",
    [CHAOS_ROLE_FOLLOWER] = "follower", [CHAOS_ROLE_LEADER] = "leader",
};

static void put(struct pen *p, const char *format, ...) OAK_PRINTF(2, 3);
static void put(struct pen *p, const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    OAK_ASSERT(size >= 0 && size < TEXT_BYTES);
    if (p->error == 0) {
        p->error = oak_buf_append(p->out, text, (size_t)size);
    }
}

/* A text that may hold anything, as SVG wants it. */
static void put_escaped(struct pen *p, const char *text)
{
    for (; *text != '\0' && p->error == 0; text++) {
        const char *as = *text == '<'                   ? "&lt;"
                         : *text == '>'                 ? "&gt;"
                         : *text == '&'                 ? "&amp;"
                         : *text == '"'                 ? "&quot;"
                         : (unsigned char)*text < 0x20  ? " "
                         : (unsigned char)*text >= 0x7f ? "?"
                                                        : NULL;
        p->error =
            as != NULL ? oak_buf_append(p->out, as, strlen(as)) : oak_buf_append(p->out, text, 1);
    }
}

static double at_x(const struct pen *p, double ms)
{
    return LEFT + ms / p->total_ms * PLOT;
}

static void label(struct pen *p, double y, const char *text)
{
    put(p, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", LEFT - 10, y);
    put_escaped(p, text);
    put(p, "</text>\n");
}

/* -- head -------------------------------------------------------------------------------------- */

static void head(struct pen *p, double height)
{
    const struct chaos *c = p->c;
    const struct oak_chaos_report *r = c->report;
    bool passed = r->violation_count == 0;
    put(p,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
        "viewBox=\"0 0 %.0f %.0f\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"11\" "
        "fill=\"#222222\">\n<title>oakum chaos, seed %" PRIu64 "</title>\n"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
        WIDTH, height, WIDTH, height, r->seed);
    put(p,
        "<text x=\"%.1f\" y=\"30\" font-size=\"18\" font-weight=\"bold\" fill=\"%s\">%s</text>\n",
        LEFT, passed ? "#1d7a3c" : "#b3261e", passed ? "passed" : "a promise was broken");
    put(p, "<text x=\"%.1f\" y=\"30\" font-size=\"16\" font-weight=\"bold\">oakum chaos</text>\n",
        20.0);
    put(p,
        "<text x=\"%.1f\" y=\"50\" fill=\"#555555\">seed %" PRIu64 ", %d nodes %s, %.0f s, %" PRIu64
        " faults of %" PRIu64 " kinds, %" PRIu64 " operations, %" PRIu64 " terms with a leader",
        LEFT, r->seed, c->count, r->namespaces ? "in network namespaces" : "on the loopback",
        r->seconds, r->fault_count, r->kind_count, r->operations, r->terms);
    if (c->options->bug != NULL) {
        put(p, ", with the bug ");
        put_escaped(p, c->options->bug);
    }
    put(p, "</text>\n");
    if (!passed) {
        char first[160];
        snprintf(first, sizeof(first), "%.150s", r->violations[0]);
        put(p, "<text x=\"%.1f\" y=\"68\" fill=\"#b3261e\">", LEFT);
        put_escaped(p, first);
        put(p, "</text>\n");
    }
    double x = LEFT;
    for (int role = CHAOS_ROLE_LEADER; role >= CHAOS_ROLE_DOWN; role--) {
        put(p,
            "<rect x=\"%.1f\" y=\"79\" width=\"12\" height=\"12\" fill=\"%s\"/>"
            "<text x=\"%.1f\" y=\"89\">%s</text>\n",
            x, role_colours[role], x + 17, role_names[role]);
        x += 36 + 6.2 * (double)strlen(role_names[role]);
    }
}

/* Seconds between two marks: a round number, and some ten of them. */
static double tick_seconds(double total_ms)
{
    static const double steps[] = {1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400};
    size_t i = 0;
    while (i + 1 < OAK_COUNT_OF(steps) && total_ms / 1000 / steps[i] > 14) {
        i++;
    }
    return steps[i];
}

static void axis(struct pen *p)
{
    double step = tick_seconds(p->total_ms);
    for (double s = 0; s * 1000 <= p->total_ms; s += step) {
        double x = at_x(p, s * 1000);
        put(p,
            "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#e6e6e6\"/>"
            "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" fill=\"#555555\">%.0f s</text>\n",
            x, TOP - 4, x, p->bottom + 4, x, p->bottom + 18, s);
    }
}

/* -- lanes ------------------------------------------------------------------------------------- */

static void node_lane(struct pen *p, int node, double y)
{
    const struct chaos *c = p->c;
    label(p, y + 14, c->nodes[node].name);
    for (size_t i = 0; i < c->sample_count;) {
        size_t end = i;
        uint8_t role = c->samples[i].roles[node];
        while (end < c->sample_count && c->samples[end].roles[node] == role) {
            end++;
        }
        double from = at_x(p, (double)i * CHAOS_SAMPLE_MS);
        double to = at_x(p, OAK_MIN((double)end * CHAOS_SAMPLE_MS, p->total_ms));
        put(p,
            "<rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.0f\" fill=\"%s\"><title>%s: %s, "
            "%.2f to %.2f s</title></rect>\n",
            from, y, OAK_MAX(to - from, 0.1), NODE_HIGH, role_colours[role], c->nodes[node].name,
            role_names[role], (double)i * CHAOS_SAMPLE_MS / 1000,
            (double)end * CHAOS_SAMPLE_MS / 1000);
        i = end;
    }
}

static const char *kind_colour(enum oak_chaos_kind kind)
{
    return kind <= OAK_CHAOS_PAUSE       ? "#c0392b"
           : kind <= OAK_CHAOS_SLOW_DISK ? "#8d6748"
           : kind <= OAK_CHAOS_RING      ? "#dd7f1c"
           : kind <= OAK_CHAOS_DELAY     ? "#22938a"
                                         : "#6558c9";
}

static void fault_lane(struct pen *p, enum oak_chaos_kind kind, double y)
{
    const struct chaos *c = p->c;
    label(p, y + 10.5, oak_chaos_kind_name(kind));
    put(p, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#eeeeee\"/>\n", LEFT,
        y + FAULT_HIGH / 2, LEFT + PLOT, y + FAULT_HIGH / 2);
    for (size_t i = 0; i < c->event_count; i++) {
        const struct chaos__event *event = &c->events[i];
        if (event->fault.kind != kind) {
            continue;
        }
        double end_ms = OAK_MIN((double)event->end_ms, p->total_ms);
        double from = at_x(p, (double)event->begin_ms);
        double wide = OAK_MAX(at_x(p, end_ms) - from, 1.5);
        char text[128];
        chaos__fault_text(&event->fault, event->target, text, sizeof(text));
        put(p,
            "<rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.0f\" rx=\"1.5\" "
            "fill=\"%s\"><title>",
            from, y, wide, FAULT_HIGH, kind_colour(kind));
        put_escaped(p, text);
        put(p, ", %.2f to %.2f s</title></rect>\n", (double)event->begin_ms / 1000, end_ms / 1000);
        if (event->target >= 0 && wide > 16) {
            put(p,
                "<text x=\"%.2f\" y=\"%.1f\" font-size=\"9\" fill=\"#ffffff\" "
                "text-anchor=\"middle\">n%d</text>\n",
                from + wide / 2, y + 9.8, event->target + 1);
        }
    }
}

/* -- strips ------------------------------------------------------------------------------------ */

struct column {
    double good, bad; /* a second */
    double median_ms, worst_ms;
};

/* The samples, joined where there are more than the picture has room for. */
static size_t columns_make(const struct chaos *c, struct column *out)
{
    size_t each = (c->sample_count + COLUMNS_MAX - 1) / COLUMNS_MAX;
    size_t count = 0;
    for (size_t i = 0; each > 0 && i < c->sample_count; i += each, count++) {
        struct column *column = &out[count];
        size_t end = OAK_MIN(i + each, c->sample_count);
        double seconds = (double)(end - i) * CHAOS_SAMPLE_MS / 1000;
        double medians = 0;
        *column = (struct column){.good = 0};
        for (size_t k = i; k < end; k++) {
            const struct chaos__sample *s = &c->samples[k];
            column->good += s->done / seconds;
            column->bad += s->failed / seconds;
            column->median_ms += s->median_us / 1000.0;
            medians += s->median_us > 0 ? 1 : 0;
            column->worst_ms = OAK_MAX(column->worst_ms, s->worst_us / 1000.0);
        }
        column->median_ms /= OAK_MAX(medians, 1.0);
    }
    return count;
}

static void strip_frame(struct pen *p, double y, const char *title, const char *unit)
{
    put(p, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", STRIP_LABEL, y + 12,
        title);
    put(p, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\" fill=\"#777777\">%s</text>\n",
        STRIP_LABEL, y + 26, unit);
    put(p,
        "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"none\" "
        "stroke=\"#bbbbbb\"/>\n",
        LEFT, y, PLOT, STRIP_HIGH);
}

static void mark(struct pen *p, double y, const char *text)
{
    put(p,
        "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#dddddd\" "
        "stroke-dasharray=\"2 3\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\" "
        "font-size=\"9\" fill=\"#777777\">%s</text>\n",
        LEFT, y, LEFT + PLOT, y, LEFT - 4, y + 3, text);
}

static double column_x(const struct pen *p, size_t i, size_t count)
{
    return at_x(p, ((double)i + 0.5) / (double)count * p->total_ms);
}

static void rate_strip(struct pen *p, const struct column *columns, size_t count, double y)
{
    double most = 10;
    for (size_t i = 0; i < count; i++) {
        most = OAK_MAX(most, OAK_MAX(columns[i].good, columns[i].bad));
    }
    double scale = (STRIP_HIGH - 4) / most;
    strip_frame(p, y, "operations", "a second");
    char text[32];
    snprintf(text, sizeof(text), "%.0f", most);
    mark(p, y + STRIP_HIGH - most * scale, text);
    put(p, "<path fill=\"#cfe3d4\" stroke=\"#2f8f4e\" d=\"M%.1f %.1f", LEFT, y + STRIP_HIGH);
    for (size_t i = 0; i < count; i++) {
        put(p, "L%.1f %.1f", column_x(p, i, count), y + STRIP_HIGH - columns[i].good * scale);
    }
    put(p, "L%.1f %.1fZ\"/>\n<path fill=\"#f3c7c3\" stroke=\"#b3261e\" d=\"M%.1f %.1f", LEFT + PLOT,
        y + STRIP_HIGH, LEFT, y + STRIP_HIGH);
    for (size_t i = 0; i < count; i++) {
        put(p, "L%.1f %.1f", column_x(p, i, count), y + STRIP_HIGH - columns[i].bad * scale);
    }
    put(p, "L%.1f %.1fZ\"/>\n", LEFT + PLOT, y + STRIP_HIGH);
    put(p,
        "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\" fill=\"#2f8f4e\">answered</text>"
        "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\" fill=\"#b3261e\">no answer"
        "</text>\n",
        STRIP_LABEL, y + 46, STRIP_LABEL, y + 60);
}

/* From 0.1 ms to 1 s, a quarter of the strip each power of ten. */
static double latency_y(double y, double ms)
{
    double part = (log10(OAK_MAX(ms, 0.1)) + 1) / 4;
    return y + STRIP_HIGH - OAK_MIN(part, 1.0) * STRIP_HIGH;
}

static void latency_strip(struct pen *p, const struct column *columns, size_t count, double y)
{
    strip_frame(p, y, "latency", "");
    static const char *const names[] = {"1 ms", "10 ms", "100 ms"};
    for (size_t i = 0; i < OAK_COUNT_OF(names); i++) {
        mark(p, y + STRIP_HIGH * (double)(3 - i) / 4, names[i]);
    }
    for (int worst = 1; worst >= 0; worst--) {
        bool drawing = false;
        put(p, "<path fill=\"none\" stroke=\"%s\" d=\"", worst == 1 ? "#c9b458" : "#1f62ad");
        for (size_t i = 0; i < count; i++) {
            double ms = worst == 1 ? columns[i].worst_ms : columns[i].median_ms;
            if (ms > 0) {
                put(p, "%c%.1f %.1f", drawing ? 'L' : 'M', column_x(p, i, count), latency_y(y, ms));
            }
            drawing = ms > 0;
        }
        put(p, "\"/>\n");
    }
    put(p,
        "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\" fill=\"#8f7d22\">worst</text>"
        "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\" fill=\"#1f62ad\">median</text>\n",
        STRIP_LABEL, y + 32, STRIP_LABEL, y + 46);
}

int chaos__svg(const struct chaos *c, struct oak_buf *out)
{
    struct pen p = {.c = c, .out = out, .total_ms = (double)c->sample_count * CHAOS_SAMPLE_MS};
    struct column columns[COLUMNS_MAX + 1];
    size_t count = columns_make(c, columns);
    size_t lanes = 0;
    for (size_t i = 0; i < OAK_CHAOS_KINDS; i++) {
        lanes += c->report->faults[i] > 0 ? 1 : 0;
    }
    p.total_ms = OAK_MAX(p.total_ms, 1.0);
    double faults = TOP + c->count * NODE_STEP + 12;
    double rate = faults + (double)lanes * FAULT_STEP + 14;
    double latency = rate + STRIP_HIGH + STRIP_GAP / 2;
    p.bottom = latency + STRIP_HIGH;
    head(&p, p.bottom + 34);
    axis(&p);
    for (int i = 0; i < c->count; i++) {
        node_lane(&p, i, TOP + i * NODE_STEP);
    }
    for (size_t i = 0, lane = 0; i < OAK_CHAOS_KINDS; i++) {
        if (c->report->faults[i] > 0) {
            fault_lane(&p, (enum oak_chaos_kind)i, faults + (double)lane++ * FAULT_STEP);
        }
    }
    rate_strip(&p, columns, count, rate);
    latency_strip(&p, columns, count, latency);
    put(&p, "</svg>\n");
    return p.error;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* table.c: columns for people. */
#include "cli/internal.h"

#define COLUMNS_MAX 16

void cli__table_print(FILE *out, const char *const *cells, size_t rows, size_t columns)
{
    size_t widths[COLUMNS_MAX] = {0};
    OAK_ASSERT_LE(columns, COLUMNS_MAX);
    for (size_t i = 0; i < rows * columns; i++) {
        size_t width = cells[i] == NULL ? 0 : strlen(cells[i]);
        widths[i % columns] = OAK_MAX(widths[i % columns], width);
    }
    for (size_t i = 0; i < rows * columns; i++) {
        const char *text = cells[i] == NULL ? "" : cells[i];
        bool last = i % columns == columns - 1;
        fprintf(out, "%s%-*s%s", i % columns == 0 ? "  " : "", last ? 0 : (int)widths[i % columns],
                text, last ? "\n" : "  ");
    }
}

const char *cli__size_text(uint64_t bytes, char *out)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1000 && unit + 1 < OAK_COUNT_OF(units)) {
        value /= 1000;
        unit++;
    }
    snprintf(out, 32, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return out;
}

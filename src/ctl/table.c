/* SPDX-License-Identifier: Apache-2.0 */
/* table.c: the format "table": a frame, titles in the middle, cells at the right. */
#include "ctl/internal.h"

#include <ctype.h>

#define COLUMNS_MAX 20

/* Columns that a text takes: its characters. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++) {
        width += ((uint8_t)*text >> 6) != 2;
    }
    return width;
}

static void spaces_print(size_t count)
{
    printf("%*s", (int)count, "");
}

static void rule_print(const size_t *widths, size_t columns)
{
    for (size_t i = 0; i < columns; i++) {
        fputs(i == 0 ? "+" : "", stdout);
        for (size_t k = 0; k < widths[i] + 2; k++) {
            fputc('-', stdout);
        }
        fputc('+', stdout);
    }
    fputc('\n', stdout);
}

static void title_print(const char *title, size_t width)
{
    size_t left = (width - strlen(title)) / 2;
    fputs("| ", stdout);
    spaces_print(left);
    for (const char *at = title; *at != '\0'; at++) {
        fputc(*at == '_' ? ' ' : toupper((unsigned char)*at), stdout);
    }
    spaces_print(width - strlen(title) - left + 1);
}

void ctl__table_print(const char *const *titles, size_t columns, const char *const *cells,
                      size_t rows)
{
    size_t widths[COLUMNS_MAX] = {0};
    OAK_ASSERT_LE(columns, COLUMNS_MAX);
    for (size_t i = 0; i < columns; i++) {
        widths[i] = strlen(titles[i]);
    }
    for (size_t i = 0; i < rows * columns; i++) {
        widths[i % columns] = OAK_MAX(widths[i % columns], width_of(cells[i]));
    }
    rule_print(widths, columns);
    for (size_t i = 0; i < columns; i++) {
        title_print(titles[i], widths[i]);
    }
    fputs("|\n", stdout);
    rule_print(widths, columns);
    for (size_t i = 0; i < rows * columns; i++) {
        fputs("| ", stdout);
        spaces_print(widths[i % columns] - width_of(cells[i]));
        printf("%s %s", cells[i], i % columns == columns - 1 ? "|\n" : "");
    }
    rule_print(widths, columns);
}

void ctl__rows_print(size_t columns, const char *const *cells, size_t rows)
{
    for (size_t i = 0; i < rows * columns; i++) {
        printf("%s%s", cells[i], i % columns == columns - 1 ? "\n" : ", ");
    }
}

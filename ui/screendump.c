/*
 * Writes a display's picture to a file: PNG by libpng, or PPM.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ui/display.h"

static void line_to_rgb(const Surface *s, unsigned y, uint8_t *rgb)
{
    const uint32_t *p = s->pixels + (size_t)y * s->stride;

    for (unsigned x = 0; x < s->width; x++) {
        *rgb++ = (uint8_t)(p[x] >> 16);
        *rgb++ = (uint8_t)(p[x] >> 8);
        *rgb++ = (uint8_t)p[x];
    }
}

static bool write_ppm(const Surface *s, FILE *f, uint8_t *line)
{
    fprintf(f, "P6\n%u %u\n255\n", s->width, s->height);
    for (unsigned y = 0; y < s->height; y++) {
        line_to_rgb(s, y, line);
        if (fwrite(line, 3, s->width, f) != s->width) {
            return false;
        }
    }
    return true;
}

static bool write_png(const Surface *s, FILE *f, uint8_t *line)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png ? png_create_info_struct(png) : NULL;

    if (!info || setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &info);
        return false;
    }
    png_init_io(png, f);
    png_set_IHDR(png, info, s->width, s->height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (unsigned y = 0; y < s->height; y++) {
        line_to_rgb(s, y, line);
        png_write_row(png, line);
    }
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    return true;
}

bool display_screendump(Display *d, const char *path, Error **errp)
{
    const char *dot = strrchr(path, '.');
    bool ppm = dot && strcasecmp(dot, ".ppm") == 0, ok;
    const Surface *s;
    uint8_t *line;
    FILE *f;

    display_update(d);
    s = display_surface(d);
    f = fopen(path, "wb");
    if (!f) {
        error_set_errno(errp, errno, "screendump: cannot write '%s'", path);
        return false;
    }
    line = malloc((size_t)s->width * 3);
    errno = 0;
    ok = ppm ? write_ppm(s, f, line) : write_png(s, f, line);
    free(line);
    if (fclose(f) != 0 || !ok) {
        error_set_errno(errp, errno ? errno : EIO, "screendump: cannot write '%s'", path);
        return false;
    }
    return true;
}

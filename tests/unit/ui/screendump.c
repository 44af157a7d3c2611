/*
 * Displays and screenshots: listeners, sizes, PNG and PPM files read back.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <png.h>
#include <stdlib.h>
#include <unistd.h>

#include "ui/display.h"

#include "../test.h"

static unsigned updates, invalidations, resizes;
static Display *screen;

static void draw(void *opaque)
{
    Surface *s;

    updates++;
    if (display_surface(screen)->width != 70) {
        display_resize(screen, 70, 30);
    }
    s = display_surface(screen);
    for (unsigned i = 0; i < 70 * 30; i++) {
        s->pixels[i] = i * 0x010307;
    }
    display_dirty(screen, 0, 0, 70, 30);
}

static void invalidate(void *opaque)
{
    invalidations++;
}

static void resized(void *opaque, const Surface *s)
{
    resizes++;
}

static const DisplayAdapter adapter = {draw, invalidate, NULL, NULL};

static const char *file(const char *name)
{
    static char dir[] = "/tmp/vole-screen-XXXXXX", path[64];
    static bool made;

    if (!made && !mkdtemp(dir)) {
        abort();
    }
    made = true;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void listeners_hear_of_sizes(void)
{
    static DisplayListener l = {.resized = resized};

    screen = display_new(&adapter, NULL);
    CHECK(display_first() == screen);
    CHECK_EQ(display_surface(screen)->width, 640);
    display_add_listener(screen, &l);
    CHECK_EQ(resizes, 1);
    CHECK_EQ(invalidations, 1);
    display_update(screen);
    CHECK_EQ(resizes, 2);
    display_remove_listener(screen, &l);
    display_resize(screen, 5, 5);
    CHECK_EQ(resizes, 2);
    CHECK_EQ(display_surface(screen)->pixels[24], 0);
    CHECK(display_text(screen) == NULL);
}

static void png_holds_the_picture(void)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    uint8_t *rgb;

    CHECK(display_screendump(screen, file("a.png"), NULL));
    CHECK(png_image_begin_read_from_file(&image, file("a.png")));
    CHECK_EQ(image.width, 70);
    CHECK_EQ(image.height, 30);
    image.format = PNG_FORMAT_RGB;
    rgb = malloc(PNG_IMAGE_SIZE(image));
    CHECK(png_image_finish_read(&image, NULL, rgb, 0, NULL));
    for (unsigned i = 0; i < 70 * 30; i++) {
        CHECK_EQ(rgb[i * 3] << 16 | rgb[i * 3 + 1] << 8 | rgb[i * 3 + 2], i * 0x010307 & 0xffffff);
    }
    free(rgb);
    unlink(file("a.png"));
}

static void ppm_holds_the_picture(void)
{
    char head[16] = "";
    uint8_t rgb[3];
    FILE *f;

    CHECK(display_screendump(screen, file("a.PPM"), NULL));
    f = fopen(file("a.PPM"), "rb");
    CHECK(f && fread(head, 1, 13, f) == 13);
    CHECK_STR(head, "P6\n70 30\n255\n");
    for (unsigned i = 0; i < 70 * 30; i++) {
        CHECK_EQ(fread(rgb, 1, 3, f), 3);
        CHECK_EQ(rgb[0] << 16 | rgb[1] << 8 | rgb[2], i * 0x010307 & 0xffffff);
    }
    CHECK_EQ(fgetc(f), (uint64_t)EOF);
    fclose(f);
    unlink(file("a.PPM"));
}

static void says_what_cannot_be_written(void)
{
    Error *err = NULL;

    CHECK(!display_screendump(screen, "/nonexistent/a.png", &err));
    CHECK(strstr(error_text(err), "/nonexistent/a.png"));
    error_free(err);
    err = NULL;
    CHECK(!display_screendump(screen, "/dev/full", &err));
    error_free(err);
    rmdir(file(""));
}

TESTS(TEST(listeners_hear_of_sizes), TEST(png_holds_the_picture), TEST(ppm_holds_the_picture),
      TEST(says_what_cannot_be_written))

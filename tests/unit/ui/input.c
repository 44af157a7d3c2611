/*
 * Key names and sendkey's queue.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <linux/input-event-codes.h>
#include <stdlib.h>

#include "ui/display.h"
#include "util/loop.h"

#include "../test.h"

static char journal[1024];

static void keyboard(void *opaque, unsigned key, bool down)
{
    sprintf(journal + strlen(journal), "%c%u ", down ? '+' : '-', key);
}

static void mouse(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
    sprintf(journal + strlen(journal), "%d,%d,%d/%u ", dx, dy, dz, buttons);
}

static void set_up(void)
{
    static bool once;

    if (!once) {
        once = true;
        machine_lock();
        clock_use_stepped();
    }
    journal[0] = 0;
    input_set_keyboard(keyboard, NULL);
    input_remove_mouse(journal);
    input_add_mouse("test", mouse, journal);
}

static void presses_together_and_releases_in_reverse(void)
{
    set_up();
    CHECK(input_send_keys("ctrl-alt-delete", 0, NULL));
    CHECK_STR(journal, "+29 +56 +111 ");
    clock_step(99 * NS_PER_MS);
    CHECK_STR(journal, "+29 +56 +111 ");
    clock_step(NS_PER_MS);
    CHECK_STR(journal, "+29 +56 +111 -111 -56 -29 ");
}

static void queues_one_behind_the_other(void)
{
    set_up();
    CHECK(input_send_keys("a", 10, NULL));
    CHECK(input_send_keys("shift-b", 20, NULL));
    CHECK(input_send_keys("ret", 10, NULL));
    CHECK_STR(journal, "+30 ");
    clock_step(10 * NS_PER_MS);
    CHECK_STR(journal, "+30 -30 +42 +48 ");
    clock_step(100 * NS_PER_MS);
    CHECK_STR(journal, "+30 -30 +42 +48 -48 -42 +28 -28 ");
}

static void takes_scan_codes(void)
{
    set_up();
    CHECK(input_send_keys("0x1e-0xe048-0xc8", 1, NULL));
    CHECK_STR(journal, "+30 +103 +103 ");
    clock_step(NS_PER_MS);
}

static void refuses_unknown_keys(void)
{
    static const char *const bad[] = {
        "", "-", "foo", "ctrl-", "ctrl--a", "0x", "0xffff", "a-b-c-d-e-f-g-h-i-j-k-l-m-n-o-p-q"};
    unsigned refused = 0;

    set_up();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        Error *err = NULL;
        if (!input_send_keys(bad[i], 1, &err)) {
            CHECK(err != NULL);
            error_free(err);
            refused++;
        }
    }
    CHECK_EQ(refused, 7); /* "ctrl-" is ctrl alone */
    CHECK_STR(journal, "+29 ");
    clock_step(NS_PER_MS);
}

static void every_name_has_its_key(void)
{
    set_up();
    for (const char *const *n = input_key_names(); *n; n++) {
        CHECK(input_key_by_name(*n) != 0);
    }
    CHECK_EQ(input_key_by_name("spc"), KEY_SPACE);
    CHECK_EQ(input_key_by_name("bracket_left"), KEY_LEFTBRACE);
    CHECK_EQ(input_key_by_name("kp_enter"), KEY_KPENTER);
    CHECK_EQ(input_key_by_name("f12"), KEY_F12);
    CHECK_EQ(input_key_by_name("nothing"), 0);
}

static void mouse_goes_to_its_device(void)
{
    set_up();
    input_mouse(1, -2, 0, 5);
    CHECK_STR(journal, "1,-2,0/5 ");
    input_remove_mouse(journal);
    input_set_keyboard(NULL, NULL);
    input_mouse(1, 1, 1, 1);
    input_key(KEY_A, true);
    CHECK_STR(journal, "1,-2,0/5 ");
}

TESTS(TEST(presses_together_and_releases_in_reverse), TEST(queues_one_behind_the_other),
      TEST(takes_scan_codes), TEST(refuses_unknown_keys), TEST(every_name_has_its_key),
      TEST(mouse_goes_to_its_device))

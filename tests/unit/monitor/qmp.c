/*
 * The JSON monitor: its frame, ids, error classes, checks of arguments, events, and what hostile
 * input comes to.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdlib.h>

#include "char/char.h"
#include "config.h"
#include "hw/machine.h"
#include "tests/unit/test.h"
#include "util/loop.h"

#ifdef CONFIG_JANSSON
#include "monitor/qmp-int.h"

static QmpSession *q;

static void set_up(void)
{
    static bool once;

    if (!once) {
        once = true;
        machine_lock();
        loop_init();
    }
    if (q) {
        qmp_session_free(q);
    }
    q = qmp_session_new(false);
}

static void feed(const char *text)
{
    qmp_session_feed(q, (const uint8_t *)text, strlen(text));
}

/* What was answered since the last question, as one text; the next call overwrites it. */
static const char *answers(void)
{
    static char *text;
    Buffer *out = qmp_session_output(q);

    free(text);
    text = out->size ? strndup((const char *)out->data, out->size) : strdup("");
    buffer_clear(out);
    return text;
}

static const char *ask(const char *text)
{
    feed(text);
    return answers();
}

static void ready(void)
{
    set_up();
    ask("{\"execute\":\"qmp_capabilities\"}");
}

static void negotiates_first(void)
{
    set_up();
    CHECK(strstr(ask("{\"execute\":\"query-status\"}"), "\"class\": \"CommandNotFound\""));
    CHECK(strstr(answers(), "") &&
          strstr(ask("{\"execute\":\"qmp_capabilities\", \"arguments\":{\"enable\":[\"oob\"]}}"),
                 "GenericError"));
    CHECK_STR(ask("{\"execute\":\"qmp_capabilities\",\"id\":[1,{\"a\":null}]}"),
              "{\"return\": {}, \"id\": [1, {\"a\": null}]}\r\n");
    CHECK(strstr(ask("{\"execute\":\"qmp_capabilities\"}"), "CommandNotFound"));
    CHECK(strstr(ask("{\"execute\":\"query-status\"}"), "\"status\": \"prelaunch\""));
}

static void commands_come_in_any_pieces(void)
{
    static const char text[] =
        " {\"execute\" :\n\"query-name\",\t\"id\":\"}{\\\"\"}{\"execute\":\"query-kvm\"}\n";

    ready();
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        qmp_session_feed(q, (const uint8_t *)text + i, 1);
    }
    CHECK_STR(answers(), "{\"return\": {}, \"id\": \"}{\\\"\"}\r\n"
                         "{\"return\": {\"enabled\": false, \"present\": false}}\r\n");
}

static void mistakes_have_their_answers(void)
{
    static const struct {
        const char *in, *want;
    } cases[] = {
        {"{\"execute\":\"qurey-name\",\"id\":1}",
         "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"The command "
         "qurey-name has not been found\"}, \"id\": 1}"},
        {"{\"execute\":\"device_del\",\"arguments\":{\"id\":\"nobody\"}}", "DeviceNotFound"},
        {"{\"execute\":\"device_del\"}", "Parameter 'id' is missing"},
        {"{\"execute\":\"device_del\",\"arguments\":{\"id\":5}}",
         "Invalid parameter type for 'id', expected: string"},
        {"{\"execute\":\"stop\",\"arguments\":{\"now\":true}}", "Parameter 'now' is unexpected"},
        {"{\"execute\":\"stop\",\"arguments\":[]}", "'arguments' must be an object"},
        {"{\"execute\":7}", "'execute' must be a string"},
        {"{\"exec\":\"stop\"}", "'exec' is unexpected"},
        {"{}", "lacks member 'execute'"},
        {"[]", "must be a JSON object"},
        {"{\"execute\":\"stop\",\"execute\":\"cont\"}", "JSON parse error"},
        {"{\"execute\":}", "JSON parse error"},
        {"}", "JSON parse error"},
        {"hello\n", "JSON parse error"},
        {"{\"execute\":\"st\nop\"}\n", "JSON parse error"},
        {"{\"execute\":\"\xff\xfe\"}", "JSON parse error"},
        {"{\"execute\":\"qom-get\",\"arguments\":{\"path\":\"/machine/x\",\"property\":\"y\"}}",
         "DeviceNotFound"},
        {"{\"execute\":\"send-key\",\"arguments\":{\"keys\":[1]}}", "'keys'"},
        {"{\"execute\":\"send-key\",\"arguments\":{\"keys\":[{\"type\":\"qcode\",\"data\":"
         "\"nokey\"}]}}",
         "nokey"},
        {"{\"execute\":\"memsave\",\"arguments\":{\"val\":0,\"size\":1,\"filename\":\"x\",\"cpu-"
         "index\":99}}",
         "cpu-index"},
        {"{\"execute\":\"ringbuf-read\",\"arguments\":{\"device\":\"none\",\"size\":1}}",
         "DeviceNotFound"},
    };

    ready();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *got = ask(cases[i].in);
        if (!strstr(got, cases[i].want)) {
            printf("# %s: %s\n", cases[i].in, got);
        }
        CHECK(strstr(got, "\"error\"") && strstr(got, cases[i].want));
        /* Whatever it was, the next command is understood. */
        ask("\n");
        CHECK(strstr(ask("{\"execute\":\"query-target\"}"), "x86_64"));
    }
}

static void too_much_is_refused(void)
{
    static char line[64];

    ready();
    for (int i = 0; i < 1000; i++) {
        feed("{\"a\":[");
    }
    CHECK_STR(answers(), "");
    CHECK(strstr(ask("\n"), "too large or too deep"));
    CHECK(strstr(ask("{\"execute\":\"query-target\"}"), "x86_64"));
    memset(line, 'x', sizeof(line) - 1);
    feed("{\"execute\":\"");
    for (int i = 0; i < (8 << 20) / 63; i++) {
        feed(line);
    }
    feed("\"}\n");
    CHECK(strstr(answers(), "too large or too deep"));
    CHECK(strstr(ask("{\"execute\":\"query-target\"}"), "x86_64"));
}

static void events_go_to_those_who_are_ready(void)
{
    QmpSession *other;

    ready();
    other = q;
    q = NULL;
    set_up(); /* this one has not finished its greeting */
    qmp_event("STOP", NULL);
    qmp_event("RTC_CHANGE", json_pack("{s:i}", "offset", 5));
    CHECK_STR(answers(), "");
    qmp_session_free(q);
    q = other;
    const char *got = answers();
    CHECK(strstr(got, "{\"timestamp\": {\"seconds\": ") == got);
    CHECK(strstr(got, "\"event\": \"STOP\"}\r\n") &&
          strstr(got, "\"event\": \"RTC_CHANGE\", \"data\": {\"offset\": 5}}\r\n"));
}

static void the_table_describes_itself(void)
{
    ready();
    json_t *commands = qmp_query_commands(NULL, NULL), *schema = qmp_query_schema(NULL, NULL),
           *item, *other;
    size_t i, k;

    CHECK(json_array_size(commands) > 40);
    for (i = 1; i < json_array_size(commands); i++) {
        const char *before =
            json_string_value(json_object_get(json_array_get(commands, i - 1), "name"));
        CHECK(strcmp(before,
                     json_string_value(json_object_get(json_array_get(commands, i), "name"))) < 0);
    }
    /* Every type that the schema speaks of is in it. */
    json_array_foreach(schema, i, item)
    {
        const char *type = json_string_value(json_object_get(item, "arg-type"));
        bool found = !type;
        json_array_foreach(schema, k, other)
        {
            found |= type && strcmp(type, json_string_value(json_object_get(other, "name"))) == 0;
        }
        CHECK(found);
    }
    json_decref(commands);
    json_decref(schema);
}

static void ring_buffers_and_people(void)
{
    CharBackend *chr = chr_open("ring", "ringbuf", NULL);

    ready();
    chr_printf(chr, "caf\xc3\xa9\n");
    CHECK_STR(
        ask("{\"execute\":\"ringbuf-read\",\"arguments\":{\"device\":\"ring\",\"size\":100}}"),
        "{\"return\": \"caf\xc3\xa9\\n\"}\r\n");
    chr_printf(chr, "\xc3(");
    CHECK(strstr(
        ask("{\"execute\":\"ringbuf-read\",\"arguments\":{\"device\":\"ring\",\"size\":100}}"),
        "\"?(\""));
    CHECK(strstr(ask("{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":"
                     "\"info status\"}}"),
                 "paused (prelaunch)"));
    CHECK(strstr(ask("{\"execute\":\"query-chardev\"}"), "\"label\": \"ring\""));
    chr_close(chr);
}

TESTS(TEST(negotiates_first), TEST(commands_come_in_any_pieces), TEST(mistakes_have_their_answers),
      TEST(too_much_is_refused), TEST(events_go_to_those_who_are_ready),
      TEST(the_table_describes_itself), TEST(ring_buffers_and_people))
#else
#include "monitor/qmp.h"

static void is_refused(void)
{
    Error *err = NULL;

    CHECK(!qmp_open(NULL, false, &err));
    CHECK(strstr(error_text(err), "jansson"));
    error_free(err);
}

TESTS(TEST(is_refused))
#endif

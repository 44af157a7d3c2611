/*
 * Options table parser, sub-options, values: what they accept, and that what they refuse is named.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/options.h"

#include "tests/unit/test.h"

static const char *seen_size, *seen_disk;
static unsigned seen_flags;

static bool take_size(const char *value, Error **errp)
{
    seen_size = value;
    return true;
}

static bool take_flag(const char *value, Error **errp)
{
    seen_flags += value == NULL;
    return true;
}

static bool take_disk(const char *value, Error **errp)
{
    seen_disk = value;
    return true;
}

static const Option table[] = {
    {"m", "SIZE", "Machine", "memory", NULL, take_size},
    {"nographic", NULL, "Screen", "no window", NULL, take_flag},
    {0},
};

static bool parse(char **argv, int argc, char *message, size_t size)
{
    Error *err = NULL;
    bool ok = options_parse(table, argc, argv, take_disk, &err);

    snprintf(message, size, "%s", err ? error_text(err) : "");
    error_free(err);
    return ok;
}

static void one_dash_or_two(void)
{
    char *argv[] = {"vole", "-m", "64", "--nographic", "-nographic", "disk.img"};
    char message[200];

    CHECK(parse(argv, 6, message, sizeof(message)));
    CHECK_STR(seen_size, "64");
    CHECK_EQ(seen_flags, 2);
    CHECK_STR(seen_disk, "disk.img");
}

static void mistakes_are_named(void)
{
    char *unknown[] = {"vole", "--nographics"}, *valueless[] = {"vole", "-m"};
    char message[200];

    CHECK(!parse(unknown, 2, message, sizeof(message)));
    CHECK(strstr(message, "--nographics") && strstr(message, "did you mean -nographic"));
    CHECK(!parse(valueless, 2, message, sizeof(message)));
    CHECK(strstr(message, "-m SIZE"));
}

static void suboptions_split_at_single_commas(void)
{
    SubOptions so;

    suboptions_parse(&so, "a,,b.img,if=ide,snapshot,index=1,index=2", "file");
    CHECK_STR(suboptions_get(&so, "file"), "a,b.img");
    CHECK_STR(suboptions_get(&so, "if"), "ide");
    CHECK_STR(suboptions_get(&so, "snapshot"), "on");
    CHECK_STR(suboptions_get(&so, "index"), "2");
    CHECK(!suboptions_get(&so, "media"));
    suboptions_free(&so);
    suboptions_parse(&so, "", "file");
    CHECK_EQ(so.count, 0);
    suboptions_free(&so);
}

static void stray_keys_are_named(void)
{
    static const char *const known[] = {"file", "format", NULL};
    SubOptions so;
    Error *err = NULL;

    suboptions_parse(&so, "file=x,fromat=raw", NULL);
    CHECK(!suboptions_check(&so, "-drive", known, &err));
    CHECK(strstr(error_text(err), "-drive") && strstr(error_text(err), "'fromat'"));
    CHECK(strstr(error_text(err), "did you mean 'format'"));
    error_free(err);
    suboptions_free(&so);
}

static void sizes(void)
{
    static const struct {
        const char *text;
        uint64_t bytes; /* 0: refused */
    } cases[] = {
        {"64", 64ull << 20},
        {"64M", 64ull << 20},
        {"1.5G", 3ull << 29},
        {"512k", 512ull << 10},
        {"7b", 7},
        {"2GiB", 2ull << 30},
        {"4GB", 4ull << 30},
        {"1T", 1ull << 40},
        {"", 0},
        {"-1", 0},
        {"64X", 0},
        {"64MM", 0},
        {"nan", 0},
        {"1e300G", 0},
        {" 5", 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t bytes = 0;
        bool ok = parse_size("-m", cases[i].text, 1 << 20, &bytes, NULL);
        CHECK_EQ(ok, cases[i].bytes != 0);
        CHECK_EQ(ok ? bytes : 0, cases[i].bytes);
    }
}

static void numbers_and_switches(void)
{
    uint64_t n;
    bool b;
    Error *err = NULL;

    CHECK(parse_number("-smp", "0x10", 1, 64, &n, NULL) && n == 16);
    CHECK(!parse_number("-smp", "65", 1, 64, &n, &err));
    CHECK(strstr(error_text(err), "from 1 to 64"));
    error_free(err);
    CHECK(!parse_number("-smp", "-1", 0, UINT64_MAX, &n, NULL));
    CHECK(!parse_number("-smp", "99999999999999999999", 0, UINT64_MAX, &n, NULL));
    CHECK(parse_bool("x", "yes", &b, NULL) && b);
    CHECK(parse_bool("x", "off", &b, NULL) && !b);
    CHECK(!parse_bool("x", "maybe", &b, NULL));
}

TESTS(TEST(one_dash_or_two), TEST(mistakes_are_named), TEST(suboptions_split_at_single_commas),
      TEST(stray_keys_are_named), TEST(sizes), TEST(numbers_and_switches))

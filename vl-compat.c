/*
 * Options that programs pass which start emulators by themselves, and that ask for what is so
 * anyway: no locked memory, no sound. Whatever else they could ask for is refused, not ignored.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hw/machine.h"
#include "util/options.h"
#include "util/secret.h"
#include "vl-options.h"

/* Each key may only have the value that is the case. */
static bool only(const char *option, const SubOptions *so, const char *key, const char *must,
                 Error **errp)
{
    const char *value = suboptions_get(so, key);

    if (value && strcmp(value, must) != 0) {
        error_set(errp, "%s: %s=%s is not possible; possible: %s", option, key, value, must);
        return false;
    }
    return true;
}

/* Guest memory is shared anonymous memory, bit 1 of what the kernel writes (core(5)). */
bool set_dump_guest_core(const char *value, Error **errp)
{
    unsigned filter = 0x33;
    bool on;
    FILE *f;

    if (!parse_bool("-machine: dump-guest-core", value, &on, errp)) {
        return false;
    }
    f = fopen("/proc/self/coredump_filter", "r+");
    if (f && fscanf(f, "%x", &filter) == 1) {
        rewind(f);
        fprintf(f, "0x%x\n", on ? filter | 2 : filter & ~2u);
    }
    if (f) {
        fclose(f);
    }
    return true;
}

bool opt_overcommit(const char *value, Error **errp)
{
    static const char *const keys[] = {"mem-lock", "cpu-pm", NULL};
    SubOptions so;
    bool ok;

    suboptions_parse(&so, value, NULL);
    ok = suboptions_check(&so, "-overcommit", keys, errp) &&
         only("-overcommit", &so, "mem-lock", "off", errp) &&
         only("-overcommit", &so, "cpu-pm", "off", errp);
    suboptions_free(&so);
    return ok;
}

/* As JSON ({"id":"a","driver":"none"}) or as none,id=a. */
bool opt_audiodev(const char *value, Error **errp)
{
    const char *driver = value[0] == '{' ? strstr(value, "\"driver\":\"none\"") : value;

    if (!driver || (value[0] != '{' && strncmp(value, "none", 4) != 0 &&
                    strncmp(value, "driver=none", 11) != 0)) {
        error_set(errp, "-audiodev %s: is not possible; possible: none,id=ID", value);
        return false;
    }
    return true;
}

bool opt_object(const char *value, Error **errp)
{
    return secret_add("-object", value, errp);
}

bool opt_msg(const char *value, Error **errp)
{
    static const char *const keys[] = {"timestamp", "guest-name", NULL};
    SubOptions so;
    bool on = false, ok;

    suboptions_parse(&so, value, NULL);
    const char *text = suboptions_get(&so, "timestamp");
    ok = suboptions_check(&so, "-msg", keys, errp) &&
         only("-msg", &so, "guest-name", "off", errp) &&
         (!text || parse_bool("-msg: timestamp", text, &on, errp));
    if (ok) {
        error_set_timestamps(on);
    }
    suboptions_free(&so);
    return ok;
}

/* "9164d0b2-8e4d-4c36-bb91-3f46532281bf" */
bool opt_uuid(const char *value, Error **errp)
{
    unsigned n = 0;

    for (const char *p = value; *p && n < 16; n++) {
        unsigned byte;
        p += *p == '-';
        if (sscanf(p, "%2x", &byte) != 1 || !p[1] || strspn(p, "0123456789abcdefABCDEF") < 2) {
            break;
        }
        machine_config.uuid[n] = (uint8_t)byte;
        p += 2;
    }
    if (n != 16 || strlen(value) != 36) {
        error_set(errp,
                  "-uuid: '%s' is no UUID; possible: one as "
                  "9164d0b2-8e4d-4c36-bb91-3f46532281bf",
                  value);
        return false;
    }
    return true;
}

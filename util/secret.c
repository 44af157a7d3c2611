/*
 * The table of secrets.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "util/secret.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/base64.h"
#include "util/options.h"

enum { MAX_SECRET = 65536 }; /* bytes; key files are far shorter */

typedef struct Secret {
    char *id;
    uint8_t *data;
    size_t bytes;
    struct Secret *next;
} Secret;

static Secret *secrets;

static Secret *find(const char *id)
{
    for (Secret *s = secrets; s; s = s->next) {
        if (!strcmp(s->id, id)) {
            return s;
        }
    }
    return NULL;
}

bool secret_get(const char *id, const uint8_t **data, size_t *bytes, Error **errp)
{
    const Secret *s = find(id);

    if (!s) {
        error_set(errp, "there is no secret '%s'; give one with -object secret,id=%s,file=FILE", id,
                  id);
        return false;
    }
    *data = s->data;
    *bytes = s->bytes;
    return true;
}

static bool read_file(const char *option, const char *name, uint8_t *data, size_t *bytes,
                      Error **errp)
{
    FILE *f = fopen(name, "rbe");

    if (!f) {
        error_set_errno(errp, errno, "%s: cannot read '%s'", option, name);
        return false;
    }
    *bytes = fread(data, 1, MAX_SECRET + 1, f);
    bool ok = !ferror(f) && *bytes <= MAX_SECRET;
    if (!ok) {
        error_set(errp,
                  *bytes > MAX_SECRET ? "%s: '%s' is too long for a secret"
                                      : "%s: '%s' cannot be read",
                  option, name);
    }
    fclose(f);
    return ok;
}

static bool get_bytes(const char *option, const SubOptions *so, Secret *s, Error **errp)
{
    const char *data = suboptions_get(so, "data"), *file = suboptions_get(so, "file");
    const char *format = suboptions_get(so, "format");

    if (!data == !file) {
        error_set(errp, "%s: a secret needs data=TEXT or file=FILE%s", option,
                  data ? ", not both" : "");
        return false;
    }
    if (suboptions_get(so, "keyid") || suboptions_get(so, "iv")) {
        error_set(errp, "%s: encrypted secrets (keyid=, iv=) are not possible", option);
        return false;
    }
    if (format && strcmp(format, "raw") != 0 && strcmp(format, "base64") != 0) {
        error_set(errp, "%s: format=%s is not possible; possible: raw, base64", option, format);
        return false;
    }
    s->bytes = data ? strlen(data) : MAX_SECRET + 1;
    s->data = malloc(s->bytes + 1);
    if (!s->data) {
        abort();
    }
    if (data) {
        memcpy(s->data, data, s->bytes);
    } else if (!read_file(option, file, s->data, &s->bytes, errp)) {
        return false;
    }
    if (format && !strcmp(format, "base64") && !base64_decode(s->data, &s->bytes)) {
        error_set(errp, "%s: the secret is no base64", option);
        return false;
    }
    return true;
}

bool secret_add(const char *option, const char *spec, Error **errp)
{
    static const char *const keys[] = {"qom-type", "id",    "format", "file",
                                       "data",     "keyid", "iv",     NULL};
    SubOptions so;
    Secret *s = calloc(1, sizeof(*s));
    bool ok = false;

    if (!s) {
        abort();
    }
    suboptions_parse(&so, spec, "qom-type");
    const char *type = suboptions_get(&so, "qom-type"), *id = suboptions_get(&so, "id");
    if (!type || strcmp(type, "secret") != 0) {
        error_set(errp, "%s %s: is not possible; possible: secret,id=ID,file=FILE", option,
                  type ? type : "");
    } else if (!suboptions_check(&so, option, keys, errp)) {
    } else if (!id || find(id)) {
        error_set(errp, id ? "%s: there is a secret '%s' already" : "%s: id= is missing", option,
                  id);
    } else {
        ok = get_bytes(option, &so, s, errp);
    }
    if (ok) {
        s->id = strdup(id);
        s->next = secrets;
        secrets = s;
    } else {
        free(s->data);
        free(s);
    }
    suboptions_free(&so);
    return ok;
}

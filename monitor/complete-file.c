/*
 * Completion of file names.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "monitor/monitor-int.h"

static void emit_entry(const char *dir, const char *name,
                       void (*emit)(const char *value, void *opaque), void *opaque)
{
    char *path, *with_slash;
    struct stat st;

    if (asprintf(&path, "%s%s", dir, name) < 0) {
        abort();
    }
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        if (asprintf(&with_slash, "%s/", path) < 0) {
            abort();
        }
        free(path);
        path = with_slash;
    }
    emit(path, opaque);
    free(path);
}

void complete_paths(const char *prefix, size_t len, void (*emit)(const char *value, void *opaque),
                    void *opaque)
{
    const char *slash = memrchr(prefix, '/', len);
    size_t dir_len = slash ? (size_t)(slash - prefix) + 1 : 0;
    char *dir = strndup(prefix, dir_len);
    DIR *d = opendir(dir_len ? dir : ".");
    struct dirent *e;

    while (d && (e = readdir(d))) {
        /* Hidden ones only when asked for; "." and ".." never. */
        bool hidden = e->d_name[0] == '.' && (len == dir_len || strcmp(e->d_name, ".") == 0 ||
                                              strcmp(e->d_name, "..") == 0);
        if (!hidden && strncmp(e->d_name, prefix + dir_len, len - dir_len) == 0) {
            emit_entry(dir, e->d_name, emit, opaque);
        }
    }
    if (d) {
        closedir(d);
    }
    free(dir);
}

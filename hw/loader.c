/*
 * Data files: where firmware and option ROMs are found, and putting them into ROM regions.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ROM_MAX = 16 << 20,       /* larger images would reach into the interrupt controllers' pages */
    ISA_BIOS_MAX = 128 << 10, /* what is seen of the BIOS below 1 MB */
};
/* Any of the VGA BIOSes has the font. */
#define VGA_BIOS     "vgabios-stdvga.bin"
#define VGA_BIOS_MAX 65536
#define ONE_MB  0x100000ull
#define FOUR_GB 0x100000000ull

/* Relative ones start at the program's own directory: first the build, then an installed tree. */
static const char *const builtin_dirs[] = {
    "pc-bios", "../share/vole", "/usr/local/share/vole", "/usr/share/vole", "/usr/share/seabios",
};

static char **data_dirs;
static unsigned data_dir_count;

static void *check_alloc(void *p)
{
    if (!p) {
        error_exit("out of memory");
    }
    return p;
}

void loader_add_data_dir(const char *dir)
{
    data_dirs = check_alloc(realloc(data_dirs, (data_dir_count + 1) * sizeof(*data_dirs)));
    data_dirs[data_dir_count++] = check_alloc(strdup(dir));
}

/* base/dir/name (dir/name with an empty base) when that is a readable file, else NULL. */
static char *try_path(const char *base, const char *dir, const char *name)
{
    char *path;

    if (asprintf(&path, "%s%s%s/%s", base, *base ? "/" : "", dir, name) < 0) {
        error_exit("out of memory");
    }
    if (access(path, R_OK) == 0) {
        return path;
    }
    free(path);
    return NULL;
}

static void program_dir(char dir[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", dir, PATH_MAX - 1);
    dir[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(dir, '/');
    if (slash) {
        *slash = '\0';
    }
}

char *loader_find_file(const char *name, Error **errp)
{
    char base[PATH_MAX];
    char *path = NULL;

    if (strchr(name, '/')) {
        return check_alloc(strdup(name));
    }
    for (unsigned i = 0; i < data_dir_count && !path; i++) {
        path = try_path("", data_dirs[i], name);
    }
    program_dir(base);
    for (size_t i = 0; i < sizeof(builtin_dirs) / sizeof(builtin_dirs[0]) && !path; i++) {
        path = try_path(builtin_dirs[i][0] == '/' ? "" : base, builtin_dirs[i], name);
    }
    if (!path) {
        path = try_path("", ".", name);
    }
    if (!path) {
        error_set(errp,
                  "cannot find %s in the directories of -L, %s/pc-bios, /usr/share/vole or "
                  "/usr/share/seabios (Debian package seabios)",
                  name, base);
    }
    return path;
}

/* Found by its first two characters, an empty one and the smiling face. */
bool loader_vga_font(uint8_t font[4096])
{
    static const uint8_t face[32] = {[18] = 0x7e, 0x81, 0xa5, 0x81, 0x81, 0xbd,
                                     [24] = 0x99, 0x81, 0x81, 0x7e};
    char *path = loader_find_file(VGA_BIOS, NULL);
    FILE *f = path ? fopen(path, "rb") : NULL;
    static uint8_t image[VGA_BIOS_MAX];
    size_t size = f ? fread(image, 1, sizeof(image), f) : 0;
    const uint8_t *at = memmem(image, size, face, sizeof(face));
    bool found = at && (size_t)(at - image) + 4096 <= size;

    if (found) {
        memcpy(font, at, 4096);
    }
    if (f) {
        fclose(f);
    }
    free(path);
    return found;
}

/* Reads `size` bytes; a file that shrinks meanwhile is an error. */
static bool read_all(int fd, uint8_t *data, size_t size, const char *path, Error **errp)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, data + done, size - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            error_set_errno(errp, n < 0 ? errno : EIO, "cannot read %s", path);
            return false;
        }
        done += n;
    }
    return true;
}

uint8_t *loader_read_file(const char *path, size_t max_size, size_t *size, Error **errp)
{
    struct stat st;
    uint8_t *data = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || fstat(fd, &st) < 0) {
        error_set_errno(errp, errno, "cannot open %s", path);
    } else if (!S_ISREG(st.st_mode)) {
        error_set(errp, "%s is not a regular file", path);
    } else if (st.st_size == 0) {
        error_set(errp, "%s is empty", path);
    } else if ((uint64_t)st.st_size > max_size) {
        error_set(errp, "%s is larger than %zu KB", path, max_size >> 10);
    } else {
        data = check_alloc(malloc(st.st_size));
        *size = st.st_size;
        if (!read_all(fd, data, *size, path, errp)) {
            free(data);
            data = NULL;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return data;
}

bool loader_rom_init(MemoryRegion *mr, const char *region_name, const char *file, size_t *file_size,
                     Error **errp)
{
    size_t size;
    char *path = loader_find_file(file, errp);
    uint8_t *data = path ? loader_read_file(path, ROM_MAX, &size, errp) : NULL;

    free(path);
    if (!data) {
        return false;
    }
    uint64_t rounded = (size + GUEST_PAGE_SIZE - 1) & GUEST_PAGE_MASK;
    bool ok = memory_region_init_rom(mr, region_name, rounded, errp);
    if (ok) {
        memset(mr->host, 0xff, rounded - size);
        memcpy(mr->host + rounded - size, data, size);
        if (file_size) {
            *file_size = size;
        }
    }
    free(data);
    return ok;
}

bool loader_bios_init(BiosRegions *regions, const char *file, Error **errp)
{
    if (!loader_rom_init(&regions->bios, "bios", file, NULL, errp)) {
        error_prepend(errp, "-bios: ");
        return false;
    }
    uint64_t size = regions->bios.size;
    uint64_t isa_size = size < ISA_BIOS_MAX ? size : ISA_BIOS_MAX;
    memory_region_init_alias(&regions->isa_bios, "isa-bios", &regions->bios, size - isa_size,
                             isa_size);
    regions->bios_base = FOUR_GB - size;
    regions->isa_base = ONE_MB - isa_size;
    return true;
}

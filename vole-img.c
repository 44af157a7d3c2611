/*
 * vole-img: makes, examines, copies and compares disk images.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/driver.h"
#include "block/img.h"
#include "config.h"
#include "util/error.h"
#include "util/loop.h"
#include "util/worker.h"

static const ImgCommand *const img_commands[] = {
    &img_amend_command,  &img_bench_command,   &img_bitmap_command,   &img_check_command,
    &img_commit_command, &img_compare_command, &img_convert_command,  &img_create_command,
    &img_dd_command,     &img_info_command,    &img_map_command,      &img_measure_command,
    &img_nbd_command,    &img_rebase_command, &img_resize_command,  &img_snapshot_command, NULL,
};

enum { COMMANDS = sizeof(img_commands) / sizeof(img_commands[0]) };

static void print_help(void)
{
    puts("usage: vole-img COMMAND [OPTIONS] ...\n\n"
         "Makes, examines, copies and compares disk images.\n\nCommands:");
    for (size_t i = 0; img_commands[i]; i++) {
        printf("  %-10s %s\n", img_commands[i]->name, img_commands[i]->summary);
    }
    puts("\nvole-img COMMAND --help tells a command's options.\n"
         "A size is a number of bytes, or one with k, M, G, T, P or E (of 1024), as in 10G or "
         "1.5M.\n\n"
         "  -h, --help     this text\n"
         "  -V, --version  the version\n"
         "  --help-manual  the commands as a section of the manual page\n");
    fputs("Formats:", stdout);
    for (size_t i = 0; block_drivers[i]; i++) {
        if (!block_drivers[i]->internal) {
            printf(" %s", block_drivers[i]->name);
        }
    }
    putchar('\n');
}

static void print_manual(void)
{
    for (size_t i = 0; img_commands[i]; i++) {
        img_command_manual(img_commands[i]);
    }
}

static const ImgCommand *find_command(const char *name)
{
    for (size_t i = 0; img_commands[i]; i++) {
        if (!strcmp(img_commands[i]->name, name)) {
            return img_commands[i];
        }
    }
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[COMMANDS] = {NULL};

    for (size_t i = 0; img_commands[i]; i++) {
        names[i] = img_commands[i]->name;
    }
    const char *near = nearest_name(name, names);
    if (near) {
        error_report("%s: unknown command; did you mean %s?", name, near);
    } else {
        error_report("%s: unknown command (vole-img --help lists all)", name);
    }
    return 1;
}

/* A full disk under redirected output must not look like success. */
static int finish(int status)
{
    if (fflush(stdout) || ferror(stdout)) {
        error_report("cannot write the output");
        return status ? status : 1;
    }
    return status;
}

static void use_all_processors(void)
{
    worker_use_main_thread();
    /* Buffers of a few MB come and go: from the heap, not each time as new pages of zeroes. */
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
}

int main(int argc, char **argv)
{
    error_set_program("vole-img");
    loop_init();
    machine_lock();
    const char *slash = strrchr(argv[0], '/'), *own = slash ? slash + 1 : argv[0];
    if (!strcmp(own, "vole-nbd") || !strcmp(own, "qemu-nbd")) {
        error_set_program(own);
        return finish(img_run_command(&img_nbd_command, argc, argv));
    }
    if (argc < 2) {
        error_report("the command is missing (vole-img --help lists all)");
        return 1;
    }
    const char *word = argv[1];
    if (!strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help")) {
        print_help();
        return finish(0);
    }
    if (!strcmp(word, "--help-manual")) {
        print_manual();
        return finish(0);
    }
    if (!strcmp(word, "--version") || !strcmp(word, "-V")) {
        puts("vole-img version " VOLE_VERSION);
        return finish(0);
    }
    const ImgCommand *command = find_command(word);
    if (command != &img_nbd_command) { /* a server has others to answer meanwhile */
        use_all_processors();
    }
    return finish(command ? img_run_command(command, argc - 1, argv + 1) : unknown_command(word));
}

/*
 * vole-img nbd: serves an image to clients of the network block device protocol. Under the names
 * vole-nbd and qemu-nbd the program is this command.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "block/driver.h"
#include "block/img.h"
#include "block/nbd-server.h"
#include "block/nbd.h"
#include "block/util.h"
#include "util/options.h"

enum { MAX_BITMAPS = 30, LIST_SECONDS = 30 };

typedef struct Serve {
    const char *port, *bind, *socket, *name, *description, *pid_file, *snapshot;
    const char *aio, *discard, *detect_zeroes, *bitmaps[MAX_BITMAPS + 1];
    unsigned bitmap_count;
    uint64_t shared, offset;
    bool offset_given, readonly, temporary, persistent, fork, verbose, list, depth;
    unsigned cache;

    BlockNode *node;
    NbdServer *server;
    bool seen; /* a client was there */
    int told;  /* pipe to the process that started us; -1: none */
} Serve;

static Serve serve = {.shared = 1, .told = -1};

/* ---- options ---- */

#define TEXT_SETTER(field)                                                                         \
    static bool set_##field(ImgArgs *args, const char *value, Error **errp)                        \
    {                                                                                              \
        serve.field = value;                                                                       \
        return true;                                                                               \
    }
#define FLAG_SETTER(field)                                                                         \
    static bool set_##field(ImgArgs *args, const char *value, Error **errp)                        \
    {                                                                                              \
        serve.field = true;                                                                        \
        return true;                                                                               \
    }

TEXT_SETTER(bind)
TEXT_SETTER(socket)
TEXT_SETTER(name)
TEXT_SETTER(description)
TEXT_SETTER(pid_file)
TEXT_SETTER(snapshot)
FLAG_SETTER(readonly)
FLAG_SETTER(temporary)
FLAG_SETTER(persistent)
FLAG_SETTER(fork)
FLAG_SETTER(verbose)
FLAG_SETTER(list)
FLAG_SETTER(depth)

static bool set_port(ImgArgs *args, const char *value, Error **errp)
{
    uint64_t port;

    serve.port = value;
    return parse_number("-p", value, 1, 65535, &port, errp);
}

static bool set_shared(ImgArgs *args, const char *value, Error **errp)
{
    return parse_number("-e", value, 0, 256, &serve.shared, errp);
}

static bool set_offset(ImgArgs *args, const char *value, Error **errp)
{
    serve.offset_given = true;
    return blkopts_parse_size("-o", value, &serve.offset, errp);
}

static bool set_no_cache(ImgArgs *args, const char *value, Error **errp)
{
    return img_set_cache(args, "none", errp);
}

static bool set_bitmap(ImgArgs *args, const char *value, Error **errp)
{
    if (serve.bitmap_count == MAX_BITMAPS) {
        error_set(errp, "-B: at most %d bitmaps", MAX_BITMAPS);
        return false;
    }
    serve.bitmaps[serve.bitmap_count++] = value;
    return true;
}

TEXT_SETTER(aio)
TEXT_SETTER(discard)
TEXT_SETTER(detect_zeroes)

static bool set_device(ImgArgs *args, const char *value, Error **errp)
{
    error_set(errp,
              "connecting a device of this machine's kernel is not supported; nbd-client does "
              "it: nbd-client -unix SOCKET /dev/nbd0");
    return false;
}

static bool set_tls(ImgArgs *args, const char *value, Error **errp)
{
    error_set(errp, "TLS is not supported; use a tunnel");
    return false;
}

static const ImgOption nbd_options[] = {
    {'p', "port", "PORT", "listen at this port (" NBD_DEFAULT_PORT ")", set_port},
    {'b', "bind", "ADDRESS", "listen at this address (all)", set_bind},
    {'k', "socket", "FILE", "listen at a unix socket", set_socket},
    {'x', "export-name", "NAME", "how clients call the disk (no name)", set_name},
    {'D', "description", "TEXT", "what clients are told of it", set_description},
    {'e', "shared", "N", "clients at the same time (1; 0: any number)", set_shared},
    {'t', "persistent", NULL, "stay when the last client has gone", set_persistent},
    {'r', "read-only", NULL, "refuse writes", set_readonly},
    {'s', "snapshot", NULL, "writes go to a temporary file that is thrown away", set_temporary},
    {'l', "load-snapshot", "NAME", "serve a snapshot in the image", set_snapshot},
    {'o', "offset", "BYTES", "serve from here on", set_offset},
    {'B', "bitmap", "NAME", "tell of a dirty bitmap in the image", set_bitmap},
    {'A', "allocation-depth", NULL, "tell which image of a chain holds what", set_depth},
    {'f', "format", "FORMAT", "format of the image", img_set_format},
    {0, "image-opts", NULL, "FILE is a list of options", img_set_image_opts},
    {0, "cache", "CACHE", "cache mode", img_set_cache},
    {'n', "nocache", NULL, "as --cache=none", set_no_cache},
    {0, "aio", "AIO", "threads, native or io_uring", set_aio},
    {0, "discard", "ignore|unmap", "whether discards reach the image", set_discard},
    {0, "detect-zeroes", "off|on|unmap", "make writes of zeroes into holes", set_detect_zeroes},
    {0, "fork", NULL, "go to the background once clients can connect", set_fork},
    {0, "pid-file", "FILE", "write the process's number there", set_pid_file},
    {'L', "list", NULL, "list what a server exports (-p, -b or -k say which)", set_list},
    {'v', "verbose", NULL, "tell of clients that come and go", set_verbose},
    {'c', "connect", "DEVICE", "not supported (nbd-client does it)", set_device},
    {'d', "disconnect", NULL, "not supported (nbd-client does it)", set_device},
    {0, "tls-creds", "ID", "not supported", set_tls},
    {'U', "force-share", NULL, "also while another program writes the image", img_set_force_share},
    {0},
};

/* ---- opening ---- */

/* The image's name as options, where the command line has more for it than a name. */
static BlockOptions *image_options(const ImgArgs *args, Error **errp)
{
    BlockOptions *o = blkopts_new();

    if (args->open.options && !blkopts_parse(o, args->operands[0], NULL, errp)) {
        blkopts_free(o);
        return NULL;
    }
    if (args->open.format) {
        blkopts_set(o, "driver", args->open.format);
    }
    if (serve.discard) {
        blkopts_set(o, "discard", serve.discard);
    }
    if (serve.detect_zeroes) {
        blkopts_set(o, "detect-zeroes", serve.detect_zeroes);
    }
    if (serve.aio) {
        blkopts_set(o, "aio", serve.aio);
    }
    return o;
}

/* A node in front of `node`, whose reference it takes over: the overlay for -s, raw for -o. */
static BlockNode *put_in_front(BlockNode *node, const char *driver, const char *child,
                               uint64_t offset, unsigned flags, Error **errp)
{
    BlockOptions *o = blkopts_new();
    char text[24];

    blkopts_set(o, "driver", driver);
    blkopts_set(o, child, bdrv_node_name(node));
    if (offset) {
        snprintf(text, sizeof(text), "%" PRIu64, offset);
        blkopts_set(o, "offset", text);
    }
    BlockNode *front = bdrv_open(NULL, o, flags, errp);
    bdrv_unref(node);
    return front;
}

static BlockNode *open_image(const ImgArgs *args, Error **errp)
{
    bool writable = !serve.readonly && !serve.snapshot;
    unsigned flags = args->target_cache | (args->open.force_share ? BDRV_O_FORCE_SHARE : 0);
    BlockOptions *o = image_options(args, errp);

    if (!o) {
        return NULL;
    }
    BlockNode *node = bdrv_open(args->open.options ? NULL : args->operands[0], o,
                                flags | (writable && !serve.temporary ? BDRV_O_RDWR : 0), errp);
    if (node && serve.snapshot) {
        /* Whole or "snapshot.id=", as for convert -l. */
        Image image = {.node = node};
        ImgArgs named = *args;
        named.snapshot = serve.snapshot;
        if (!img_load_snapshot(&named, &image, errp)) {
            bdrv_unref(node);
            node = NULL;
        }
    }
    if (node && serve.temporary) {
        node = put_in_front(node, "overlay", "backing", 0, BDRV_O_RDWR, errp);
    }
    if (node && serve.offset_given) {
        node = put_in_front(node, "raw", "file", serve.offset, writable ? BDRV_O_RDWR : 0, errp);
    }
    return node;
}

static CoSocketAddress address(void)
{
    return (CoSocketAddress){.path = serve.socket,
                             .host = serve.bind,
                             .port = serve.port ? serve.port : NBD_DEFAULT_PORT};
}

/* ---- the background ---- */

/* The child goes on; the parent hears from it how it went and ends. */
static void go_to_background(void)
{
    int ends[2];
    char status = 1;

    if (pipe2(ends, O_CLOEXEC) < 0) {
        error_exit("cannot make a pipe: %s", strerror(errno));
    }
    pid_t pid = fork();
    if (pid < 0) {
        error_exit("cannot fork: %s", strerror(errno));
    }
    if (pid == 0) {
        close(ends[0]);
        serve.told = ends[1];
        setsid();
        return;
    }
    close(ends[1]);
    _exit(read(ends[0], &status, 1) == 1 ? status : 1);
}

static void tell_parent(void)
{
    char status = 0;
    int null = open("/dev/null", O_RDWR);

    if (serve.told < 0) {
        return;
    }
    for (int fd = 0; fd < 3 && null >= 0; fd++) {
        dup2(null, fd);
    }
    close(null);
    if (write(serve.told, &status, 1) == 1) {
        close(serve.told);
    }
}

static bool write_pid_file(Error **errp)
{
    char text[24];

    if (!serve.pid_file) {
        return true;
    }
    int fd = open(serve.pid_file, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || ftruncate(fd, 0) < 0) {
        error_set_errno(errp, errno, "--pid-file: cannot write %s", serve.pid_file);
        return false; /* the descriptor stays open, and the lock with it, as long as we run */
    }
    int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    return write(fd, text, n) == n;
}

/* ---- running ---- */

static int signal_fd = -1;

static void caught(int number)
{
    uint64_t one = 1;

    if (write(signal_fd, &one, sizeof(one)) < 0) {
        _exit(1);
    }
}

static void stop_now(void *opaque)
{
    loop_quit(0);
}

static void catch_signals(void)
{
    const struct sigaction action = {.sa_handler = caught, .sa_flags = SA_RESETHAND};

    signal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop_set_fd(signal_fd, stop_now, NULL, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

static void clients_changed(void *opaque)
{
    unsigned clients = nbd_server_clients(serve.server);

    if (serve.verbose) {
        fprintf(stderr, "%u client%s\n", clients, clients == 1 ? "" : "s");
    }
    serve.seen |= clients > 0;
    if (!clients && serve.seen && !serve.persistent) {
        loop_quit(0);
    }
}

static bool start(const ImgArgs *args, Error **errp)
{
    const CoSocketAddress where = address();
    const NbdExportOptions export = {.name = serve.name ? serve.name : "",
                                     .description = serve.description,
                                     .writable = !serve.readonly && !serve.snapshot,
                                     .allocation_depth = serve.depth,
                                     .bitmaps = serve.bitmaps};

    serve.node = open_image(args, errp);
    if (!serve.node) {
        return false;
    }
    serve.server = nbd_server_new(&where, (unsigned)serve.shared, errp);
    if (!serve.server || !nbd_export_add(serve.server, serve.node, &export, errp)) {
        return false;
    }
    nbd_server_set_handler(serve.server, clients_changed, NULL);
    return write_pid_file(errp);
}

/* ---- the list of a server's exports ---- */

typedef struct List {
    FILE *out;
    unsigned count;
    bool ok;
    Error *err;
} List;

static void print_one(const char *name, const char *description, const NbdInfo *info,
                      char *const *contexts, void *opaque)
{
    static const struct {
        uint16_t flag;
        const char *name;
    } flags[] = {
        {NBD_FLAG_READ_ONLY, "readonly"}, {NBD_FLAG_SEND_FLUSH, "flush"},
        {NBD_FLAG_SEND_FUA, "fua"},       {NBD_FLAG_ROTATIONAL, "rotational"},
        {NBD_FLAG_SEND_TRIM, "trim"},     {NBD_FLAG_SEND_WRITE_ZEROES, "zeroes"},
        {NBD_FLAG_SEND_DF, "df"},         {NBD_FLAG_CAN_MULTI_CONN, "multi"},
        {NBD_FLAG_SEND_CACHE, "cache"},   {NBD_FLAG_SEND_FAST_ZERO, "fast-zero"},
    };
    List *l = opaque;
    unsigned count = 0;

    l->count++;
    fprintf(l->out, " export: '%s'\n", name);
    if (description) {
        fprintf(l->out, "  description: %s\n", description);
    }
    if (!info) {
        return;
    }
    fprintf(l->out, "  size:  %" PRIu64 "\n  flags: 0x%x (", info->size, info->flags);
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        if (info->flags & flags[i].flag) {
            fprintf(l->out, " %s", flags[i].name);
        }
    }
    fputs(" )\n", l->out);
    if (info->min_block) {
        fprintf(l->out, "  min block: %u\n  opt block: %u\n  max block: %u\n", info->min_block,
                info->preferred_block, info->max_block);
    }
    while (contexts[count]) {
        count++;
    }
    if (info->structured) {
        fprintf(l->out, "  available meta contexts: %u\n", count);
    }
    for (unsigned i = 0; i < count; i++) {
        fprintf(l->out, "   %s\n", contexts[i]);
    }
}

static void co_list(void *opaque)
{
    List *l = opaque;
    const CoSocketAddress where = address();
    CoSocket *s = cosocket_connect(&where, LIST_SECONDS * NS_PER_SEC, &l->err);

    if (s) {
        cosocket_set_deadline(s, LIST_SECONDS * NS_PER_SEC);
        l->ok = nbd_list(s, print_one, l, &l->err);
        cosocket_free(s);
    }
}

static int run_list(const ImgArgs *args)
{
    List l = {0};
    char *text = NULL;
    size_t size;

    l.out = open_memstream(&text, &size);
    if (!l.out) {
        error_exit("out of memory");
    }
    coroutine_run(co_list, &l);
    fclose(l.out);
    if (l.ok) {
        printf("exports available: %u\n%s", l.count, text);
    }
    free(text);
    return l.ok ? 0 : img_failed(args, l.err, 1);
}

static int run_nbd(ImgArgs *args)
{
    Error *err = NULL;
    int status = 0;

    if (serve.socket && (serve.port || serve.bind)) {
        error_set(&err, "-k together with -p or -b: give one or the other");
    } else if (serve.list && args->count) {
        error_set(&err, "-L asks a server and takes no FILE");
    } else if (!serve.list && !args->count) {
        error_set(&err, "an operand is missing; usage: vole-img nbd [OPTIONS] FILE");
    } else if (serve.temporary && serve.snapshot) {
        error_set(&err, "-s together with -l: give one or the other");
    }
    if (err) {
        return img_failed(args, err, 1);
    }
    if (serve.list) {
        return run_list(args);
    }
    if (serve.fork) {
        go_to_background();
    }
    catch_signals();
    if (start(args, &err)) {
        tell_parent();
        status = loop_run();
    } else {
        status = img_failed(args, err, 1);
    }
    nbd_server_free(serve.server);
    if (serve.node && !bdrv_readonly(serve.node) && bdrv_flush(serve.node) < 0) {
        error_report("nbd: %s could not be flushed", bdrv_filename(serve.node));
        status = 1;
    }
    bdrv_unref(serve.node);
    if (serve.pid_file && !status) {
        unlink(serve.pid_file);
    }
    return status;
}

const ImgCommand img_nbd_command = {
    .name = "nbd",
    .operands = "[FILE]",
    .summary = "Serves an image to NBD clients",
    .options = nbd_options,
    .min_operands = 0,
    .max_operands = 1,
    .usage_status = 1,
    .run = run_nbd,
};

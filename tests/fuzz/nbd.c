/*
 * Fuzzer of both sides of the network block device protocol. The server gets a client that speaks
 * the protocol with mistakes, or nonsense; the client gets a server that does. Everything runs in
 * one thread on the main loop. Built with sanitizers it shall end without a finding, and nobody may
 * hang. What it does follows from the seed alone, but for how the host cuts a stream into pieces.
 * Seconds are the processor's.
 *
 *     nbd [--runs N] [--seconds N] [--seed N]
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "block/block.h"
#include "block/driver.h"
#include "block/mem.h"
#include "block/nbd-server.h"
#include "block/nbd.h"
#include "block/util.h"
#include "tests/rng.h"
#include "util/loop.h"

enum { DISK = 1 << 20, MAX_OUT = 8 << 20, IDLE_MS = 20, STUCK_SECONDS = 60 };

static uint64_t odd_value(void)
{
    switch (below(6)) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX >> below(64);
    case 2:
        return 1ull << below(64);
    case 3:
        return below(20);
    case 4:
        return below(DISK) & ~511ull;
    default:
        return rng();
    }
}

static char path[100], client_name[140];

/* ---- bytes to be sent ---- */

typedef struct Bytes {
    uint8_t data[MAX_OUT];
    size_t size, sent;
} Bytes;

static void put(Bytes *b, const void *data, size_t n)
{
    if (b->size + n <= MAX_OUT) {
        if (data) {
            memcpy(b->data + b->size, data, n);
        } else {
            memset(b->data + b->size, 0, n);
        }
        b->size += n;
    }
}

static void put_int(Bytes *b, unsigned bytes, uint64_t v)
{
    uint64_t be = htobe64(v << (64 - 8 * bytes));

    put(b, &be, bytes);
}

/* What stands from `from` on gets a few mistakes: wrong bits, odd numbers, a piece missing. */
static void damage(Bytes *b, size_t from)
{
    for (unsigned n = 1 + (unsigned)below(3); n && b->size > from; n--) {
        size_t width = 1u << below(4), at = from + below(MIN(b->size - from, 64));
        uint64_t v = htobe64(odd_value() << (64 - 8 * width));
        switch (below(4)) {
        case 0:
            b->data[at] ^= 1 << below(8);
            break;
        case 1:
            b->size = from + below(b->size - from);
            break;
        default:
            memcpy(b->data + at, &v, MIN(width, b->size - at));
        }
    }
}

/* ---- a client with mistakes, against our server ---- */

static Bytes out;

static void put_option(uint32_t type, const void *data, uint32_t n)
{
    size_t from = out.size;

    put_int(&out, 8, NBD_OPTION_MAGIC);
    put_int(&out, 4, type);
    put_int(&out, 4, n);
    put(&out, data, n);
    if (below(12) == 0) {
        damage(&out, from);
    }
}

static void put_some_option(void)
{
    static const char *const names[] = {"",
                                        "disk",
                                        "none",
                                        "base:allocation",
                                        "qemu:",
                                        "base:",
                                        "qemu:allocation-depth",
                                        "qemu:dirty-bitmap:"};
    static Bytes o;
    const char *name = names[below(3)], *query = names[3 + below(5)];
    uint32_t type = below(10) ? 1 + (uint32_t)below(10) : (uint32_t)odd_value();

    o.size = 0;
    if (type == NBD_OPT_INFO || type == NBD_OPT_GO || type >= NBD_OPT_LIST_META_CONTEXT) {
        put_int(&o, 4, strlen(name));
        put(&o, name, strlen(name));
    }
    if (type == NBD_OPT_INFO || type == NBD_OPT_GO) {
        unsigned n = (unsigned)below(4);
        put_int(&o, 2, n);
        for (unsigned i = 0; i < n; i++) {
            put_int(&o, 2, below(5));
        }
    } else if (type >= NBD_OPT_LIST_META_CONTEXT) {
        unsigned n = (unsigned)below(3);
        put_int(&o, 4, n);
        for (unsigned i = 0; i < n; i++) {
            put_int(&o, 4, strlen(query));
            put(&o, query, strlen(query));
        }
    } else if (below(8) == 0) {
        put(&o, "what is this", 12);
    }
    put_option(type, o.data, (uint32_t)o.size);
}

static void put_request(void)
{
    size_t from = out.size;
    uint16_t command = below(16) ? (uint16_t)below(8) : (uint16_t)odd_value();
    uint32_t length = below(6) ? (uint32_t)below(40) * 512 : (uint32_t)odd_value();
    uint64_t offset = below(6) ? below(DISK) & ~(below(2) ? 511ull : 0) : odd_value();

    if (command == NBD_CMD_DISC && below(10)) {
        command = NBD_CMD_READ;
    }
    put_int(&out, 4, NBD_REQUEST_MAGIC);
    put_int(&out, 2, below(3) ? 0 : below(32));
    put_int(&out, 2, command);
    put_int(&out, 8, rng());
    put_int(&out, 8, offset);
    put_int(&out, 4, length);
    if (command == NBD_CMD_WRITE && length <= 1 << 20) {
        put(&out, NULL, length);
    }
    if (below(20) == 0) {
        damage(&out, from);
    }
}

static void make_client(void)
{
    out.size = out.sent = 0;
    put_int(&out, 4, below(20) ? NBD_FIXED_NEWSTYLE | below(2) * NBD_NO_ZEROES : odd_value());
    if (below(3)) {
        put_option(NBD_OPT_STRUCTURED_REPLY, NULL, 0);
    }
    for (uint64_t n = below(6); n; n--) {
        put_some_option();
    }
    if (below(3)) {
        static const uint8_t contexts[] = "\0\0\0\4disk\0\0\0\1\0\0\0\17base:allocation";
        put_option(NBD_OPT_SET_META_CONTEXT, contexts, sizeof(contexts) - 1);
        put_option(NBD_OPT_GO, "\0\0\0\4disk\0\0", 10);
    } else {
        put_option(NBD_OPT_EXPORT_NAME, "disk", 4);
    }
    for (uint64_t n = below(30); n; n--) {
        put_request();
    }
}

static int connect_client(void)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
        perror("connect");
        exit(1);
    }
    return fd;
}

static void fuzz_server(void)
{
    static uint8_t waste[65536];
    const CoSocketAddress address = {.path = path};
    const NbdExportOptions export = {.name = "disk", .writable = true, .allocation_depth = true};
    BlockOptions *o = blkopts_new();
    blkopts_set(o, "driver", "raw");
    blkopts_set(o, "discard", "unmap");
    BlockNode *node = bdrv_open("mem:fuzz", o, BDRV_O_RDWR | BDRV_O_UNMAP, NULL);
    NbdServer *server = nbd_server_new(&address, 0, NULL);

    if (!node || !server || !nbd_export_add(server, node, &export, NULL)) {
        printf("no server\n");
        exit(1);
    }
    make_client();
    int fd = connect_client();
    bool reads = below(4); /* some never look at an answer */
    for (unsigned idle = 0; idle < 3;) {
        ssize_t n = send(fd, out.data + out.sent, out.size - out.sent, MSG_NOSIGNAL);
        ssize_t m = reads ? recv(fd, waste, sizeof(waste), 0) : -1;
        out.sent += n > 0 ? (size_t)n : 0;
        idle = n > 0 || m > 0 ? 0 : idle + 1;
        if (m == 0 || (n < 0 && errno == EPIPE)) {
            break;
        }
        loop_run_once(0);
    }
    close(fd);
    if (below(2)) {
        while (nbd_server_clients(server)) {
            loop_run_once(-1);
        }
    }
    nbd_server_free(server);
    bdrv_unref(node);
}

/* ---- a server with mistakes, against our client ---- */

typedef struct Peer {
    int listener, fd;
    uint8_t in[1 << 20];
    size_t have;
    Bytes out;
    bool greeted, serving, structured;
    unsigned mistakes; /* one answer in so many has some; 0: none */
    Timer idle;
} Peer;

static Peer peer;

static void hang_up(void *opaque)
{
    if (peer.fd >= 0) {
        loop_set_fd(peer.fd, NULL, NULL, NULL);
        close(peer.fd);
        peer.fd = -1;
    }
}

static void answer_option(uint32_t option, uint32_t type, Bytes *data)
{
    size_t from = peer.out.size;

    put_int(&peer.out, 8, NBD_OPTION_REPLY);
    put_int(&peer.out, 4, option);
    put_int(&peer.out, 4, type);
    put_int(&peer.out, 4, data ? data->size : 0);
    if (data) {
        put(&peer.out, data->data, data->size);
        data->size = 0;
    }
    if (peer.mistakes && below(peer.mistakes) == 0) {
        damage(&peer.out, from);
    }
}

static void serve_option(uint32_t option)
{
    static Bytes b;

    b.size = 0;
    if (below(20) == 0) {
        put(&b, "sorry\1\2", 7);
        answer_option(option, NBD_REP_ERR(1 + (uint32_t)below(9)), &b);
        return;
    }
    if (option == NBD_OPT_STRUCTURED_REPLY) {
        peer.structured = true;
    } else if (option == NBD_OPT_SET_META_CONTEXT) {
        put_int(&b, 4, 7);
        put(&b, "base:allocation", 15);
        answer_option(option, NBD_REP_META_CONTEXT, &b);
    } else if (option == NBD_OPT_GO) {
        put_int(&b, 2, NBD_INFO_EXPORT);
        put_int(&b, 8, DISK + (below(4) ? 0 : below(600)));
        put_int(&b, 2, 0xd6d & ~(below(4) ? 0 : below(0x1000)));
        answer_option(option, NBD_REP_INFO, &b);
        if (below(2)) {
            put_int(&b, 2, NBD_INFO_BLOCK_SIZE);
            put_int(&b, 4, 1u << below(14));
            put_int(&b, 4, 4096);
            put_int(&b, 4, 1u << (14 + below(12)));
            answer_option(option, NBD_REP_INFO, &b);
        }
        peer.serving = true;
    }
    answer_option(option, NBD_REP_ACK, NULL);
}

static void put_chunk(uint16_t type, bool done, uint64_t cookie, uint32_t length)
{
    put_int(&peer.out, 4, NBD_STRUCTURED_MAGIC);
    put_int(&peer.out, 2, done ? NBD_REPLY_DONE : 0);
    put_int(&peer.out, 2, type);
    put_int(&peer.out, 8, cookie);
    put_int(&peer.out, 4, length);
}

static void serve_read(uint64_t cookie, uint64_t offset, uint32_t length)
{
    uint32_t hole = below(3) ? 0 : (uint32_t)below(length);

    if (hole) {
        put_chunk(NBD_CHUNK_HOLE, hole == length, cookie, 12);
        put_int(&peer.out, 8, offset);
        put_int(&peer.out, 4, hole);
    }
    if (hole < length) {
        put_chunk(NBD_CHUNK_DATA, true, cookie, 8 + length - hole);
        put_int(&peer.out, 8, offset + hole);
        put(&peer.out, NULL, length - hole);
    }
}

static void serve_request(const uint8_t *head)
{
    uint16_t command = load_be16(head + 6);
    uint64_t cookie = load_be64(head + 8), offset = load_be64(head + 16);
    uint32_t length = load_be32(head + 24);
    size_t from = peer.out.size;
    bool fails = below(12) == 0;

    if (peer.structured && fails && below(2)) {
        put_chunk(NBD_CHUNK_ERROR, true, cookie, 9);
        put_int(&peer.out, 4, below(3) ? 5 : odd_value());
        put_int(&peer.out, 2, 3);
        put(&peer.out, "why", 3);
    } else if (peer.structured && !fails && command == NBD_CMD_READ) {
        serve_read(cookie, offset, length);
    } else if (peer.structured && !fails && command == NBD_CMD_BLOCK_STATUS) {
        put_chunk(NBD_CHUNK_STATUS, true, cookie, 12);
        put_int(&peer.out, 4, 7);
        put_int(&peer.out, 4, below(3) ? length : 1 + below(length));
        put_int(&peer.out, 4, below(4));
    } else {
        put_int(&peer.out, 4, NBD_SIMPLE_MAGIC);
        put_int(&peer.out, 4, fails ? 5 : 0);
        put_int(&peer.out, 8, cookie);
        if (command == NBD_CMD_READ && !fails) {
            put(&peer.out, NULL, length);
        }
    }
    if (peer.mistakes && below(peer.mistakes) == 0) {
        damage(&peer.out, from);
    }
}

static void take(size_t n)
{
    peer.have -= n;
    memmove(peer.in, peer.in + n, peer.have);
}

/* One message of the client's, if it is there. */
static bool serve_message(void)
{
    const uint8_t *in = peer.in;

    if (!peer.greeted) {
        if (peer.have < 4) {
            return false;
        }
        peer.greeted = true;
        take(4);
    } else if (!peer.serving) {
        uint32_t length = peer.have < NBD_OPTION_SIZE ? 0 : load_be32(in + 12);
        if (peer.have < NBD_OPTION_SIZE + length) {
            return false;
        }
        serve_option(load_be32(in + 8));
        take(NBD_OPTION_SIZE + length);
    } else {
        size_t n = NBD_REQUEST_SIZE;
        if (peer.have < n) {
            return false;
        }
        n += load_be16(in + 6) == NBD_CMD_WRITE ? load_be32(in + 24) : 0;
        if (peer.have < n) {
            return false;
        }
        serve_request(in);
        take(n);
    }
    return true;
}

static void peer_ready(void *opaque)
{
    ssize_t n = recv(peer.fd, peer.in + peer.have, sizeof(peer.in) - peer.have, 0);

    if (n <= 0) {
        hang_up(NULL);
        return;
    }
    peer.have += (size_t)n;
    timer_set(&peer.idle, clock_now(CLOCK_HOST) + IDLE_MS * NS_PER_MS);
    while (serve_message()) {
    }
    while (peer.out.sent < peer.out.size) {
        n = send(peer.fd, peer.out.data + peer.out.sent, peer.out.size - peer.out.sent,
                 MSG_NOSIGNAL);
        if (n <= 0) {
            break; /* too much at a time: the rest is lost, which is a mistake like others */
        }
        peer.out.sent += (size_t)n;
    }
    peer.out.size = peer.out.sent = 0;
    if (peer.have == sizeof(peer.in) || below(200) == 0) {
        hang_up(NULL);
    }
}

static void peer_accept(void *opaque)
{
    int fd = accept4(peer.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        return;
    }
    hang_up(NULL);
    peer.fd = fd;
    peer.have = peer.out.size = peer.out.sent = 0;
    peer.greeted = peer.serving = peer.structured = false;
    peer.mistakes = below(4) ? (unsigned)below(20) : 0;
    put_int(&peer.out, 8, NBD_INIT_MAGIC);
    if (below(30)) {
        put_int(&peer.out, 8, NBD_OPTION_MAGIC);
        put_int(&peer.out, 2, below(10) ? 3 : below(4));
    } else {
        put_int(&peer.out, 8, NBD_OLDSTYLE_MAGIC);
        put_int(&peer.out, 8, DISK);
        put(&peer.out, NULL, 128);
        peer.greeted = peer.serving = true;
    }
    if (below(30) == 0) {
        damage(&peer.out, 0);
    }
    if (send(fd, peer.out.data, peer.out.size, MSG_NOSIGNAL) < 0) {
        hang_up(NULL);
    }
    peer.out.size = 0;
    loop_set_fd(fd, peer_ready, NULL, NULL);
    timer_set(&peer.idle, clock_now(CLOCK_HOST) + IDLE_MS * NS_PER_MS);
}

static void use(BlockChild *c)
{
    static uint8_t buf[1 << 18];
    BlockNode *node = bdrv_child_node(c), *file;
    uint64_t size = bdrv_size(node), map, n;

    for (unsigned i = 0; i < 20; i++) {
        uint64_t offset = below(size), bytes = 1 + below(below(2) ? 4096 : sizeof(buf) - 1);
        if (offset + bytes > size) {
            continue;
        }
        switch (below(7)) {
        case 0:
        case 1:
            bdrv_pread(c, offset, bytes, buf);
            break;
        case 2:
            bdrv_pwrite(c, offset, bytes, buf, below(2) ? BDRV_REQ_FUA : 0);
            break;
        case 3:
            bdrv_pwrite_zeroes(c, offset, bytes, below(8));
            break;
        case 4:
            bdrv_pdiscard(c, offset, bytes);
            break;
        case 5:
            bdrv_flush(node);
            break;
        default:
            bdrv_block_status_above(node, NULL, true, offset, size - offset, &n, &map, &file, NULL);
        }
    }
}

static void fuzz_client(void)
{
    BlockOptions *o = blkopts_new();

    blkopts_set(o, "driver", "raw");
    blkopts_set(o, "discard", "unmap");
    BlockChild *c = bdrv_open_root(
        client_name, o, BDRV_O_RDWR | BDRV_O_UNMAP | (below(2) ? BDRV_O_AUTO_READONLY : 0), NULL);
    if (c) {
        use(c);
        if (below(10) == 0) {
            bdrv_cancel_in_flight(bdrv_child_node(c));
            use(c);
        }
        bdrv_root_detach(c);
    }
    hang_up(NULL);
    timer_cancel(&peer.idle);
}

/* ---- running ---- */

static void start_peer(void)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};

    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s.peer", path);
    snprintf(client_name, sizeof(client_name), "nbd:unix:%s.peer", path);
    unlink(sa.sun_path);
    peer.fd = -1;
    peer.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(peer.listener, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
        listen(peer.listener, 16) < 0) {
        perror("listen");
        exit(1);
    }
    timer_init(&peer.idle, CLOCK_HOST, hang_up, NULL);
    loop_set_fd(peer.listener, peer_accept, NULL, NULL);
}

int main(int argc, char **argv)
{
    uint64_t runs = 1000, seed = 1, done = 0;
    clock_t seconds = 0;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--runs")) {
            runs = strtoull(argv[i + 1], NULL, 10);
        } else if (!strcmp(argv[i], "--seconds")) {
            seconds = (clock_t)strtoull(argv[i + 1], NULL, 10);
            runs = UINT64_MAX;
        } else if (!strcmp(argv[i], "--seed")) {
            seed = strtoull(argv[i + 1], NULL, 10);
        }
    }
    if (!getenv("FUZZ_MESSAGES")) {
        stderr = fopen("/dev/null", "w");
    }
    loop_init();
    machine_lock();
    snprintf(path, sizeof(path), "/tmp/vole-fuzz-nbd.%ld", (long)getpid());
    MemDisk *disk = mem_disk_new("fuzz", NULL, DISK);
    start_peer();
    for (; done < runs && (!seconds || clock() < seconds * CLOCKS_PER_SEC); done++) {
        rng_state = (seed << 32) + done + 1;
        rng();
        alarm(STUCK_SECONDS); /* nobody may hang */
        if (done % 2) {
            fuzz_server();
        } else {
            fuzz_client();
        }
    }
    close(peer.listener);
    strcat(path, ".peer");
    unlink(path);
    mem_disk_free(disk);
    printf("nbd: %" PRIu64 " connections\n", done);
    return 0;
}

/*
 * The whole machine: a guest that counts timer interrupts runs, is saved, disturbed and reset,
 * loaded, compared, and goes on where it was, in its own time. Run state, reset and stop requests.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/machine.h"

#include <stdlib.h>
#include <unistd.h>

#include "hw/device.h"
#include "hw/memory.h"
#include "hw/pc.h"
#include "target-i386/exec.h"
#include "target-i386/vcpu.h"
#include "util/loop.h"

#include "../test.h"

enum { BIOS_SIZE = 65536, RAM_SIZE = 4 << 20, LOOPS_AT = 0x500, TICKS_AT = 0x504 };

/* At F000:0000. */
static const uint8_t guest[] = {
    0x31, 0xc0,                         /* xor ax, ax */
    0x8e, 0xd8,                         /* mov ds, ax */
    0x8e, 0xd0,                         /* mov ss, ax */
    0xbc, 0x00, 0x70,                   /* mov sp, 0x7000 */
    0xc7, 0x06, 0x20, 0x00, 0x3d, 0x00, /* mov word [0x20], tick: the vector of IRQ 0 */
    0xc7, 0x06, 0x22, 0x00, 0x00, 0xf0, /* mov word [0x22], 0xf000 */
    0xb0, 0x11, 0xe6, 0x20,             /* the 8259: vectors from 8 on, only IRQ 0 */
    0xb0, 0x08, 0xe6, 0x21,             /* */
    0xb0, 0x04, 0xe6, 0x21,             /* */
    0xb0, 0x01, 0xe6, 0x21,             /* */
    0xb0, 0xfe, 0xe6, 0x21,             /* */
    0xb0, 0x34, 0xe6, 0x43,             /* the 8254: mode 2, 1193 ticks, a millisecond */
    0xb0, 0xa9, 0xe6, 0x40,             /* */
    0xb0, 0x04, 0xe6, 0x40,             /* */
    0xfb,                               /* sti */
    0x66, 0xff, 0x06, 0x00, 0x05,       /* loop: inc dword [0x500] */
    0xeb, 0xf9,                         /* jmp loop */
    0x66, 0xff, 0x06, 0x04, 0x05,       /* tick: inc dword [0x504] */
    0x50,                               /* push ax */
    0xb0, 0x20, 0xe6, 0x20,             /* end of interrupt */
    0x58,                               /* pop ax */
    0xcf,                               /* iret */
};

static uint32_t counter(unsigned at)
{
    return *(volatile uint32_t *)(void *)(memory_ram_base() + at);
}

static void run_until_ticks(uint32_t ticks)
{
    int64_t end = clock_now(CLOCK_HOST) + 60 * NS_PER_SEC; /* only so that a hang ends */

    while (counter(TICKS_AT) < ticks && clock_now(CLOCK_HOST) < end) {
        loop_run_once(5);
    }
}

static bool write_bios(char *path)
{
    static uint8_t bios[BIOS_SIZE];
    static const uint8_t jump[] = {0xea, 0x00, 0x00, 0x00, 0xf0};
    int fd = mkstemp(path);

    memcpy(bios, guest, sizeof(guest));
    memcpy(bios + 0xfff0, jump, sizeof(jump));
    bool ok = fd >= 0 && write(fd, bios, sizeof(bios)) == sizeof(bios);
    close(fd);
    return ok;
}

static void starts_and_runs(void)
{
    char path[] = "/tmp/machine-test-XXXXXX";
    Error *err = NULL;

    loop_init();
    exec_init();
    machine_lock();
    machine_config = (MachineConfig){
        .ram_size = RAM_SIZE,
        .cpus = 1,
        .machine = "pc",
        .cpu_model = "486",
        .bios = path,
        .acpi = true,
    };
    CHECK(write_bios(path));
    CHECK(vcpu_create_all(1, machine_config.cpu_model, &err));
    bool made = pc_init(&machine_config, &err);
    unlink(path);
    if (!made) {
        printf("# %s\n", error_text(err));
    }
    CHECK(made);
    CHECK(vcpu_start_threads(&err));
    CHECK_EQ(machine_run_state(), RUN_STATE_PRELAUNCH);
    CHECK(!machine_running());
    machine_start();
    CHECK(machine_running());
    run_until_ticks(20);
    machine_stop(RUN_STATE_PAUSED);
    CHECK_EQ(machine_run_state(), RUN_STATE_PAUSED);
    CHECK(counter(TICKS_AT) >= 20);
}

static void time_stands_still_while_paused(void)
{
    uint32_t loops = counter(LOOPS_AT), ticks = counter(TICKS_AT);
    int64_t now = clock_now(CLOCK_VIRTUAL);

    for (unsigned i = 0; i < 5; i++) {
        loop_run_once(5);
    }
    CHECK_EQ(counter(LOOPS_AT), loops);
    CHECK_EQ(counter(TICKS_AT), ticks);
    CHECK_EQ(clock_now(CLOCK_VIRTUAL), now);
}

static void saved_state(void)
{
    static uint8_t ram[RAM_SIZE];
    Buffer before = {0}, after = {0};
    Error *err = NULL;

    vmstate_save_all(&before);
    memcpy(ram, memory_ram_base(), RAM_SIZE);
    uint32_t loops = counter(LOOPS_AT), ticks = counter(TICKS_AT);
    int64_t now = clock_now(CLOCK_VIRTUAL);

    machine_start();
    run_until_ticks(ticks + 30);
    machine_stop(RUN_STATE_PAUSED);
    devices_reset();
    vcpu_reset_all();
    memset(memory_ram_base(), 0xee, RAM_SIZE);

    memcpy(memory_ram_base(), ram, RAM_SIZE);
    memory_dirty_set(0, RAM_SIZE);
    Reader r = {.data = before.data, .size = before.size};
    bool ok = vmstate_load_all(&r, &err);
    if (!ok) {
        printf("# %s\n", error_text(err));
    }
    CHECK(ok);
    vcpu_run_queued_work(
        vcpu_env(0)); /* what loading has queued to the CPU, before it is compared */
    vmstate_save_all(&after);
    CHECK_EQ(after.size, before.size);
    CHECK(memcmp(after.data, before.data, before.size) == 0);
    CHECK_EQ(clock_now(CLOCK_VIRTUAL), now);

    machine_start();
    run_until_ticks(ticks + 30);
    machine_stop(RUN_STATE_PAUSED);
    CHECK(counter(LOOPS_AT) > loops);
    CHECK(counter(TICKS_AT) >= ticks + 30);
    /* A tick a millisecond of the guest's own time, and none for the time that was thrown away. */
    CHECK(counter(TICKS_AT) <= clock_now(CLOCK_VIRTUAL) / NS_PER_MS + 1);
    buffer_free(&before);
    buffer_free(&after);
}

static unsigned runs, stops;

static void note_state(void *opaque, bool running, RunState state)
{
    runs += running;
    stops += !running;
}

static void requests_are_carried_out_by_the_loop(void)
{
    machine_add_state_handler(note_state, NULL);
    machine_start();
    CHECK(machine_running());
    machine_request_stop(RUN_STATE_IO_ERROR);
    CHECK(machine_running());
    loop_run_once(0);
    CHECK_EQ(machine_run_state(), RUN_STATE_IO_ERROR);
    CHECK_STR(run_state_name(machine_run_state()), "io-error");
    CHECK(runs == 1 && stops == 1);

    /* After a reset the guest starts over. */
    machine_start();
    memset(memory_ram_base() + LOOPS_AT, 0, 8);
    machine_request_reset();
    loop_run_once(0);
    CHECK(machine_running());
    run_until_ticks(10);
    CHECK(counter(TICKS_AT) >= 10);

    machine_request_shutdown(5);
    CHECK_EQ(loop_run(), 5);
    machine_stop(RUN_STATE_SHUTDOWN);
    vcpu_stop_threads();
}

TESTS(TEST(starts_and_runs), TEST(time_stands_still_while_paused), TEST(saved_state),
      TEST(requests_are_carried_out_by_the_loop))

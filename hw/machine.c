/*
 * The running machine: run state, and the requests (reset, power off, power button) that devices
 * and the monitor make. Requests only set flags; the main loop carries them out, so that a device
 * that asks for a reset in the middle of a register write is not reset beneath its own feet.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hw/machine.h"

#include <stdlib.h>

#include "hw/a20.h"
#include "hw/device.h"
#include "target-i386/vcpu.h"
#include "util/loop.h"

MachineConfig machine_config;

typedef struct StateHandler {
    void (*fn)(void *opaque, bool running, RunState state);
    void *opaque;
    struct StateHandler *next;
} StateHandler;

static RunState state = RUN_STATE_PRELAUNCH;
static StateHandler *state_handlers;
static void (*event_handler)(MachineEvent event);
static void (*powerdown_handler)(void *opaque);
static void *powerdown_opaque;

static bool reset_requested, shutdown_requested, powerdown_requested, stop_requested;
static RunState stop_reason;
static int shutdown_status;
static bool requests_deferred;

RunState machine_run_state(void)
{
    return state;
}

const char *run_state_name(RunState s)
{
    static const char *const names[] = {
        [RUN_STATE_PRELAUNCH] = "prelaunch", [RUN_STATE_RUNNING] = "running",
        [RUN_STATE_PAUSED] = "paused",       [RUN_STATE_IO_ERROR] = "io-error",
        [RUN_STATE_SHUTDOWN] = "shutdown",   [RUN_STATE_INTERNAL_ERROR] = "internal-error",
        [RUN_STATE_DEBUG] = "debug",
    };
    return names[s];
}

bool machine_running(void)
{
    return state == RUN_STATE_RUNNING;
}

static void tell_state_handlers(bool running)
{
    for (StateHandler *h = state_handlers; h; h = h->next) {
        h->fn(h->opaque, running, state);
    }
}

void machine_add_state_handler(void (*fn)(void *opaque, bool running, RunState state), void *opaque)
{
    StateHandler **tail = &state_handlers;
    while (*tail) {
        tail = &(*tail)->next;
    }
    *tail = calloc(1, sizeof(**tail));
    if (!*tail) {
        abort();
    }
    **tail = (StateHandler){fn, opaque, NULL};
}

void machine_stop(RunState why)
{
    bool was_running = machine_running();

    if (stop_reason == RUN_STATE_DEBUG) {
        stop_requested = false; /* a breakpoint met meanwhile finds the machine stopped */
    }
    if (was_running) {
        vcpu_pause_all();
        clock_virtual_run(false);
    }
    state = why;
    if (was_running) {
        tell_state_handlers(false);
    }
}

static void start(bool clock)
{
    if (machine_running()) {
        return;
    }
    state = RUN_STATE_RUNNING;
    clock_virtual_run(clock);
    tell_state_handlers(true);
    vcpu_resume_all();
}

void machine_start(void)
{
    start(true);
}

void machine_start_clock_still(void)
{
    start(false);
}

static void tell_event(MachineEvent event)
{
    if (event_handler) {
        event_handler(event);
    }
}

static void do_reset(void)
{
    bool running = machine_running();

    if (running) {
        vcpu_pause_all();
    }
    devices_reset();
    vcpu_reset_all();
    tell_event(MACHINE_EVENT_RESET);
    if (running) {
        vcpu_resume_all();
    }
}

static void do_shutdown(void)
{
    tell_event(MACHINE_EVENT_SHUTDOWN);
    if (machine_config.no_shutdown) {
        machine_stop(RUN_STATE_SHUTDOWN);
    } else {
        loop_quit(shutdown_status);
    }
}

static void carry_out_requests(void *opaque)
{
    requests_deferred = false;
    if (shutdown_requested) {
        shutdown_requested = false;
        do_shutdown();
        return;
    }
    if (reset_requested) {
        reset_requested = false;
        if (machine_config.no_reboot) {
            shutdown_status = 0;
            do_shutdown();
            return;
        }
        do_reset();
    }
    if (powerdown_requested) {
        powerdown_requested = false;
        tell_event(MACHINE_EVENT_POWERDOWN);
        if (powerdown_handler) {
            powerdown_handler(powerdown_opaque);
        }
    }
    if (stop_requested) {
        stop_requested = false;
        machine_stop(stop_reason);
    }
}

static void defer_requests(void)
{
    if (!requests_deferred) {
        requests_deferred = true;
        loop_defer(carry_out_requests, NULL);
    }
}

void machine_request_reset(void)
{
    reset_requested = true;
    defer_requests();
}

/*
 * The gate lets all addresses through first: with it closed the CPUs would not find the reset vector,
 * and boards see to it that they do.
 */
void machine_init_cpus(void)
{
    a20_set(true);
    for (unsigned i = 0; i < vcpu_count(); i++) {
        cpu_interrupt(vcpu_env(i), CPU_INTERRUPT_INIT);
    }
}

void machine_request_shutdown(int status)
{
    shutdown_requested = true;
    shutdown_status = status;
    defer_requests();
}

void machine_request_powerdown(void)
{
    powerdown_requested = true;
    defer_requests();
}

void machine_request_stop(RunState why)
{
    stop_requested = true;
    stop_reason = why;
    defer_requests();
}

void machine_request_debug_stop(void)
{
    machine_request_stop(RUN_STATE_DEBUG);
}

void machine_set_event_handler(void (*fn)(MachineEvent event))
{
    event_handler = fn;
}

void machine_set_powerdown_handler(void (*fn)(void *opaque), void *opaque)
{
    powerdown_handler = fn;
    powerdown_opaque = opaque;
}

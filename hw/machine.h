/*
 * The running machine as a whole: run state, reset and power requests. What vl.c, the monitor and the
 * board's reset and power registers share.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HW_MACHINE_H
#define HW_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum RunState {
    RUN_STATE_PRELAUNCH, /* -S: not started yet */
    RUN_STATE_RUNNING,
    RUN_STATE_PAUSED,   /* stopped by the user */
    RUN_STATE_IO_ERROR, /* stopped by a failed disk request; `cont` tries again */
    RUN_STATE_SHUTDOWN, /* powered off with -no-shutdown */
    RUN_STATE_INTERNAL_ERROR,
    RUN_STATE_DEBUG, /* at a debugger's breakpoint */
} RunState;

RunState machine_run_state(void);
const char *run_state_name(RunState s); /* "running", "paused", "io-error", ... */
bool machine_running(void);

/* Stops (every vCPU out of guest code, virtual clock still) and starts the machine. Main thread, lock held. */
void machine_stop(RunState why);
void machine_start(void);
/* The same, but the virtual clock stays still: for a debugger's single steps. */
void machine_start_clock_still(void);

/*
 * Pulses the INIT pin of all CPUs, which the keyboard controller's reset line, port 92h and the reset control register's soft
 * reset are wired to: the boot CPU starts at the reset vector, the others wait, memory and devices stay as they are. Firmware
 * tells a restart of the machine from a return to real mode by the shutdown code in the CMOS (0Fh).
 */
void machine_init_cpus(void);

/* Requests from devices and the monitor, any thread with the lock: carried out by the main loop. */
void machine_request_reset(void);    /* -no-reboot makes it a shutdown */
void machine_request_shutdown(int status); /* power off: ends the program with status unless -no-shutdown */
void machine_request_powerdown(void); /* the power button: ACPI event to the guest */
/* Who gets the power button's press. */
void machine_set_powerdown_handler(void (*fn)(void *opaque), void *opaque);
/* Stops the machine from where machine_stop() may not be called: a device on a vCPU thread. */
void machine_request_stop(RunState why);
void machine_request_debug_stop(void);

/* Calls fn on every change between running and not running. */
void machine_add_state_handler(void (*fn)(void *opaque, bool running, RunState state), void *opaque);

typedef enum MachineEvent { MACHINE_EVENT_RESET, MACHINE_EVENT_SHUTDOWN, MACHINE_EVENT_POWERDOWN } MachineEvent;
/* Whoever wants to hear of them; called from the main loop when a request is carried out. */
void machine_set_event_handler(void (*fn)(MachineEvent event));

/* Set from the options before the machine is made. */
typedef struct MachineConfig {
    uint64_t ram_size;   /* bytes */
    unsigned cpus;       /* 1..64 */
    const char *machine; /* "pc" or "isapc" */
    const char *cpu_model; /* "qemu64,+sse4.2"; NULL: the default */
    const char *bios;    /* file name; NULL: the machine's default */
    const char *kernel, *initrd, *append;
    const char *boot;    /* "order=cdn,menu=on..." already validated */
    bool acpi;
    bool no_reboot, no_shutdown, start_stopped;
    bool state_comes; /* until -loadvm has loaded: lines keep back what is sent to the guest */
    int64_t rtc_offset_sec; /* guest's RTC minus host's UTC at start */
    bool rtc_localtime;
    bool rtc_clock_vm;   /* RTC runs on CLOCK_VIRTUAL instead of following the host's */
    const char *name;
    bool vga;            /* a VGA adapter on the board */
    struct CharBackend *serial[4]; /* COM1..COM4; NULL: not on the board */
    struct CharBackend *parallel[3]; /* LPT1..LPT3 likewise */
    uint8_t uuid[16];    /* as it is written; all zeroes: none */
    bool nographic;      /* the firmware's screen goes to the first serial line too */
} MachineConfig;
extern MachineConfig machine_config;

#endif

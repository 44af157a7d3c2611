/*
 * vCPU threads.
 *
 * A vCPU thread is in one of three places: inside cpu_exec() ("in guest"), asleep (halted, paused,
 * or waiting for a reset), or between the two. Everything that wants its attention goes through
 * vcpu_kick(), which sets exit_request for a thread in guest and `sleep` for one that sleeps; a
 * thread clears both before it looks at what there is to do, so that no kick is lost.
 *
 * Three mutexes, taken in this order and never the other way round: the machine lock (util/loop.h),
 * then guest_mutex (who is in guest, exclusive sections), then a vCPU's own (what is wanted of it).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/vcpu.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "hw/machine.h"
#include "hw/vmstate.h"
#include "target-i386/excp.h"
#include "target-i386/exec.h"
#include "util/loop.h"

typedef struct VCpuWork {
    void (*fn)(CPUX86State *env, void *data);
    void *data;
    struct VCpuWork *next;
} VCpuWork;

enum { AWAKE, ASLEEP, KICKED };

typedef struct VCpu {
    CPUX86State *env;
    pthread_t thread;
    char name[16];

    _Atomic uint32_t sleep; /* a futex: AWAKE, ASLEEP or KICKED */

    pthread_mutex_t mutex; /* the fields below */
    bool stop_requested; /* stay out of guest code until vcpu_resume_all() */
    bool stopped;        /* and it does */
    bool held;           /* stays out when the others go on */
    bool dead;           /* shut down (triple fault) until reset */
    bool ending;
    VCpuWork *work, **work_tail;

    _Atomic bool has_alarm; /* made by the thread, set under the machine lock */
    timer_t alarm;
    _Atomic int64_t alarm_at;  /* when it is wanted, by the host's clock; 0: it has come */
    _Atomic int64_t alarm_due; /* the same for the one that came last, or is to come next */
    _Atomic bool alarm_early;  /* it is set to come so much before: */
    _Atomic int64_t advance;

    /* The thread's own. */
    volatile sig_atomic_t alarm_came;
    /* Of the guest's spinning: */
    uint64_t last_pause; /* host TSC */
    unsigned pauses, yields;
} VCpu;

static VCpu *vcpus;
static unsigned nvcpus;
static bool threads_running;
static bool overcommitted; /* more vCPUs than host CPUs to run them */

/* Signalled whenever a vCPU's `stopped` becomes true. */
static pthread_mutex_t stop_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t stop_cond = PTHREAD_COND_INITIALIZER;

/* Who is in guest code, for exclusive sections. */
static pthread_mutex_t guest_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t guest_resume = PTHREAD_COND_INITIALIZER;
static pthread_cond_t guest_left = PTHREAD_COND_INITIALIZER;
static unsigned vcpus_in_guest;
static bool exclusive;

void vcpu_passes(CPUX86State *env)
{
    atomic_store_explicit(&env->code_epoch, memory_code_epoch(), memory_order_release);
}

bool vcpu_others_passed(const CPUX86State *env, uint64_t epoch)
{
    for (unsigned i = 0; i < nvcpus; i++) {
        if (vcpus[i].env != env && atomic_load(&vcpus[i].env->code_epoch) < epoch) {
            return false;
        }
    }
    return true;
}

static void guest_enter(void)
{
    pthread_mutex_lock(&guest_mutex);
    while (exclusive) {
        pthread_cond_wait(&guest_resume, &guest_mutex);
    }
    vcpus_in_guest++;
    pthread_mutex_unlock(&guest_mutex);
}

static void guest_leave(void)
{
    pthread_mutex_lock(&guest_mutex);
    vcpus_in_guest--;
    pthread_cond_broadcast(&guest_left);
    pthread_mutex_unlock(&guest_mutex);
}

void vcpu_exclusive_begin(void)
{
    if (!current_cpu || !threads_running) {
        return; /* single-threaded use: tests, cpu_exec_one() on the main thread */
    }
    pthread_mutex_lock(&guest_mutex);
    vcpus_in_guest--;
    pthread_cond_broadcast(&guest_left);
    while (exclusive) {
        pthread_cond_wait(&guest_resume, &guest_mutex);
    }
    exclusive = true;
    for (unsigned i = 0; i < nvcpus; i++) {
        if (vcpus[i].env != current_cpu) {
            vcpu_kick(vcpus[i].env);
        }
    }
    while (vcpus_in_guest) {
        pthread_cond_wait(&guest_left, &guest_mutex);
    }
    pthread_mutex_unlock(&guest_mutex);
}

void vcpu_exclusive_end(void)
{
    if (!current_cpu || !threads_running) {
        return;
    }
    pthread_mutex_lock(&guest_mutex);
    exclusive = false;
    vcpus_in_guest++;
    pthread_cond_broadcast(&guest_resume);
    pthread_mutex_unlock(&guest_mutex);
}

void vcpu_kick(CPUX86State *env)
{
    VCpu *v = env->vcpu;

    cpu_request_exit(env);
    if (!v || env == current_cpu) {
        return; /* its own thread looks at exit_request before it sleeps */
    }
    if (atomic_exchange(&v->sleep, KICKED) == ASLEEP) {
        syscall(SYS_futex, &v->sleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

static void sleep_until_kicked(VCpu *v)
{
    uint32_t awake = AWAKE;

    if (atomic_compare_exchange_strong(&v->sleep, &awake, ASLEEP)) {
        while (atomic_load(&v->sleep) == ASLEEP) {
            syscall(SYS_futex, &v->sleep, FUTEX_WAIT_PRIVATE, ASLEEP, NULL, NULL, 0);
        }
    }
}

/*
 * ---- alarms: a host timer that interrupts just this thread ----
 *
 * A host's timers are late, those of a host that is a virtual machine itself by 15 us at best. So an alarm is set early by what a third of
 * the alarms of late were late at least, and a thread whose alarm comes too early waits for its time, awake.
 */
enum { MAX_ADVANCE_NS = 32000, ADVANCE_STEP_NS = 100 };

static int alarm_signal(void)
{
    return SIGRTMIN;
}

static void on_alarm(int signal)
{
    if (current_cpu) {
        VCpu *v = current_cpu->vcpu;
        atomic_store(&v->alarm_at, 0);
        v->alarm_came = true;
        cpu_request_exit(current_cpu);
        atomic_store(&v->sleep, KICKED); /* if it slept: the interrupted call looks at it once more */
    }
}

static void make_alarm(VCpu *v)
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = alarm_signal()};

    event._sigev_un._tid = gettid();
    sigaction(alarm_signal(), &action, NULL);
    /* Where the host has no more timers the main loop's has to do. */
    v->has_alarm = timer_create(CLOCK_MONOTONIC, &event, &v->alarm) == 0;
}

static void drop_alarm(VCpu *v)
{
    if (atomic_exchange(&v->has_alarm, false)) {
        timer_delete(v->alarm);
    }
}

bool vcpu_set_alarm(CPUX86State *env, int64_t ns)
{
    VCpu *v = env->vcpu;

    if (!v || !atomic_load(&v->has_alarm) || ns == INT64_MAX) {
        return false;
    }
    ns = ns > 0 ? ns : 1; /* 0 would disarm it */
    if (atomic_load(&v->alarm_at) != ns) {
        int64_t early = atomic_load(&v->advance);
        early = ns - 2 * early > clock_now(CLOCK_HOST) ? early : 0; /* the guest is to run meanwhile, not to wait */
        atomic_store(&v->alarm_early, early > 0);
        atomic_store(&v->alarm_due, ns);
        atomic_store(&v->alarm_at, ns); /* before it is set: it may come at once */
        struct itimerspec when = {.it_value = {.tv_sec = (ns - early) / NS_PER_SEC, .tv_nsec = (ns - early) % NS_PER_SEC}};
        timer_settime(v->alarm, TIMER_ABSTIME, &when, NULL);
    }
    return true;
}

/* An alarm has come: waits until it is due, and learns from how late it is. */
static void wait_for_alarm(VCpu *v)
{
    int64_t due = atomic_load(&v->alarm_due), late = clock_now(CLOCK_HOST) - due, advance = atomic_load(&v->advance);

    v->alarm_came = false;
    if (atomic_load(&v->alarm_early) || advance == 0) {
        advance += late < 0 ? -2 * ADVANCE_STEP_NS : ADVANCE_STEP_NS;
        atomic_store(&v->advance, advance < 0 ? 0 : advance > MAX_ADVANCE_NS ? MAX_ADVANCE_NS : advance);
    }
    while (late < 0 && late >= -MAX_ADVANCE_NS) { /* unless it was set anew meanwhile */
        __builtin_ia32_pause();
        late = clock_now(CLOCK_HOST) - due;
    }
}

/*
 * A guest spins on a lock whose holder, or for an answer of a CPU, that waits for a host CPU itself: the longer the
 * spinning, the more time is given away. Who spins only shortly, between other work, starts anew each time.
 */
enum {
    PAUSES_A_YIELD = 64,        /* a few microseconds */
    PAUSES_A_YIELD_ALONE = 2048, /* each vCPU has a host CPU, but others may run there as well */
    YIELDS_BEFORE_SLEEP = 16,
    SLEEP_NS = 50000,
    SPIN_GAP = 20000, /* host TSC ticks without PAUSE that end a spinning */
};

void vcpu_spins(CPUX86State *env)
{
    VCpu *v = env->vcpu;
    uint64_t now = __builtin_ia32_rdtsc();

    __builtin_ia32_pause();
    if (!v || nvcpus == 1) {
        return;
    }
    if (now - v->last_pause > SPIN_GAP) {
        v->pauses = v->yields = 0;
    }
    if (++v->pauses >= (overcommitted ? PAUSES_A_YIELD : PAUSES_A_YIELD_ALONE)) {
        v->pauses = 0;
        if (overcommitted && ++v->yields > YIELDS_BEFORE_SLEEP && !atomic_load(&env->exit_request)) {
            nanosleep(&(struct timespec){.tv_nsec = SLEEP_NS}, NULL);
        } else {
            sched_yield();
        }
        now = __builtin_ia32_rdtsc();
    }
    v->last_pause = now;
}

void vcpu_queue_work(CPUX86State *env, void (*fn)(CPUX86State *env, void *data), void *data)
{
    VCpu *v = env->vcpu;

    if (!v) {
        fn(env, data); /* a CPU without a thread belongs to its only caller */
        return;
    }
    VCpuWork *w = malloc(sizeof(*w));
    if (!w) {
        abort();
    }
    *w = (VCpuWork){fn, data, NULL};
    pthread_mutex_lock(&v->mutex);
    *v->work_tail = w;
    v->work_tail = &w->next;
    pthread_mutex_unlock(&v->mutex);
    atomic_fetch_or(&env->interrupt_request, CPU_INTERRUPT_WORK);
    vcpu_kick(env);
}

void vcpu_run_queued_work(CPUX86State *env)
{
    VCpu *v = env->vcpu;

    atomic_fetch_and(&env->interrupt_request, ~CPU_INTERRUPT_WORK);
    if (!v) {
        return;
    }
    pthread_mutex_lock(&v->mutex);
    VCpuWork *w = v->work;
    v->work = NULL;
    v->work_tail = &v->work;
    pthread_mutex_unlock(&v->mutex);
    while (w) {
        VCpuWork *next = w->next;
        w->fn(env, w->data);
        free(w);
        w = next;
    }
}

static void report_stopped(VCpu *v)
{
    pthread_mutex_lock(&stop_mutex);
    v->stopped = true;
    pthread_cond_broadcast(&stop_cond);
    pthread_mutex_unlock(&stop_mutex);
}

/*
 * Sleeps until there is guest code to run. False: the thread is to end.
 */
static bool wait_until_runnable(VCpu *v)
{
    CPUX86State *env = v->env;

    for (;;) {
        atomic_store(&v->sleep, AWAKE);
        cpu_exit_seen(env);
        pthread_mutex_lock(&v->mutex);
        bool ending = v->ending, stop = v->stop_requested, dead = v->dead;
        pthread_mutex_unlock(&v->mutex);
        if (v->alarm_came) {
            wait_for_alarm(v);
        }

        if (ending) {
            return false;
        }
        if (stop) {
            report_stopped(v);
        } else {
            if (atomic_load(&env->interrupt_request) & CPU_INTERRUPT_WORK) {
                vcpu_run_queued_work(env);
            }
            machine_lock();
            if (env->intc && env->intc->catch_up) {
                env->intc->catch_up(env->intc_opaque);
            }
            bool runnable = !dead && (!(env->halted || env->wait_sipi) || cpu_has_work(env));
            machine_unlock();
            if (runnable) {
                return true;
            }
        }
        sleep_until_kicked(v);
    }
}

static void *vcpu_thread(void *arg)
{
    VCpu *v = arg;

    current_cpu = v->env;
    pthread_setname_np(pthread_self(), v->name);
    make_alarm(v);
    while (wait_until_runnable(v)) {
        guest_enter();
        atomic_store(&v->env->code_epoch, memory_code_epoch()); /* before it looks into its TLB */
        CpuExit why = cpu_exec(v->env);
        atomic_store(&v->env->code_epoch, UINT64_MAX);
        guest_leave();
        switch (why) {
        case CPU_EXIT_KICK:
        case CPU_EXIT_HALT:
            break;
        case CPU_EXIT_RESET:
            v->dead = true; /* own thread, read by itself; cleared while paused */
            v->env->debugger.stop = DEBUGGER_STOP_NONE; /* it will be elsewhere then */
            machine_lock();
            machine_request_reset();
            machine_unlock();
            break;
        case CPU_EXIT_DEBUG:
            pthread_mutex_lock(&v->mutex);
            v->held = v->stop_requested = true;
            pthread_mutex_unlock(&v->mutex);
            machine_lock();
            machine_request_debug_stop();
            machine_unlock();
            break;
        }
    }
    machine_lock();
    drop_alarm(v);
    machine_unlock();
    current_cpu = NULL;
    return NULL;
}

bool vcpu_create_all(unsigned count, const char *model, Error **errp)
{
    vcpus = calloc(count, sizeof(*vcpus));
    if (!vcpus) {
        abort();
    }
    for (unsigned i = 0; i < count; i++) {
        VCpu *v = &vcpus[i];
        v->env = cpu_new(i, model, errp);
        if (!v->env) {
            while (i--) {
                cpu_free(vcpus[i].env);
            }
            free(vcpus);
            vcpus = NULL;
            return false;
        }
        v->env->vcpu = v;
        v->env->code_epoch = UINT64_MAX;
        v->stop_requested = v->stopped = true;
        v->work_tail = &v->work;
        pthread_mutex_init(&v->mutex, NULL);
        snprintf(v->name, sizeof(v->name), "vcpu-%u", i);
        vmstate_register(&cpu_vmstate, v->name, v->env);
    }
    nvcpus = count;
    cpu_set_t host;
    overcommitted = sched_getaffinity(0, sizeof(host), &host) == 0 && count > (unsigned)CPU_COUNT(&host);
    return true;
}

bool vcpu_start_threads(Error **errp)
{
    sigset_t all, old;

    /* Signals that the user or the system sends are the main loop's; a vCPU only takes its own
     * faults and its alarm. */
    sigfillset(&all);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGABRT);
    sigdelset(&all, alarm_signal());
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int err = 0;
    unsigned started = 0;
    threads_running = true;
    while (started < nvcpus && !err) {
        err = pthread_create(&vcpus[started].thread, NULL, vcpu_thread, &vcpus[started]);
        started += !err;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err) {
        error_set_errno(errp, err, "cannot start a thread for virtual CPU %u", started);
        nvcpus = started;
        vcpu_stop_threads();
        return false;
    }
    return true;
}

unsigned vcpu_count(void)
{
    return nvcpus;
}

CPUX86State *vcpu_env(unsigned index)
{
    return index < nvcpus ? vcpus[index].env : NULL;
}

/* Sets a flag of every vCPU under its mutex and wakes it. */
static void tell_all(size_t flag_offset, bool value)
{
    for (unsigned i = 0; i < nvcpus; i++) {
        VCpu *v = &vcpus[i];
        pthread_mutex_lock(&v->mutex);
        *(bool *)((char *)v + flag_offset) = value;
        pthread_mutex_unlock(&v->mutex);
        vcpu_kick(v->env);
    }
}

static bool all_stopped(void)
{
    for (unsigned i = 0; i < nvcpus; i++) {
        if (!vcpus[i].stopped) {
            return false;
        }
    }
    return true;
}

void vcpu_pause_all(void)
{
    if (!threads_running) {
        return;
    }
    tell_all(offsetof(VCpu, stop_requested), true);
    /* A vCPU may be on its way into a device: it gets the lock, finishes and sees the request. */
    machine_unlock();
    pthread_mutex_lock(&stop_mutex);
    while (!all_stopped()) {
        pthread_cond_wait(&stop_cond, &stop_mutex);
    }
    pthread_mutex_unlock(&stop_mutex);
    machine_lock();
}

void vcpu_resume_all(void)
{
    for (unsigned i = 0; i < nvcpus; i++) {
        VCpu *v = &vcpus[i];
        if (v->held) {
            continue; /* it is stopped, and stays so: none but this thread lets it go */
        }
        pthread_mutex_lock(&stop_mutex);
        v->stopped = false;
        pthread_mutex_unlock(&stop_mutex);
        pthread_mutex_lock(&v->mutex);
        v->stop_requested = false;
        pthread_mutex_unlock(&v->mutex);
        vcpu_kick(v->env);
    }
}

void vcpu_hold(unsigned index, bool hold)
{
    if (index < nvcpus) {
        vcpus[index].held = hold;
    }
}

void vcpu_stop_threads(void)
{
    if (!threads_running) {
        return;
    }
    tell_all(offsetof(VCpu, ending), true);
    bool locked = machine_lock_held();
    if (locked) {
        machine_unlock();
    }
    for (unsigned i = 0; i < nvcpus; i++) {
        pthread_join(vcpus[i].thread, NULL);
    }
    threads_running = false;
    if (locked) {
        machine_lock();
    }
}

void vcpu_reset_all(void)
{
    for (unsigned i = 0; i < nvcpus; i++) {
        vcpus[i].dead = false;
        cpu_reset(vcpus[i].env, false);
    }
}

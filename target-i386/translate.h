/*
 * The translator's inside: what its files share. target-i386/jit.h says where guest state lives in translated code.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_TRANSLATE_H
#define TARGET_I386_TRANSLATE_H

#include "target-i386/emit.h"
#include "target-i386/jit.h"

enum { S0 = H_13, S1 = H_14, S2 = H_15, GUEST_SP = H_12 };

/*
 * Where the guest's arithmetic flags are to be had, exactly. While they are dead (nothing reads them before something
 * sets all) only exceptions want them; then it may be enough to know how to make them again (translate-flags.c).
 */
typedef enum FlagsAt {
    FLAGS_IN_EFLAGS,
    FLAGS_IN_MEMORY, /* jit_flags */
    FLAGS_BY_RECIPE,
    FLAGS_IN_AX, /* as LAHF and SETO leave them, AX itself in S1 */
} FlagsAt;

/* How to make the flags again: from the instruction that set them; its operands or its result still stand in registers. */
typedef struct FlagsRecipe {
    const Insn *insn; /* NULL: none */
} FlagsRecipe;

typedef enum StubKind {
    STUB_HANDLER, /* the instruction by its handler, then back */
    STUB_REFILL,  /* a last-page slot missed: fill it from the TLB, or do as STUB_HANDLER */
    STUB_GROUP,   /* the same, or on to a plain block */
    STUB_LINK,    /* leave; the jump is to be patched */
    STUB_GOTO,    /* on to another page */
    STUB_KICK,    /* leave at the block's start */
    STUB_FPU,     /* load vector or x87 registers, then back */
} StubKind;

/*
 * What in a block's code depends on where the block is, in guest and host (jit-move.c). An entry of a block's list is one of these, with
 * the distance from the last one's place below.
 */
typedef enum MoveKind {
    MOVE_SKIP,       /* nothing */
    MOVE_COMMON,     /* displacement to a piece that all blocks share */
    MOVE_RECORD,     /* immediate: the place of a record */
    MOVE_HANDLER,    /* both: behind the immediate stands a call */
    MOVE_RECORD64,   /* 64-bit immediate: the address of a record */
    MOVE_RIP32,      /* immediates: a guest address */
    MOVE_RIP64,
    MOVE_RIP_HALVES, /* stores of its two halves */
    MOVE_JUMP,       /* displacement in the jump table: the last address's entry */
    MOVE_JUMP_SAVED, /* the same, of the member `saved` */
    MOVE_LINK,       /* what says which jump is to be linked, behind a call of a common piece; the next entry is how far before it that jump leads */
    MOVE_KINDS,
} MoveKind;
enum { MOVE_DISTANCE_BITS = 12, MOVE_MAX_DISTANCE = (1 << MOVE_DISTANCE_BITS) - 1 };

/* A block's need of the host's vector and x87 registers. */
typedef struct FpuUse {
    bool vectors, x87;
} FpuUse;

/* x87 instructions whose FOP, FIP, FDP have not been stored; NULL: none. */
typedef struct X87Pointers {
    const Insn *last, *operand; /* the last one; the last one with a memory operand */
    uint64_t rip, operand_next_rip;
} X87Pointers;

/* Where the guest's registers of a kind are, as far as is known at some point of a block. */
typedef enum FpuPlace {
    FPU_UNKNOWN, /* the flag in CPUX86State says */
    FPU_AWAY,    /* in CPUX86State; vector registers only */
    FPU_LIVE,    /* in the host's registers */
} FpuPlace;

/* Accesses off one register that share a check: translate-group.c. */
typedef struct Group {
    uint8_t reg;
    bool write;
    bool active;    /* looked at: the accesses may be made */
    bool constant;  /* nothing in the block's loop changes the register: a look is good for all rounds */
    uint8_t count;
    uint8_t first, last; /* instructions */
    int32_t lo, hi; /* the range, from where the register points before the first one */
    int32_t moved;  /* what has been added to it since */
    uint32_t slot;  /* its offset in CPUX86State */
} Group;

enum { MAX_GROUPS = 16, MAX_STUB_GROUPS = 3, NO_GROUP = 0xff, NO_LOOP = JIT_BLOCK_MAX_INSNS };
enum { REF_OPERAND, REF_STACK }; /* an instruction's accesses: of its operand, of the stack by itself */

/* Code out of line, made when the block is complete. */
typedef struct Stub {
    StubKind kind;
    uint8_t *rel;        /* the jump that comes here */
    const uint8_t *back; /* STUB_HANDLER: where to go on */
    FpuUse fpu;          /* STUB_HANDLER, STUB_REFILL: what the code at `back` has in the host's registers; STUB_KICK: loaded, where no request came */
    X87Pointers x87_pointers; /* to be stored first */
    const JitInsn *ji;
    uint64_t target;
    uint8_t flags_at; /* FlagsAt */
    bool in_memory;   /* STUB_LINK: jit_flags has the flags as well */
    bool poll;        /* STUB_LINK: the target is to look whether somebody wants the thread */
    bool swapped;     /* guest registers have changed places: translate-loop.c */
    uint8_t access;   /* STUB_REFILL: MmuAccess */
    uint16_t size;    /* and bytes */
    FlagsRecipe recipe;
    uint32_t slot;           /* STUB_REFILL: its offset in CPUX86State */
    uint32_t refill_slot;    /* whose addend S2 has then, or 0 */
    const uint8_t *checked;  /* and where the access goes on */
    uint32_t back_slot;      /* the same at `back` */
    bool needs_address;      /* STUB_REFILL: S0 does not have it yet, but this says it */
    HostRm address;
    uint8_t kept[3];         /* the guest's registers in S0, S1, S2 */
    uint8_t ngroups;         /* and the groups active there */
    Group groups[MAX_STUB_GROUPS];
} Stub;

enum { MAX_STUBS = 6 * JIT_BLOCK_MAX_MADE + 4, MAX_BLOCK_SLOTS = 16 };

/* What an address is made of, none of it in another's place: base, index, segment, and about which page off the registers; or which page. */
#define KEY_BASE(reg)        ((uint64_t)(reg))
#define KEY_INDEX(reg)       ((uint64_t)(reg) << 5)
#define KEY_NO_REGISTER      16u
#define KEY_SEG(seg)         ((uint64_t)(seg) << 10)
#define KEY_PAGE(addr)       (((uint64_t)(addr) >> GUEST_PAGE_BITS & 0x7ffffffffffull) << 13) /* 55 bits of the address */
#define KEY_BIT_OFFSET(reg)  (1ull << 56 | (uint64_t)(reg) << 57) /* a bit string's */
#define KEY_GATHER           (1ull << 61)
#define KEY_CONSTANT         (1ull << 62) /* no registers */
#define KEY_STRING           (1ull << 63)
#define KEY_REGISTERS_MASK   (KEY_BASE(31) | KEY_INDEX(31) | KEY_CONSTANT)

typedef struct Translator {
    Emitter e;
    CPUX86State *env;
    CpuJit *jit;
    bool mode64;
    unsigned word; /* width of addresses and of the stack: 4 or 8; 0: 16 bits, or segments that are not flat (translate-segment.c) */
    uint64_t ip_mask;
    unsigned page_offset; /* of the block */
    unsigned cls;  /* of data accesses */
    uint32_t key;
    uint64_t block_rip;
    ram_addr block_ram;
    uint64_t in_two_pages; /* the address behind the block where an instruction is that crosses the page's end, or JIT_NO_RIP */
    const uint8_t *body; /* behind what is done on entry */
    bool needs_flags;    /* jit_flags has to have the flags there */
    FpuUse entry_use;    /* what is looked for on entry */
    bool ended;          /* control has left the block */
    bool plain;          /* it has no groups */
    unsigned counted;    /* instructions that are in jit_insns where control leaves or has left the last one of them */
    FpuPlace vectors, x87;
    X87Pointers x87_pointers;
    bool fds_known; /* FDS is fds_seg's selector */
    uint8_t fds_seg;
    bool in_memory;  /* jit_flags holds the guest's flags as they are now */
    bool in_eflags;  /* EFLAGS does */
    FlagsRecipe recipe; /* they can be made again */

    /* the instruction at work */
    const Insn *insn;
    uint64_t rip, next_rip;
    bool live, live_behind; /* its flags on entry matter; those behind it */
    bool last;              /* nothing follows in the block */
    unsigned last_insn;     /* number of the one of which that is so */
    bool saved; /* EFLAGS are being used for something else */
    bool shifted; /* jit_shifted has what it shifts */
    JitInsn *ji;
    unsigned first_stub;
    unsigned segment;     /* that the address in S0 is an offset in; SEG_COUNT: it is linear */
    bool fixed;           /* it is the address that is known: */
    uint64_t fixed_address;
    unsigned at;          /* its number */
    uint64_t address_key; /* KEY_*: what the address in S0 is made of; accesses with the same share a slot */
    uint8_t kept[3];      /* R12 to R15 in S0, S1, S2: translate-registers.c; 0: none */
    bool kept_new[3];     /* stored by the instruction at work */
    bool out_of_line;     /* nothing is known of them */
    const Insn *insns;    /* the block's */
    unsigned ninsns;
    uint32_t delta_slot;  /* the slot whose addend is in S2, by its offset; 0: none. Who changes S2 says so here. */

    unsigned loop;       /* the instruction that jumps back to the block's start, or NO_LOOP */
    uint8_t *loop_jump;  /* its displacement, made last */
    bool swapped;        /* guest registers are now */
    unsigned nswaps;     /* in: */
    struct {
        uint8_t guest, place; /* where the other one lives elsewhere */
    } swaps[4];

    unsigned ngroups;
    Group groups[MAX_GROUPS];
    unsigned nslots;
    struct {
        uint64_t key;
        uint8_t access;
        uint16_t slot;
    } slots[MAX_BLOCK_SLOTS];

    bool moves;          /* it can be moved, so far; what it takes: */
    bool rip_operand, absolute_operand;
    uint8_t *moves_at;   /* the last place */
    unsigned nmoves;

    /* What is above begins as zero for every block. */
    uint16_t moves_list[JIT_BLOCK_MAX_MOVES];
    JitSlotsGiven slots_before; /* check_moves: at the block's start */
    unsigned nstubs;
    Stub stubs[MAX_STUBS];
    uint8_t refs[JIT_BLOCK_MAX_INSNS][2]; /* each instruction's groups */
} Translator;

/* ---- translate.c ---- */
/* The i-th instruction, at t->rip. */
void gen_insn_at(Translator *t, const Insn *insns, const uint16_t *live, unsigned i);
/* Counts in memory of our own. Changes no flag. */
void gen_count(Translator *t, uint64_t *counter);

/* ---- jit-move.c ---- */
/* Where blocks of this mode may lie that differ by their address alone; 0: nowhere. */
unsigned move_zone(const CPUX86State *env, uint32_t key, uint64_t rip);
/* A place in the block's code, behind the last one that was noted. */
void note_move(Translator *t, MoveKind kind, uint8_t *at);
void cannot_move(Translator *t);
/* The list becomes the block's. */
void keep_moves(Translator *t, JitBlock *b);
/* Makes the jump at `rel` lead to a piece that all blocks share. */
void gen_to_common(Translator *t, uint8_t *rel, const uint8_t *piece);
/* The jump at `rel`, which has its final displacement now, is said to be linked by the bytes that follow. */
void note_link(Translator *t, const uint8_t *rel);
/* Immediates that are guest addresses in the block's reach, of a MOV to a host register; of what has just been emitted. */
void gen_mov_rip(Translator *t, unsigned reg, uint64_t rip);
void note_rip32(Translator *t, uint64_t rip);
/* The place of a record in a host register. */
void gen_mov_record(Translator *t, unsigned reg, const JitInsn *ji);
/* The address of memory of our own, which may be the block's. */
void gen_mov_pointer(Translator *t, unsigned reg, const void *p);

/* ---- translate-loop.c ---- */
/* The last instruction that jumps back to the block's start; the block ends behind it. Or NO_LOOP. */
unsigned find_loop(Translator *t, const Insn *insns, unsigned n);
/* All rounds behind the first, where the block's code ends; the translator still stands at the jump back. runs: a counter, or NULL. */
void gen_loop(Translator *t, const Insn *insns, const uint16_t *live, uint64_t *runs);
/* Guest registers to where they are in the loop, and back. Flags are kept. */
void gen_swap_in(Translator *t);
void gen_swap_out(Translator *t);
void assume_swapped(Translator *t, bool swapped);

/* ---- translate-registers.c ---- */
/* Copies a guest register into a host register, and back. */
void gen_load_guest(Translator *t, unsigned host, unsigned guest);
void gen_store_guest(Translator *t, unsigned guest, unsigned host);
/* The host register that always holds a guest register, or H_NONE. */
unsigned host_of(unsigned guest);
/* The same, or the one that happens to hold it now. It is not to be written to. */
unsigned host_now(const Translator *t, unsigned guest);
/* From now on; translate-loop.c only. */
void set_host_of(unsigned guest, unsigned host);
HostRm env_reg(unsigned guest);
/* One of S0, S1, S2 that may be used: not in the mask `busy`, not in use for memory, best not needed soon. */
unsigned choose_scratch(Translator *t, unsigned busy);
/* The guest's register to read, loaded if it is nowhere. */
unsigned gen_guest_to_read(Translator *t, unsigned guest, unsigned busy);
/* The host's register has, and the guest's place in CPUX86State too, the guest's value: it may be kept there. */
void keep_guest(Translator *t, unsigned host, unsigned guest);
/* How many instructions ahead the guest's register is named; JIT_BLOCK_MAX_INSNS: not in the block. */
unsigned next_use(const Translator *t, unsigned guest);
void forget_kept(Translator *t);
/* Behind each instruction; what a stub loads again before it goes back to this point. */
void kept_after_insn(Translator *t);
void note_kept(Translator *t, Stub *s);
void gen_kept_again(Translator *t, const Stub *s);

/* ---- translate-common.c ---- */
/* The instruction's record for its handler. */
JitInsn *insn_record(Translator *t);
/* The instruction itself, kept with it: for what is called each time. */
const Insn *keep_insn(Translator *t);
Stub *add_stub(Translator *t, StubKind kind, uint8_t *rel);
/* Calls the instruction's handler; saved: flags are in jit_flags, else in EFLAGS. */
void gen_call_handler(Translator *t, const JitInsn *ji, bool saved);
/* A conditional jump to the instruction's handler, which does all of it. */
void gen_slow_unless(Translator *t, unsigned good_cond);

/* ---- translate-flags.c ---- */
/* Between EFLAGS and AX, whose value is in S1 meanwhile; between EFLAGS and jit_flags. S1 is used. */
void gen_flags_to_ax(Translator *t);
void gen_flags_from_ax(Translator *t);
void gen_save_flags(Translator *t);
void gen_restore_flags(Translator *t);
/*
 * Keep the flags before something destroys them; put them back if they are live. What may fault in between has
 * them, live or not: exceptions see exact flags.
 */
void gen_flags_away(Translator *t);
void gen_flags_back(Translator *t);
/* Wherever they are: into EFLAGS, into jit_flags. S1 and S2 are used. */
void gen_flags_to_eflags(Translator *t);
void gen_flags_to_memory(Translator *t);
/* Where a stub finds them, now; and there, into EFLAGS. */
void note_flags(Translator *t, Stub *s);
void gen_stub_flags(Translator *t, const Stub *s);
/* Before an instruction: keeps flags whose recipe it spoils. Behind it: what it did to them. */
void flags_before_insn(Translator *t);
void flags_after_insn(Translator *t);
/* Whether the instruction's operands say all that it writes. */
bool writes_only_operands(const Insn *insn);

/* ---- translate-mem.c ---- */
bool can_address(const Translator *t);
/* The effective address, segment base added, in S0. S1 is used. */
void gen_address(Translator *t);
/* The place of a stack access, at SP + disp, in S0. */
void gen_stack_address(Translator *t, int32_t disp);
/* Turns the linear address in S0 into a host address; S1 and S2 are used, flags destroyed. Misses go to the handler. */
void gen_translate(Translator *t, unsigned size, MmuAccess access);
/*
 * What gen_translate() would add to the linear address, in S2; S0 and S1 are used, flags destroyed. The address is in S0, or what `at`, not
 * NULL, says of a register that stays.
 */
void gen_delta(Translator *t, unsigned size, MmuAccess access, const HostRm *at);
/* What such an address is made of: the instruction's operand, SP. */
void note_simple_address(Translator *t);
void note_stack_address(Translator *t);
/* LEA of 32 or 64 bits. */
void gen_lea_to(Translator *t, unsigned host);
void gen_load_delta(Translator *t, uint32_t slot);
/* Looks whether `size` bytes at S0, or `at` if that is not NULL, lie in the slot's page; the jump out of line has its stub. */
Stub *gen_slot_check(Translator *t, uint32_t slot, unsigned size, MmuAccess access, const HostRm *at);
uint32_t new_slot(Translator *t, unsigned size, MmuAccess access);
/* Whether `size` bytes at this distance from the slot's tag are in it: below or equal. S2 is used where the slot is for other sizes. */
void gen_compare_limit(Translator *t, unsigned distance, uint32_t slot, unsigned size);
/* Whether the instruction looks into the TLB at once. */
bool site_is_hashed(const Translator *t);
/* Where kernels have their code: at CPL 0 with paging. */
bool rip_is_kernels(const CPUX86State *env, uint32_t key, uint64_t rip);
/* CPL 0 with paging. */
bool in_kernel(const Translator *t);
/* Out of line: fills the slot, or goes on below. */
void gen_refill(Translator *t, const Stub *s);
/* The common part of that. ranged: a slot that keeps missing may be filled with more than a page. */
void gen_common_refill(Translator *t, unsigned cls, MmuAccess access, bool ranged);
/* Both for the memory operand, flags kept where they are live. gen_mem() is better. */
void gen_operand(Translator *t, unsigned size, MmuAccess access);

/* ---- translate-segment.c ---- */
/* Whether an offset in the segment is the linear address, and nothing has to be checked. */
bool segment_is_flat(const Translator *t, unsigned seg);
/* The offset in S0 becomes the linear address; S1 is used. */
void gen_segment(Translator *t, unsigned size, MmuAccess access);
/* Stack and near calls where `word` is 0. */
bool gen_segmented(Translator *t);

/* ---- translate-group.c ---- */
void find_groups(Translator *t, const Insn *insns, unsigned n);
/*
 * The memory operand, checked, flags kept where they are live: S2 and perhaps S0 are in use until it has been accessed; S1 is
 * not. gen_stack_mem(): the word at SP + disp.
 */
HostRm gen_mem(Translator *t, unsigned size, MmuAccess access);
HostRm gen_stack_mem(Translator *t, int32_t disp, MmuAccess access);
/* Behind each instruction; where anything may have happened to the TLB, or S2. */
void groups_after_insn(Translator *t);
void forget_groups(Translator *t);
/* What a stub that runs a handler has to make good again before it goes back, to the point where the translator is; that. */
void note_groups(Translator *t, Stub *s);
void gen_groups_again(Translator *t, const Stub *s);

/* ---- translate-integer.c: false, with nothing emitted: the handler has to do it ---- */
bool gen_integer(Translator *t);

/* ---- translate-system.c ---- */
bool gen_system(Translator *t);
/* Whether the block may go on behind an instruction that ends the executor's. */
bool system_goes_on(uint32_t key, const Insn *insn);
void gen_common_system(Translator *t);
/*
 * S0 = function(env, S0). The function neither raises nor uses other guest registers than those that C may change
 * (RAX, RCX, RDX, RSI, RDI, R8 to R11), and not the flags; it may change them. Flags are destroyed.
 */
void gen_call_c(Translator *t, uintptr_t function);

/* ---- translate-string.c ---- */
bool gen_string(Translator *t);

/* ---- translate-vector.c ---- */
bool gen_vector(Translator *t);
/* What the block had better have in the host's registers for this instruction. */
FpuUse vector_use(const Translator *t, const Insn *insn);

/* ModRM.reg and ModRM.rm with the bits that REX or VEX add. */
void modrm_registers(const Translator *t, unsigned *reg, unsigned *rm);

/* ---- translate-gather.c ---- */
bool gen_gather(Translator *t);

/* ---- translate-bmi.c ---- */
bool gen_bmi(Translator *t);

/* ---- translate-x87.c ---- */
bool gen_x87(Translator *t);
bool wants_x87(const Translator *t, const Insn *insn);
/* Before the instruction's code: stores the pointers that cannot wait; all of them if it leaves the block. Keeps flags; S0, S1 are used. */
void gen_before_insn_x87(Translator *t, bool leaves);
void gen_store_x87_pointers(Translator *t, const X87Pointers *p);

/* ---- translate-fpu.c ---- */
/* The common pieces; in common code on its way to C: vector registers to CPUX86State, flags destroyed. */
void gen_common_fpu(Translator *t);
void gen_common_leave_vectors(Translator *t);
/* Loads what is to be in the host's registers behind a handler. Flags are kept. */
void gen_back_from_handler(Translator *t, FpuUse use);
/* Has them in the host's registers from here on. Flags are kept where they are live; S2 is used. */
void gen_need_vectors(Translator *t);
void gen_need_x87(Translator *t);
/* Out of line: loads them if they are away. Flags are destroyed. */
void gen_load_if_away(Translator *t, FpuUse use);
/* At the start of a block, or of a round: on to a stub like `kick` for a request, or where something of kick.fpu is away. Flags are destroyed. */
void gen_look_for_requests(Translator *t, Stub kick, bool round);
/* The start of that stub: loads and goes back, or comes out behind for a request. */
void gen_kick_or_load(Translator *t, const Stub *s);

/* ---- translate-control.c ---- */
/* Ends the block: goes on at target. */
bool target_of(const Translator *t, uint64_t *target);
/* The jump whose displacement is at `rel` is to be linked to target. */
Stub *add_link(Translator *t, uint8_t *rel, uint64_t target);
/* Translated code's own call of `target`, which returns to behind it with S0 the address; flags are in memory. */
void gen_call_to(Translator *t, uint64_t target);
void gen_goto(Translator *t, uint64_t target);
/* The same where the mode may be another than the block's; flags are in jit_flags. */
void gen_goto_by_table(Translator *t, uint64_t target);
/* Looks for the address in S0 in the jump table: equal if it is there, S1 is the entry then. */
void gen_find_jump(Translator *t);
bool gen_control(Translator *t);
void gen_stubs(Translator *t);

#endif

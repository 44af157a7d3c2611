/*
 * Translated code of one vCPU: what the cache, the translator and the helpers share.
 *
 * A translated block belongs to a place in RAM, a linear address and the mode (its key); from one address to another it can be moved. While it runs, the guest's
 * registers live in host registers: all with their own numbers but RSP, which is in R12, and R12 to R15, which stay in
 * CPUX86State; R13 to R15 are scratch. The gs base is the CPUX86State. The arithmetic flags live in the host's EFLAGS, or,
 * as LAHF and SETO leave them in AX, in jit_flags: translate-flags.c. The host's stack pointer is a stack of translated code's own,
 * which predicts returns: translate-control.c.
 * Vector registers, MXCSR and the x87 are in the host's own, or in CPUX86State: translate-fpu.c. Everything else of the guest's state
 * is in CPUX86State.
 *
 * What translated code cannot do inline (a TLB miss, a device, a fault, an instruction without a translation) is done
 * by the executor's handler for the whole instruction: all registers go to CPUX86State first, so faults find it exact.
 *
 * Exceptions see exact flags. An interrupt at the start of a block that overwrites all arithmetic flags before it
 * reads any may push others than the last instruction left: nothing in the interrupted code depends on them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TARGET_I386_JIT_H
#define TARGET_I386_JIT_H

#include "target-i386/accel.h"
#include "target-i386/mmu.h"

enum {
    JIT_HASH_SIZE = 1 << 18,
    JIT_PAGE_HASH_SIZE = 1 << 14,
    JIT_JUMP_TABLE_BITS = 15,
    JIT_JUMP_TABLE_SIZE = 1 << JIT_JUMP_TABLE_BITS,
    JIT_BLOCK_MAX_INSNS = 48,
    JIT_LOOP_MAX_INSNS = 40, /* which are made twice */
    JIT_BLOCK_MAX_MADE = 2 * JIT_LOOP_MAX_INSNS,
    JIT_BLOCK_MAX_BRANCHES = 4, /* conditional jumps and calls behind which a block goes on */
    JIT_BLOCK_MAX_CODE = 54 << 10, /* more than any block's code */
    JIT_SITES = 1 << 14,
    JIT_TABLES = 6,             /* modes whose jumps are kept */
    JIT_TABLE_LISTED = 4096,    /* jumps that are forgotten one by one */
    JIT_TABLE_PAGES_BITS = 15,
    JIT_TABLE_PAGES = 1 << JIT_TABLE_PAGES_BITS, /* hash bits: many more than pages with code, or data pages' changes would hit them */
    JIT_STACK_SIZE = 64 << 10,
    JIT_STACK_SPARE = 16 << 10, /* below the limit, for signals */
    JIT_SEGMENTS = 8,
    JIT_MAX_YOUNG = 128,
    JIT_MAX_LATER = 16,
    JIT_DECODED = 256,
    JIT_BLOCK_MAX_MOVES = 1 << 10,
    JIT_BLOCK_MAX_RECORDS = 16 << 10, /* bytes; more than any block's */
    JIT_ORIGIN_HASH_SIZE = 1 << 16,
};

/* The mode bits that blocks depend on; the class of data accesses comes on top. */
#define JIT_KEY_HFLAGS                                                                                                 \
    (HF_CPL_MASK | HF_CS32 | HF_CS64 | HF_SS32 | HF_PE | HF_VM | HF_LMA | HF_PG | HF_SMM | HF_FLAT | HF_AC)
#define JIT_KEY_SSE    0x10000u /* SSE instructions just work: no #UD, no #NM */
#define JIT_KEY_MASKED 0x20000u /* no SIMD floating point exception is unmasked */
#define JIT_KEY_AVX    0x40000u /* the same for AVX */
#define JIT_KEY_X87    0x80000u /* x87 and MMX instructions just work; all exceptions are masked, none is pending */
#define JIT_KEY_PLAIN  0x8000000u /* of blocks only: without groups of accesses (translate-group.c) */
#define JIT_KEY_CLASS_SHIFT 28

#define JIT_XCOMP_X87 1u /* the bit of the x87 component */
#define JIT_FCW_MASKS 0x3fu
#define JIT_FSW_ES    0x80u
#define JIT_XCR0_AVX 6u /* with SSE */
#define JIT_MXCSR_MASKS 0x1f80u

/* fpu.fcw and fsw may be old while the x87 is in the host's; but masks and ES are as they were then. */
static inline uint32_t jit_key(const CPUX86State *env)
{
    uint32_t key = (env->hflags & JIT_KEY_HFLAGS) | (uint32_t)env->tlb->data_class << JIT_KEY_CLASS_SHIFT;

    if (!(env->cr0 & (CR0_EM | CR0_TS)) && env->cr4 & CR4_OSFXSR) {
        key |= JIT_KEY_SSE;
    }
    if (!(env->cr0 & CR0_TS) && env->cr4 & CR4_OSXSAVE && (env->xcr0 & JIT_XCR0_AVX) == JIT_XCR0_AVX) {
        key |= JIT_KEY_AVX;
    }
    if ((env->fpu.mxcsr & JIT_MXCSR_MASKS) == JIT_MXCSR_MASKS) {
        key |= JIT_KEY_MASKED;
    }
    if (env->hflags & (HF_FLAT | HF_CS64) && !(env->cr0 & (CR0_EM | CR0_TS)) && (env->fpu.fcw & JIT_FCW_MASKS) == JIT_FCW_MASKS &&
        !(env->fpu.fsw & JIT_FSW_ES) && env->jit_x87_possible) {
        key |= JIT_KEY_X87;
    }
    return key;
}

/* How an instruction done by its handler goes on. */
typedef enum JitEnd {
    JIT_END_NONE,  /* behind itself, in the same block */
    JIT_END_NEAR,  /* anywhere: only rip has to be looked at */
    JIT_END_OUTER, /* events, modes have to be looked at */
} JitEnd;

/*
 * An instruction that its handler may have to do. Most never are, so the bytes are kept; they are decoded again when they are
 * needed (jit_insn()). What is done so always has its Insn.
 */
typedef struct JitInsn {
    uint64_t rip;
    const Insn *insn; /* or NULL */
    uint8_t len : 4;
    uint8_t end : 3; /* JitEnd */
    uint8_t native : 1; /* has a translation: its fast path missed */
    uint8_t raw[INSN_MAX_LENGTH];
} JitInsn;

typedef struct JitDecoded {
    const JitInsn *ji; /* NULL: none */
    Insn insn;
} JitDecoded;

/* A place in a list that is left without a search for it. */
typedef struct JitListed {
    struct JitBlock *next, **from; /* from: what points at the block */
} JitListed;

typedef struct JitBlock {
    /* What is looked at to find it, and where to go on then, stands together. */
    JitListed in_hash;
    ram_addr ram;
    uint64_t rip;
    uint32_t key;
    uint32_t root; /* of the page tables that it ran with; 0: with several */
    const uint8_t *entry[2][2]; /* JIT_FROM_*, JIT_*POLL */
    union {
        struct { /* nmoves != 0: the block can be had at other addresses, too (jit-move.c) */
            JitListed in_origins;
            const uint16_t *moves; /* what depends on its address; behind its other records */
        };
        struct { /* second_bytes != 0 */
            JitListed in_second; /* page's */
            ram_addr second;
        };
    };
    uint16_t bytes;    /* of guest code from ram on, within one page: what it was made of */
    uint16_t second_bytes; /* and where that is one instruction in two pages, from `second` on; else 0 */
    uint16_t nmoves;
    bool gone;         /* dropped; its memory comes back with its segment's */
    bool before_two_pages; /* when it was made, what follows it was an instruction in two pages */
    bool wants_memory; /* who has the flags in both places had better come from memory */
    uint32_t code_size; /* host bytes */
    uint32_t links;    /* JitLink: the jumps that lead here */
    uint32_t made;     /* the count of entries then */
    JitListed in_page;
    struct JitBlock *segment_next;
    uint64_t runs; /* with profile=on */
} JitBlock;

/* Where the flags are on entry; whether it is looked if somebody wants the thread. */
enum { JIT_FROM_EFLAGS, JIT_FROM_MEMORY };
enum { JIT_NO_POLL, JIT_POLL };

/* A way from an address to code, looked at inline. */
typedef struct JitJump {
    uint64_t rip; /* JIT_NO_RIP: empty */
    const uint8_t *saved; /* flags are in jit_flags; with a poll */
} JitJump;

/* The jumps of one mode. They outlive changes of mappings of other pages than they lead to. */
typedef struct JitTable {
    uint32_t key;
    uint32_t cs_base; /* their addresses are offsets in CS */
    bool ready; /* empty entries say so; a table that no mode has had yet takes no memory */
    bool used;
    bool nonglobal; /* some lead to pages that a load of CR3 maps anew */
    uint64_t last_use;
    uint64_t pages[JIT_TABLE_PAGES / 64]; /* hash bits of the pages they lead to */
    unsigned filled;        /* how many there are; where, for the first of them: */
    uint16_t places[JIT_TABLE_LISTED];
    JitJump jumps[JIT_JUMP_TABLE_SIZE];
} JitTable;
_Static_assert(JIT_JUMP_TABLE_BITS <= 16, "places are 16 bits wide");
#define JIT_NO_RIP 0x8000000000000001ull /* not canonical */

/* A jump in translated code that was made to lead to a block. */
typedef struct JitLink {
    uint32_t rel;  /* its displacement's place in the code memory */
    int32_t undo;  /* what that was before */
    uint32_t next; /* 0: none */
} JitLink;

/* A part of the code memory and of the records', dropped as a whole when it is the oldest and room is needed. */
typedef struct JitSegment {
    JitBlock *blocks;
} JitSegment;

/* A block made while other vCPUs may have been about to write its bytes unnoticed: these are looked at again. */
typedef struct JitYoung {
    ram_addr ram;
    uint64_t hash; /* of the bytes it was made of */
    uint64_t epoch;
    unsigned bytes;
} JitYoung;

static inline unsigned jit_jump_index(uint64_t rip)
{
    /* Functions are aligned: their low bits alone would fill a few entries only. */
    return (unsigned)(rip ^ (uint32_t)rip >> JIT_JUMP_TABLE_BITS) & (JIT_JUMP_TABLE_SIZE - 1);
}

/* What `info jit` shows. */
typedef struct JitStats {
    uint64_t entered, found, translated; /* times that C entered code; found the block for it in the cache; made it */
    uint64_t moved;                      /* or had it from another address */
    uint64_t handlers, slow, returns;    /* instructions by handler: without translation, whose fast path missed, undone returns */
    uint64_t dropped, flushes;           /* blocks whose code was written or that made room; times all went */
    uint64_t windows;                    /* made: mmu-windows.c */
    uint64_t *ops;                       /* op_count: by operation, executed and of these by handler; else NULL */
} JitStats;

static inline unsigned jit_site_bit(ram_addr site)
{
    return (unsigned)((site ^ site >> 12) % JIT_SITES);
}

/* By MmuAccess and log of size: the last-page slot given out next. */
typedef struct JitSlotsGiven {
    unsigned next[2][JIT_SLOT_SIZES];
} JitSlotsGiven;

struct CpuJit {
    JitStats stats;
    bool profile; /* blocks count how often they run */
    bool budget;  /* code counts jit_budget down: lockstep, and the log of each run */
    bool counts_insns; /* code counts jit_insns: lockstep */
    bool check_moves; /* compares moved blocks with new translations */
    uint8_t *write, *exec; /* code, mapped twice */
    size_t code_size, code_used, code_start; /* common pieces up to code_start, then the segments */
    uint8_t *records;                        /* JitInsn, Insn and JitBlock */
    size_t records_size, records_used;
    size_t code_step, records_step; /* how far the host has brought in what will be used */
    unsigned segment, nsegments; /* the one that is being filled, and how many there are */
    bool next_empty;             /* so is the next, for the last block of this one */
    JitSegment segments[JIT_SEGMENTS];
    JitLink *links; /* [0] is not used */
    uint32_t links_size, links_used, links_free;
    unsigned nyoung;
    JitYoung young[JIT_MAX_YOUNG];
    JitDecoded decoded[JIT_DECODED];
    /* Common pieces of code; writable addresses for emit_patch(), and what C calls. */
    const uint8_t *exec_insn, *undo_return, *call_c, *leave, *leave_miss, *leave_saved_miss, *return_miss, *return_bottom;
    const uint8_t *exec_insn_saved, *restore_flags; /* flags are in jit_flags before */
    const uint8_t *link[2];                         /* by JIT_FROM_*: out to a jump that is to be linked */
    const uint8_t *refill[MMU_CLASSES][2][2];        /* by class, access, whether ranges are looked for */
    const uint8_t *load_vectors, *load_vectors_wide, *store_vectors, *load_x87;
    uint64_t (*enter)(const uint8_t *code, CPUX86State *env);
    bool stop;              /* leave translated code after this instruction */
    uint64_t flushes_seen;  /* of the executor's code cache, whose thunks are shared */
    uint64_t generation;    /* changes whenever blocks go */
    JitBlock *hash[JIT_HASH_SIZE];
    JitBlock *pages[JIT_PAGE_HASH_SIZE];
    JitBlock *second_pages[JIT_PAGE_HASH_SIZE]; /* those of two pages, by the second */
    JitBlock *origins[JIT_ORIGIN_HASH_SIZE];    /* those that can be moved, by their place in RAM, newest first */
    uint64_t hashed_sites[JIT_SITES / 64]; /* by jit_site_bit(): instructions whose last-page slots kept missing */
    uint64_t misses_reset;                 /* the host's TSC then */
    uint16_t slot_visits[3 * 2 * JIT_SLOTS]; /* by slot: how often it missed too often since misses_reset */
    unsigned nlater;
    ram_addr later[JIT_MAX_LATER];           /* instructions that would have a window, had there been time */
    uint8_t slot_tries[3 * 2 * JIT_SLOTS];   /* and for how often no window could be made */
    JitSlotsGiven slots_given;
    uint8_t *stack;        /* translated code's */
    uint32_t key;          /* the mode that runs; its jumps: */
    JitTable *table;
    uint64_t uses;
    JitTable tables[JIT_TABLES];
};

/*
 * What enter() returns: 0, JIT_LEAVE_OUTER, or a link: where a jump's displacement is, with bits for where the flags are when it jumps,
 * and whether the target has to poll. The upper five bytes of a link stand in the code, behind the call of jit->link[]; the lower ones
 * mean nothing.
 */
#define JIT_LEAVE_LOOKUP 0u
#define JIT_LEAVE_OUTER 2u
#define JIT_LEAVE_LAST (JIT_LEAVE_OUTER + 1)
#define JIT_LINK_EFLAGS (1ull << 63)
#define JIT_LINK_MEMORY (1ull << 62)
#define JIT_LINK_POLL (1ull << 61)
#define JIT_LINK_PLAIN (1ull << 60) /* to a plain block */
#define JIT_LINK_SHIFT 24
#define JIT_LINK_BYTES 5
/* Where the displacement is, in the code memory. */
static inline uint32_t jit_link_place(uint64_t link)
{
    return (uint32_t)(link >> JIT_LINK_SHIFT);
}

/* Makes the common pieces at the start of the code memory. */
void jit_translate_common(CPUX86State *env, CpuJit *jit);
/*
 * Translates the block at env->rip, whose bytes are at `host` (`avail` to the page's end). NULL: the
 * first instruction needs more bytes. There must be room. plain: without groups of accesses.
 */
JitBlock *jit_translate(CPUX86State *env, const uint8_t *host, unsigned avail, ram_addr ram, bool plain);

/* ---- jit-move.c ---- */
/* Whether blocks of the mode are moved to where env->rip is. */
bool jit_may_move(const CPUX86State *env, uint32_t key);
/*
 * The block `from`, which can be moved, at env->rip in the same mode; a new one, not in any list. There must be room. NULL: at that
 * address it would be other code. Its bytes are at `host` (`avail` to the page's end).
 */
JitBlock *jit_move_copy(CPUX86State *env, const JitBlock *from, const uint8_t *host, unsigned avail);
/* The same, but it is the block itself that moves; lists and links are the caller's. False: nothing has changed. */
bool jit_move(CPUX86State *env, JitBlock *b, const uint8_t *host, unsigned avail);

/* ---- jit-cache.c ---- */
CpuJit *jit_cache_new(void);
void jit_cache_free(CpuJit *jit); /* may be NULL */
/* Memory for a record; it goes with the code that is made next. */
void *jit_record(CpuJit *jit, size_t size);
/* Before jit_translate(): may drop blocks. */
void jit_cache_make_room(CpuJit *jit);
JitBlock *jit_cache_find(const CpuJit *jit, ram_addr ram, uint64_t rip, uint32_t key);
/* A block of the same place and mode at whatever address, which can be moved, or NULL; best one that another program left behind. */
JitBlock *jit_cache_find_origin(const CpuJit *jit, ram_addr ram, uint32_t key, uint32_t root);
/* Whether nobody will miss the block where it is, as seen from a program with this root. */
bool jit_cache_is_left(const CpuJit *jit, const JitBlock *b, uint32_t root);
/* Whoever knows the block by its address forgets it; from then on it is known by `rip`. */
void jit_cache_take_out(CpuJit *jit, JitBlock *b);
void jit_cache_put_in(CpuJit *jit, JitBlock *b);
void jit_cache_add(CpuJit *jit, JitBlock *b);
/* Makes the jump whose displacement is at `rel` (a writable address) lead to `target`, an entry of b, as long as b is there. */
void jit_cache_link(CpuJit *jit, uint8_t *rel, const uint8_t *target, JitBlock *b);
/* Drops the blocks that have a byte in the range, which lies in one page. */
CodeDropped jit_cache_drop(CpuJit *jit, ram_addr addr, uint64_t size);
void jit_cache_flush(CpuJit *jit);
/*
 * Watches the bytes that b was made of; a copy of what they were is in `bytes`. False: they have changed since. Then b must
 * not be used.
 */
bool jit_cache_watch(CPUX86State *env, JitBlock *b, const uint8_t *bytes);
/* Own thread, at serialising instructions and now and then: drops young blocks whose bytes have changed. */
void jit_cache_look_again(CPUX86State *env);

/* ---- jit.c ---- */
/* Empties the jump tables: what they lead to may have gone, or lies at other addresses now. */
void jit_forget_jumps(CpuJit *jit);
/* Those to one block, which goes. */
void jit_forget_jumps_to(CpuJit *jit, const JitBlock *b);
/* The instruction of a record; stays until the next call. */
const Insn *jit_insn(CPUX86State *env, const JitInsn *ji);
/*
 * Called from translated code: runs the handler. 0: go on behind the instruction; up to JIT_LEAVE_LAST: as enter() plus 1;
 * else go on there, flags being in jit_flags, with an empty stack.
 */
uint64_t jit_exec_insn(CPUX86State *env, const JitInsn *ji);
/* Called from translated code at CPL 0, of STAC and CLAC: sets EFLAGS.AC, and the mode that comes of it. */
uint64_t jit_set_ac(CPUX86State *env, uint64_t set);
/*
 * Called from translated code: loads a segment register but CS and SS, its number in bits 16 and up, with the selector below. 0: its
 * handler has to do it.
 */
uint64_t jit_load_segment(CPUX86State *env, uint64_t selector);
/* As jit_exec_insn(), for a return whose target is no address: takes back that it moved the stack pointer before. */
uint64_t jit_undo_return(CPUX86State *env, const JitInsn *ji);

#endif

/*
 * The decoder's traps: prefixes, modes, what is #UD, the 15-byte limit, what operands and flags
 * come out. Breadth is tests/decoder's part; here stand the cases that a table can get wrong
 * unseen, many of them taken down from runs on the processor.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "target-i386/insn.h"

#include <stdlib.h>

#include "target-i386/disas.h"
#include "tests/unit/test.h"

static DecodeMode make_mode(unsigned bits)
{
    DecodeMode mode = {.code_size = bits / 8, .protected_mode = true};
    for (int f = 0; f < CPUF_COUNT; f++)
        insn_features_set(&mode.features, f);
    return mode;
}

/* Bytes from text ("66 0f 6f 00"). */
static size_t parse_bytes(const char *hex, uint8_t *bytes)
{
    size_t n = 0;
    char *end;

    for (;; hex = end) {
        unsigned long v = strtoul(hex, &end, 16);
        if (end == hex)
            return n;
        bytes[n++] = v;
    }
}

static InsnStatus decode_in(const DecodeMode *mode, const char *hex, Insn *insn)
{
    uint8_t bytes[32];
    return insn_decode(mode, bytes, parse_bytes(hex, bytes), insn);
}

static InsnStatus decode(unsigned bits, const char *hex, Insn *insn)
{
    DecodeMode mode = make_mode(bits);
    return decode_in(&mode, hex, insn);
}

/* Rows of bytes and what the printer says; "#UD" for illegal ones. The whole text must be used. */
typedef struct Line {
    unsigned bits;
    const char *hex, *text;
} Line;

static void check_lines(const Line *lines, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        Insn insn;
        uint8_t bytes[32];
        char text[160], got[200], want[200];
        InsnStatus status = decode(lines[i].bits, lines[i].hex, &insn);
        if (status == INSN_UD)
            snprintf(text, sizeof(text), "#UD");
        else if (status == INSN_TOO_LONG)
            snprintf(text, sizeof(text), "too long");
        else if (status == INSN_TRUNCATED)
            snprintf(text, sizeof(text), "truncated");
        else
            insn_print(&insn, 0x1000, text, sizeof(text));
        snprintf(got, sizeof(got), "%u: %s: %s", lines[i].bits, lines[i].hex, text);
        snprintf(want, sizeof(want), "%u: %s: %s", lines[i].bits, lines[i].hex, lines[i].text);
        CHECK_STR(got, want);
        if (status == INSN_OK)
            CHECK_EQ(insn.len, parse_bytes(lines[i].hex, bytes));
    }
}

#define CHECK_LINES(...)                                                                           \
    do {                                                                                           \
        static const Line lines[] = {__VA_ARGS__};                                                 \
        check_lines(lines, sizeof(lines) / sizeof(lines[0]));                                      \
    } while (0)

static void opcodes_change_with_the_mode(void)
{
    CHECK_LINES({16, "40", "inc ax"}, {32, "40", "inc eax"}, {64, "40 90", "nop"},
                {32, "63 c8", "arpl ax, cx"}, {64, "63 c8", "movsxd ecx, eax"},
                {64, "48 63 c8", "movsxd rcx, eax"}, {64, "66 63 08", "movsxd cx, dword ptr [rax]"},
                {32, "06", "push es"}, {64, "06", "#UD"}, {64, "27", "#UD"}, {64, "60", "#UD"},
                {64, "9a 00 00 00 00 00 00", "#UD"}, {64, "82 c0 01", "#UD"}, {64, "d4 0a", "#UD"},
                {64, "d6", "#UD"}, {32, "d6", "salc"}, {64, "ce", "#UD"},
                {32, "82 c0 01", "add al, 0x1"},
                {32, "a1 44 33 22 11", "mov eax, dword ptr [0x11223344]"},
                {32, "67 a1 22 11", "mov eax, dword ptr [0x1122]"},
                {64, "a1 88 77 66 55 44 33 22 11", "mov eax, dword ptr [0x1122334455667788]"},
                {64, "67 a1 44 33 22 f1", "mov eax, dword ptr [0xf1223344]"},
                {16, "0f 01 f8", "#UD"}, {64, "0f 01 f8", "swapgs"}, {32, "f3 0f ae c0", "#UD"},
                {64, "f3 0f ae c0", "rdfsbase eax"});
}

static void operand_sizes(void)
{
    CHECK_LINES(
        {16, "66 89 d8", "mov eax, ebx"}, {32, "66 89 d8", "mov ax, bx"},
        {64, "66 48 89 d8", "mov rax, rbx"}, {64, "50", "push rax"}, {64, "66 50", "push ax"},
        {64, "66 48 50", "push rax"}, {64, "41 50", "push r8"},
        {64, "68 ff ff ff ff", "push 0xffffffffffffffff"}, {64, "66 68 34 12", "push 0x1234"},
        {32, "6a 80", "push 0xffffff80"}, {64, "c9", "leave"}, {64, "cf", "iretd"},
        {64, "48 cf", "iretq"}, {64, "48 98", "cdqe"}, {16, "98", "cbw"}, {32, "99", "cdq"},
        {64, "48 ed", "in eax, dx"}, {64, "66 ed", "in ax, dx"}, {64, "48 6d", "insd"},
        {64, "48 b8 88 77 66 55 44 33 22 11", "mov rax, 0x1122334455667788"},
        {64, "48 c7 c0 ff ff ff ff", "mov rax, 0xffffffffffffffff"},
        {64, "0f 20 c0", "mov rax, cr0"}, {32, "66 0f 20 c0", "mov eax, cr0"},
        {64, "44 0f 20 c0", "mov rax, cr8"}, {64, "8c d8", "mov eax, ds"},
        {64, "48 8c d8", "mov rax, ds"}, {64, "8c 18", "mov word ptr [rax], ds"},
        {64, "f3 0f b8 c1", "popcnt eax, ecx"}, {64, "66 f3 0f b8 c1", "popcnt ax, cx"},
        {64, "f2 66 0f 38 f1 c1", "crc32 eax, cx"}, {64, "f2 48 0f 38 f0 c1", "crc32 rax, cl"});
}

/* On the host, 66 makes near branches 16 bits wide in 64-bit mode; W takes precedence. */
static void near_branches(void)
{
    CHECK_LINES({64, "e8 10 00 00 00", "call 0x1015"}, {64, "66 e8 10 00", "call 0x1014"},
                {64, "66 74 f0", "je 0xff3"}, {64, "eb fe", "jmp 0x1000"}, {64, "ff e0", "jmp rax"},
                {64, "66 ff e0", "jmp ax"}, {64, "66 48 ff e0", "jmp rax"},
                {64, "ff 10", "call qword ptr [rax]"}, {32, "66 e9 10 00", "jmp 0x1014"},
                {16, "e3 00", "jcxz 0x1002"}, {16, "67 e3 00", "jecxz 0x1003"},
                {64, "67 e3 00", "jecxz 0x1003"}, {64, "e3 00", "jrcxz 0x1002"},
                {64, "48 ff 28", "jmp far fword ptr [rax]"}, {64, "ff d8", "#UD"},
                {32, "ea 78 56 34 12 cd ab", "jmp far 0xabcd:0x12345678"});
}

static void addresses(void)
{
    CHECK_LINES(
        {16, "8a 00", "mov al, byte ptr [bx+si]"}, {16, "8a 42 ff", "mov al, byte ptr [bp+si-0x1]"},
        {16, "8a 06 34 12", "mov al, byte ptr [0x1234]"},
        {16, "67 8a 04 8b", "mov al, byte ptr [ebx+ecx*4]"},
        {32, "8a 04 25 44 33 22 11", "mov al, byte ptr [0x11223344]"},
        {64, "8a 05 00 00 00 00", "mov al, byte ptr [rip]"},
        {64, "67 8a 05 01 00 00 00", "mov al, byte ptr [eip+0x1]"},
        {64, "8a 04 25 44 33 22 11", "mov al, byte ptr [0x11223344]"},
        {64, "41 8a 04 25 44 33 22 11", "mov al, byte ptr [0x11223344]"},
        {64, "67 41 8a 04 25 44 33 22 11", "mov al, byte ptr [0x11223344]"},
        {64, "42 8a 04 20", "mov al, byte ptr [rax+r12*1]"},
        {64, "8a 04 20", "mov al, byte ptr [rax]"}, {64, "41 8a 45 00", "mov al, byte ptr [r13]"},
        {64, "41 8a 04 24", "mov al, byte ptr [r12]"}, {64, "40 88 e0", "mov al, spl"},
        {64, "88 e0", "mov al, ah"});
}

static void segments(void)
{
    static const struct {
        unsigned bits;
        const char *hex;
        uint8_t seg, override;
    } cases[] = {
        {16, "8a 02", INSN_SEG_SS, INSN_SEG_NONE}, /* [bp+si] */
        {16, "8a 06 00 00", INSN_SEG_DS, INSN_SEG_NONE},
        {32, "8a 04 24", INSN_SEG_SS, INSN_SEG_NONE}, /* [esp] */
        {32, "8a 45 00", INSN_SEG_SS, INSN_SEG_NONE},
        {32, "8a 04 28", INSN_SEG_DS, INSN_SEG_NONE}, /* ebp as index */
        {32, "2e 8a 45 00", INSN_SEG_CS, INSN_SEG_CS},
        {32, "2e 36 8a 00", INSN_SEG_SS, INSN_SEG_SS}, /* the last one */
        {64, "2e 8a 00", INSN_SEG_DS, INSN_SEG_CS},
        {64, "64 8a 00", INSN_SEG_FS, INSN_SEG_FS},
        {64, "64 3e 8a 00", INSN_SEG_FS, INSN_SEG_DS}, /* 3E does not cancel FS */
        {64, "64 65 8a 00", INSN_SEG_GS, INSN_SEG_GS},
        {32, "26 a4", INSN_SEG_ES, INSN_SEG_ES},
        {32, "a4", INSN_SEG_DS, INSN_SEG_NONE},
        {64, "41 8a 45 00", INSN_SEG_DS, INSN_SEG_NONE}, /* r13 is not rbp */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        Insn insn;
        CHECK_EQ(decode(cases[i].bits, cases[i].hex, &insn), INSN_OK);
        CHECK_EQ(insn.seg, cases[i].seg);
        CHECK_EQ(insn.seg_override, cases[i].override);
    }
}

static void prefixes_select(void)
{
    CHECK_LINES({64, "0f 58 c1", "addps xmm0, xmm1"}, {64, "66 0f 58 c1", "addpd xmm0, xmm1"},
                {64, "f3 66 0f 58 c1", "addss xmm0, xmm1"},
                {64, "f3 f2 0f 58 c1", "addsd xmm0, xmm1"},
                {64, "f2 f3 0f 58 c1", "addss xmm0, xmm1"}, {64, "f3 f2 0f 5b c0", "#UD"},
                {64, "f2 f3 0f 5b c0", "cvttps2dq xmm0, xmm0"}, {64, "f2 0f 6f c0", "#UD"},
                {64, "f3 0f 60 c0", "#UD"}, {64, "f3 90", "pause"}, {64, "f3 41 90", "xchg r8d, eax"},
                {64, "41 90", "xchg r8d, eax"}, {64, "f2 90", "nop"},
                /* REX counts only right before the opcode */
                {64, "48 66 89 d8", "mov ax, bx"}, {64, "48 f3 0f 58 c1", "addss xmm0, xmm1"},
                {64, "48 40 89 d8", "mov eax, ebx"},
                {64, "66 0f 38 f0 00", "movbe ax, word ptr [rax]"}, {64, "0f 38 f0 c0", "#UD"},
                {64, "f2 0f 38 f0 c0", "crc32 eax, al"}, {64, "f3 0f 38 f0 00", "#UD"},
                {64, "f3 a4", "rep movsb"}, {64, "f2 a4", "rep movsb"}, {64, "f3 a6", "repe cmpsb"},
                {64, "f2 ae", "repne scasb"}, {64, "64 67 ac", "fs a32 lodsb"});
}

static void lock_rules(void)
{
    CHECK_LINES({32, "f0 01 00", "lock add dword ptr [eax], eax"}, {32, "f0 01 c0", "#UD"},
                {32, "f0 03 00", "#UD"}, {32, "f0 39 00", "#UD"}, {32, "f0 89 00", "#UD"},
                {32, "f0 87 00", "lock xchg dword ptr [eax], eax"}, {32, "f0 0f a3 00", "#UD"},
                {32, "f0 0f ab 00", "lock bts dword ptr [eax], eax"}, {32, "f0 0f ba 20 01", "#UD"},
                {32, "f0 0f ba 28 01", "lock bts dword ptr [eax], 0x1"},
                {32, "f0 f6 10", "lock not byte ptr [eax]"}, {32, "f0 f6 00 01", "#UD"},
                {32, "f0 ff 00", "lock inc dword ptr [eax]"}, {32, "f0 90", "#UD"},
                {32, "f0 0f c7 08", "lock cmpxchg8b qword ptr [eax]"}, {32, "f0 0f c7 c8", "#UD"},
                {64, "f0 48 0f c7 08", "lock cmpxchg16b xmmword ptr [rax]"},
                {32, "f0 d1 00", "#UD"}, {32, "f0 0f 58 00", "#UD"}, {32, "f0 a4", "#UD"});
}

static void register_or_memory_only(void)
{
    CHECK_LINES(
        {32, "8d c0", "#UD"}, {32, "62 c0", "#UD"}, {32, "c4 00", "les eax, fword ptr [eax]"},
        {32, "0f b2 c0", "#UD"}, {32, "0f 01 c0", "#UD"}, {32, "0f 12 c1", "movhlps xmm0, xmm1"},
        {32, "66 0f 12 c1", "#UD"}, {32, "0f d7 00", "#UD"}, {32, "0f 50 00", "#UD"},
        {32, "66 0f f7 00", "#UD"}, {32, "0f e7 c0", "#UD"}, {32, "0f c3 c0", "#UD"},
        {32, "ff f8", "#UD"}, {32, "ff 38", "#UD"}, {32, "fe d0", "#UD"}, {32, "8f c8", "#UD"},
        {32, "c6 c8 00", "#UD"}, {32, "8e c8", "#UD"}, {32, "8e f0", "#UD"}, {32, "8c f0", "#UD"},
        {32, "0f 20 c8", "#UD"}, {32, "0f 20 e8", "#UD"}, {32, "0f 22 f8", "#UD"},
        {32, "0f 24 c0", "#UD"}, {32, "0f 20 18", "mov eax, cr3"}, {64, "44 0f 23 c0", "#UD"},
        {32, "0f 0d c0", "#UD"}, {32, "0f 71 10 00", "#UD"}, {32, "0f ae c0", "#UD"},
        {32, "0f ae e9", "lfence"}, {32, "66 0f ae e8", "#UD"}, {32, "0f ff c0", "#UD"},
        {32, "0f b9 c0", "#UD"}, {32, "0f 0b", "#UD"}, {32, "0f 0a", "#UD"});
}

static void undocumented_but_real(void)
{
    CHECK_LINES(
        {64, "c0 f0 01", "shl al, 0x1"}, {64, "d3 f0", "shl eax, cl"},
        {64, "f6 c8 01", "test al, 0x1"}, {64, "f7 08 01 00 00 00", "test dword ptr [rax], 0x1"},
        {64, "f1", "int1"}, {64, "0f 18 c0", "nop eax"}, {64, "0f 1a 00", "nop dword ptr [rax]"},
        {64, "f3 0f 1e fa", "endbr64"}, {64, "f3 0f 1e c8", "nop eax"},
        {64, "d9 d9", "fstpnce st(1)"}, {64, "dc d1", "fcom st(0), st(1)"},
        {64, "dc d9", "fcomp st(0), st(1)"}, {64, "dd c9", "fxch st(0), st(1)"},
        {64, "de d1", "fcomp st(0), st(1)"}, {64, "df c1", "ffreep st(1)"},
        {64, "df d1", "fstp st(1)"}, {64, "db e0", "fneni"}, {64, "db e5", "#UD"},
        {64, "d9 d1", "#UD"}, {64, "de d8", "#UD"}, {64, "df e1", "#UD"}, {64, "dd f0", "#UD"},
        {64, "dc e1", "fsubr st(1), st(0)"}, {64, "de e9", "fsubp st(1), st(0)"});
}

static void vex(void)
{
    CHECK_LINES(
        {64, "c5 f4 58 c2", "vaddps ymm0, ymm1, ymm2"},
        {64, "c4 c1 74 58 c2", "vaddps ymm0, ymm1, ymm10"},
        {64, "c5 74 58 c2", "vaddps ymm8, ymm1, ymm2"}, {64, "66 c5 f4 58 c2", "#UD"},
        {64, "f3 c5 f4 58 c2", "#UD"}, {64, "f0 c5 f4 58 c2", "#UD"}, {64, "40 c5 f4 58 c2", "#UD"},
        {64, "65 c5 f4 58 00", "vaddps ymm0, ymm1, ymmword ptr gs:[rax]"},
        /* vvvv must be 1111 where there is no operand, with all four bits in any mode */
        {64, "c5 f4 28 c2", "#UD"}, {64, "c5 fc 28 c2", "vmovaps ymm0, ymm2"},
        {32, "c4 e1 3c 77", "#UD"}, {32, "c4 e1 7c 77", "vzeroall"},
        {32, "c4 e1 34 58 c1", "vaddps ymm0, ymm1, ymm1"}, /* bit 3 ignored in 32-bit mode */
        {32, "c4 e3 79 4a c1 90", "vblendvps xmm0, xmm0, xmm1, xmm1"},
        {64, "c4 e3 79 4a c1 90", "vblendvps xmm0, xmm0, xmm1, xmm9"}, {64, "c4 e0 7c 77", "#UD"},
        {64, "c4 e4 7c 77", "#UD"},                                         /* map 0 and 4 */
        {64, "c5 fd 6e c0", "#UD"}, {64, "c5 f9 6e c0", "vmovd xmm0, eax"}, /* L */
        {64, "c4 e1 f9 6e c0", "vmovq xmm0, rax"}, {32, "c4 e1 f9 6e c0", "vmovd xmm0, eax"},
        {64, "c4 e3 fd 00 c1 02", "vpermq ymm0, ymm1, 0x2"}, {64, "c4 e3 7d 00 c1 02", "#UD"},
        {64, "c4 e3 f9 00 c1 02", "#UD"}, {64, "c4 e2 70 f2 c2", "andn eax, ecx, edx"},
        {64, "c4 e2 f0 f2 c2", "andn rax, rcx, rdx"}, {64, "c4 e2 74 f2 c2", "#UD"},
        {32, "c4 e2 f0 f2 c2", "andn eax, ecx, edx"},
        {64, "c4 e2 69 90 04 08", "vpgatherdd xmm0, dword ptr [rax+xmm1*1], xmm2"},
        {64, "c4 e2 e9 90 04 08", "vpgatherdq xmm0, qword ptr [rax+xmm1*1], xmm2"},
        {64, "c4 e2 ed 90 04 08", "vpgatherdq ymm0, qword ptr [rax+xmm1*1], ymm2"},
        {64, "c4 e2 6d 91 04 08", "vpgatherqd xmm0, dword ptr [rax+ymm1*1], xmm2"},
        {64, "c4 e2 69 90 04 20", "vpgatherdd xmm0, dword ptr [rax+xmm4*1], xmm2"},
        {64, "c4 e2 71 90 04 08", "#UD"}, {64, "c4 e2 69 90 00", "#UD"},
        /* LES, LDS, BOUND, or a vector prefix */
        {32, "c5 00", "lds eax, fword ptr [eax]"}, {32, "c5 c0 58 c0", "vaddps xmm0, xmm7, xmm0"},
        {32, "62 00", "bound eax, qword ptr [eax]"}, {64, "62 00", "#UD"},
        {32, "62 f1 7c 48 58 c1", "#UD"});
}

static void real_and_v86_mode(void)
{
    DecodeMode mode = make_mode(16);
    Insn insn;

    mode.protected_mode = false;
    CHECK_EQ(decode_in(&mode, "c5 f4 58 c2", &insn), INSN_UD);
    CHECK_EQ(decode_in(&mode, "c5 00", &insn), INSN_OK);
    CHECK_EQ(insn.op, OP_LDS);
    CHECK_EQ(decode_in(&mode, "63 c8", &insn), INSN_UD);    /* ARPL */
    CHECK_EQ(decode_in(&mode, "0f 00 c0", &insn), INSN_UD); /* SLDT */
    CHECK_EQ(decode_in(&mode, "0f 02 c0", &insn), INSN_UD); /* LAR */
    CHECK_EQ(decode_in(&mode, "0f 01 e0", &insn), INSN_OK); /* SMSW */
    CHECK_EQ(decode_in(&mode, "0f 20 c0", &insn), INSN_OK);
}

/* What CPUID does not show is #UD, or what the bytes meant before it came. */
static void missing_features(void)
{
    DecodeMode mode = make_mode(32);
    Insn insn;

    insn_features_clear(&mode.features, CPUF_LZCNT);
    insn_features_clear(&mode.features, CPUF_BMI1);
    insn_features_clear(&mode.features, CPUF_POPCNT);
    insn_features_clear(&mode.features, CPUF_CMOV);
    insn_features_clear(&mode.features, CPUF_AVX2);
    CHECK_EQ(decode_in(&mode, "f3 0f bd c0", &insn), INSN_OK);
    CHECK_EQ(insn.op, OP_BSR);
    CHECK_EQ(decode_in(&mode, "f3 0f bc c0", &insn), INSN_OK);
    CHECK_EQ(insn.op, OP_BSF);
    CHECK_EQ(decode_in(&mode, "f3 0f b8 c0", &insn), INSN_UD);
    CHECK_EQ(decode_in(&mode, "0f 44 c0", &insn), INSN_UD);
    CHECK_EQ(decode_in(&mode, "da c0", &insn), INSN_UD);       /* FCMOVB */
    CHECK_EQ(decode_in(&mode, "c5 f9 db c0", &insn), INSN_OK); /* VPAND, 128 bits: AVX */
    CHECK_EQ(decode_in(&mode, "c5 fd db c0", &insn), INSN_UD); /* 256 bits: AVX2 */
    insn_features_clear(&mode.features, CPUF_AVX);
    CHECK_EQ(decode_in(&mode, "c4 e2 79 dc c0", &insn), INSN_UD); /* VAESENC: AES and AVX */
    CHECK_EQ(decode_in(&mode, "66 0f 38 dc c0", &insn), INSN_OK);
}

static void length_limit(void)
{
    DecodeMode mode = make_mode(64);
    uint8_t bytes[32];
    Insn insn;

    memset(bytes, 0x66, sizeof(bytes));
    bytes[14] = 0x90;
    CHECK_EQ(insn_decode(&mode, bytes, 32, &insn), INSN_OK);
    CHECK_EQ(insn.len, 15);
    bytes[14] = 0x66;
    bytes[15] = 0x90;
    CHECK_EQ(insn_decode(&mode, bytes, 32, &insn), INSN_TOO_LONG);
    CHECK_EQ(insn_decode(&mode, bytes, 15, &insn), INSN_TOO_LONG);
    CHECK_EQ(insn_decode(&mode, bytes, 14, &insn), INSN_TRUNCATED);
    /* the limit comes before #UD: 14 prefixes and UD2, and LOCK before a MOV of 17 bytes */
    bytes[14] = 0x0f;
    bytes[15] = 0x0b;
    CHECK_EQ(insn_decode(&mode, bytes, 32, &insn), INSN_TOO_LONG);
    memset(bytes, 0xf0, 12);
    memcpy(bytes + 12, "\xb8\0\0\0\0", 5);
    CHECK_EQ(insn_decode(&mode, bytes, 32, &insn), INSN_TOO_LONG);
    memset(bytes, 0x66, 14);
    bytes[14] = 0x06; /* one byte, no such instruction: 15 bytes are enough to say so */
    CHECK_EQ(insn_decode(&mode, bytes, 32, &insn), INSN_UD);
    CHECK_EQ(insn_decode(&mode, bytes, 0, &insn), INSN_TRUNCATED);
}

/* Every shorter piece of an instruction wants more bytes. */
static void truncation(void)
{
    static const char *const samples[] = {
        "66 0f 3a 0f 84 88 11 22 33 44 55",
        "c4 e3 75 4a 84 88 11 22 33 44 50",
        "48 b8 11 22 33 44 55 66 77 88",
        "f0 48 81 84 88 11 22 33 44 55 66 77 88",
        "c8 11 22 33",
        "f0 b8 11 22 33 44",
        "66 c5 f4 58 84 88 11 22 33 44",
    };
    DecodeMode mode = make_mode(64);

    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        uint8_t bytes[32];
        Insn insn;
        size_t n = parse_bytes(samples[i], bytes);
        for (size_t k = 0; k < n; k++)
            CHECK_EQ(insn_decode(&mode, bytes, k, &insn), INSN_TRUNCATED);
        CHECK(insn_decode(&mode, bytes, n, &insn) <= INSN_UD);
        CHECK_EQ(insn.len, n);
    }
}

static void operands_and_immediates(void)
{
    Insn insn;

    CHECK_EQ(decode(32, "c8 34 12 05", &insn), INSN_OK); /* ENTER */
    CHECK_EQ(insn.imm, 0x1234);
    CHECK_EQ(insn.imm2, 5);
    CHECK_EQ(decode(64, "48 81 45 10 00 00 00 80", &insn), INSN_OK); /* ADD [rbp+16], imm32 */
    CHECK_EQ(insn.imm, 0xffffffff80000000);
    CHECK_EQ(insn.disp, 16);
    CHECK_EQ(insn.mem_size, 8);
    CHECK_EQ(insn.ops[0].kind, OPND_MEM);
    CHECK_EQ(insn.ops[0].access, OPND_READ | OPND_WRITE);
    CHECK_EQ(insn.flags & (INSN_MEM_READ | INSN_MEM_WRITE), INSN_MEM_READ | INSN_MEM_WRITE);
    CHECK_EQ(insn.off_opcode, 1);
    CHECK_EQ(insn.off_modrm, 2);
    CHECK_EQ(insn.off_disp, 3);
    CHECK_EQ(insn.off_imm, 4);
    CHECK_EQ(insn.imm_size, 4);
    CHECK_EQ(decode(32, "80 c4 80", &insn), INSN_OK); /* ADD AH, 0x80 */
    CHECK_EQ(insn.ops[0].kind, OPND_GPR8H);
    CHECK_EQ(insn.ops[0].reg, 0);
    CHECK_EQ(insn.imm, 0x80);
    CHECK_EQ(insn.opsize, 1);
    CHECK_EQ(decode(32, "83 c0 80", &insn), INSN_OK);
    CHECK_EQ(insn.imm, -0x80);
    CHECK_EQ(decode(32, "8d 04 8b", &insn), INSN_OK); /* LEA reads no memory */
    CHECK_EQ(insn.flags & (INSN_MEM_READ | INSN_MAY_FAULT), 0);
    CHECK_EQ(decode(32, "ff 70 04", &insn), INSN_OK); /* PUSH [eax+4]: reads it, writes the stack */
    CHECK_EQ(insn.flags & (INSN_MEM_READ | INSN_MEM_WRITE | INSN_MEM_IMPLICIT),
             INSN_MEM_READ | INSN_MEM_WRITE | INSN_MEM_IMPLICIT);
    CHECK_EQ(decode(64, "66 0f 6f 00", &insn), INSN_OK); /* MOVDQA */
    CHECK_EQ(insn.mem_align, 16);
    CHECK_EQ(decode(64, "f3 0f 6f 00", &insn), INSN_OK); /* MOVDQU */
    CHECK_EQ(insn.mem_align, 1);
    CHECK_EQ(decode(64, "c5 fd 6f 00", &insn), INSN_OK); /* VMOVDQA ymm */
    CHECK_EQ(insn.mem_align, 32);
    CHECK_EQ(decode(64, "c5 f4 58 00", &insn), INSN_OK); /* VADDPS ymm */
    CHECK_EQ(insn.mem_align, 1);
    CHECK_EQ(decode(64, "f3 0f 58 00", &insn), INSN_OK); /* ADDSS */
    CHECK_EQ(insn.mem_align, 1);
    CHECK_EQ(insn.mem_size, 4);
}

static void classes_and_flags(void)
{
    Insn insn;

    CHECK_EQ(decode(32, "d8 00", &insn), INSN_OK);
    CHECK_EQ(insn.insn_class, INSN_CLASS_X87);
    CHECK(insn.flags & INSN_HOST_EXEC);
    CHECK_EQ(decode(32, "9b", &insn), INSN_OK);
    CHECK_EQ(insn.insn_class, INSN_CLASS_WAIT);
    CHECK_EQ(decode(32, "df e0", &insn), INSN_OK); /* FNSTSW AX */
    CHECK_EQ(insn.insn_class, INSN_CLASS_X87_NOWAIT);
    CHECK_EQ(decode(32, "0f 6f c1", &insn), INSN_OK);
    CHECK_EQ(insn.insn_class, INSN_CLASS_MMX);
    CHECK_EQ(decode(32, "0f 2a c1", &insn), INSN_OK); /* CVTPI2PS */
    CHECK_EQ(insn.insn_class, INSN_CLASS_SSE_MMX);
    CHECK_EQ(decode(32, "c5 fc 77", &insn), INSN_OK);
    CHECK_EQ(insn.insn_class, INSN_CLASS_AVX);
    CHECK_EQ(decode(32, "0f ae 00", &insn), INSN_OK); /* FXSAVE */
    CHECK_EQ(insn.mem_size, 512);
    CHECK(!(insn.flags & INSN_HOST_EXEC));
    CHECK_EQ(decode(32, "f4", &insn), INSN_OK);
    CHECK_EQ(insn.flags & (INSN_SYSTEM | INSN_ENDS_BLOCK), INSN_SYSTEM | INSN_ENDS_BLOCK);
    CHECK_EQ(decode(32, "fb", &insn), INSN_OK);
    CHECK(insn.flags & INSN_SHADOW);
    CHECK_EQ(decode(32, "8e d0", &insn), INSN_OK); /* MOV SS */
    CHECK(insn.flags & INSN_SHADOW);
    CHECK_EQ(decode(32, "0f b2 00", &insn), INSN_OK); /* LSS */
    CHECK_EQ(insn.flags & (INSN_SHADOW | INSN_ENDS_BLOCK), INSN_ENDS_BLOCK);
    CHECK_EQ(decode(32, "8e d8", &insn), INSN_OK); /* MOV DS */
    CHECK(!(insn.flags & INSN_SHADOW));
    CHECK_EQ(decode(32, "0f a3 00", &insn), INSN_OK);
    CHECK(insn.flags & INSN_MEM_BITSTRING);
    CHECK_EQ(decode(32, "0f a3 c0", &insn), INSN_OK);
    CHECK(!(insn.flags & INSN_MEM_BITSTRING));
}

static void eflags(void)
{
    static const struct {
        const char *hex;
        unsigned read, written, undefined;
    } cases[] = {
        {"01 c0", 0, EFL_ARITH, 0},
        {"11 c0", EFL_CF, EFL_ARITH, 0},
        {"40", 0, EFL_ARITH & ~EFL_CF, 0},
        {"21 c0", 0, EFL_ARITH & ~EFL_AF, EFL_AF},
        {"76 00", EFL_CF | EFL_ZF, 0, 0},
        {"0f 9f c0", EFL_ZF | EFL_SF | EFL_OF, 0, 0},
        {"c1 e0 00", 0, 0, 0}, /* SHL by nothing */
        {"c1 e0 20", 0, 0, 0}, /* 32 counts as nothing */
        {"c1 e0 01", 0, EFL_ARITH & ~EFL_AF, EFL_AF},
        {"c1 e0 02", 0, EFL_ARITH & ~(EFL_AF | EFL_OF), EFL_AF | EFL_OF},
        {"d1 d0", EFL_CF, EFL_CF | EFL_OF, 0},
        {"d3 e0", EFL_ARITH, EFL_ARITH & ~(EFL_AF | EFL_OF), EFL_AF | EFL_OF},
        {"f3 a6", EFL_DF | EFL_ARITH, EFL_ARITH, 0}, /* nothing compared when ECX = 0 */
        {"a6", EFL_DF, EFL_ARITH, 0},
        {"89 c0", 0, 0, 0},
        /* undefined, but left as they were by processors */
        {"0f a3 c0", EFL_OF | EFL_SF | EFL_AF | EFL_PF, EFL_CF, EFL_OF | EFL_SF | EFL_AF | EFL_PF},
        {"f7 e0", EFL_SF | EFL_ZF | EFL_AF | EFL_PF, EFL_CF | EFL_OF,
         EFL_SF | EFL_ZF | EFL_AF | EFL_PF},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        Insn insn;
        CHECK_EQ(decode(32, cases[i].hex, &insn), INSN_OK);
        CHECK_EQ(insn.eflags_read, cases[i].read);
        CHECK_EQ(insn.eflags_written, cases[i].written);
        CHECK_EQ(insn.eflags_undefined, cases[i].undefined);
    }
}

/* UD0, UD1 and UD2 keep their names for the printer. */
static void named_ud(void)
{
    Insn insn;

    CHECK_EQ(decode(64, "0f 0b", &insn), INSN_UD);
    CHECK_EQ(insn.op, OP_UD2);
    CHECK_EQ(insn.len, 2);
    CHECK_EQ(decode(64, "0f b9 00", &insn), INSN_UD);
    CHECK_EQ(insn.op, OP_UD1);
    CHECK_EQ(decode(64, "0f 0a", &insn), INSN_UD);
    CHECK_EQ(insn.op, OP_INVALID);
}

/* Every row can be encoded in some mode, and what insn_form_encode() makes decodes to that row or
 * to one before it that the row's freedom allows. */
static void forms_round_trip(void)
{
    static const unsigned widths[] = {64, 32, 16};
    size_t same = 0;

    for (size_t i = 0; i < insn_form_count(); i++) {
        InsnForm form;
        size_t n = 0;
        CHECK(insn_form(i, &form));
        for (unsigned w = 0; w < 3 && !n; w++) {
            /* ModRM with SIB and distinct registers: gathers want both */
            static const uint8_t memory[8] = {0x14, 0x18}, reg[8] = {0xd1};
            bool as_reg = form.mod_reg == 1;
            DecodeMode mode = make_mode(widths[w]);
            uint8_t bytes[INSN_MAX_LENGTH] = {0};
            Insn insn;
            size_t tail = form.has_modrm ? (as_reg ? 1 : 2) : 0;
            n = insn_form_encode(&form, widths[w] / 8, 0, 0, as_reg ? reg : memory, tail, bytes);
            if (!n || (!as_reg && widths[w] == 16)) {
                n = 0;
                continue;
            }
            InsnStatus status = insn_decode(&mode, bytes, sizeof(bytes), &insn);
            if (form.op == OP_UD0 || form.op == OP_UD1 || form.op == OP_UD2) {
                CHECK_EQ(status, INSN_UD);
            } else {
                if (status != INSN_OK)
                    printf("# form %zu: %s\n", i, insn_op_name(form.op));
                CHECK_EQ(status, INSN_OK);
            }
            CHECK_EQ(insn.map, form.map);
            CHECK_EQ(insn.opcode, form.opcode);
            same += insn.form == i;
        }
        CHECK(n > 0);
    }
    CHECK(same > insn_form_count() * 95 / 100);
    CHECK(!insn_form(insn_form_count(), &(InsnForm){0}));
}

static void names(void)
{
    CHECK_STR(insn_op_name(OP_VFMADD132PS), "VFMADD132PS");
    CHECK_STR(insn_feature_name(CPUF_SSE41), "sse4_1");
    for (int f = 0; f < CPUF_COUNT; f++)
        CHECK(insn_feature_name(f) != NULL);
    CHECK(insn_feature_name(CPUF_COUNT) == NULL);
}

TESTS(TEST(opcodes_change_with_the_mode), TEST(operand_sizes), TEST(near_branches), TEST(addresses),
      TEST(segments), TEST(prefixes_select), TEST(lock_rules), TEST(register_or_memory_only),
      TEST(undocumented_but_real), TEST(vex), TEST(real_and_v86_mode), TEST(missing_features),
      TEST(length_limit), TEST(truncation), TEST(operands_and_immediates), TEST(classes_and_flags),
      TEST(eflags), TEST(named_ud), TEST(forms_round_trip), TEST(names))

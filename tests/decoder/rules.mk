# The decoder against Zydis (when configure found it), and its fuzzer.
#   make check-decoder        the systematic walk, one register of eight in ModRM, and random bytes
#   make check-decoder-long   all of the walk, ten million random encodings a mode; then the host
#   make check-decoder-host   lengths and #UD against this processor (about a minute)
#   make fuzz-decode          $(B)/tests/fuzz/decode, with libFuzzer where the compiler has it
ifeq ($(CONFIG_ZYDIS),y)
$(B)/tests/decoder/compare: $(B)/tests/decoder/compare.o $(B)/libvole.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS) -lZydis

check-decoder: $(B)/tests/decoder/compare
	$(Q)$(B)/tests/decoder/compare

check-decoder-long: $(B)/tests/decoder/compare $(B)/tests/decoder/host
	$(Q)$(B)/tests/decoder/compare --full -n 10000000
	$(Q)$(B)/tests/decoder/host
else
check-decoder check-decoder-long:
	@echo "# skipped: no Zydis (libzydis-dev)"
endif

$(B)/tests/decoder/host: $(B)/tests/decoder/host.o $(B)/libvole.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

check-decoder-host: $(B)/tests/decoder/host
	$(Q)$(B)/tests/decoder/host

FUZZ_CC ?= clang
FUZZ_CFLAGS = -std=gnu11 -O1 -g -I. -D_GNU_SOURCE -fno-omit-frame-pointer -pthread
FUZZ_DECODE_SRCS = tests/fuzz/decode.c $(wildcard target-i386/decode*.c) target-i386/disas.c
# Without libFuzzer a main() of the file's own feeds it random bytes.
fuzz-decode $(B)/tests/fuzz/decode: $(FUZZ_DECODE_SRCS) target-i386/insn.h target-i386/insn-ops.def
	@mkdir -p $(B)/tests/fuzz
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer,address,undefined -DLIBFUZZER \
		-fno-sanitize-recover=all -o $(B)/tests/fuzz/decode $(FUZZ_DECODE_SRCS) 2>/dev/null || \
	$(CC) $(FUZZ_CFLAGS) -fsanitize=address,undefined -fno-sanitize-recover=all \
		-o $(B)/tests/fuzz/decode $(FUZZ_DECODE_SRCS)

check-fuzz-decode: $(B)/tests/fuzz/decode
	$(Q)$(B)/tests/fuzz/decode -runs=1000000 -max_len=48

.PHONY: check-decoder check-decoder-long check-decoder-host fuzz-decode check-fuzz-decode

# The fuzzers of devices, CPU and GDB stub, always with sanitizers.
#   make check-fuzz        some 20 seconds
#   make check-fuzz-long   at least a million accesses to every device region
$(B)/tests/fuzz/devices: $(B)/tests/fuzz/devices.o $(B)/libvole.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/tests/fuzz/cpu: $(B)/tests/fuzz/cpu.o $(B)/libvole.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/tests/fuzz/gdb: $(B)/tests/fuzz/gdb.o $(B)/libvole.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/tests/fuzz/monitor: $(B)/tests/fuzz/monitor.o $(B)/libvole.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/tests/fuzz/snapshot: $(B)/tests/fuzz/snapshot.o $(B)/libvole.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/tests/fuzz/block: $(B)/tests/fuzz/block.o $(B)/libvole.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/tests/fuzz/nbd: $(B)/tests/fuzz/nbd.o $(B)/libvole.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/tests/fuzz/vvfat: $(B)/tests/fuzz/vvfat.o $(B)/libvole.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

# What tests/sanitize builds and runs.
sanitize-tests: $(B)/tests/fuzz/block $(B)/tests/fuzz/vvfat $(B)/vole-img block-tests $(UNIT_BINS) $(B)/tests/fuzz/devices $(B)/tests/fuzz/monitor \
	$(B)/tests/fuzz/snapshot

run-unit-tests: $(UNIT_BINS)
	@status=0; for t in $(UNIT_BINS); do $$t || status=1; done; exit $$status

ifeq ($(SANITIZE),1)
SANITIZED = ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1
FUZZ_DEVICES = $(SANITIZED) $(B)/tests/fuzz/devices

FUZZ_MONITOR = ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 $(B)/tests/fuzz/monitor

# Every format that has seeds; FORMAT=NAME for one. FUZZ_BLOCK: how much, for each.
FORMAT ?=
FUZZ_BLOCK ?= --seconds 5
FUZZ_SEEDS = $(B)/tests/fuzz/seeds
fuzz-block: $(B)/tests/fuzz/block $(B)/vole-img
	$(Q)ASAN_OPTIONS=detect_leaks=0 tests/image/seeds $(B)/vole-img $(FUZZ_SEEDS) $(FORMAT)
	$(Q)for f in $(if $(FORMAT),$(FORMAT),$$(cd $(FUZZ_SEEDS) && ls -d */ | tr -d /)); do \
		ASAN_OPTIONS=detect_leaks=0:hard_rss_limit_mb=2048:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
		$(B)/tests/fuzz/block --format $$f $(FUZZ_BLOCK) $(FUZZ_SEEDS)/$$f/* || exit 1; done

FUZZ_NBD = ASAN_OPTIONS=detect_leaks=0:max_allocation_size_mb=256:allocator_may_return_null=1 \
	UBSAN_OPTIONS=print_stacktrace=1 $(B)/tests/fuzz/nbd

# Guests that write anything into fat:rw:DIR.
FUZZ_VVFAT ?= --seconds 5
fuzz-vvfat: $(B)/tests/fuzz/vvfat
	$(Q)$(SANITIZED) $(B)/tests/fuzz/vvfat $(FUZZ_VVFAT) $(B)/tests/fuzz/vvfat-work

FUZZ_CPU = $(SANITIZED) $(B)/tests/fuzz/cpu

FUZZ_GDB = ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 $(B)/tests/fuzz/gdb

check-fuzz: $(B)/tests/fuzz/snapshot $(B)/tests/fuzz/devices $(B)/tests/fuzz/cpu $(B)/tests/blocks/blocks $(B)/tests/fuzz/gdb $(B)/tests/fuzz/monitor $(B)/tests/fuzz/nbd
	$(Q)$(MAKE) fuzz-block fuzz-vvfat
	$(Q)$(FUZZ_NBD) --runs 1500
	$(Q)$(FUZZ_MONITOR) --cases 5000
	$(Q)$(SANITIZED) $(B)/tests/fuzz/snapshot --cases 1000
	$(Q)$(FUZZ_CPU) -runs=4000
	$(Q)$(FUZZ_CPU) -jit -runs=2000
	$(Q)$(SANITIZED) $(B)/tests/blocks/blocks -blocks 20000 -seed 7
	$(Q)$(FUZZ_GDB) -runs=100
	$(Q)$(FUZZ_DEVICES) --accesses 40000 --state 500
	$(Q)$(FUZZ_DEVICES) --machine isapc --accesses 20000 --state 200

check-fuzz-long: $(B)/tests/fuzz/snapshot $(B)/tests/fuzz/devices $(B)/tests/fuzz/cpu $(B)/tests/blocks/blocks $(B)/tests/fuzz/gdb $(B)/tests/fuzz/monitor $(B)/tests/fuzz/nbd
	$(Q)$(MAKE) fuzz-block FUZZ_BLOCK="--seconds 1800"
	$(Q)$(FUZZ_NBD) --seconds 1800
	$(Q)$(MAKE) fuzz-vvfat FUZZ_VVFAT="--seconds 1800"
	$(Q)$(FUZZ_MONITOR) --cases 500000
	$(Q)$(SANITIZED) $(B)/tests/fuzz/snapshot --cases 200000
	$(Q)$(FUZZ_CPU) -runs=400000
	$(Q)$(FUZZ_CPU) -jit -runs=100000
	$(Q)$(SANITIZED) $(B)/tests/blocks/blocks -blocks 1000000 -seed 8
	$(Q)$(FUZZ_GDB) -runs=20000
	$(Q)$(FUZZ_DEVICES) --accesses 1000000 --state 20000
	$(Q)$(FUZZ_DEVICES) --machine isapc --accesses 1000000 --state 20000
else
check-fuzz check-fuzz-long:
	$(Q)$(MAKE) SANITIZE=1 B=build-sanitize $@
endif

.PHONY: fuzz-block fuzz-vvfat sanitize-tests run-unit-tests check-fuzz check-fuzz-long

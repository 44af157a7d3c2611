# The device fuzzer, always with sanitizers.
#   make check-fuzz        some 20 seconds
#   make check-fuzz-long   at least a million accesses to every device region
$(B)/tests/fuzz/devices: $(B)/tests/fuzz/devices.o $(B)/libvole.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

ifeq ($(SANITIZE),1)
FUZZ_DEVICES = ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 $(B)/tests/fuzz/devices

check-fuzz: $(B)/tests/fuzz/devices
	$(Q)$(FUZZ_DEVICES) --accesses 20000 --state 100
	$(Q)$(FUZZ_DEVICES) --machine isapc --accesses 10000 --state 50

check-fuzz-long: $(B)/tests/fuzz/devices
	$(Q)$(FUZZ_DEVICES) --accesses 1000000 --state 20000
	$(Q)$(FUZZ_DEVICES) --machine isapc --accesses 1000000 --state 20000
else
check-fuzz check-fuzz-long:
	$(Q)$(MAKE) SANITIZE=1 B=build-sanitize $@
endif

.PHONY: check-fuzz check-fuzz-long

# Programs that test the block stack from inside: crashes, interleavings.
BLOCK_TESTS = crash interleave jobs
BLOCK_HELP = $(B)/tests/block/hold.o $(B)/tests/block/powercut.o

$(BLOCK_TESTS:%=$(B)/tests/block/%): $(B)/tests/block/%: $(B)/tests/block/%.o $(BLOCK_HELP) $(B)/libvole.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

block-tests: $(BLOCK_TESTS:%=$(B)/tests/block/%)

# Cuts of the power, and schedules of requests that run at the same time.
CRASH_FORMATS = qcow vdi vpc vhdx vmdk parallels bochs
check-block: block-tests
	$(Q)$(B)/tests/block/crash --points 3000 --faults 500
	$(Q)for f in $(CRASH_FORMATS); do $(B)/tests/block/crash --format $$f --points 300 --faults 60 && \
		tests/block/judge $(B)/tests/block/crash $$f 15 || exit 1; done
	$(Q)tests/block/judge $(B)/tests/block/crash qcow2 100
	$(Q)$(B)/tests/block/interleave --schedules 100000
	$(Q)$(B)/tests/block/jobs --schedules 500

check-block-long: block-tests
	$(Q)$(B)/tests/block/crash --points 40000 --faults 20000 --seed 2
	$(Q)for f in $(CRASH_FORMATS); do $(B)/tests/block/crash --format $$f --points 10000 --faults 3000 --seed 2 && \
		tests/block/judge $(B)/tests/block/crash $$f 1000 || exit 1; done
	$(Q)tests/block/judge $(B)/tests/block/crash qcow2 12000
	$(Q)$(B)/tests/block/interleave --schedules 2000000 --seed 2
	$(Q)$(B)/tests/block/jobs --schedules 100000 --seed 2

.PHONY: block-tests check-block check-block-long

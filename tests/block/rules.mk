# Programs that test the block stack from inside: crashes, interleavings.
BLOCK_TESTS = crash interleave jobs

$(BLOCK_TESTS:%=$(B)/tests/block/%): $(B)/tests/block/%: $(B)/tests/block/%.o $(B)/libvole.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

block-tests: $(BLOCK_TESTS:%=$(B)/tests/block/%)

# Cuts of the power, and schedules of requests that run at the same time.
check-block: block-tests
	$(Q)$(B)/tests/block/crash --points 3000 --faults 500
	$(Q)tests/block/judge $(B)/tests/block/crash 100
	$(Q)$(B)/tests/block/interleave --schedules 100000
	$(Q)$(B)/tests/block/jobs --schedules 500

check-block-long: block-tests
	$(Q)$(B)/tests/block/crash --points 40000 --faults 20000 --seed 2
	$(Q)tests/block/judge $(B)/tests/block/crash 12000
	$(Q)$(B)/tests/block/interleave --schedules 2000000 --seed 2
	$(Q)$(B)/tests/block/jobs --schedules 100000 --seed 2

.PHONY: block-tests check-block check-block-long

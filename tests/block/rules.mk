# Programs that test the block stack from inside: crashes, interleavings.
BLOCK_TESTS = crash

$(BLOCK_TESTS:%=$(B)/tests/block/%): $(B)/tests/block/%: $(B)/tests/block/%.o $(B)/libvole.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

block-tests: $(BLOCK_TESTS:%=$(B)/tests/block/%)
.PHONY: block-tests

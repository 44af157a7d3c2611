# Random programs on translator and executor side by side.
#   make check-blocks        200,000 blocks
#   make check-blocks-long   50 million
# Programs (seed/number) that once made a difference: in what was moved to another address, code behind a block that had a part in it and a constant
# address that was taken for a bit string's; under lockstep, a mode that changed while the code that changed it was written;
# CMPXCHG8B behind a shift, whose flags were made again.
BLOCKS_FOUND = 20004/30213 20009/48858 20018/68246 20024/37049 20025/46673 20013/66367 31012/45942 41007/6718

BLOCKS_OBJS = $(B)/tests/blocks/blocks.o $(B)/tests/oracle/generate.o $(B)/tests/oracle/program.o

$(B)/tests/blocks/blocks: $(BLOCKS_OBJS) $(B)/libvole.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

check-blocks: $(B)/tests/blocks/blocks
	$(Q)$(B)/tests/blocks/blocks -blocks 200000
	$(Q)for p in $(BLOCKS_FOUND); do \
		$(B)/tests/blocks/blocks -seed $${p%/*} -program $${p#*/} || exit; \
	done

check-blocks-long: $(B)/tests/blocks/blocks
	$(Q)$(B)/tests/blocks/blocks -blocks 50000000 -seed 2 -progress

.PHONY: check-blocks check-blocks-long

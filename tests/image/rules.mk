# vole-img beside qemu-img, ratios; on an otherwise idle machine.
bench-img: all
	$(Q)tests/image/bench $(B)/vole-img

.PHONY: bench-img

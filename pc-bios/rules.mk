# Builds the option ROMs and compiles the ACPI tables' source. Included by the Makefile.
#   $(B)/pc-bios/NAME.bin   option ROMs, found by the program beside itself or in its data directory
IASL ?= iasl
PC_BIOS_ROMS = $(B)/pc-bios/linuxboot.bin $(B)/pc-bios/multiboot.bin

all: $(PC_BIOS_ROMS)

$(B)/pc-bios/signrom: pc-bios/signrom.c
	$(call say,HOSTCC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -Wall -Wextra -O1 -o $@ $<

$(B)/pc-bios/%.o: pc-bios/%.S
	$(call say,AS,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) -m32 -I. -Ipc-bios -MMD -MP -c -o $@ $<

$(B)/pc-bios/%.img: $(B)/pc-bios/%.o
	$(Q)$(LD) -m elf_i386 -Ttext=0 -e _start --build-id=none --oformat binary -o $@ $<

$(B)/pc-bios/%.bin: $(B)/pc-bios/%.img $(B)/pc-bios/signrom
	$(call say,ROM,$@)
	$(Q)$(B)/pc-bios/signrom $< $@

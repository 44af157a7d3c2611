# Builds the option ROMs and compiles the ACPI tables' source. Included by the Makefile.
#   $(B)/pc-bios/NAME.bin   option ROMs, found by the program beside itself or in its data directory
#   $(B)/pc-bios/dsdt.hex   the DSDT as C, for hw/acpi-tables.c (dsdt.aml: the same for iasl -d)
IASL ?= iasl
PC_BIOS_ROMS = $(B)/pc-bios/linuxboot.bin $(B)/pc-bios/multiboot.bin

all: $(PC_BIOS_ROMS)
# The program finds them beside itself.
$(B)/vole: | $(PC_BIOS_ROMS)

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

# The DSDT becomes an array in the program. iasl reads what the C preprocessor makes of it.
$(B)/pc-bios/dsdt.hex: pc-bios/dsdt.asl
	$(call say,IASL,$<)
	@mkdir -p $(@D)
	$(Q)cpp -P -undef -nostdinc $< $(B)/pc-bios/dsdt.i.asl
	$(Q)$(IASL) -vs -tc -p $(B)/pc-bios/dsdt $(B)/pc-bios/dsdt.i.asl >$(B)/pc-bios/dsdt.log 2>&1 || \
		{ cat $(B)/pc-bios/dsdt.log; rm -f $@; exit 1; }

$(B)/hw/acpi-tables.o: $(B)/pc-bios/dsdt.hex

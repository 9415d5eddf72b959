# mien: one non-recursive Makefile. Objects and programs go to $(BUILD).
#   make            the program, the library and the example
#   make tests      every unit test binary          make test-ROOM   build and run one room's tests
#   make SAN=address,undefined BUILD=build/asan tests        make CC=clang-14 BUILD=build/clang ...
#   make fuzz       libFuzzer targets; to see into the rooms: CC=clang-14 SAN=address,undefined CFLAGS=-fsanitize=fuzzer-no-link BUILD=build/fuzz
#   make fuzz-replay   the same targets over their corpus, any compiler
MAKEFLAGS += --no-builtin-rules
BUILD ?= build
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
OPT ?= -O2 -g
ROOMS := base codec crypto image onnx engine face liveness gallery store net service app

# Include arrows and link order, outermost first (docs/architecture.md). tools/lint/arrows.py checks the includes.
NEEDS_base :=
NEEDS_codec := base
NEEDS_crypto := codec base
NEEDS_image := base
NEEDS_onnx := base
NEEDS_engine := onnx base
NEEDS_face := engine onnx image codec base
NEEDS_liveness := face engine onnx image codec base
NEEDS_gallery := crypto codec base
NEEDS_store := gallery crypto codec base
NEEDS_net := crypto codec base
NEEDS_service := net store gallery liveness face engine onnx image crypto codec base
NEEDS_app := service net store gallery liveness face engine onnx image crypto codec base

LIBS_base := -lm -lpthread
LIBS_codec := -ljansson
LIBS_crypto := -lcrypto
LIBS_image := -ljpeg -lpng16 -lz -lwebp -lgif
LIBS_onnx := -lm
LIBS_engine := -ldnnl -lgomp
LIBS_face := -lm
LIBS_liveness := -lm
LIBS_gallery := -lm -lpthread
LIBS_store := -lsqlite3 -lhiredis -lpthread
LIBS_net := -lmicrohttpd -lwslay -lcurl -lpthread
LIBS_service := -lm -lpthread
LIBS_app := -lpthread
NEEDED_LIBS = $(foreach r,$(1) $(NEEDS_$(1)),$(LIBS_$(r)))

WARN := -Wall -Wextra -Wconversion -Wshadow -Wvla -Wundef -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Werror
CFLAGS_ALL := -std=c17 -D_GNU_SOURCE -Isrc -Iinclude $(WARN) $(OPT) -fvisibility=hidden -fno-math-errno -fno-trapping-math -ffp-contract=fast \
    -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIC -MMD -MP $(CFLAGS)
LDFLAGS_ALL := -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS)
ifdef SAN
  CFLAGS_ALL += -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all
  LDFLAGS_ALL += -fsanitize=$(SAN)
else
  CFLAGS_ALL += -D_FORTIFY_SOURCE=2
endif

# Kernels carry their instruction set in the file name. They read no untrusted lengths into their fixed arrays, and the stack protector
# would keep those arrays out of registers (a quarter of the speed).
ISA_avx2 := -fno-stack-protector -mavx2 -mfma -mf16c
ISA_avx512 := $(ISA_avx2) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512
ISA_avx512bf16 := $(ISA_avx512) -mavx512bf16
ISA_avx512vnni := $(ISA_avx512) -mavx512vnni
isa = $(ISA_$(lastword $(subst _, ,$(basename $(notdir $(1))))))

src_of = $(sort $(wildcard src/$(1)/*.c))
obj_of = $(patsubst src/%.c,$(BUILD)/obj/%.o,$(call src_of,$(1)))
lib_of = $(BUILD)/lib/lib$(1).a
chain_of = $(foreach r,$(1) $(NEEDS_$(1)),$(call lib_of,$(r)))

TESTS := $(foreach r,$(ROOMS) api,$(patsubst tests/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/$(r)/test_*.c))))
# Programs that test scripts drive.
DRIVERS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/*/run_*.c)))
FUZZERS := $(sort $(wildcard fuzz/fuzz_*.c))
EXAMPLES := $(patsubst examples/%.c,$(BUILD)/examples/%,$(wildcard examples/*.c))

.PHONY: all tests fuzz fuzz-replay clean print-tests
.DELETE_ON_ERROR:
.SECONDARY:
all: $(BUILD)/mien $(BUILD)/libmien.a $(EXAMPLES)
tests: $(TESTS) $(DRIVERS)
print-tests: ; @printf '%s\n' $(TESTS)

$(BUILD)/obj/%.o: src/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(call isa,$<) -c $< -o $@

define room_rules
$(call lib_of,$(1)): $(call obj_of,$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	ar rcs $$@ $$^
.PHONY: test-$(1)
test-$(1): $(filter $(BUILD)/tests/$(1)/%,$(TESTS))
	@set -e; for t in $$^; do $$$$t; done
endef
$(foreach r,$(ROOMS),$(eval $(call room_rules,$(r))))

# The program: app's main over every room.
$(BUILD)/mien: $(call chain_of,app)
	$(CC) $(BUILD)/obj/app/main.o $(call chain_of,app) $(LDFLAGS_ALL) $(call NEEDED_LIBS,app) -o $@

# The embeddable library: every room but app, plus the public API (src/app/api.c).
$(BUILD)/libmien.a: $(call chain_of,face) $(BUILD)/obj/app/api.o
	@rm -f $@
	@printf 'create $@\n$(foreach l,$(call chain_of,face),addlib $(l)\n)addmod $(BUILD)/obj/app/api.o\nsave\nend\n' | ar -M

$(BUILD)/examples/%: examples/%.c $(BUILD)/libmien.a
	@mkdir -p $(@D)
	$(CC) -std=c17 -Wall -Wextra -Werror $(OPT) $(if $(SAN),-fsanitize=$(SAN)) -Iinclude $< $(BUILD)/libmien.a $(LDFLAGS_ALL) $(call NEEDED_LIBS,app) -o $@

# Helpers that tests share: an archive, so that a test links only those it uses and not the rooms of the others.
SUPPORT := $(BUILD)/lib/libsupport.a
$(SUPPORT): $(patsubst tests/support/%.c,$(BUILD)/obj/support/%.o,$(sort $(wildcard tests/support/*.c)))
	@mkdir -p $(@D)
	@rm -f $@
	ar rcs $@ $^
$(BUILD)/obj/support/%.o: tests/support/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -Itests -c $< -o $@

# A unit test links its own room and what that room may use. Extra needs: first line `// needs: ROOM ... -lLIB ... -Wl,...`.
needs = $(shell sed -n '1s|^// needs: *||p' $(1))
room_of_test = $(patsubst api,app,$(firstword $(subst /, ,$(patsubst tests/%,%,$(1)))))
define test_rule
$(patsubst tests/%.c,$(BUILD)/tests/%,$(1)): $(1) $(SUPPORT) $(wildcard tests/support/*.h) $(foreach r,$(filter $(ROOMS),$(call needs,$(1))),$(call chain_of,$(r))) $(call chain_of,$(call room_of_test,$(1)))
	@mkdir -p $$(@D)
	$(CC) $(CFLAGS_ALL) -Itests $(1) $(SUPPORT) $(foreach r,$(filter $(ROOMS),$(call needs,$(1))),$(call chain_of,$(r))) $(call chain_of,$(call room_of_test,$(1))) \
	  $(filter -%,$(call needs,$(1))) $(LDFLAGS_ALL) -lcmocka $(call NEEDED_LIBS,$(call room_of_test,$(1))) $(foreach r,$(filter $(ROOMS),$(call needs,$(1))),$(call NEEDED_LIBS,$(r))) -o $$@
endef
$(foreach t,$(foreach r,$(ROOMS) api,$(wildcard tests/$(r)/test_*.c)) $(wildcard tests/*/run_*.c),$(eval $(call test_rule,$(t))))

# Fuzz targets: LLVMFuzzerTestOneInput. `fuzz` links libFuzzer; `fuzz-replay` links fuzz/replay.c, which feeds files.
FUZZ_LIBS = $(call chain_of,app)
fuzz: $(patsubst fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZERS))
fuzz-replay: $(patsubst fuzz/%.c,$(BUILD)/replay/%,$(FUZZERS))
$(BUILD)/fuzz/%: fuzz/%.c $(FUZZ_LIBS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) -fsanitize=fuzzer $< $(FUZZ_LIBS) $(LDFLAGS_ALL) $(call NEEDED_LIBS,app) -o $@
$(BUILD)/replay/%: fuzz/%.c fuzz/replay.c $(FUZZ_LIBS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $< fuzz/replay.c $(FUZZ_LIBS) $(LDFLAGS_ALL) $(call NEEDED_LIBS,app) -o $@

# Micro-benchmarks in C (bench/run measures whole networks and the pipeline).
.PHONY: bench-conv bench-body bench-load
bench-conv: $(BUILD)/bench/conv
bench-body: $(BUILD)/bench/body
bench-conv bench-body: ; $<
# What bench/server drives: built, not run.
bench-load: $(BUILD)/bench/load $(BUILD)/bench/library
define bench_rule
$(BUILD)/bench/$(1): bench/$(1).c $(call chain_of,$(2))
	@mkdir -p $$(@D)
	$(CC) $(CFLAGS_ALL) $$< $(call chain_of,$(2)) $(LDFLAGS_ALL) $(call NEEDED_LIBS,$(2)) -o $$@
endef
$(eval $(call bench_rule,conv,engine))
$(eval $(call bench_rule,body,codec))
$(eval $(call bench_rule,load,base))
$(eval $(call bench_rule,library,app))
$(eval $(call bench_rule,search,gallery))
$(eval $(call bench_rule,frame,face))

# Pages that the program serves, each file with its gzip form. The API documentation: ours and the npm package that ./setup installs in web/docs. The page
# (web/app) and the element <mien-verify> (web/verify, in the page and as one file for other sites): type-checked and built by the npm packages in web/app.
DOCS := $(addprefix $(BUILD)/web/docs/,index.html start.js swagger-ui.css swagger-ui-bundle.js)
PAGE_SOURCES := $(wildcard $(addprefix web/app/,*.json *.ts *.html public/* src/* src/*/*) web/verify/src/*)
PAGE_TMP := $(abspath $(BUILD))/page
.PHONY: web web-docs web-page
web: web-docs web-page
web-docs: $(DOCS)
web-page: $(BUILD)/web/.page
define page
	@mkdir -p $(@D)
	cp $< $@
	gzip -9 -n -k -f $@
endef
$(BUILD)/web/docs/swagger-%: web/docs/node_modules/swagger-ui-dist/swagger-%
	$(page)
$(BUILD)/web/docs/%: web/docs/%
	$(page)
$(BUILD)/web/.page: $(PAGE_SOURCES) Makefile
	@mkdir -p $(@D)
	rm -rf $(PAGE_TMP)
	cd web/app && node_modules/.bin/tsc && node_modules/.bin/vite build --logLevel warn --outDir $(PAGE_TMP)/app
	$(if $(wildcard web/verify/src/element.ts),cd web/app && node_modules/.bin/vite build --logLevel warn --config vite.element.config.ts --outDir $(PAGE_TMP)/element)
	gzip -9 -n -r $(PAGE_TMP) -k
	rm -rf $(@D)/assets
	cp -R $(PAGE_TMP)/*/* $(@D)
	@touch $@

clean: ; rm -rf $(BUILD)
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# Each target sets up what it needs: uv in .tools/, the locked environment in .venv/.
#
#   make simulate                        train on the bundled chat text, evaluate, export
#   make simulate CONFIG=F SET="k=v ..." another experiment, or other settings
#   make simulate CONFIG=auto POPULATION=F [MINUTES=N]
#                                        settings that suit your own text
#   make simulate RUN=D RESUME=1         continue a run
#   make fleet ROUNDS=3000               the rounds of gboard.toml (or CONFIG=F) without training
#   make sweep CONFIG=F OUT=D            tune settings by a sweep's file, or go on with it
#   make evaluate|export|verify|personalize|compare RUN=D
#   make demo [RUN=D|PACKAGE=D] [PORT=N] a keyboard in a web page, of an exported package
#   make figures [WRITE=1]               hold README's and the documents' figures against result files
#   make test                            the tests, but for those of
#   make test-heavy                      which take longest
#   make mutants [MODULES=F SAMPLE=N]    which small changes of the code its tests would not notice
#   make torture                         kills, bad input and full disks against every command
#   make test-web                        the demo's tests, in Chromium
#   make test-android                    the Android client's core, in LiteRT on this machine's Java; the
#                                        rest of it is compiled
#   make test-ios                        the iOS client, in LiteRT, with Debian's Swift for Linux

PYTHON ?= $(shell command -v python3.11 || command -v python3)
CONFIG ?= simulation/configs/chitchat.toml
RUN ?=
OUT ?=
SET ?=
POPULATION ?=
SPLIT ?= test
QUICK ?=
WRITE ?=
MINUTES ?=
ROUNDS ?= 3000
PACKAGE ?= $(or $(RUN),runs/latest)/export
PORT ?= 8000
CHROMIUM ?=
MODULES ?=
SAMPLE ?=
JOBS ?=
# Where Swift is unpacked, once.
SWIFT ?= .swift

UV_VERSION := 0.13.8
UV := .tools/bin/uv
BIN := .venv/bin
WEB := tflite_export/web
export UV_PYTHON := $(PYTHON)
export UV_PROJECT_ENVIRONMENT := .venv
export UV_PYTHON_DOWNLOADS := never

ANDROID := tflite_export/android
KOTLIN := $(ANDROID)/tools/node_modules/kotlin-compiler
CORE := $(ANDROID)/build/core.jar
CORE_TESTS := $(ANDROID)/build/core-tests.jar
KOTLINC := JAVA_OPTS=-Xmx512m bash $(KOTLIN)/bin/kotlinc -jvm-target 17 -Werror
CORE_SOURCES := $(ANDROID)/core/src/main/kotlin
CORE_TEST_SOURCES := $(ANDROID)/core/src/test/kotlin
LITERT := $(ANDROID)/build/litert.jar
LITERT_SOURCES := $(ANDROID)/litert/src/main/kotlin $(ANDROID)/litert/src/androidTest/kotlin
STUBS := $(ANDROID)/tools/stubs
# Debian's newest is of API 23, which has all that is used.
ANDROID_JAR := $(ANDROID)/build/android/usr/share/java/com.android.android-23.jar
JUNIT := $(ANDROID)/build/android/usr/share/java/junit4.jar

DEBIAN := tflite_export/tools/debian.sh

# Of Debian 13; of Swift all but its debugger, editors' services and static libraries, half of it.
IOS := tflite_export/ios
SWIFT_RELEASE := trixie
SWIFT_PACKAGES := swiftlang libstdc++-14-dev libssl-dev
SWIFT_LEFT_OUT := usr/share/locale $(addprefix usr/libexec/swift/,bin/lldb* bin/clangd bin/sourcekit-lsp \
  bin/docc bin/swift-format lib/liblldb* lib/libsourcekitdInProc.so lib/libLTO* lib/swift_static)

.PHONY: simulate fleet sweep evaluate export verify personalize compare torture benchmark figures demo test test-heavy mutants test-web test-android test-ios tools-web tools-android tools-ios exported jdk lint format requirements clean

simulate: .venv/.synced
	$(BIN)/fedkeyboard simulate $(if $(RESUME),--resume,--config $(CONFIG)) $(if $(MINUTES),--minutes $(MINUTES)) $(addprefix --set ,$(SET)) $(if $(POPULATION),--population $(POPULATION)) $(if $(RUN),--out $(RUN))

# The default experiment's fleet is ideal, and has nothing to show.
fleet: .venv/.synced
	$(BIN)/fedkeyboard fleet --config $(if $(filter file,$(origin CONFIG)),simulation/configs/gboard.toml,$(CONFIG)) --rounds $(ROUNDS) $(addprefix --set ,$(SET)) $(if $(POPULATION),--population $(POPULATION)) $(if $(OUT),--out $(OUT))

# The default experiment is no sweep's file.
sweep: .venv/.synced
	$(BIN)/fedkeyboard sweep --config $(if $(filter file,$(origin CONFIG)),simulation/sweeps/chitchat.toml,$(CONFIG)) $(if $(POPULATION),--population $(POPULATION)) $(if $(OUT),--out $(OUT))

evaluate: .venv/.synced
	$(BIN)/fedkeyboard evaluate $(or $(RUN),runs/latest) --split $(SPLIT)

export: .venv/.synced
	$(BIN)/fedkeyboard export $(or $(RUN),runs/latest)

verify: .venv/.synced
	$(BIN)/fedkeyboard verify $(or $(RUN),runs/latest)

personalize: .venv/.synced
	$(BIN)/fedkeyboard personalize $(or $(RUN),runs/latest) --split $(SPLIT)

compare: .venv/.synced
	$(BIN)/fedkeyboard compare $(or $(RUN),runs/latest) --split $(SPLIT)

# Kills, bad input, flipped bits, full disks (as root): one and a half to three hours.
torture: .venv/.synced
	$(BIN)/python -m benchmarks.reliability $(if $(QUICK),--quick) $(if $(RESUME),--resume)

benchmark: .venv/.synced
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick)

figures: .venv/.synced
	@$(BIN)/python -m benchmarks.figures $(if $(WRITE),--write)

demo: $(WEB)/node_modules/.installed
	@exec node $(WEB)/serve.js "$(PACKAGE)" "$(PORT)"

# More processes than cores, so that beside other work they get the larger part of these.
test: .venv/.synced
	$(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder

# What takes long and is the same in a smaller way in the others: sweeps, kills of whole commands.
test-heavy: .venv/.synced
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m heavy

# Hours for all; it goes on where it was stopped. SAMPLE=40 is what tests/mutants/README.md tells of.
mutants: .venv/.synced
	PYTHONPATH=tests $(BIN)/python -m mutants $(MODULES) $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(JOBS),--jobs $(JOBS))

test-web: $(WEB)/node_modules/.installed
	@export PACKAGE="$(PACKAGE)" CHROMIUM="$(CHROMIUM)"; node $(WEB)/test/settings.js && \
	  node --test --test-concurrency=1 --test-reporter=spec $(WEB)/test/*.test.js

# On this machine's Java, with LiteRT itself in a child process.
test-android: exported jdk .venv/.synced $(CORE_TESTS) $(LITERT)
	java -Dfedkeyboard.python=$(BIN)/python -Dfedkeyboard.package=$(PACKAGE) \
	  -cp $(CORE):$(CORE_TESTS):$(KOTLIN)/lib/kotlin-stdlib.jar:$(KOTLIN)/lib/kotlin-test.jar org.fedkeyboard.TestsKt

# The Swift package, and the runtime of it, in the TensorFlow Lite that the simulation's TensorFlow has.
test-ios: exported .venv/.synced $(SWIFT)/.unpacked
	@$(IOS)/tools/test.sh "$(SWIFT)" "$(PACKAGE)" $(BIN)/python

# Also the places of what is mounted in it.
$(SWIFT)/.unpacked:
	@echo "unpacking Debian's Swift into $(SWIFT) (560 MB to download, 1.5 GB unpacked)"
	@$(DEBIAN) $(SWIFT_RELEASE) "$(SWIFT)" $(SWIFT_PACKAGES) -- $(foreach path,$(SWIFT_LEFT_OUT),'$(path)')
	@cd "$(SWIFT)" && mkdir -p proc dev tmp root checkout package tensorflow && touch .unpacked

# What the clients' tests need beside a package, so that CI can tell what is missing from what fails.
tools-web: $(WEB)/node_modules/.installed

tools-android: jdk $(KOTLIN)/.installed $(ANDROID_JAR)

tools-ios: $(SWIFT)/.unpacked
	@$(IOS)/tools/in_swift.sh "$(SWIFT)" . . . swift --version

exported:
	@test -f "$(PACKAGE)/manifest.json" || { echo "$(PACKAGE): no package: make export, or give PACKAGE=DIRECTORY" >&2; exit 1; }

jdk:
	@command -v javac >/dev/null && command -v npm >/dev/null || { echo "needs a JDK and npm: apt-get install openjdk-17-jdk-headless npm" >&2; exit 1; }

# With nothing but Kotlin's own library, so that no class of Android gets in.
$(CORE): $(wildcard $(CORE_SOURCES)/org/fedkeyboard/*.kt) $(KOTLIN)/.installed
	@$(KOTLINC) $(CORE_SOURCES) -d $@

$(CORE_TESTS): $(wildcard $(CORE_TEST_SOURCES)/org/fedkeyboard/*.kt) $(CORE)
	@$(KOTLINC) -cp $(CORE):$(KOTLIN)/lib/kotlin-test.jar -Xfriend-paths=$(CORE) $(CORE_TEST_SOURCES) -d $@

# Compiled, not run. Android's classes and JUnit's are their own; those of LiteRT and of Android's
# libraries, which no registry but Maven's has, are stubs of the signatures used.
$(LITERT): $(shell find $(LITERT_SOURCES) $(STUBS) -name '*.kt' -o -name '*.java') $(CORE) | $(ANDROID_JAR)
	@rm -rf $(ANDROID)/build/stubs && mkdir -p $(ANDROID)/build/stubs
	@javac -Xlint:all -Werror -cp $(ANDROID_JAR) -d $(ANDROID)/build/stubs $(filter %.java,$^)
	@$(KOTLINC) -cp $(CORE):$(ANDROID_JAR):$(JUNIT):$(ANDROID)/build/stubs $(LITERT_SOURCES) -d $@

# Of Debian 11, the last with it.
$(ANDROID_JAR):
	@echo "unpacking Debian's android.jar into $(ANDROID)/build/android (22 MB to download)"
	@$(DEBIAN) --alone bullseye $(ANDROID)/build/android libandroid-23-java junit4

$(KOTLIN)/.installed: $(ANDROID)/tools/package.json $(ANDROID)/tools/package-lock.json | jdk
	@echo "installing the Kotlin compiler into $(ANDROID)/tools (94 MB)"
	@cd $(ANDROID)/tools && npm ci --silent
	@touch $@

lint: .venv/.synced
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/.synced
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# For those who use pip: the lock's versions and hashes, without uv.
requirements: $(UV)
	$(UV) export --locked --no-dev --no-emit-project --quiet --no-header --output-file requirements.txt

# Compiled once here: where PYTHONDONTWRITEBYTECODE is set, as in many containers, every command would
# compile all of TensorFlow anew, for ten seconds.
.venv/.synced: pyproject.toml uv.lock $(UV)
	@echo "installing the locked environment into .venv (2.5 GB)"
	@$(UV) sync --locked --quiet --compile-bytecode
	@touch $@

$(WEB)/node_modules/.installed: $(WEB)/package.json $(WEB)/package-lock.json
	@command -v npm >/dev/null && command -v node >/dev/null || { echo "the web client needs Node.js 20 or later with npm; apt-get install npm" >&2; exit 1; }
	@node -e 'if (parseInt(process.versions.node) < 20) { console.error("the web client needs Node.js 20 or later; this is " + process.version); process.exit(1); }'
	@cd $(WEB) && npm ci --loglevel=error --no-progress
	@touch $@

# pip's --target needs no venv module, which some distributions leave out.
$(UV): Makefile
	@$(PYTHON) -c 'import platform, sys; \
	  ok = sys.version_info[:2] == (3, 11) and sys.platform == "linux" and platform.machine() == "x86_64"; \
	  ok or sys.exit("fedkeyboard needs Python 3.11 on Linux x86-64 (TensorFlow Federated has no other builds); this is Python %s on %s %s. If another is installed: make PYTHON=/path/to/python3.11" % (platform.python_version(), platform.system(), platform.machine()))'
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action ignore --upgrade --target .tools uv==$(UV_VERSION)
	@touch $@

clean:
	rm -rf .venv .tools .peers *.egg-info fedkeyboard/runtime/*.so $(SWIFT) $(IOS)/build $(WEB)/node_modules $(ANDROID)/build $(ANDROID)/tools/node_modules

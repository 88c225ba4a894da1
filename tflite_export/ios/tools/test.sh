#!/bin/sh
# What `make test-ios` runs: compiles the Swift package, runs its tests, and reads what they wrote.
#
#   test.sh SWIFT PACKAGE PYTHON
set -eu

swift=$(realpath "$1")
package=$(realpath "$2")
python=$3
export TF_CPP_MIN_LOG_LEVEL=3
checkout=$PWD
ios=tflite_export/ios
exchange=$ios/build/exchange
tensorflow=$("$python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')/tensorflow

in_swift() {
    "$ios/tools/in_swift.sh" "$swift" "$checkout" "$package" "$tensorflow" "$@"
}

# In the chroot there is no Python: what the tests say, and are told, goes by files.
rm -rf "$exchange"
mkdir -p "$exchange"
"$python" tests/fuzzed_words.py 10000 0 > "$exchange/words.json"
cat > "$exchange/sentences.txt" <<END
see you at home
i don't know what you mean
ok
how are you today
thank you very much
END

build() {
    in_swift swift "$@" -Xswiftc -warnings-as-errors \
        -Xlinker -L/tensorflow -Xlinker -rpath=/tensorflow \
        -Xlinker -l:libtensorflow_cc.so.2 -Xlinker -l:libtensorflow_framework.so.2
}

in_swift swift --version
# Apps that are in language mode 5 take the sources as they are; the package itself is in mode 6.
build build --package-path "/checkout/$ios" --scratch-path "/checkout/$ios/build/swift5" \
    --target FedKeyboard -Xswiftc -swift-version -Xswiftc 5
build test --package-path "/checkout/$ios" --scratch-path "/checkout/$ios/build/swift" --disable-swift-testing
"$python" tflite_export/ios/tools/check_update.py "$package" "$exchange/sentences.txt" "$exchange/update.npz"

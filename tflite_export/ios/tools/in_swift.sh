#!/bin/sh
# Runs one of Debian's tools of Swift, which are unpacked in a directory of their own, since the machine
# may be of an older release:
#
#   in_swift.sh SWIFT CHECKOUT PACKAGE TENSORFLOW COMMAND...
#
# By chroot, in which the three directories are /checkout, /package and /tensorflow. The mounts are
# of a namespace of their own, and gone with the command.
set -eu

if [ "${IN_SWIFT-}" != mounted ]; then
    for tool in unshare chroot mount; do
        command -v $tool >/dev/null || PATH=$PATH:/usr/sbin:/sbin
        command -v $tool >/dev/null || {
            echo "needs $tool: apt-get install util-linux coreutils mount" >&2
            exit 1
        }
    done
    # Who is not root may be it in a namespace of users.
    for options in "--mount" "--mount --user --map-root-user"; do
        # shellcheck disable=SC2086
        if unshare $options true 2>/dev/null; then
            # shellcheck disable=SC2086
            IN_SWIFT=mounted exec unshare $options "$0" "$@"
        fi
    done
    echo "Swift is entered by chroot, with mounts: needs root with CAP_SYS_ADMIN (docker run --privileged), or user namespaces (sysctl kernel.unprivileged_userns_clone=1)" >&2
    exit 1
fi

PATH=$PATH:/usr/sbin:/sbin
swift=$1
mount --rbind /proc "$swift/proc"
mount --rbind /dev "$swift/dev"
mount -t tmpfs none "$swift/tmp"
mount --bind "$2" "$swift/checkout"
mount --bind "$3" "$swift/package"
mount --bind "$4" "$swift/tensorflow"
shift 4
# There is no shell in there.
exec env -i HOME=/root PATH=/usr/libexec/swift/bin:/usr/bin TF_CPP_MIN_LOG_LEVEL=3 \
    FEDKEYBOARD_PACKAGE=/package FEDKEYBOARD_EXCHANGE=/checkout/tflite_export/ios/build/exchange \
    "$(command -v chroot)" "$swift" "$@"

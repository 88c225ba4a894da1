#!/bin/sh
# Unpacks packages of a Debian release into a new directory, with all that they depend on or alone:
#
#   debian.sh [--alone] RELEASE DIRECTORY PACKAGE... [-- LEFT-OUT-PATH...]
#
# Installs nothing and needs no root: of a package only its files are taken, its scripts do not run.
# The mirror is that of this machine's own apt, or DEBIAN_MIRROR; apt checks what comes from it against
# the lists that Debian signs.
set -eu

fail() {
    echo "$1" >&2
    exit 1
}

alone=
if [ "$1" = --alone ]; then
    alone=yes
    shift
fi
release=$1
# apt takes a relative path for one under its own directories.
directory=$(realpath -m "$2")
shift 2
wanted=
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    wanted="$wanted $1"
    shift
done
for path; do
    if [ "$path" != -- ]; then left_out="${left_out-} --exclude=./$path"; fi
done

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
for tool in apt-get dpkg-deb awk; do
    command -v $tool >/dev/null || fail "$directory: only a Debian machine can fill it: there is no $tool here"
done
[ -f $keyring ] || fail "$keyring is missing: apt-get install debian-archive-keyring"
# The machine's own release tells its mirror of Debian from other archives, and from security updates.
mirror=${DEBIAN_MIRROR-$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 2>/dev/null |
    awk -v release="$(. /etc/os-release && echo "${VERSION_CODENAME-}")" '$1 == release { print $2; exit }')}
[ -n "$mirror" ] || fail "this machine's apt knows no mirror of Debian: give DEBIAN_MIRROR=URL"

work=$directory.partial
rm -rf "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
apt=$work/apt
mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/none" "$work/root"
: > "$apt/status"
echo "deb [signed-by=$keyring] $mirror $release main" > "$apt/sources.list"

# The machine's apt, with its proxies, but for what is installed, and from where.
run_apt() {
    apt-get -q -o APT::Sandbox::User=root -o APT::Install-Recommends=false \
        -o Dir::State="$apt" -o Dir::State::status="$apt/status" -o Dir::State::lists="$apt/lists" \
        -o Dir::Cache="$apt" -o Dir::Cache::archives="$apt/archives" \
        -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts="$apt/none" \
        -o Dir::Etc::preferences="$apt/none" -o Dir::Etc::preferencesparts="$apt/none" \
        -o APT::Update::Error-Mode=any -o Acquire::Retries=3 "$@" > "$apt/log" 2>&1 || {
        grep -E '^(E|W|Err)' "$apt/log" >&2 || cat "$apt/log" >&2
        fail "$directory: apt-get could not get$wanted of Debian $release"
    }
}
run_apt update
# shellcheck disable=SC2086
if [ "$alone" ]; then
    (cd "$apt/archives" && run_apt download $wanted)
else
    run_apt install --yes --download-only $wanted
fi

# Where a package names /bin it means /usr/bin.
mkdir -p "$work/root/usr"
for name in bin lib lib64 sbin; do
    mkdir "$work/root/usr/$name"
    ln -s usr/$name "$work/root/$name"
done
for package in "$apt"/archives/*.deb; do
    # shellcheck disable=SC2086
    dpkg-deb --fsys-tarfile "$package" |
        tar --extract --directory "$work/root" --no-same-owner --keep-directory-symlink \
            --exclude=./usr/share/doc --exclude=./usr/share/man ${left_out-}
done
rm -rf "$directory"
mv "$work/root" "$directory"

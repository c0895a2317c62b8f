#!/bin/sh
# Puts pgBackRest of a Debian release, with the libraries of that release, into a directory of its own: RELEASE DIRECTORY. Nothing is installed on the machine, whose
# package sources are used under the other release's name and stay as they are. Needs apt and dpkg (Debian or a child of it), not root.
set -eu
release=$1
target=$2
umask 022
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/sources" "$work/lists/partial" "$work/archives/partial" "$work/tree"
uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | grep '/debian/$' | sort -u | head -n 1)
printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' \
  "${uri:-http://deb.debian.org/debian/}" "$release" >"$work/sources/release.sources"
# An empty list of installed packages, so that all that it needs is named.
: >"$work/status"
apt_of_release() {
  apt-get -q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/sources" -o Dir::State::Lists="$work/lists" \
    -o Dir::State::status="$work/status" -o Dir::Cache::Archives="$work/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
    -o APT::Sandbox::User= "$@"
}
apt_of_release update >/dev/null
names=$(apt_of_release install --no-install-recommends --simulate --yes pgbackrest | awk '/^Inst (lib|zlib|pgbackrest)/ { print $2 }' |
  grep -v -e perl -e systemd-shared | sort -u)
cd "$work/archives"
# shellcheck disable=SC2086 -- a list of package names
apt_of_release download $names >/dev/null
for file in *.deb; do dpkg -x "$file" "$work/tree"; done
mkdir -p "$target"
cp -a "$work/tree/." "$target/"
# Its own loader and libraries: those of this machine may be older. It starts itself again by the name that it was started with.
cat >"$target/pgbackrest" <<'WRAPPER'
#!/bin/sh
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd -P)
libraries=$here/lib/x86_64-linux-gnu:$here/usr/lib/x86_64-linux-gnu
for loader in "$here/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" "$here/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"; do
  [ -x "$loader" ] && exec "$loader" --argv0 "$here/pgbackrest" --library-path "$libraries" "$here/usr/bin/pgbackrest" "$@"
done
echo "$here has no loader" >&2
exit 127
WRAPPER
chmod 0755 "$target/pgbackrest"
"$target/pgbackrest" version

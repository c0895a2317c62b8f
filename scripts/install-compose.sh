#!/bin/sh
# Installs the docker compose plugin (v2) of Debian's release after this one, which is one program without dependencies; for Debian 12, whose own is too old.
# Uses the package sources of the machine under the other release's name and leaves them as they are. Needs root.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 0755 "$work"
mkdir -p "$work/sources" "$work/lists/partial" "$work/archives/partial" "$work/tree"
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list; do
  [ -f "$file" ] && grep -q bookworm "$file" && sed 's/bookworm/trixie/g' "$file" >"$work/sources/$(basename "$file")"
done
apt() {
  apt-get -q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/sources" -o Dir::State::Lists="$work/lists" \
    -o Dir::Cache::Archives="$work/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= "$@" >/dev/null
}
apt update
cd "$work/archives"
apt download docker-compose
dpkg -x docker-compose_*.deb "$work/tree"
install -D -m 0755 "$work/tree/usr/libexec/docker/cli-plugins/docker-compose" /usr/local/lib/docker/cli-plugins/docker-compose
docker compose version

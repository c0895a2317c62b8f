#!/bin/sh
# Makes the passwords of this environment once, readable for the one user that all its containers run as. Nothing is written twice.
set -eu
umask 077
cd /run/pgr-secrets
for name in postgres replicator pgbouncer s3-access-key-id s3-secret-access-key; do
  [ -s "$name" ] && continue
  head -c 24 /dev/urandom | base64 | tr -d '/+=\n' >"$name.new"
  mv "$name.new" "$name"
done
# For psql and for a standby's connection to its primary.
printf '*:*:*:postgres:%s\n*:*:*:replicator:%s\n' "$(cat postgres)" "$(cat replicator)" >pgpass.new
mv pgpass.new pgpass

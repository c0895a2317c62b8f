#!/bin/sh
# PgBouncer in front of the write address. pgr pauses it through its admin console while the address flips.
set -eu
umask 077
secrets=/run/pgr-secrets
printf '"postgres" "%s"\n"pgbouncer" "%s"\n' "$(cat $secrets/postgres)" "$(cat $secrets/pgbouncer)" >/tmp/users.txt
cat >/tmp/pgbouncer.ini <<INI
[databases]
shop = host=haproxy port=5432
* = host=haproxy port=5432
[pgbouncer]
listen_addr = 0.0.0.0
listen_port = 6432
unix_socket_dir =
auth_type = scram-sha-256
auth_file = /tmp/users.txt
admin_users = pgbouncer
pool_mode = transaction
max_client_conn = 500
default_pool_size = 20
; A login that fails because nobody takes writes at this moment is tried again at once, not after 15 s.
server_login_retry = 0.1
ignore_startup_parameters = extra_float_digits,options
INI
exec pgbouncer /tmp/pgbouncer.ini

#!/bin/sh
# HAProxy with the configuration that `pgr config haproxy` prints for the environment.
set -eu
pgr config haproxy compose >/tmp/haproxy.cfg
exec haproxy -W -db -f /tmp/haproxy.cfg

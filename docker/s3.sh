#!/bin/bash
# SeaweedFS as one process, with one key and one bucket.
set -eu
umask 077
secrets=/run/pgr-secrets
printf '{"identities":[{"name":"pgr","credentials":[{"accessKey":"%s","secretKey":"%s"}],"actions":["Admin","Read","Write","List","Tagging"]}]}\n' \
  "$(cat $secrets/s3-access-key-id)" "$(cat $secrets/s3-secret-access-key)" >/tmp/s3.json
rm -f /tmp/ready
bucket() {
  until echo 's3.bucket.list' | weed shell -master=127.0.0.1:9333 2>/dev/null | grep -qw pgr; do
    echo 's3.bucket.create -name pgr' | weed shell -master=127.0.0.1:9333 >/dev/null 2>&1 || true
    sleep 1
  done
  until (exec 3<>/dev/tcp/127.0.0.1/8333) 2>/dev/null; do sleep 1; done
  touch /tmp/ready
}
bucket &
exec weed -logtostderr=true server -ip=127.0.0.1 -ip.bind=0.0.0.0 -dir=/var/lib/s3 -master.telemetry=false -master.electionTimeout=500ms \
  -master.heartbeatInterval=100ms -master.volumeSizeLimitMB=512 -volume.max=0 -volume.preStopSeconds=0 -filer -s3 -s3.port=8333 \
  -s3.port.iceberg=0 -s3.port.lance=0 -s3.autoCreateBucket=false -s3.config=/tmp/s3.json

#!/bin/bash
shutdown -h +@MINUTES@ 'lithops: hard_dismantle_timeout'
trap 'shutdown -h now' EXIT
set -euo pipefail
umask 022; folder=${LITHOPS_FOLDER:-/opt/lithops}; mkdir -p "$folder"; cd "$folder"
S3() { @S3@ cp --only-show-errors "$@"; }
imds() {
  local token
  token=$(curl -sf -m 5 -X PUT http://169.254.169.254/latest/api/token -H 'X-aws-ec2-metadata-token-ttl-seconds: 60')
  curl -sf -m 5 -H "X-aws-ec2-metadata-token: $token" "http://169.254.169.254/latest/meta-data/$1"
}
for try in 1 2 3 4 5 6; do LITHOPS_WORKER=$(imds instance-id) && break; sleep $try; done
test -n "$LITHOPS_WORKER"
for try in 1 2 3 4 5 6; do S3 @PROGRAM@ worker.gz && break; sleep $try; done
gzip -dc worker.gz > worker
echo '@DIGEST@  worker' | sha256sum -c --quiet
chmod 755 worker
printf started | S3 - "@FLEET@started/$LITHOPS_WORKER"
systemd-run --quiet --wait --unit=lithops -p DynamicUser=yes -p KillMode=mixed -p TimeoutStopSec=90 \
  -p OOMPolicy=continue -p LimitNOFILE=65536 -p StandardOutput=journal+console -p StandardError=journal+console \
  --setenv="LITHOPS_WORKER=$LITHOPS_WORKER" --setenv=LITHOPS_TRANSPORT=@TRANSPORT@ --setenv=TMPDIR=/var/tmp --setenv=AWS_REGION=@REGION@ \
  --setenv=LITHOPS_LAUNCH=@LAUNCH@ "$folder/worker"@ARGUMENTS@ &
while sleep 5; do
  if imds spot/instance-action; then systemctl stop lithops; break; fi
done > /dev/null &
wait -n

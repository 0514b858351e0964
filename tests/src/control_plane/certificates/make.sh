#!/bin/sh
# Makes the certificates in this folder anew, with openssl. The authorities' keys
# are thrown away; server.key vouches for nobody but tests on this machine.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
cat >"$work/config" <<END
[ca]
default_ca = tests
[tests]
database = $work/index
new_certs_dir = $work
serial = $work/serial
default_md = sha256
policy = policy
unique_subject = no
copy_extensions = copy
[policy]
commonName = supplied
[req]
distinguished_name = name
[name]
END
: >"$work/index"
echo 01 >"$work/serial"

# Valid whatever the clock of the machine says.
sign() {
    openssl ca -batch -notext -config "$work/config" -startdate 20200101000000Z \
        -enddate 21200101000000Z "$@"
}

key() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"
}

request() {
    openssl req -new -config "$work/config" -key "$1" -subj "/CN=$2" \
        -addext "$3" -out "$work/request"
}

for authority in authority stranger; do
    key "$work/$authority.key"
    request "$work/$authority.key" "$authority" basicConstraints=critical,CA:TRUE
    sign -selfsign -keyfile "$work/$authority.key" -in "$work/request" -out "$authority.pem"
done

key server.key
while read -r name authority reached_by; do
    request server.key "$name" "subjectAltName=$reached_by"
    sign -cert "$authority.pem" -keyfile "$work/$authority.key" \
        -in "$work/request" -out "$name.pem"
done <<END
here authority IP:127.0.0.1
elsewhere authority DNS:elsewhere.example
here-by-a-stranger stranger IP:127.0.0.1
END

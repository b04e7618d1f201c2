#!/bin/sh
# Mints a small authority for manifests, and OCSP answers about its signer, for tests only.
# All keys but the signers' are thrown away; the tests sign manifests with those two.
# Needs OpenSSL 3.0 or newer. Usage: ./mint.sh (writes beside itself; answers are dated now).
set -eu
cd "$(dirname "$0")"
out=$PWD
rm -f ./*.der ./*.p8 ./*.crl
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

for key in root middle signer answerer stranger; do
  openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out $key.key
done
for key in root256 signer256; do openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $key.key; done
openssl pkcs8 -topk8 -nocrypt -in signer.key -outform der -out "$out/signer_key.p8"
openssl pkcs8 -topk8 -nocrypt -in signer256.key -outform der -out "$out/signer256_key.p8"

cat > ca.cnf <<'C'
[ca]
default_ca = d
[d]
database = ./db
serial = ./serial
new_certs_dir = .
unique_subject = no
policy = p
default_md = sha384
[p]
CN = supplied
[ca_cert]
keyUsage = critical,keyCertSign,cRLSign
basicConstraints = critical,CA:TRUE
[no_ca]
keyUsage = critical,keyCertSign
basicConstraints = critical,CA:FALSE
[leaf]
keyUsage = critical,digitalSignature
basicConstraints = critical,CA:FALSE
[answerer]
keyUsage = critical,digitalSignature
basicConstraints = critical,CA:FALSE
extendedKeyUsage = critical,OCSPSigning
noCheck = ignored
[no_purpose]
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth
noCheck = ignored
[no_nocheck]
keyUsage = critical,digitalSignature
extendedKeyUsage = OCSPSigning
[no_signing]
keyUsage = critical,keyAgreement
extendedKeyUsage = OCSPSigning
noCheck = ignored
C

certify() { # name key CN serial section issuer-cert issuer-key ("self": own key) [digest] [end]
  openssl req -new -key "$2.key" -subj "/CN=$3" -out r.csr
  : > db; rm -f db.attr; echo "$4" > serial
  if [ "$6" = self ]; then issuer="-selfsign -keyfile $2.key"; else issuer="-cert $6.pem -keyfile $7.key"; fi
  openssl ca -batch -config ca.cnf -in r.csr -notext -md "${8:-sha384}" $issuer -extensions "$5" \
    -startdate 20240101000000Z -enddate "${9:-20490101000000Z}" -out "$1.pem" 2> log || { cat log; exit 1; }
}
certify root root "RIM root" 01 ca_cert self
certify stranger stranger "RIM root" 01 ca_cert self
certify root256 root256 "P-256 root" 01 ca_cert self - sha256
certify middle middle "RIM middle" 0200 ca_cert root root
certify middle_no_ca middle "RIM middle" 0200 no_ca root root
# The top bit of the serial number is set, so that it takes a zero byte more.
certify signer signer "RIM signer" C0FFEE leaf root root
certify signer_of_stranger signer "RIM signer" C0FFEE leaf stranger stranger
certify signer_of_middle signer "RIM signer" 0301 leaf middle middle
certify signer_of_256 signer "RIM signer" 0302 leaf root256 root256 sha256
certify signer256 signer256 "RIM signer" 0303 leaf root root
certify answerer answerer "Answerer" 10 answerer root root
for bad in no_purpose no_nocheck no_signing; do certify $bad answerer "Answerer" 11 $bad root root; done
certify past_answerer answerer "Answerer" 12 answerer root root sha384 20250101000000Z
certify strange_answerer answerer "Answerer" 10 answerer stranger stranger
for name in root stranger root256 middle middle_no_ca signer signer_of_stranger signer_of_middle signer_of_256 signer256; do
  openssl x509 -in $name.pem -outform der -out "$out/$name.der"
done

# One answer. Request options stand in $ask, responder options in $say; both are used once.
ask=""; say=""
answer() { # name subject issuer responder-cert responder-key index-line
  printf '%s\n' "$6" > index
  openssl ocsp -issuer "$3.pem" ${ask:--sha384 -no_nonce} -cert "$2.pem" -reqout request.der > log 2>&1
  openssl ocsp -index index -CA "$3.pem" -rsigner "$4.pem" -rkey "$5.key" -reqin request.der \
    -respout "$out/$1.der" ${say:--rmd sha384 -ndays 3650} > log 2>&1 || { cat log; exit 1; }
  ask=""; say=""
}
valid() { printf 'V\t490101000000Z\t\t%s\tunknown\t/CN=x\n' "$1"; }
revoked() { printf 'R\t490101000000Z\t250101000000Z,%s\t%s\tunknown\t/CN=x\n' "$2" "$1"; }
echo 'unique_subject = no' > index.attr
date +%s > "$out/minted_at"

answer good signer root root root "$(valid C0FFEE)"
say="-rmd sha384 -ndays 3650 -resp_key_id"; answer good_by_key signer root root root "$(valid C0FFEE)"
answer good_delegated signer root answerer answerer "$(valid C0FFEE)"
say="-rmd sha384 -ndays 3650 -resp_key_id"; answer good_delegated_by_key signer root answerer answerer "$(valid C0FFEE)"
ask="-sha1 -no_nonce"; answer good_sha1 signer root root root "$(valid C0FFEE)"
ask="-sha256 -no_nonce"; answer good_sha256 signer root root root "$(valid C0FFEE)"
ask="-sha512 -no_nonce"; answer about_sha512 signer root root root "$(valid C0FFEE)"
ask="-sha384 -nonce"; answer good_nonce signer root root root "$(valid C0FFEE)"
ask="-sha384 -no_nonce -cert middle.pem"; answer good_two signer root root root "$(valid C0FFEE; valid 0200)"
say="-rmd sha256 -ndays 3650"; answer good_256 signer_of_256 root256 root256 root256 "$(valid 0302)"
answer good_middle middle root root root "$(valid 0200)"
answer good_of_middle signer_of_middle middle middle middle "$(valid 0301)"
for reason in unspecified keyCompromise CACompromise affiliationChanged superseded cessationOfOperation \
  certificateHold removeFromCRL; do
  answer revoked_$reason signer root root root "$(revoked C0FFEE $reason)"
done
printf 'R\t490101000000Z\t250101000000Z\tC0FFEE\tunknown\t/CN=x\n' > plain
answer revoked_no_reason signer root root root "$(cat plain)"
answer revoked_middle middle root root root "$(revoked 0200 keyCompromise)"
say="-rmd sha384 -nmin 30"; answer revoked_short signer root root root "$(revoked C0FFEE keyCompromise)"
answer unknown signer root root root "$(valid 0FFF)"
say="-rmd sha384 -nmin 30"; answer good_short signer root root root "$(valid C0FFEE)"
say="-rmd sha384"; answer good_endless signer root root root "$(valid C0FFEE)"
say="-rmd sha512 -ndays 3650"; answer by_sha512 signer root root root "$(valid C0FFEE)"
answer by_stranger signer root stranger stranger "$(valid C0FFEE)"
for bad in no_purpose no_nocheck no_signing past_answerer strange_answerer; do
  answer by_$bad signer root $bad answerer "$(valid C0FFEE)"
done
answer by_signer signer root signer signer "$(valid C0FFEE)"
say="-rmd sha384 -ndays 3650 -resp_no_certs"; answer by_absent signer root answerer answerer "$(valid C0FFEE)"
say="-rmd sha384 -ndays 3650 -rother stranger.pem"; answer with_stranger signer root root root "$(valid C0FFEE)"
answer about_stranger signer_of_stranger stranger stranger stranger "$(valid C0FFEE)"

list() { # name last next [revoked serial]
  : > db; rm -f db.attr
  if [ -n "${4-}" ]; then printf 'R\t490101000000Z\t250101000000Z,keyCompromise\t%s\tunknown\t/CN=x\n' "$4" > db; fi
  openssl ca -gencrl -config ca.cnf -cert root.pem -keyfile root.key -md sha384 -crl_lastupdate "$2" \
    -crl_nextupdate "$3" -out l.pem 2> log || { cat log; exit 1; }
  openssl crl -in l.pem -outform der -out "$out/$1.crl"
}
list empty 20261101000000Z 20361101000000Z
list revokes_signer 20261101000000Z 20361101000000Z C0FFEE

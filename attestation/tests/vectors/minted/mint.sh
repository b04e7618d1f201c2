#!/bin/sh
# Mints the certificates and lists of this folder: AMD's shapes under roots of our own, for tests only.
# Root and signing keys are thrown away; vcek_key.p8 stays, because the tests sign reports with it.
# Needs OpenSSL 3.0 or newer. Usage: ./mint.sh (writes beside itself).
set -eu
cd "$(dirname "$0")"
out=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
pss="-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:48 -md sha384"
name="/OU=Engineering/C=US/L=Santa Clara/ST=CA/O=Tiltyard tests"

for key in ark ask other; do openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:4096 -out $key.key; done
openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out small.key
openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out vcek.key
openssl pkcs8 -topk8 -nocrypt -in vcek.key -outform der -out "$out/vcek_key.p8"

cat > ca.cnf <<'C'
[ca]
default_ca = d
[d]
database = ./index
serial = ./serial
new_certs_dir = .
unique_subject = no
policy = p
default_md = sha384
[p]
OU = optional
C = optional
L = optional
ST = optional
O = optional
CN = supplied
[ark]
keyUsage = critical,keyCertSign,cRLSign
basicConstraints = critical,CA:TRUE
[ark_short]
keyUsage = critical,keyCertSign,cRLSign
basicConstraints = critical,CA:TRUE,pathlen:0
[ask]
keyUsage = critical,keyCertSign
basicConstraints = critical,CA:TRUE,pathlen:0
[ask_no_sign]
keyUsage = critical,digitalSignature
basicConstraints = critical,CA:TRUE,pathlen:0
[ask_no_ca]
keyUsage = critical,keyCertSign
basicConstraints = critical,CA:FALSE
C
levels() { # section product-name bl tee snp ucode hwid [fmc]
  printf '[%s]\n1.3.6.1.4.1.3704.1.1=ASN1:INTEGER:0\n1.3.6.1.4.1.3704.1.2=ASN1:IA5STRING:%s\n' "$1" "$2"
  printf '1.3.6.1.4.1.3704.1.3.%s=ASN1:INTEGER:%s\n' 1 "$3" 2 "$4" 3 "$5" 8 "$6"
  if [ -n "${8-}" ]; then printf '1.3.6.1.4.1.3704.1.3.9=ASN1:INTEGER:%s\n' "$8"; fi
  if [ -n "$7" ]; then printf '1.3.6.1.4.1.3704.1.4=DER:%s\n' "$7"; fi
}
turin=1E550A8EE5CF9F4D
milan=$(printf '%02X' $(seq 1 64))
{
  levels turin Turin 3 1 4 75 $turin 2
  levels milan Milan-B0 4 0 24 219 "$milan"
  levels no_fmc Turin 3 1 4 75 $turin
  levels long_hwid Turin 3 1 4 75 "$milan" 2
  levels says_genoa Genoa-B1 3 1 4 75 $turin
  levels both Turin 3 1 4 75 $turin 2; printf '1.3.6.1.4.1.3704.1.5=ASN1:IA5STRING:provider\n'
  levels provider Milan 4 0 24 219 ""; printf '1.3.6.1.4.1.3704.1.5=ASN1:IA5STRING:provider\n'
  levels critical Turin 3 1 4 75 $turin 2; printf '1.3.6.1.4.1.3704.1.99=critical,ASN1:INTEGER:1\n'
} >> ca.cnf

sign() { # file subject-key CN serial section issuer-cert issuer-key ("self": own key)
  openssl req -new -key "$2.key" -subj "$name/CN=$3" -out r.csr
  : > index; rm -f index.attr; echo "0$4" > serial
  if [ "$6" = self ]; then issuer="-selfsign -keyfile $2.key"; else issuer="-cert $6.pem -keyfile $7.key"; fi
  openssl ca -batch -config ca.cnf -in r.csr -preserveDN -notext $pss $issuer -extensions "$5" \
    -startdate 20240101000000Z -enddate 20490101000000Z -out "$1.pem" 2> log || { cat log; exit 1; }
  openssl x509 -in "$1.pem" -outform der -out "$out/$1.der"
}
sign ark_turin ark ARK-Turin 1 ark self
sign ark_milan ark ARK-Milan 1 ark self
sign ark_short ark ARK-Turin 1 ark_short self
sign ark_small small ARK-Turin 1 ark self
sign ark_stranger other ARK-Turin 1 ark self
sign ask_turin ask SEV-Turin 2 ask ark_turin ark
sign ask_milan ask SEV-Milan 2 ask ark_milan ark
sign asvk_milan ask SEV-VLEK-Milan 2 ask ark_milan ark
sign ask_forged ask SEV-Turin 2 ask ark_stranger other
sign ask_no_ca ask SEV-Turin 2 ask_no_ca ark_turin ark
sign ask_no_sign ask SEV-Turin 2 ask_no_sign ark_turin ark
sign ask_small small SEV-Turin 2 ask ark_turin ark
sign vcek_turin vcek SEV-VCEK 3 turin ask_turin ask
sign vcek_milan vcek SEV-VCEK 3 milan ask_milan ask
sign vlek_milan vcek SEV-VLEK 3 provider asvk_milan ask
for bad in no_fmc long_hwid says_genoa both critical; do sign vcek_$bad vcek SEV-VCEK 3 $bad ask_turin ask; done
sign vcek_by_small vcek SEV-VCEK 3 turin ask_small small
sign vcek_rsa other SEV-VCEK 3 turin ask_turin ask

list() { # file signer-cert signer-key last next [revoked serial]
  : > index; rm -f index.attr
  if [ -n "${6-}" ]; then printf 'R\t490101000000Z\t250101000000Z\t%s\tunknown\t/CN=revoked\n' "$6" > index; fi
  openssl ca -gencrl -config ca.cnf -cert "$2.pem" -keyfile "$3.key" $pss -crl_lastupdate "$4" -crl_nextupdate "$5" \
    -out l.pem 2> log || { cat log; exit 1; }
  openssl crl -in l.pem -outform der -out "$out/$1.crl"
}
serial() { openssl x509 -in "$1.pem" -noout -serial | cut -d= -f2; }
list good ark_turin ark 20261120000000Z 20361120000000Z
list revokes_ask ark_turin ark 20261120000000Z 20361120000000Z "$(serial ask_turin)"
list revokes_vcek ark_turin ark 20261120000000Z 20361120000000Z "$(serial vcek_turin)"
list past ark_turin ark 20260101000000Z 20260201000000Z
list past_revokes ark_turin ark 20260101000000Z 20260201000000Z "$(serial ask_turin)"
list old ark_turin ark 20261001000000Z 20361120000000Z
list future ark_turin ark 20300101000000Z 20361120000000Z
list forged ark_stranger other 20261120000000Z 20361120000000Z
list other_root ark_milan ark 20261120000000Z 20361120000000Z

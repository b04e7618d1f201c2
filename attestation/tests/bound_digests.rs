//! Digests that guests and launchers bind, against the same bytes put together by hand.

use ring::digest::{SHA256, SHA384, digest};
use tiltyard_attestation::binding::Runtime;
use tiltyard_attestation::{Hex, LaunchConfig};

#[test]
fn both_digests_of_a_configuration_begin_with_its_tag() {
    for document in [&b""[..], b"{\"v\":1}"] {
        let tagged = [b"tiltyard/launch-config/1\0", document].concat();
        assert_eq!(LaunchConfig::d256(document).bytes()[..], *digest(&SHA256, &tagged).as_ref());
        assert_eq!(LaunchConfig::d384(document).bytes()[..], *digest(&SHA384, &tagged).as_ref());
    }
}

#[test]
fn a_device_is_asked_over_nonce_and_key() {
    let (nonce, key) = (Hex([0x4e; 32]), Hex([0x04; 65]));
    let written = format!("{{\"nonce\":\"{nonce}\",\"tee-pubkey\":\"{key}\"}}");
    assert_eq!(Runtime::device_nonce(&nonce, &key), Hex::sha256(written.as_bytes()));
    assert_ne!(Runtime::device_nonce(&nonce, &key), Runtime::device_nonce(&Hex([0; 32]), &key));
    assert_ne!(Runtime::device_nonce(&nonce, &key), Runtime::device_nonce(&nonce, &Hex([0; 65])));
}

//! Evidence in an X.509 extension.

use tiltyard_attestation::cmw::{
    CERTIFICATE_MAX_BYTES, CMW_MAX_BYTES, EVIDENCE_MEDIA_TYPE, MessageType, in_certificate, in_extension,
    to_extension,
};

use super::Target;
use super::ground::{der, many_extensions, vector, with_extensions};

pub const TARGET: Target = Target {
    name: "cmw",
    run,
    seeds,
    costly,
    limit_bytes: CERTIFICATE_MAX_BYTES,
    mutated_bytes: 8 * 1024,
    words: &[
        "application/vnd.tiltyard.evidence+json",
        "[\\\"a/b\\\",\\\"q80\\\"]",
        "\\x06\\x08\\x2b\\x06\\x01\\x05\\x05\\x07\\x01\\x23",
        "\\x06\\x06\\x67\\x81\\x05\\x05\\x04\\x09",
        "\\x82\\x63a/b\\x42\\xab\\xcd",
        "\\xda\\x63\\x74\\x76\\xa7",
    ],
};

/// OBJECT IDENTIFIER id-pe-cmw.
const ID: &[u8] = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x01\x23";

fn seeds() -> Vec<Vec<u8>> {
    let message = to_extension(EVIDENCE_MEDIA_TYPE, &[0xa5; 40]).unwrap_or_default();
    let certificate = vector("minted/vcek_turin.der");
    let record = [0x82, 0x63, b'a', b'/', b'b', 0x42, 0xab, 0xcd];
    let tagged = [0xda, 0x63, 0x74, 0x76, 0xa7, 0x42, 0xab, 0xcd];
    vec![
        der(0x0c, br#"["a/b","q80",4]"#),
        der(0x0c, br#"[30001,"q80"]"#),
        der(0x04, &record),
        der(0x30, &der(0x04, &tagged)),
        with_extensions(&certificate, &[extension(&message)]),
        message,
        certificate,
    ]
}

/// A certificate of many extensions, and a message of the longest.
fn costly() -> Vec<Vec<u8>> {
    let certificate = vector("minted/vcek_turin.der");
    let long = to_extension(EVIDENCE_MEDIA_TYPE, &vec![0xa5; CMW_MAX_BYTES / 4 * 3 - 64]).unwrap_or_default();
    vec![
        with_extensions(&certificate, &many_extensions(4000)),
        with_extensions(&certificate, &[extension(&long)]),
        long,
        der(0x04, &[0x81; CMW_MAX_BYTES - 4]),
    ]
}

/// Whoever reads it verifies no signature of the certificate.
fn extension(value: &[u8]) -> Vec<u8> {
    der(0x30, &[ID, &der(0x04, value)].concat())
}

fn run(data: &[u8]) {
    if let Ok(found) = in_certificate(data) {
        assert!(data.len() <= CERTIFICATE_MAX_BYTES);
        assert!(found.is_none_or(|message| message.value.len() <= CMW_MAX_BYTES));
    }
    let Ok(message) = in_extension(data) else { return };
    assert!(data.len() <= CMW_MAX_BYTES);
    if let MessageType::Media(name) = &message.kind
        && let Ok(written) = to_extension(name, &message.value)
    {
        assert_eq!(in_extension(&written).as_ref(), Ok(&message), "what is written is read as it was");
    }
}

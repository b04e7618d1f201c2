//! Evidence in an X.509 extension.

use tiltyard_attestation::cmw::{
    CERTIFICATE_MAX_BYTES, CMW_MAX_BYTES, EVIDENCE_MEDIA_TYPE, MessageType, in_certificate, in_extension,
    to_extension,
};

use super::Target;
use super::ground::vector;

pub const TARGET: Target = Target {
    name: "cmw",
    run,
    seeds,
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
    let within = |tag, content: &[u8]| [&[tag, content.len() as u8], content].concat();
    vec![
        within(0x0c, br#"["a/b","q80",4]"#),
        within(0x0c, br#"[30001,"q80"]"#),
        within(0x04, &record),
        within(0x30, &within(0x04, &tagged)),
        with_extension(&certificate, &message).unwrap_or_default(),
        message,
        certificate,
    ]
}

/// The certificate with the first extension's id and value replaced; whoever reads it verifies no signature.
fn with_extension(certificate: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    const EXTENSIONS: u8 = 0xa3;
    let at = certificate.windows(2).position(|window| window == [EXTENSIONS, 0x82])?;
    let extension = [ID, &[0x04, value.len() as u8], value].concat();
    let sized = |tag, content: &[u8]| {
        let len = (content.len() as u16).to_be_bytes();
        [&[tag, 0x82, len[0], len[1]], content].concat()
    };
    let extensions = sized(EXTENSIONS, &sized(0x30, &sized(0x30, &extension)));
    let len = usize::from(u16::from_be_bytes([certificate[at + 2], certificate[at + 3]]));
    let inner = [certificate.get(8..at)?, &extensions].concat();
    let rest = certificate.get(at + 4 + len..)?;
    Some(sized(0x30, &[&sized(0x30, &inner)[..], rest].concat()))
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

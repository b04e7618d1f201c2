//! A reader of DER that shares nothing with the simulator's writer.

/// One element.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tlv<'d> {
    pub(crate) tag: u8,
    /// With tag and length.
    pub(crate) whole: &'d [u8],
    pub(crate) content: &'d [u8],
}

/// The elements one after the other in `der`.
pub(crate) fn elements(mut der: &[u8]) -> Vec<Tlv<'_>> {
    let mut out = Vec::new();
    while let [tag, first, ..] = *der {
        let (head, len) = match first {
            short @ 0..=0x7f => (2, usize::from(short)),
            0x81 => (3, usize::from(der[2])),
            0x82 => (4, usize::from(u16::from_be_bytes([der[2], der[3]]))),
            other => panic!("length byte {other:#x}"),
        };
        let (whole, rest) = der.split_at(head + len);
        out.push(Tlv { tag, whole, content: &whole[head..] });
        der = rest;
    }
    out
}

/// The members of a constructed element.
pub(crate) fn members(element: Tlv<'_>) -> Vec<Tlv<'_>> {
    assert_ne!(element.tag & 0x20, 0, "constructed");
    elements(element.content)
}

/// The one element that `der` is.
pub(crate) fn only(der: &[u8]) -> Tlv<'_> {
    let [element] = elements(der)[..] else { panic!("one element") };
    element
}

/// Tags, object identifiers, texts and dates of a certificate, one line each; keys and digests by their length,
/// numbers and signatures without it, because it varies.
pub(crate) fn skeleton(der: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    walk(only(der), 0, &mut lines);
    lines
}

fn walk(element: Tlv<'_>, depth: usize, lines: &mut Vec<String>) {
    let Tlv { tag, content, .. } = element;
    let pad = " ".repeat(depth);
    let text = || String::from_utf8_lossy(content).into_owned();
    // Names of devices are numbers in text form.
    let masked = |text: String| -> String {
        let digits = |part: &str| part.len() >= 14 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        if text.split(':').any(|part| digits(part.trim_start_matches("48B02D"))) || digits(&text) {
            format!("{} characters", text.len())
        } else {
            text
        }
    };
    match tag {
        0x02 => lines.push(format!("{pad}INTEGER")),
        0x03 if content.len() > 98 => lines.push(format!("{pad}BIT STRING signature")),
        0x06 => lines.push(format!("{pad}OID {content:02x?}")),
        0x0c | 0x13 => lines.push(format!("{pad}TEXT {tag} {}", device_text(&masked(text())))),
        0x17 | 0x18 => lines.push(format!("{pad}TIME {tag} {}", text())),
        // Octet strings of extensions hold DER, but for digests and key ids.
        0x04 if matches!(content.first(), Some(0x03 | 0x04 | 0x30)) && nested(content) => {
            lines.push(format!("{pad}OCTETS"));
            for inner in elements(content) {
                walk(inner, depth + 1, lines);
            }
        }
        _ if tag & 0x20 != 0 => {
            lines.push(format!("{pad}[{tag:02x}]"));
            for inner in elements(content) {
                walk(inner, depth + 1, lines);
            }
        }
        0x86 => lines.push(format!("{pad}URI {}", text())),
        _ => lines.push(format!("{pad}{tag:02x} {} bytes", content.len())),
    }
}

/// Whether an octet string is exactly one element.
fn nested(content: &[u8]) -> bool {
    content.len() > 1 && content.len() < 0x80 && usize::from(content[1]) + 2 == content.len()
        || content.len() > 2 && content[1] == 0x81 && usize::from(content[2]) + 3 == content.len()
}

/// A SPDM device name without its fuses.
fn device_text(text: &str) -> String {
    match text.split_once(":48B02D") {
        Some((before, fuses)) => format!("{before}:48B02D + {}", fuses.len()),
        None => text.to_owned(),
    }
}

//! The certificate table beside a report, as a hypervisor hands it to a guest (GHCB specification 56421, 4.1.8.1).

/// Row of the table: GUID 16, offset u32, length u32, little endian.
const ROW_LEN: usize = 24;
/// Rows that are looked at; others than certificates may stand among them.
pub const TABLE_ROWS_MAX: usize = 32;

/// The kinds of certificate, leaf first, by GUID as it stands in memory (GHCB specification, "Certificate table").
const KINDS: [u128; 4] = [
    u128::from_be_bytes(*b"\x63\xda\x75\x8d\xe6\x64\x45\x64\xad\xc5\xf4\xb9\x3b\xe8\xac\xcd"), // VCEK
    u128::from_be_bytes(*b"\xa8\x07\x4b\xc2\xa2\x5a\x48\x3e\xaa\xe6\x39\xc0\x45\xa0\xb8\xa1"), // VLEK
    u128::from_be_bytes(*b"\x4a\xb7\xb3\x79\xbb\xac\x4f\xe4\xa0\x2f\x05\xae\xf3\x27\xc7\x82"), // ASK or ASVK
    u128::from_be_bytes(*b"\xc0\xb4\x06\xa4\xa8\x03\x49\x52\x97\x43\x3f\xb6\x01\x4c\xd0\xae"), // ARK
];

/// Why bytes are no certificate table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// More rows than are looked at.
    #[error("expected at most {TABLE_ROWS_MAX} rows, found more")]
    Rows,
    /// A row points outside of the table.
    #[error("expected {expected} bytes, as its rows say, found {got}")]
    Length { expected: usize, got: usize },
    /// Rows without an end, certificates that overlap, or a kind twice.
    #[error("expected {expected}")]
    Form { expected: &'static str },
}

/// Whether bytes begin with a row for a certificate, as tables do and DER, PEM and text do not.
pub fn is_certificate_table(bytes: &[u8]) -> bool {
    bytes.first_chunk().is_some_and(|guid| KINDS.contains(&u128::from_be_bytes(*guid)))
}

/// The certificates of a table, DER, leaf first.
///
/// A zero GUID ends the rows; offsets count from the table's start. Nothing may lie outside of the table, on its
/// rows or on another certificate, and no kind may come twice. Rows that are no certificate are left out. An empty
/// table is a host that has none; then they come as collateral.
pub fn certificates_of_table(table: &[u8]) -> Result<Vec<Vec<u8>>, TableError> {
    if table.is_empty() {
        return Ok(Vec::new());
    }
    let rows = rows(table)?;
    let taken = (rows.len() + 1) * ROW_LEN;
    let mut spans: Vec<_> =
        rows.iter().map(|row| (row.start, row.end)).filter(|(start, end)| end > start).collect();
    spans.sort_unstable();
    let apart = spans.windows(2).all(|pair| pair[0].1 <= pair[1].0);
    if !apart || spans.first().is_some_and(|(start, _)| *start < taken) {
        return Err(TableError::Form { expected: "certificates that do not overlap" });
    }
    let mut chain = Vec::new();
    for kind in KINDS {
        let mut found = rows.iter().filter(|row| row.guid == kind);
        if let Some(row) = found.next() {
            chain.extend(table.get(row.start..row.end).map(<[u8]>::to_vec));
        }
        if found.next().is_some() {
            return Err(TableError::Form { expected: "one certificate of a kind" });
        }
    }
    Ok(chain)
}

struct Row {
    guid: u128,
    start: usize,
    end: usize,
}

fn rows(table: &[u8]) -> Result<Vec<Row>, TableError> {
    let mut rows = Vec::new();
    for row in table.chunks(ROW_LEN) {
        let Some((guid, [a, b, c, d, e, f, g, h])) =
            row.split_first_chunk::<16>().and_then(|(guid, rest)| {
                <&[u8; 8]>::try_from(rest).ok().map(|rest| (u128::from_be_bytes(*guid), rest))
            })
        else {
            break;
        };
        if guid == 0 {
            return Ok(rows);
        }
        if rows.len() == TABLE_ROWS_MAX {
            return Err(TableError::Rows);
        }
        let start = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        let end = start.saturating_add(u32::from_le_bytes([*e, *f, *g, *h]) as usize);
        if end > table.len() {
            return Err(TableError::Length { expected: end, got: table.len() });
        }
        rows.push(Row { guid, start, end });
    }
    Err(TableError::Form { expected: "a row of zeros after the last" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_changed_byte_of_a_table_gives_bytes_from_elsewhere() {
        let mut genuine = KINDS[0].to_be_bytes().to_vec();
        genuine.extend_from_slice(&48u32.to_le_bytes());
        genuine.extend_from_slice(&3u32.to_le_bytes());
        genuine.extend_from_slice(&[0; 24]);
        genuine.extend_from_slice(b"der");
        assert_eq!(certificates_of_table(&genuine), Ok(vec![b"der".to_vec()]));
        for at in 0..genuine.len() {
            for byte in 0..=u8::MAX {
                let mut changed = genuine.clone();
                changed[at] = byte;
                for certificate in certificates_of_table(&changed).unwrap_or_default() {
                    assert!(changed[48..].starts_with(&certificate) || changed[48..].ends_with(&certificate));
                }
            }
        }
    }
}

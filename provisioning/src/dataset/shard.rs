//! Shard plaintext: `"TYROWS1\0"`, then frames `kind u8 || len u32 LE || bytes`; padding stands in frames too.

use zeroize::Zeroizing;

use super::rows::ROW_MAX_BYTES;
use crate::manifest::Padding;

/// Largest shard plaintext, in bytes.
pub(super) const SHARD_MAX_BYTES: u64 = 1 << 30;

const MAGIC: &[u8; 8] = b"TYROWS1\0";
const FRAME_HEADER_BYTES: u64 = 5;
const KIND_PAD: u8 = 0;
const KIND_ROW: u8 = 1;

/// E_FRAMES: an opened shard does not hold what its owner's tool writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("E_FRAMES: expected {expected} at byte {at}")]
pub struct FrameError {
    pub at: u64,
    pub expected: &'static str,
}

/// Takes rows from the front of `rows` for one shard, and writes it; at least one row, if there are any.
///
/// A shard that rows are left behind for is padded to exactly `shard_bytes`, so that its length says
/// nothing about them; the last one follows `padding`.
pub(super) fn next_shard<'a>(
    rows: &mut &'a [Zeroizing<Vec<u8>>],
    shard_bytes: u64,
    padding: Padding,
) -> (Zeroizing<Vec<u8>>, &'a [Zeroizing<Vec<u8>>]) {
    let mut len = MAGIC.len() as u64;
    let mut count = 0;
    for row in rows.iter() {
        let with_row = len + FRAME_HEADER_BYTES + row.len() as u64;
        // The frame header that is kept free lets the rest be padded, whatever its length.
        if count > 0 && with_row + FRAME_HEADER_BYTES > shard_bytes {
            break;
        }
        (len, count) = (with_row, count + 1);
    }
    let (taken, left) = rows.split_at(count);
    *rows = left;
    let padded = match padding {
        Padding::None => len,
        _ if !left.is_empty() => shard_bytes.max(with_room(len, |len| len)),
        padding => with_room(len, |len| rounded(len, padding)),
    };
    (write(taken, len, padded), taken)
}

/// The rows of a shard, in order.
pub(super) fn read_shard(plaintext: &[u8]) -> Result<Vec<Zeroizing<Vec<u8>>>, FrameError> {
    let refuse = |at: usize, expected| Err(FrameError { at: at as u64, expected });
    let Some(mut rest) = plaintext.strip_prefix(MAGIC) else {
        return refuse(0, "the shard's magic bytes");
    };
    let mut rows = Vec::new();
    let mut padded = false;
    while !rest.is_empty() {
        let at = plaintext.len() - rest.len();
        let Some(([kind, len @ ..], body)) = rest.split_first_chunk::<5>() else {
            return refuse(at, "a frame header");
        };
        let Some((body, after)) = body.split_at_checked(u32::from_le_bytes(*len) as usize) else {
            return refuse(at, "a frame within the shard");
        };
        rest = after;
        match *kind {
            KIND_ROW if padded => return refuse(at, "padding to the end"),
            KIND_ROW if body.len() > ROW_MAX_BYTES => return refuse(at, "a row within the limit"),
            KIND_ROW => rows.push(Zeroizing::new(body.to_vec())),
            KIND_PAD if body.iter().any(|byte| *byte != 0) => return refuse(at, "zero padding"),
            KIND_PAD => padded = true,
            _ => return refuse(at, "a frame kind of this version"),
        }
    }
    Ok(rows)
}

/// PADME: the length with its lowest bits cleared upwards, at most 12 % longer (Nikitin et al., 2019, 4.2).
pub(super) fn padme(len: u64) -> u64 {
    if len < 2 {
        return len;
    }
    let exponent = len.ilog2();
    let kept_bits = exponent.ilog2() + 1;
    let mask = (1u64 << (exponent - kept_bits.min(exponent))) - 1;
    (len + mask) & !mask
}

pub(super) fn rounded(len: u64, padding: Padding) -> u64 {
    match padding {
        Padding::None => len,
        Padding::Padme => padme(len),
        Padding::Bucket(bytes) => len.next_multiple_of(bytes.max(1)),
    }
}

/// `round` of the length, or of the length with a pad frame's header where that would not fit.
fn with_room(len: u64, round: impl Fn(u64) -> u64) -> u64 {
    let padded = round(len);
    if padded == len || padded - len >= FRAME_HEADER_BYTES { padded } else { round(len + FRAME_HEADER_BYTES) }
}

fn write(rows: &[Zeroizing<Vec<u8>>], len: u64, padded: u64) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(padded as usize));
    out.extend_from_slice(MAGIC);
    for row in rows {
        push_header(&mut out, KIND_ROW, row.len() as u64);
        out.extend_from_slice(row);
    }
    if let Some(pad) = (padded - len).checked_sub(FRAME_HEADER_BYTES) {
        push_header(&mut out, KIND_PAD, pad);
        out.resize(padded as usize, 0);
    }
    out
}

/// Lengths are below [`SHARD_MAX_BYTES`], so they fit.
fn push_header(out: &mut Vec<u8>, kind: u8, len: u64) {
    out.push(kind);
    out.extend_from_slice(&(len as u32).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(lengths: &[usize]) -> Vec<Zeroizing<Vec<u8>>> {
        lengths.iter().map(|len| Zeroizing::new(vec![b'r'; *len])).collect()
    }

    #[test]
    fn padme_keeps_few_lengths_and_costs_at_most_12_percent() {
        // Worked by hand from E = floor(log2 L), S = floor(log2 E) + 1, z = E - S.
        for (len, expected) in [
            (0, 0),
            (1, 1),
            (8, 8),
            (9, 10),
            (17, 18),
            (33, 36),
            (100, 104),
            (1000, 1024),
            (1 << 20, 1 << 20),
        ] {
            assert_eq!(padme(len), expected, "length {len}");
        }
        for len in 2..100_000u64 {
            let padded = padme(len);
            assert!(padded >= len && padded * 100 <= len * 112, "length {len} became {padded}");
            assert_eq!(padme(padded), padded, "length {len}");
        }
    }

    #[test]
    fn every_gap_before_the_padded_length_can_be_filled() {
        for padding in [Padding::None, Padding::Padme, Padding::Bucket(7), Padding::Bucket(4096)] {
            for len in 0..600 {
                let rows = rows(&[len]);
                let (shard, taken) = next_shard(&mut &rows[..], SHARD_MAX_BYTES, padding);
                assert_eq!(taken.len(), 1);
                assert_eq!(shard.len() as u64, rounded(shard.len() as u64, padding), "{padding:?}, {len}");
                assert_eq!(read_shard(&shard).expect("reads"), rows, "{padding:?}, {len}");
            }
        }
    }

    #[test]
    fn shards_before_the_last_have_one_length() {
        let all = rows(&[300; 40]);
        let mut left = &all[..];
        let mut lengths = Vec::new();
        let mut read = Vec::new();
        while !left.is_empty() {
            let (shard, _) = next_shard(&mut left, 1024, Padding::Padme);
            lengths.push(shard.len());
            read.extend(read_shard(&shard).expect("reads"));
        }
        assert_eq!(read, all);
        assert_eq!(lengths.len(), 14);
        assert!(lengths[..13].iter().all(|len| *len == 1024), "{lengths:?}");
    }

    #[test]
    fn frames_of_another_tool_are_refused() {
        let frame = |kind: u8, body: &[u8]| {
            let mut out = vec![kind];
            out.extend_from_slice(&(body.len() as u32).to_le_bytes());
            out.extend_from_slice(body);
            out
        };
        let shard = |frames: &[Vec<u8>]| [&MAGIC[..], &frames.concat()].concat();
        let cases = [
            (b"TYROWS2\0".to_vec(), "the shard's magic bytes"),
            (shard(&[vec![1, 0, 0]]), "a frame header"),
            (shard(&[vec![1, 9, 0, 0, 0, b'x']]), "a frame within the shard"),
            (shard(&[vec![1, 255, 255, 255, 255]]), "a frame within the shard"),
            (shard(&[frame(0, &[0]), frame(1, b"x")]), "padding to the end"),
            (shard(&[frame(0, &[1])]), "zero padding"),
            (shard(&[frame(2, b"blob")]), "a frame kind of this version"),
            (shard(&[frame(1, &vec![b'x'; ROW_MAX_BYTES + 1])]), "a row within the limit"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(read_shard(&bytes).map_err(|error| error.expected), Err(expected));
        }
    }
}

//! Documents side by side in one batch, without padding.
//!
//! Where documents begin with the same tokens (a system prompt, say) and none of these has a label, the
//! beginning is computed once and all documents attend to it: the same numbers for fewer rows.

use super::Encoded;
use crate::model::DecoderConfig;
use crate::model::decoder::Batch;
use crate::ops::attention::{Documents, Segment};

/// Shortest common beginning that is worth a segment of its own.
const MIN_SHARED: usize = 4;

/// A batch, and what its rows have to predict.
pub(crate) struct Labelled {
    pub(crate) batch: Batch,
    /// Rows of the common beginning; every document's own rows follow, in order.
    pub(crate) shared: usize,
    /// Rows with a label, document by document.
    pub(crate) rows: Vec<u32>,
    /// The token that each of them predicts.
    pub(crate) targets: Vec<u32>,
    /// Labels of each document.
    pub(crate) counts: Vec<usize>,
}

/// Packs documents in the order given.
pub(crate) fn pack(config: &DecoderConfig, documents: &[&Encoded]) -> Labelled {
    let shared = shared(documents);
    let mut tokens: Vec<u32> = documents.first().map_or(&[][..], |d| &d.tokens[..shared]).to_vec();
    let mut segments = Vec::with_capacity(documents.len() + 1);
    if shared > 0 {
        segments.push(Segment { rows: 0..shared, prefix: 0..0 });
    }
    let (mut rows, mut targets, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    for document in documents {
        let start = tokens.len();
        tokens.extend_from_slice(&document.tokens[shared..document.rows()]);
        segments.push(Segment { rows: start..tokens.len(), prefix: 0..shared });
        let first = start + document.first_label - 1 - shared;
        rows.extend((first..tokens.len()).map(|row| row as u32));
        targets.extend_from_slice(&document.tokens[document.first_label..]);
        counts.push(document.labels());
    }
    Labelled { batch: Batch::new(config, tokens, Documents(segments)), shared, rows, targets, counts }
}

fn shared(documents: &[&Encoded]) -> usize {
    let [first, others @ ..] = documents else { return 0 };
    if others.is_empty() {
        return 0;
    }
    // The row before the first label predicts it, so it stays the document's own.
    let limit = documents.iter().map(|d| d.first_label - 1).min().unwrap_or(0);
    let same =
        |other: &&&Encoded| first.tokens.iter().zip(&*other.tokens).take_while(|(a, b)| a == b).count();
    let common = others.iter().map(|o| same(&o)).min().unwrap_or(0).min(limit);
    if common < MIN_SHARED { 0 } else { common }
}

use std::collections::HashMap;

use ring::digest::{Context, SHA256};
use ring::hmac;
use ring::rand::SecureRandom;
use serde::{Deserialize, Serialize};
use tiltyard_attestation::Hex;
use zeroize::Zeroizing;

use super::mapping::{Fields, Mapping};
use super::rows::Row;
use crate::dek::KeyError;
use crate::ledger::merkle_root;
use crate::order::ItemLoss;

const SPLIT_TAG: &[u8] = b"tiltyard-split-v1\0";
const ITEM_TAG: &[u8] = b"tiltyard-item-v1\0";
const INDEX_TAG: &[u8] = b"tiltyard-index-v1\0";
const COMMIT_TAG: &[u8] = b"tiltyard-split-commit-v1\0";
const LOSS_SALT_TAG: &[u8] = b"tiltyard-loss-salt-v1\0";

/// The secret that drew a split. Only the test key opens it.
pub struct SplitSeed(Zeroizing<[u8; 32]>);

/// E_SPLIT_EMPTY: one side of the split would hold no row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "E_SPLIT_EMPTY: expected rows on both sides, found {test} for test and {train} for train in {groups} groups\nAsk for at least one test row, and bring rows of at least two groups."
)]
pub struct SplitEmpty {
    pub groups: u64,
    pub test: u64,
    pub train: u64,
}

/// What was asked of the draw; committed to together with the seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SplitTerms {
    pub(super) group_columns: Vec<String>,
    pub(super) test_rows: u64,
    pub(super) source_rows: u64,
    /// Which column filled which field.
    pub(super) mapping: Fields,
}

/// Canonical rows of both sides, each in the order of their tags.
pub(super) struct Sides {
    pub(super) train: Vec<Zeroizing<Vec<u8>>>,
    pub(super) test: Vec<Zeroizing<Vec<u8>>>,
}

impl SplitSeed {
    pub(super) fn draw(rng: &dyn SecureRandom) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill(&mut seed[..]).map_err(|_| KeyError::Random)?;
        Ok(Self(seed))
    }

    pub(super) fn from_bytes(seed: Zeroizing<[u8; 32]>) -> Self {
        Self(seed)
    }

    pub(super) fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Name of a held-out item: HMAC of its canonical row.
    pub fn item_id(&self, row: &[u8]) -> Hex<32> {
        self.hmac(ITEM_TAG, &[row])
    }

    /// Salt of one item's loss for one submission.
    pub fn loss_salt(&self, submission: &Hex<32>, item: &Hex<32>) -> Hex<16> {
        let full = self.hmac(LOSS_SALT_TAG, &[submission.bytes(), item.bytes()]);
        let mut salt = [0; 16];
        salt.copy_from_slice(&full.bytes()[..16]);
        Hex(salt)
    }

    /// SHA-256(tag || seed || JCS of the terms): stands in the manifests of both splits.
    pub(super) fn commitment(&self, terms: &SplitTerms) -> Hex<32> {
        let mut context = Context::new(&SHA256);
        context.update(COMMIT_TAG);
        context.update(&self.0[..]);
        // Strings, integers and lists only, which always serialise.
        context.update(&serde_jcs::to_vec(terms).unwrap_or_default());
        digest(context)
    }

    /// RFC 6962 root over the rows' HMACs under the index key.
    pub(super) fn rows_root<R: AsRef<[u8]>>(&self, rows: impl IntoIterator<Item = R>) -> Hex<32> {
        let index_key = hmac::Key::new(hmac::HMAC_SHA256, self.hmac(INDEX_TAG, &[]).bytes());
        merkle_root(rows.into_iter().map(|row| hmac::sign(&index_key, row.as_ref())))
    }

    fn hmac(&self, tag: &[u8], parts: &[&[u8]]) -> Hex<32> {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0[..]));
        context.update(tag);
        for part in parts {
            context.update(part);
        }
        let mut out = [0; 32];
        out.copy_from_slice(context.sign().as_ref());
        Hex(out)
    }
}

impl SplitTerms {
    pub(super) fn new(mapping: &Mapping, test_rows: u64, source_rows: u64) -> Self {
        Self {
            group_columns: mapping.group_columns.clone(),
            test_rows,
            source_rows,
            mapping: mapping.fields.clone(),
        }
    }
}

/// SHA-256(salt || item id || value): one item's leaf under [`losses_root`].
///
/// The value is the loss as 8 bytes and the label count as 4, big-endian; the loss is left out when it
/// was not finite.
pub fn loss_leaf(loss: &ItemLoss) -> Hex<32> {
    let mut context = Context::new(&SHA256);
    context.update(loss.salt.bytes());
    context.update(loss.item.bytes());
    if let Some(micro) = loss.loss_micro {
        context.update(&micro.to_be_bytes());
    }
    context.update(&loss.labels.to_be_bytes());
    digest(context)
}

/// RFC 6962 root over the leaves of items in the order given.
pub fn losses_root(losses: &[ItemLoss]) -> Hex<32> {
    merkle_root(losses.iter().map(|loss| loss_leaf(loss).0))
}

/// Draws the test side: whole groups by ascending tag until it holds `test_rows`; the rest is train.
///
/// Groups that share an equal row count as one, under the smallest of their tags, so that neither equal
/// groups nor equal rows can fall on both sides. Rows are ordered by tag: their order in the source is
/// hidden too.
pub(super) fn draw(rows: Vec<Row>, seed: &SplitSeed, test_rows: u64) -> Result<Sides, SplitEmpty> {
    let tagged: Vec<(Hex<32>, Hex<32>)> = rows
        .iter()
        .map(|row| (seed.hmac(SPLIT_TAG, &[row.group()]), seed.item_id(row.canonical())))
        .collect();
    let joined = JoinedGroups::of(&tagged);
    let mut ordered: Vec<(Hex<32>, Hex<32>, Hex<32>, Row)> =
        rows.into_iter().zip(tagged).map(|(row, (tag, item))| (joined.tag(tag), tag, item, row)).collect();
    ordered.sort_by_key(|(joined, tag, item, _)| (*joined, *tag, *item));

    let groups = ordered.chunk_by(|left, right| left.0 == right.0).map(<[_]>::len);
    let mut test = 0;
    for len in groups.clone() {
        if test as u64 >= test_rows {
            break;
        }
        test += len;
    }
    let (groups, train) = (groups.count() as u64, ordered.len() - test);
    if groups < 2 || test == 0 || train == 0 {
        return Err(SplitEmpty { groups, test: test as u64, train: train as u64 });
    }
    let mut rows = ordered.into_iter().map(|(_, _, _, row)| row.into_canonical());
    Ok(Sides { test: rows.by_ref().take(test).collect(), train: rows.collect() })
}

/// Groups joined by the equal rows that they share (disjoint sets over tags).
struct JoinedGroups(HashMap<Hex<32>, Hex<32>>);

impl JoinedGroups {
    fn of(tagged: &[(Hex<32>, Hex<32>)]) -> Self {
        let mut joined = Self(HashMap::new());
        let mut first_group_of_item = HashMap::new();
        for (tag, item) in tagged {
            let first = *first_group_of_item.entry(*item).or_insert(*tag);
            joined.join(first, *tag);
        }
        joined
    }

    /// The smallest tag of the set that `tag` is in.
    fn tag(&self, mut tag: Hex<32>) -> Hex<32> {
        while let Some(smaller) = self.0.get(&tag) {
            tag = *smaller;
        }
        tag
    }

    fn join(&mut self, left: Hex<32>, right: Hex<32>) {
        let (left, right) = (self.compress(left), self.compress(right));
        if left != right {
            self.0.insert(left.max(right), left.min(right));
        }
    }

    /// [`Self::tag`], leaving short paths behind.
    fn compress(&mut self, tag: Hex<32>) -> Hex<32> {
        let smallest = self.tag(tag);
        let mut at = tag;
        while at != smallest {
            at = self.0.insert(at, smallest).unwrap_or(smallest);
        }
        smallest
    }
}

fn digest(context: Context) -> Hex<32> {
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    Hex(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hmac_text(key: &[u8], text: &[u8]) -> Hex<32> {
        Hex::from_slice(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref()).expect("32 bytes")
    }

    #[test]
    fn derived_values_are_over_the_documented_bytes() {
        let seed = SplitSeed::from_bytes(Zeroizing::new([5; 32]));
        let row = b"{\"instruction\":\"Q\",\"output\":\"A\"}";
        let item = seed.item_id(row);
        assert_eq!(item, hmac_text(&[5; 32], &[b"tiltyard-item-v1\0", &row[..]].concat()));

        let submission = Hex([6; 32]);
        let salted = [&b"tiltyard-loss-salt-v1\0"[..], &[6; 32], item.bytes()].concat();
        assert_eq!(
            seed.loss_salt(&submission, &item).bytes()[..],
            hmac_text(&[5; 32], &salted).bytes()[..16]
        );

        let index_key = hmac_text(&[5; 32], b"tiltyard-index-v1\0");
        let leaf = [&[0][..], hmac_text(index_key.bytes(), row).bytes()].concat();
        assert_eq!(seed.rows_root([row]), Hex::sha256(&leaf));

        let fields =
            Fields::Instruct { instruction: "q".into(), input: None, output: "a".into(), system: None };
        let mapping = Mapping { fields, group_columns: vec!["customer".into()] };
        let text = r#"{"group_columns":["customer"],"mapping":{"input":null,"instruction":"q","kind":"instruct","output":"a","system":null},"source_rows":9,"test_rows":2}"#;
        let committed = [&b"tiltyard-split-commit-v1\0"[..], &[5; 32], text.as_bytes()].concat();
        assert_eq!(seed.commitment(&SplitTerms::new(&mapping, 2, 9)), Hex::sha256(&committed));
    }

    #[test]
    fn a_loss_leaf_covers_salt_item_loss_and_labels() {
        let loss = ItemLoss { item: Hex([1; 32]), loss_micro: Some(-2), labels: 7, salt: Hex([3; 16]) };
        let text = [&[3; 16][..], &[1; 32], &(-2i64).to_be_bytes(), &7u32.to_be_bytes()].concat();
        assert_eq!(loss_leaf(&loss), Hex::sha256(&text));
    }

    #[test]
    fn joined_groups_take_the_smallest_tag_however_they_are_linked() {
        let tag = |n: u8| Hex([n; 32]);
        // 9-8, 7-6, 6-9 share items; 1 stands alone.
        let pairs = [(9, 100), (8, 100), (7, 101), (6, 101), (1, 102), (6, 103), (9, 103)];
        for rotation in 0..pairs.len() {
            let mut tagged = pairs.map(|(group, item)| (tag(group), tag(item)));
            tagged.rotate_left(rotation);
            let joined = JoinedGroups::of(&tagged);
            assert!(
                [9, 8, 7, 6].iter().all(|group| joined.tag(tag(*group)) == tag(6)),
                "rotation {rotation}"
            );
            assert_eq!(joined.tag(tag(1)), tag(1));
        }
    }
}

//! The log: trees against the definition, proofs and what refuses them, notes, checkpoints, tiles.

use ring::signature::Ed25519KeyPair;
use tiltyard_attestation::Hex;
use tiltyard_provisioning::ledger::{
    Checkpoint, ENTRY_MAX_BYTES, LedgerError, MerkleLog, NOTE_SIGNATURES_MAX, NoteKey, TlogProof, empty_root,
    entries_path, leaf_hash, merkle_root, node_hash, tile_path, tiles, verify_consistency, verify_inclusion,
};

use crate::fixture::{key, public};

const SIZES: u64 = 130;

fn leaves(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|index| format!("entry {index}").into_bytes()).collect()
}

/// MTH of RFC 6962, 2.1, word for word.
fn naive_root(leaves: &[Vec<u8>]) -> Hex<32> {
    match leaves {
        [] => Hex::sha256(b""),
        [leaf] => leaf_hash(leaf),
        _ => {
            let mut split = 1;
            while split * 2 < leaves.len() {
                split *= 2;
            }
            node_hash(&naive_root(&leaves[..split]), &naive_root(&leaves[split..]))
        }
    }
}

#[test]
fn roots_of_the_certificate_transparency_test_tree() {
    let leaves: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut log = MerkleLog::new();
    assert_eq!(log.root(), empty_root());
    for (leaf, root) in leaves.iter().zip(roots) {
        log.append(leaf);
        assert_eq!(log.root().to_string(), root);
    }
    assert_eq!(merkle_root(leaves), log.root());
}

#[test]
fn roots_are_those_of_the_definition_at_every_size() {
    let all = leaves(SIZES);
    let log = MerkleLog::from_leaves(&all);
    let mut growing = MerkleLog::new();
    for size in 0..=SIZES {
        let expected = naive_root(&all[..size as usize]);
        assert_eq!(log.root_at(size), Some(expected));
        assert_eq!(merkle_root(&all[..size as usize]), expected);
        assert_eq!((growing.size(), growing.root()), (size, expected));
        if size < SIZES {
            assert_eq!(growing.append(&all[size as usize]), size);
        }
    }
    assert_eq!(log.root_at(SIZES + 1), None);
}

#[test]
fn every_entry_is_proved_at_every_size() {
    let all = leaves(SIZES);
    let log = MerkleLog::from_leaves(&all);
    for size in 1..=SIZES {
        let root = log.root_at(size).unwrap();
        for index in 0..size {
            let proof = log.inclusion(index, size);
            let included = verify_inclusion(&all[index as usize], index, size, &proof, &root).unwrap();
            assert_eq!((included.index(), included.size(), included.root()), (index, size, root));
        }
    }
    assert!(log.inclusion(SIZES, SIZES).is_empty() && log.inclusion(0, SIZES + 1).is_empty());
}

#[test]
fn no_changed_inclusion_proof_verifies() {
    let all = leaves(SIZES);
    let log = MerkleLog::from_leaves(&all);
    for size in [1, 2, 3, 7, 8, 64, 65, 100, SIZES] {
        let root = log.root_at(size).unwrap();
        for index in [0, size / 3, size / 2, size - 1] {
            let leaf = &all[index as usize];
            let proof = log.inclusion(index, size);
            for bit in 0..proof.len() * 256 {
                let mut changed = proof.clone();
                changed[bit / 256].0[bit % 256 / 8] ^= 1 << (bit % 8);
                assert!(verify_inclusion(leaf, index, size, &changed, &root).is_err());
            }
            for bit in 0..256 {
                let mut changed = root;
                changed.0[bit / 8] ^= 1 << (bit % 8);
                assert!(verify_inclusion(leaf, index, size, &proof, &changed).is_err());
            }
            let mut longer = proof.clone();
            longer.push(root);
            let error = verify_inclusion(leaf, index, size, &longer, &root).unwrap_err();
            assert_eq!(error, LedgerError::ProofLength { expected: proof.len(), got: proof.len() + 1 });
            if let Some((_, shorter)) = proof.split_last() {
                assert!(verify_inclusion(leaf, index, size, shorter, &root).is_err());
            }
            for other in (0..SIZES + 2).filter(|other| *other != index) {
                assert!(verify_inclusion(leaf, other, size, &proof, &root).is_err(), "{index} as {other}");
            }
            assert!(verify_inclusion(b"other entry", index, size, &proof, &root).is_err());
        }
    }
    let error = verify_inclusion(b"", 0, 0, &[], &empty_root()).unwrap_err();
    assert_eq!(error, LedgerError::IndexOutOfRange { index: 0, size: 0 });
    // A node is not an entry: leaf and node hashes are told apart.
    let (left, right) = (leaf_hash(&all[0]), leaf_hash(&all[1]));
    let node = [left.0, right.0].concat();
    assert!(verify_inclusion(&node, 0, 1, &[], &log.root_at(2).unwrap()).is_err());
}

#[test]
fn every_growth_is_proved() {
    let log = MerkleLog::from_leaves(leaves(SIZES));
    for new in 0..=SIZES {
        let new_root = log.root_at(new).unwrap();
        for old in 0..=new {
            let old_root = log.root_at(old).unwrap();
            let proof = log.consistency(old, new);
            let consistent = verify_consistency(old, &old_root, new, &new_root, &proof).unwrap();
            assert_eq!((consistent.old_size(), consistent.new_size()), (old, new));
        }
    }
}

#[test]
fn no_changed_consistency_proof_verifies() {
    let log = MerkleLog::from_leaves(leaves(SIZES));
    for (old, new) in [(1, 2), (1, SIZES), (3, 7), (6, 8), (4, 8), (8, 13), (64, 65), (65, 128), (99, SIZES)]
    {
        let [old_root, new_root] = [old, new].map(|size| log.root_at(size).unwrap());
        let proof = log.consistency(old, new);
        let refused = |old, old_root: &Hex<32>, new, new_root: &Hex<32>, proof: &[Hex<32>]| {
            assert!(verify_consistency(old, old_root, new, new_root, proof).is_err(), "{old} to {new}");
        };
        for bit in 0..proof.len() * 256 {
            let mut changed = proof.clone();
            changed[bit / 256].0[bit % 256 / 8] ^= 1 << (bit % 8);
            refused(old, &old_root, new, &new_root, &changed);
        }
        for bit in 0..256 {
            let flip = |root: &Hex<32>| {
                let mut changed = *root;
                changed.0[bit / 8] ^= 1 << (bit % 8);
                changed
            };
            refused(old, &flip(&old_root), new, &new_root, &proof);
            refused(old, &old_root, new, &flip(&new_root), &proof);
        }
        refused(old, &old_root, new, &new_root, &proof[1..]);
        refused(old, &old_root, new, &new_root, &[proof.as_slice(), &[new_root]].concat());
        refused(old, &new_root, new, &old_root, &proof);
        refused(0, &old_root, new, &new_root, &[]);
    }
    let [five, six] = [5, 6].map(|size| log.root_at(size).unwrap());
    let error = verify_consistency(6, &six, 5, &five, &[]).unwrap_err();
    assert_eq!(error, LedgerError::LogRolledBack { old: 6, new: 5 });
    let error = verify_consistency(6, &six, 6, &five, &[]).unwrap_err();
    assert_eq!(error, LedgerError::LogForked { size: 6, expected: six, got: five });
}

const ORIGIN: &str = "operator.example/tiltyard/c0ffee";

fn note_key(key: &Ed25519KeyPair) -> NoteKey {
    NoteKey { name: ORIGIN.into(), public: public(key) }
}

fn checkpoint() -> Checkpoint {
    Checkpoint::of(ORIGIN, &MerkleLog::from_leaves(leaves(7)))
}

#[test]
fn checkpoints_open_under_their_key_only() {
    let note = checkpoint().sign(&key(1), ORIGIN);
    let lines: Vec<_> = note.split('\n').collect();
    assert_eq!((lines.len(), lines[0], lines[1], lines[3]), (6, ORIGIN, "7", ""));
    assert!(lines[4].starts_with(&format!("\u{2014} {ORIGIN} ")));
    assert_eq!(Checkpoint::open(&note, &note_key(&key(1))), Ok(checkpoint()));
    let error = Checkpoint::open(&note, &note_key(&key(2))).unwrap_err();
    assert!(matches!(error, LedgerError::NoteUnsigned { .. }), "{error}");
    let renamed = NoteKey { name: "other.example".into(), ..note_key(&key(1)) };
    assert!(Checkpoint::open(&note, &renamed).is_err());

    let opened = checkpoint();
    assert_eq!(opened.clone().for_origin(ORIGIN), Ok(opened.clone()));
    assert!(matches!(opened.for_origin("other.example"), Err(LedgerError::WrongOrigin { .. })));
}

#[test]
fn no_changed_note_opens() {
    let note = checkpoint().sign(&key(1), ORIGIN);
    let key = note_key(&key(1));
    for (at, _) in note.char_indices().filter(|(_, c)| c.is_ascii()) {
        let mut changed = note.clone().into_bytes();
        changed[at] ^= 1;
        let changed = String::from_utf8(changed).unwrap();
        assert!(Checkpoint::open(&changed, &key).is_err(), "byte {at}: {changed}");
    }
    for at in (0..note.len()).filter(|at| note.is_char_boundary(*at)) {
        assert!(Checkpoint::open(&note[..at], &key).is_err(), "cut at {at}");
    }
    for changed in [note.replace('\n', "\r\n"), format!("{note}\n"), format!(" {note}"), String::new()] {
        assert!(Checkpoint::open(&changed, &key).is_err(), "{changed}");
    }
}

#[test]
fn other_signatures_are_passed_over_within_a_bound() {
    let (note, key) = (checkpoint().sign(&key(1), ORIGIN), note_key(&key(1)));
    let other = checkpoint().sign(&crate::fixture::key(2), "witness.example");
    let line = other.lines().last().unwrap();
    assert_eq!(Checkpoint::open(&format!("{note}{line}\n"), &key), Ok(checkpoint()));
    let lines = |count: usize| note.clone() + &format!("{line}\n").repeat(count);
    assert_eq!(Checkpoint::open(&lines(NOTE_SIGNATURES_MAX - 1), &key), Ok(checkpoint()));
    assert!(Checkpoint::open(&lines(NOTE_SIGNATURES_MAX), &key).is_err());
    let huge = note.clone() + &format!("\u{2014} a {}\n", "AAAA".repeat(20_000));
    assert!(matches!(Checkpoint::open(&huge, &key), Err(LedgerError::NoteTooLarge { .. })));
    // A second, broken signature of the known key is not outvoted by a good one.
    let good = note.lines().last().unwrap();
    let (name, signature) = good.rsplit_once(' ').unwrap();
    let at = signature.len() / 2;
    let digit = if signature.as_bytes()[at] == b'A' { "B" } else { "A" };
    let broken = format!("{name} {}{digit}{}", &signature[..at], &signature[at + 1..]);
    let error = Checkpoint::open(&format!("{note}{broken}\n"), &key).unwrap_err();
    assert!(matches!(error, LedgerError::NoteSignature { .. }), "{error}");
}

/// Signs any text as a note, as a hostile log operator can.
fn signed(text: &str) -> Result<Checkpoint, LedgerError> {
    use base64::Engine;
    let signer = note_key(&key(1));
    let mut blob = signer.id().to_vec();
    blob.extend_from_slice(key(1).sign(text.as_bytes()).as_ref());
    let blob = base64::engine::general_purpose::STANDARD.encode(blob);
    Checkpoint::open(&format!("{text}\n\u{2014} {ORIGIN} {blob}\n"), &signer)
}

#[test]
fn a_checkpoint_has_exactly_three_plain_lines() {
    let text = checkpoint().text();
    assert_eq!(signed(&text), Ok(checkpoint()));
    let [origin, size, root, _] = text.split('\n').collect::<Vec<_>>()[..] else { panic!("{text}") };
    for hostile in [
        format!("{origin}\n{size}\n{root}\nextension\n"),
        format!("{origin}\n{size}\n"),
        format!("\n{size}\n{root}\n"),
        format!("{origin}\n07\n{root}\n"),
        format!("{origin}\n+7\n{root}\n"),
        format!("{origin}\n-7\n{root}\n"),
        format!("{origin}\n18446744073709551616\n{root}\n"),
        format!("{origin}\n{size}\n{}\n", &root[..40]),
        format!("{origin}\n{size}\n{}\n", root.trim_end_matches('=')),
        format!("{origin} x\n{size}\n{root}\n"),
    ] {
        assert!(signed(&hostile).is_err(), "{hostile}");
    }
}

#[test]
fn verifier_keys_have_one_text_form() {
    let key = note_key(&key(1));
    assert_eq!(key.to_string().parse(), Ok(key.clone()));
    // The verifier key of the Go checksum database, as its client has it compiled in.
    let golang = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    assert_eq!(golang.parse::<NoteKey>().unwrap().to_string(), golang);
    for hostile in [
        "sum.golang.org+033de0af+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        "sum.golang.org+033DE0AE+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        "sum.golang.net+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        "sum golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        "+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
        "sum.golang.org+033de0ae",
        "sum.golang.org+033de0ae+Ac4z",
        "",
    ] {
        assert!(hostile.parse::<NoteKey>().is_err(), "{hostile}");
    }
}

#[test]
fn proof_files_verify_and_have_one_form() {
    let all = leaves(SIZES);
    let log = MerkleLog::from_leaves(&all);
    let note = Checkpoint::of(ORIGIN, &log).sign(&key(1), ORIGIN);
    let key = note_key(&key(1));
    for index in [0, 1, 77, SIZES - 1] {
        let text = TlogProof::of(&log, index, &note).to_text();
        assert!(text.starts_with(&format!("c2sp.org/tlog-proof@v1\nindex {index}\n")));
        let proof = TlogProof::from_text(&text).unwrap();
        assert_eq!(proof.verify(&all[index as usize], &key, ORIGIN).unwrap().index(), index);
        assert!(proof.verify(b"other entry", &key, ORIGIN).is_err());
        assert!(proof.verify(&all[index as usize], &key, "other.example").is_err());
        let moved = TlogProof { index: (index + 1) % SIZES, ..proof };
        assert!(moved.verify(&all[index as usize], &key, ORIGIN).is_err());
        for (from, to) in
            [("@v1", "@v2"), ("index ", "index 0"), ("index ", "extra AA==\nindex "), ("\n\n", "\n")]
        {
            assert!(TlogProof::from_text(&text.replacen(from, to, 1)).is_err(), "{to:?}");
        }
    }
    let one = MerkleLog::from_leaves(&all[..1]);
    let text =
        TlogProof::of(&one, 0, &Checkpoint::of(ORIGIN, &one).sign(&crate::fixture::key(1), ORIGIN)).to_text();
    assert!(TlogProof::from_text(&text).unwrap().verify(&all[0], &key, ORIGIN).is_ok());
}

#[test]
fn tile_paths() {
    assert_eq!(tile_path(0, 0, 256), "tile/0/000");
    assert_eq!(tile_path(1, 5, 17), "tile/1/005.p/17");
    assert_eq!(tile_path(0, 1_234_067, 256), "tile/0/x001/x234/067");
    assert_eq!(entries_path(1000, 1), "tile/entries/x001/000.p/1");
}

#[test]
fn tiles_hold_the_whole_tree() {
    let all = leaves(70_000);
    let log = MerkleLog::from_leaves(&all);
    let files = tiles(&all, 0, 70_000).unwrap();
    let get = |path: &str| &files.iter().find(|(name, _)| name == path).unwrap().1;
    // 274 of entries, 274 of leaf hashes, 2 above, 1 on top.
    assert_eq!(files.len(), 274 + 274 + 2 + 1);
    for (level, last, width) in [(0, 273, 112), (1, 1, 17), (2, 0, 1)] {
        assert_eq!(get(&tile_path(level, last, width)).len() as u64, 32 * width);
    }
    assert_eq!(get("tile/0/000")[..32], leaf_hash(&all[0]).0);
    assert_eq!(get("tile/1/000")[32..64], merkle_root(&all[256..512]).0);
    assert_eq!(get("tile/2/000.p/1")[..], log.root_at(65_536).unwrap().0);
    let entries = get("tile/entries/001");
    assert_eq!(entries[..2], [0, 9]);
    assert_eq!(&entries[2..11], b"entry 256");
}

#[test]
fn tiles_of_a_growth_are_what_a_fresh_write_adds() {
    let all = leaves(1100);
    let mut kept = std::collections::BTreeMap::new();
    let mut old = 0;
    for new in [0, 1, 2, 255, 256, 257, 511, 600, 1024, 1100] {
        kept.extend(tiles(&all, old, new).unwrap());
        for (path, content) in tiles(&all, 0, new).unwrap() {
            assert_eq!(kept.get(&path), Some(&content), "{path} at {new}");
        }
        assert!(tiles(&all, new, new).unwrap().is_empty());
        old = new;
    }
    assert!(matches!(tiles(&all, 2, 1), Err(LedgerError::LogRolledBack { .. })));
    assert!(matches!(tiles(&all, 0, 1101), Err(LedgerError::EntriesMissing { .. })));
    let big = [vec![0; ENTRY_MAX_BYTES], vec![0; ENTRY_MAX_BYTES + 1]];
    assert!(tiles(&big, 0, 1).is_ok());
    let error = tiles(&big, 0, 2).unwrap_err();
    assert_eq!(error, LedgerError::EntryTooLarge { index: 1, got: ENTRY_MAX_BYTES + 1 });
}

//! Bundles: deterministic, read by a foreign tar, and every hostile archive refused.

use std::io::Read as _;

use tiltyard_attestation::Hex;
use tiltyard_attestation::archive::ArchiveError;
use tiltyard_provisioning::bundle::{Bundle, BundleError, BundleWriter, INDEX, IndexRow};

const MEMBERS: [(&str, &[u8]); 4] =
    [("charter/charter.json", b"charter"), ("empty", b""), ("log/000", &[1; 512]), ("record", &[2; 513])];

fn bundle() -> Vec<u8> {
    let mut writer = BundleWriter::new();
    for (name, bytes) in MEMBERS {
        writer.add(name, bytes).unwrap();
    }
    writer.finish()
}

fn index(members: &[(&str, &[u8])]) -> Vec<u8> {
    let rows: Vec<_> = members
        .iter()
        .map(|(name, bytes)| IndexRow {
            name: (*name).into(),
            len_bytes: bytes.len() as u64,
            sha256: Hex::sha256(bytes),
        })
        .collect();
    serde_jcs::to_vec(&rows).unwrap()
}

fn header(name: &str, len: usize) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    let raw = &mut header.as_mut_bytes()[..100];
    raw[..name.len()].copy_from_slice(name.as_bytes());
    header.set_size(len as u64);
    header.set_mode(0o444);
    for set in [tar::Header::set_uid, tar::Header::set_gid, tar::Header::set_mtime] {
        set(&mut header, 0);
    }
    header.set_device_major(0).unwrap();
    header.set_device_minor(0).unwrap();
    header.set_entry_type(tar::EntryType::Regular);
    header
}

/// What a foreign writer can make: headers and contents as given, checksums set.
fn archive(entries: Vec<(tar::Header, &[u8])>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (mut header, bytes) in entries {
        // The crate writes checksums with other padding; the form of POSIX is six digits, NUL, space.
        header.set_cksum();
        let mut checksum = header.as_old().cksum;
        let digits = String::from_utf8(checksum[..7].to_vec()).unwrap();
        let value = u32::from_str_radix(digits.trim_matches(['\0', ' ']), 8).unwrap();
        checksum.copy_from_slice(format!("{value:06o}\0 ").as_bytes());
        header.as_old_mut().cksum = checksum;
        builder.append(&header, bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn files(entries: &[(&str, &[u8])]) -> Vec<u8> {
    archive(entries.iter().map(|(name, bytes)| (header(name, bytes.len()), *bytes)).collect())
}

fn refused(bytes: Vec<u8>) -> BundleError {
    match Bundle::read(bytes) {
        Ok(bundle) => panic!("read {:?}", bundle.names().collect::<Vec<_>>()),
        Err(error) => error,
    }
}

/// A bundle with these members and an index of those.
fn with_index(members: &[(&str, &[u8])], indexed: &[(&str, &[u8])]) -> Vec<u8> {
    let index = index(indexed);
    let mut all = members.to_vec();
    all.push((INDEX, &index));
    all.sort();
    files(&all)
}

#[test]
fn reads_what_it_writes_and_writes_one_form() {
    let bytes = bundle();
    let mut reordered = BundleWriter::new();
    for (name, content) in MEMBERS.iter().rev() {
        reordered.add(name, *content).unwrap();
    }
    assert_eq!(reordered.finish(), bytes);
    let bundle = Bundle::read(bytes).unwrap();
    let names: Vec<_> = bundle.names().collect();
    assert_eq!(names, ["charter/charter.json", "empty", INDEX, "log/000", "record"]);
    for (name, content) in MEMBERS {
        assert_eq!(bundle.get(name), Some(content));
    }
    assert_eq!(bundle.get(INDEX), Some(index(&MEMBERS).as_slice()));
    assert_eq!(bundle.get("absent"), None);
    assert!(Bundle::read(BundleWriter::new().finish()).is_ok());
}

#[test]
fn a_foreign_tar_reads_and_writes_the_same_bytes() {
    let bytes = bundle();
    let mut foreign = tar::Archive::new(bytes.as_slice());
    for entry in foreign.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let header = entry.header();
        assert_eq!((header.mode().unwrap(), header.mtime().unwrap(), header.uid().unwrap()), (0o444, 0, 0));
        if name != INDEX {
            assert!(MEMBERS.contains(&(name.as_str(), content.as_slice())), "{name}");
        }
    }
    assert_eq!(with_index(&MEMBERS, &MEMBERS), bytes);
}

#[test]
fn writer_refuses() {
    let mut writer = BundleWriter::new();
    writer.add("a", *b"1").unwrap();
    assert_eq!(
        writer.add("a", *b"1"),
        Err(BundleError::Archive(ArchiveError::Duplicate { name: "a".into() }))
    );
    assert_eq!(
        writer.add(INDEX, *b""),
        Err(BundleError::Archive(ArchiveError::Duplicate { name: INDEX.into() }))
    );
    let long = "n".repeat(101);
    for name in ["", "/etc", "a//b", "a/", "..", "a/../b", "./a", "A", "a b", "a\\b", "a\nb", "ä", &long] {
        assert!(
            matches!(writer.add(name, *b""), Err(BundleError::Archive(ArchiveError::Name { .. }))),
            "{name:?}"
        );
    }
    assert!(writer.add(&"n".repeat(100), *b"").is_ok());
    assert!(matches!(
        writer.add("big", vec![0; 1 << 30]),
        Err(BundleError::Archive(ArchiveError::TooLarge { .. }))
    ));
}

#[test]
fn hostile_members() {
    let twice = files(&[("a", b"1"), ("a", b"2")]);
    assert_eq!(refused(twice), BundleError::Archive(ArchiveError::Duplicate { name: "a".into() }));
    let unsorted = files(&[("b", b"1"), ("a", b"2")]);
    assert_eq!(
        refused(unsorted),
        BundleError::Archive(ArchiveError::Unsorted { name: "a".into(), after: "b".into() })
    );
    for name in ["../a", "a/../../b", "/etc/passwd", "a//b", "A"] {
        assert!(
            matches!(refused(files(&[(name, b"")])), BundleError::Archive(ArchiveError::Name { .. })),
            "{name}"
        );
    }
    for kind in [
        tar::EntryType::Symlink,
        tar::EntryType::Link,
        tar::EntryType::Directory,
        tar::EntryType::Fifo,
        tar::EntryType::Char,
        tar::EntryType::XHeader,
        tar::EntryType::GNULongName,
    ] {
        let mut link = header("a", 0);
        link.set_entry_type(kind);
        let error = refused(archive(vec![(link, b"")]));
        assert_eq!(
            error,
            BundleError::Archive(ArchiveError::NotAFile { kind: kind.as_byte().into(), at: 0 })
        );
    }
}

/// Changes one header of an else correct bundle.
fn with_header(edit: impl FnOnce(&mut tar::Header)) -> BundleError {
    let index = index(&[("a", b"1")]);
    let mut first = header("a", 1);
    edit(&mut first);
    refused(archive(vec![(first, b"1"), (header(INDEX, index.len()), &index)]))
}

#[test]
fn hostile_headers() {
    let expected = BundleError::Archive(ArchiveError::Header { at: 0 });
    assert_eq!(with_header(|header| header.set_mode(0o4755)), expected);
    assert_eq!(with_header(|header| header.set_mtime(1)), expected);
    assert_eq!(with_header(|header| header.set_uid(1)), expected);
    assert_eq!(with_header(|header| header.set_username("root").unwrap()), expected);
    assert_eq!(with_header(|header| header.as_ustar_mut().unwrap().prefix[0] = b'p'), expected);
    assert_eq!(with_header(|header| header.as_mut_bytes()[157] = b'l'), expected);
    assert_eq!(with_header(|header| header.as_mut_bytes()[500] = 1), expected);
    assert_eq!(with_header(|header| header.as_mut_bytes()[50] = b'x'), expected);
    assert_eq!(with_header(|header| header.as_mut_bytes()[124] = b'-'), expected);
    let mut bytes = bundle();
    bytes[148] ^= 1;
    assert_eq!(refused(bytes), expected);
}

#[test]
fn hostile_ends() {
    let bytes = bundle();
    for len in (0..bytes.len()).step_by(256) {
        let error = refused(bytes[..len].to_vec());
        assert!(matches!(error, BundleError::Archive(ArchiveError::Truncated { .. })), "{len}: {error}");
    }
    for more in [&[0][..], &[0; 512], b"x", &bytes] {
        let error = refused([bytes.as_slice(), more].concat());
        assert!(matches!(error, BundleError::Archive(ArchiveError::Trailing { .. })), "{error}");
    }
    let mut hidden = bytes.clone();
    let last = hidden.len() - 1;
    hidden[last] = 1;
    assert!(matches!(refused(hidden), BundleError::Archive(ArchiveError::Trailing { .. })));
    let mut padded = bundle();
    // After the 7 bytes of the first member.
    padded[512 + 8] = 1;
    assert_eq!(
        refused(padded),
        BundleError::Archive(ArchiveError::Padding { name: "charter/charter.json".into() })
    );
    let mut endless = header("a", 0);
    endless.set_size(0o77_777_777_777);
    assert!(matches!(
        refused(archive(vec![(endless, b"")])),
        BundleError::Archive(ArchiveError::Truncated { at: 0 })
    ));
}

#[test]
fn the_index_is_exact_both_ways() {
    let all: &[(&str, &[u8])] = &[("a", b"1"), ("b", b"2")];
    assert!(Bundle::read(with_index(all, all)).is_ok());
    assert_eq!(refused(files(all)), BundleError::IndexMissing);
    assert_eq!(refused(with_index(all, &all[..1])), BundleError::NotInIndex { name: "b".into() });
    assert_eq!(refused(with_index(&all[..1], all)), BundleError::MemberMissing { name: "b".into() });
    let error = refused(with_index(all, &[("a", b"1"), ("b", b"3")]));
    assert!(matches!(&error, BundleError::Changed { name, .. } if name == "b"), "{error}");
    let error = refused(with_index(all, &[("a", b"1"), ("b", b"22")]));
    assert!(matches!(&error, BundleError::Changed { name, .. } if name == "b"), "{error}");
    assert_eq!(refused(with_index(all, &[("b", b"2"), ("a", b"1")])), BundleError::IndexForm);
    assert_eq!(refused(with_index(all, &[("a", b"1"), ("a", b"1"), ("b", b"2")])), BundleError::IndexForm);
    let mut spaced = index(all);
    spaced.push(b'\n');
    assert_eq!(refused(files(&[all[0], all[1], (INDEX, &spaced)])), BundleError::IndexForm);
    for text in [&b"{}"[..], b"", b"[1]", br#"[{"name":"a","len_bytes":1}]"#] {
        let error = refused(files(&[all[0], all[1], (INDEX, text)]));
        assert!(matches!(error, BundleError::IndexSyntax(_)), "{error}");
    }
}

#[test]
fn no_edited_byte_is_read() {
    let bytes = bundle();
    for at in 0..bytes.len() {
        let mut edited = bytes.clone();
        edited[at] ^= 0x20;
        assert!(Bundle::read(edited).is_err(), "byte {at}");
    }
}

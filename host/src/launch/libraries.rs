//! Which files a program needs to start: its dynamic loader, and what that loader lists.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Most shared libraries of a guest program.
pub const LIBRARIES_MAX: usize = 64;
/// Largest answer of the loader, in bytes.
const LIST_MAX_BYTES: usize = 64 * 1024;

const PT_INTERP: u32 = 3;

/// Why the libraries of a program are unknown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryError {
    #[error("guest program: expected a 64-bit little-endian ELF file, found another format")]
    NotElf,
    #[error(
        "guest program: the loader {loader} could not list its libraries: {what}\n  run it by itself to see what is missing"
    )]
    Loader { loader: PathBuf, what: String },
    #[error(
        "guest program: library {name} is missing on this host\n  install it, or link the program statically"
    )]
    Missing { name: String },
    #[error("guest program: expected at most {LIBRARIES_MAX} shared libraries, found {got}")]
    TooMany { got: usize },
}

/// The loader and shared libraries of `program`, absolute paths; empty for a static program.
pub fn libraries(path: &Path, program: &[u8]) -> Result<Vec<PathBuf>, LibraryError> {
    let Some(loader) = interpreter(program)? else { return Ok(Vec::new()) };
    let failed = |what: String| LibraryError::Loader { loader: loader.clone(), what };
    let listed = Command::new(&loader)
        .arg("--list")
        .arg(path)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !listed.status.success() || listed.stdout.len() > LIST_MAX_BYTES {
        return Err(failed(listed.status.to_string()));
    }
    let text = String::from_utf8(listed.stdout).map_err(|_| failed("not text".into()))?;
    let mut found = parse_list(&text)?;
    if !found.contains(&loader) {
        found.push(loader);
    }
    if found.len() > LIBRARIES_MAX {
        return Err(LibraryError::TooMany { got: found.len() });
    }
    Ok(found)
}

/// Lines are `name => path (address)`, `path (address)`, `linux-vdso.so.1 (address)` or `name => not found`.
fn parse_list(text: &str) -> Result<Vec<PathBuf>, LibraryError> {
    let mut found = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, rest) = line.split_once(" => ").unwrap_or((line, line));
        if rest.starts_with("not found") {
            return Err(LibraryError::Missing { name: name.to_owned() });
        }
        let path = Path::new(rest.rsplit_once(" (").map_or(rest, |(path, _)| path));
        if path.is_absolute() && !found.iter().any(|known| known == path) {
            found.push(path.to_owned());
        }
    }
    Ok(found)
}

/// PT_INTERP of an ELF file (System V gABI, "Program Header").
fn interpreter(elf: &[u8]) -> Result<Option<PathBuf>, LibraryError> {
    let bytes = |at: usize, len: usize| {
        at.checked_add(len).and_then(|end| elf.get(at..end)).ok_or(LibraryError::NotElf)
    };
    let word = |at: usize, len: usize| -> Result<usize, LibraryError> {
        let mut out = [0; 8];
        out[..len].copy_from_slice(bytes(at, len)?);
        usize::try_from(u64::from_le_bytes(out)).map_err(|_| LibraryError::NotElf)
    };
    // Magic, 64-bit, little endian.
    if bytes(0, 6)? != b"\x7fELF\x02\x01" {
        return Err(LibraryError::NotElf);
    }
    let (table, size, count) = (word(0x20, 8)?, word(0x36, 2)?, word(0x38, 2)?);
    for index in 0..count {
        let header =
            index.checked_mul(size).and_then(|n| n.checked_add(table)).ok_or(LibraryError::NotElf)?;
        if word(header, 4)? == PT_INTERP as usize {
            let offset = header.checked_add(8).ok_or(LibraryError::NotElf)?;
            let len = header.checked_add(0x20).ok_or(LibraryError::NotElf)?;
            let name = bytes(word(offset, 8)?, word(len, 8)?)?;
            let name = name.strip_suffix(b"\0").unwrap_or(name);
            let name = std::str::from_utf8(name).map_err(|_| LibraryError::NotElf)?;
            return Ok(Some(PathBuf::from(name)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loader_output_is_read() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let paths = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(parse_list(text).ok(), Some(paths.map(PathBuf::from).to_vec()));
        assert!(matches!(parse_list("\tlibz.so => not found\n"), Err(LibraryError::Missing { .. })));
    }

    #[test]
    fn hostile_elf_files_are_refused() {
        let mut elf = vec![0; 64];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        assert!(matches!(interpreter(&elf), Ok(None)));
        elf[0x20..0x28].copy_from_slice(&u64::MAX.to_le_bytes());
        elf[0x36] = 56;
        elf[0x38] = 2;
        for cut in [&elf[..], &elf[..40], b"", b"#!/bin/sh"] {
            assert!(matches!(interpreter(cut), Err(LibraryError::NotElf)));
        }
    }
}

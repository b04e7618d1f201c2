//! The passphrase comes from a terminal or a file descriptor: never from argv or the environment (PROVISIONING 5).

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use zeroize::{Zeroize as _, Zeroizing};

use crate::BrokerError;

/// Longest passphrase, in bytes.
pub const PASSPHRASE_MAX_BYTES: usize = 1024;
/// Shortest passphrase that seals a new key file, in bytes.
pub const PASSPHRASE_MIN_BYTES: usize = 12;

/// Where the passphrase comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassphraseSource {
    /// Asked for on the controlling terminal, without echo.
    Terminal,
    /// The first line of an inherited file descriptor.
    Descriptor(u32),
}

/// A passphrase, wiped on drop. No Debug, no Clone.
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// The bytes, without a line end.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads the passphrase of an existing key file.
    pub fn read(source: PassphraseSource) -> Result<Self, BrokerError> {
        match source {
            PassphraseSource::Terminal => prompt("Passphrase: "),
            PassphraseSource::Descriptor(fd) => {
                // Opened by its name under /proc, since taking over a raw descriptor is unsafe code.
                let file =
                    File::open(format!("/proc/self/fd/{fd}")).map_err(|source| unreadable(fd, source))?;
                first_line(file).map_err(|source| unreadable(fd, source)).and_then(Self::checked)
            }
        }
    }

    /// Reads the passphrase for a new key file: asked for twice on a terminal, and long enough.
    pub fn choose(source: PassphraseSource) -> Result<Self, BrokerError> {
        let chosen = Self::read(source)?;
        if chosen.0.len() < PASSPHRASE_MIN_BYTES {
            return Err(BrokerError::PassphraseLength {
                expected: format!("at least {PASSPHRASE_MIN_BYTES} bytes"),
            });
        }
        if source == PassphraseSource::Terminal {
            let again = prompt("Once more:  ")?;
            // Both were typed by the same person at the same keyboard: timing tells nobody anything.
            if again.0 != chosen.0 {
                return Err(BrokerError::PassphraseDiffers);
            }
        }
        Ok(chosen)
    }

    fn checked(line: Zeroizing<Vec<u8>>) -> Result<Self, BrokerError> {
        match line.len() {
            0 => Err(BrokerError::PassphraseLength { expected: "1 byte or more".into() }),
            1..=PASSPHRASE_MAX_BYTES => Ok(Self(line)),
            _ => Err(BrokerError::PassphraseLength {
                expected: format!("at most {PASSPHRASE_MAX_BYTES} bytes"),
            }),
        }
    }
}

fn unreadable(fd: u32, source: io::Error) -> BrokerError {
    BrokerError::PassphraseUnreadable { from: format!("file descriptor {fd}"), source }
}

/// The bytes up to the first line end, or the end. Read a byte at a time, so that what follows the
/// line stays unread, and into a buffer that never moves, so that wiping it wipes the only copy.
fn first_line(mut input: impl io::Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(PASSPHRASE_MAX_BYTES + 1));
    let mut byte = [0];
    while line.len() <= PASSPHRASE_MAX_BYTES {
        match input.read(&mut byte) {
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) => line.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    byte.zeroize();
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

fn prompt(text: &str) -> Result<Passphrase, BrokerError> {
    let failed = |source| BrokerError::PassphraseUnreadable { from: "the terminal".into(), source };
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(failed)?;
    let quiet = Quiet::new(&terminal).map_err(failed)?;
    (&terminal).write_all(text.as_bytes()).map_err(failed)?;
    let line = first_line((&terminal).take(PASSPHRASE_MAX_BYTES as u64 + 2)).map_err(failed)?;
    drop(quiet);
    (&terminal).write_all(b"\n").map_err(failed)?;
    Passphrase::checked(line)
}

/// A terminal without echo, for as long as this lives.
struct Quiet<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn new(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(terminal, SetArg::TCSAFLUSH, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // The terminal is gone when this fails; there is nobody left to show an echo to.
        let _ = tcsetattr(self.terminal, SetArg::TCSAFLUSH, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_line_counts() {
        assert_eq!(*first_line(&b"correct horse\nrest"[..]).unwrap(), b"correct horse");
        assert_eq!(*first_line(&b"correct horse\r\n"[..]).unwrap(), b"correct horse");
        assert_eq!(*first_line(&b"no line end"[..]).unwrap(), b"no line end");
    }

    #[test]
    fn empty_and_endless_passphrases_are_refused() {
        let read = |bytes: &[u8]| Passphrase::checked(first_line(bytes).unwrap());
        assert!(matches!(read(b"\n"), Err(BrokerError::PassphraseLength { .. })));
        assert!(matches!(read(&[b'x'; 2000]), Err(BrokerError::PassphraseLength { .. })));
        assert_eq!(
            read(&[b'x'; PASSPHRASE_MAX_BYTES]).map(|p| p.bytes().len()).ok(),
            Some(PASSPHRASE_MAX_BYTES)
        );
    }
}
